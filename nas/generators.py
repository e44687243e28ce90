"""The generators that a run has learned, and new architectures drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.architecture import Architecture
from nas.indicator import Indicator
from nas.pareto import objectives_of
from nas.run.candidate import Candidate
from nas.space import SearchSpace
from nas.synthesis.preference import as_preference
from nas.synthesis.samplers import synthesis_sampler

if TYPE_CHECKING:
    from optuna.study import Study

    from nas.report.widths import Drawn
    from nas.synthesis.generator import Generator

_PLOTTED: Final = 100


class Generators:
    """Every generator theta_0, theta_1, ... of a run; each rests on the results before it alone.

    They are worked out from the run's trials, whichever strategy proposed these.  Those of a search by generative
    synthesis come out as they were in it.

    Args:
        candidates: of the run, by trial number.
        space: fitted to the run's images.
        indicator: its exact bounds hold for what is drawn.
        objectives: names, in the study's order.
        seed: of the run.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        space: SearchSpace,
        indicator: Indicator,
        objectives: Sequence[str],
        seed: int,
    ) -> None:
        self._candidates = candidates
        self._space = space
        self._objectives = objectives_of(objectives)
        self._sampler = synthesis_sampler(space, indicator, self._objectives, seed)

    @cached_property
    def _study(self) -> Study:
        from nas.run.study import told_study

        return told_study(self._candidates, self._objectives, self._space)

    @cached_property
    def all(self) -> list[Generator]:
        """By index; the first has learned nothing."""
        return self._sampler.generators(self._study)

    @property
    def objectives(self) -> list[str]:
        """Names, in the study's order."""
        return [o.name for o in self._objectives]

    def draw(
        self,
        generator: int = -1,
        preference: Mapping[str, float] | None = None,
        count: int = 10,
        seed: int = 0,
        *,
        new: bool = True,
    ) -> list[Architecture]:
        """Architectures that keep within the exact bounds, drawn without asking the inquisitor.

        Args:
            generator: index in :attr:`all`; negative ones count from the last.
            preference: shares by objective, such as ``{"accuracy": 0.8, "params": 0.2}``; even where it is None.
            count: how many; fewer come where two thousand draws in a row find no more.  The first of many are those
                that a few would be.
            seed: of the draws, at least 0.
            new: without those that the run has proposed.

        Raises:
            InputError: no such generator or objective, or a number out of range.
        """
        names = self.objectives
        shares = as_preference(dict.fromkeys(names, 1.0) if preference is None else preference, names)
        drawn = self._sampler.draw(self._study, generator, shares.tolist(), count, seed, new=new)
        return [self._space.from_params(params) for params in drawn]

    def write_plot(self, folder: Path, caption: str) -> list[Path]:
        """Draws what the last generator has learned beside what the first knew; returns the files.

        Nothing is drawn before a first update, or where the exact bounds leave nothing to draw.

        Raises:
            EnvironmentStopError: the folder cannot be written.
        """
        from nas.report.learned import write_learned

        drawn = self.plotted()
        if len(self.all) == 1 or not drawn:
            return []
        updates = "1 update" if len(self.all) == 2 else f"{len(self.all) - 1} updates"
        title = f"What the generator learned in {updates}: networks as it draws them, not chosen among"
        return write_learned(drawn, folder, title=title, caption=caption)

    def plotted(self) -> list[Drawn]:
        """Networks of the first generator, and of the last at even shares and at each end of the trade-off."""
        from nas.report.widths import Drawn

        last, names = len(self.all) - 1, self.objectives
        wanted: list[tuple[int, Mapping[str, float] | None, str]] = [(0, None, "knows nothing"), (last, None, "even")]
        wanted += [(last, {name: 1.0}, name) for name in names]
        if len(names) == 1:
            wanted = [wanted[0], wanted[2]]
        drawn = []
        for index, shares, label in wanted:
            found = self.draw(index, shares, _PLOTTED, new=False)
            if found:
                graphs = [a.graph() for a in found]
                drawn.append(Drawn(f"generator {index}, {label} ({len(found)} networks)", graphs))
        return drawn

    def to_json(self) -> dict[str, Any]:
        """All generators, for other tools; :meth:`nas.synthesis.generator.Generator.from_json` reads one."""
        return {"objectives": self.objectives, "generators": [g.to_json() for g in self.all]}
