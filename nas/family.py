"""The family of generators that a run has learned, and new architectures drawn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.architecture import Architecture
from nas.errors import InputError
from nas.indicator import Indicator
from nas.pareto import objectives_of
from nas.run.candidate import Candidate
from nas.space import SearchSpace
from nas.synthesis.preference import Vector, as_preference
from nas.synthesis.samplers import synthesis_sampler

if TYPE_CHECKING:
    from optuna.study import Study

    from nas.synthesis.generator import Generator

_PLOTTED: Final = 100
MOST: Final = 10_000  # architectures, one draw


class GeneratorFamily:
    """Every generator theta_0, theta_1, ... of a run; each rests on the results before it alone.

    They are worked out anew from the run's trials, whichever strategy proposed these, and come out as they were in the
    search.

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
    def generators(self) -> list[Generator]:
        """By index; the first has learned nothing."""
        return self._sampler.generators(self._study)

    def preference(self, shares: Mapping[str, float] | None) -> Vector:
        """Shares (m,) in the order of the objectives; even ones for None.  Raises InputError."""
        names = [o.name for o in self._objectives]
        return as_preference(dict.fromkeys(names, 1.0) if shares is None else shares, names)

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
            generator: index in :attr:`generators`; negative ones count from the last.
            preference: shares by objective, such as ``{"accuracy": 0.8, "params": 0.2}``; even where it is None.
            count: how many; fewer come where hundreds of tries find no more.
            seed: of the draws.
            new: without those that the run has proposed.

        Raises:
            InputError: no such generator or objective, or a count out of range.
        """
        last = len(self.generators) - 1
        if not -last - 1 <= generator <= last:
            raise InputError(f"generator {generator}: this run has 0 to {last}; a longer search learns more of them")
        if not 1 <= count <= MOST:
            raise InputError(f"{count} architectures: from 1 to {MOST:,} can be drawn at once")
        shares = self.preference(preference)
        drawn = self._sampler.draw(self._study, generator, shares.tolist(), count, seed, new=new)
        return [self._space.from_params(params) for params in drawn]

    def write_plot(self, folder: Path, caption: str) -> list[Path]:
        """Draws what the last generator has learned beside what the first knew; returns the files.

        One set of networks an end of the trade-off, and one of even shares; nothing is drawn before a first update.
        """
        from nas.report.learned import write_learned
        from nas.report.widths import Drawn

        last = len(self.generators) - 1
        if last == 0:
            return []
        names = [o.name for o in self._objectives]
        wanted = [(last, None, f"{last}, even"), *((last, {name: 1.0}, f"{last}, {name}") for name in names)]
        drawn = []
        for index, shares, label in [(0, None, "0, knows nothing"), *(wanted if len(names) > 1 else wanted[:1])]:
            found = self.draw(index, shares, _PLOTTED, new=False)
            if found:
                drawn.append(Drawn(f"generator {label}", [a.graph() for a in found]))
        title = f"What the generator learned: {last} updates, {_PLOTTED} networks each, not re-ranked"
        return write_learned(drawn, folder, title=title, caption=caption)

    def to_json(self) -> dict[str, Any]:
        """All generators, for other tools; :meth:`nas.synthesis.generator.Generator.from_json` reads one."""
        return {
            "objectives": [o.name for o in self._objectives],
            "generators": [g.to_json() for g in self.generators],
        }
