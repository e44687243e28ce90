"""Generative synthesis as an Optuna sampler: a generator proposes, an inquisitor decides, both learn."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial

from nas.errors import InputError
from nas.space import SearchSpace
from nas.synthesis.encoding import Encoding
from nas.synthesis.generator import Generator
from nas.synthesis.inquisitor import Belief
from nas.synthesis.mind import IN_A_SPACE, Effects, Feasible, Knowledge, KnownObjectives, Mind
from nas.synthesis.preference import checked_preference
from nas.synthesis.proposals import EditPrior, PlainProposals

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study


MOST_DRAWN: Final = 10_000


class SynthesisSampler(BaseSampler):
    """Proposes what a Bayesian surrogate expects to add most hypervolume, of edits of the front and of fresh decodes.

    Made for one to four objectives (it works with more, coarsely), in any Optuna study; parameters outside the
    intersection of all trials' spaces are drawn uniformly.  A proposal depends on the seed, the trial's number and the
    results of the study's trials alone, so that it is the same in another process and after a resume.

    Args:
        seed: of all proposals, at least 0; None for a random one.
        known_objectives: values that are known without evaluation, in the order of ``study.directions``; None for the
            others, and the same ones for every point.  It is given the parameters that all trials have in common.
        feasible: whether the free part of the indicator allows a point; given the same.  A forbidden point is proposed
            only where nothing else was found.
        space: makes edits the space's legal edits, and notes each trial's parent and edits as ``lineage``.
        distributions: the search space of a plain study, where it is known; else it is inferred from the first results.
        edit_prior: factors of the probability that an edit is tried.
        effects: sizes of the parts.

    Raises:
        ValueError: a seed that is no whole number from 0 on.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        known_objectives: KnownObjectives | None = None,
        feasible: Feasible | None = None,
        space: SearchSpace | None = None,
        distributions: Mapping[str, BaseDistribution] | None = None,
        edit_prior: EditPrior | None = None,
        effects: Effects | None = None,
    ) -> None:
        if seed is not None and (seed != int(seed) or seed < 0):
            raise ValueError(f"seed {seed!r}: a whole number from 0 on")
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else int(seed)
        self._distributions = space.distributions() if space is not None else distributions
        self._knowledge = Knowledge(known_objectives, feasible, space, edit_prior)
        self._effects = effects or (Effects() if space is None else IN_A_SPACE)
        self._inferred = IntersectionSearchSpace()
        self._study: tuple[int, int] | None = None
        self._mind: Mind | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The given space, else what all trials so far have in common."""
        if self._distributions is not None:
            return dict(self._distributions)
        with self._lock:
            return self._common(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Parameters that no earlier trial had, as far as the space has such."""
        if not search_space:
            return {}
        with self._lock:
            mind = self._mind_of(study, search_space)
            mind.read(study.get_trials(deepcopy=False), trial.number)
            proposal = mind.propose(np.random.default_rng([self._seed, trial.number]))
            params = mind.encoding.decode(proposal.row)
            lineage = mind.lineage(proposal)
        if lineage is not None:
            # Optuna's own samplers keep what they know of a trial in this way.
            study._storage.set_trial_user_attr(trial._trial_id, "lineage", lineage)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter that is not of the common space: uniform."""
        encoding = Encoding({param_name: param_distribution})
        # The trial's other parameters are part of the seed, because tests and users ask one trial more than once.
        said = zlib.crc32(repr((param_name, sorted(trial.params), param_distribution)).encode())
        rng = np.random.default_rng([self._seed, trial.number, said])
        row = PlainProposals(encoding).fresh(PlainProposals(encoding).first(1), np.ones(1), 1, rng)[0].row
        return encoding.decode(row)[param_name]

    def generators(self, study: Study) -> list[Generator]:
        """The family: what each update has learned, the first being the one that knows nothing.

        Raises:
            ValueError: the study's space is not known yet.
        """
        with self._lock:
            return list(self._informed(study).family)

    def beliefs(self, study: Study) -> list[Belief]:
        """What the surrogate makes of every measured trial, by number; nothing before there are two.

        A measured best is a lucky one; these values have the noise taken out, as far as neighbours tell.

        Raises:
            ValueError: the study's space is not known yet.
        """
        with self._lock:
            return self._informed(study).beliefs()

    def draw(
        self,
        study: Study,
        generator: int,
        preference: Sequence[float],
        count: int,
        seed: int = 0,
        *,
        new: bool = True,
    ) -> list[dict[str, Any]]:
        """Different feasible parameter sets from one generator of the family, without asking the inquisitor.

        Args:
            study: whose results the family learned from.
            generator: index in :meth:`generators`; negative ones count from the last.
            preference: shares of the objectives, in the order of ``study.directions``.
            count: how many; fewer come where two thousand draws in a row find no more.  The first of many are those
                that a few would be.
            seed: of the draws, at least 0.
            new: without those that the study has tried.

        Raises:
            InputError: no such generator, or an argument out of its range.
            ValueError: the study's space is not known yet.
        """
        shares = checked_preference(preference, len(study.directions))
        if not 1 <= count <= MOST_DRAWN:
            raise InputError(f"{count} at once: from 1 to {MOST_DRAWN:,} can be drawn")
        if seed < 0:
            raise InputError(f"seed {seed}: give a whole number from 0 on")
        with self._lock:
            mind = self._informed(study)
            last = len(mind.family) - 1
            if not -last - 1 <= generator <= last:
                raise InputError(f"generator {generator}: there are 0 to {last}; more results make more of them")
            chosen = mind.family[generator]
            rng = np.random.default_rng([self._seed, seed, chosen.index])
            admits = mind.allows_new if new else mind.allows
            return chosen.draw(mind.encoding, shares, count, rng, admits, mind.canonical)

    def _informed(self, study: Study) -> Mind:
        space = self._distributions or self._common(study)
        if not space:
            raise ValueError("the study has no finished trial to infer a search space from; give distributions")
        mind = self._mind_of(study, dict(space))
        mind.read(study.get_trials(deepcopy=False), -1)
        return mind

    def _common(self, study: Study) -> dict[str, BaseDistribution]:
        self._turn_to(study)
        return self._inferred.calculate(study)

    def _mind_of(self, study: Study, search_space: dict[str, BaseDistribution]) -> Mind:
        self._turn_to(study)
        if self._mind is None or self._mind.space != search_space:
            self._mind = Mind(search_space, study.directions, self._knowledge, self._effects)
        return self._mind

    def _turn_to(self, study: Study) -> None:
        """Forgets another study."""
        name = (study._study_id, id(study._storage))
        if name != self._study:
            self._study, self._mind, self._inferred = name, None, IntersectionSearchSpace()
