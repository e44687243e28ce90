"""Pareto evolution: children are one or two edits of front members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from nas.architecture import Architecture, Edit, EditKind
from nas.space import SearchSpace
from nas.synthesis.parents import Parents

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

# How often a kind of edit is tried, where it is legal.  Links together get .35, so that with one or two edits a child
# well over a quarter of the children carry one.
EDIT_WEIGHTS: Final[Mapping[EditKind, float]] = {
    EditKind.NARROW: 0.25,
    EditKind.WIDEN: 0.12,
    EditKind.ADD_BLOCK: 0.06,
    EditKind.REMOVE_BLOCK: 0.12,
    EditKind.ADD_LINK: 0.25,
    EditKind.REMOVE_LINK: 0.10,
    EditKind.RESTRIDE: 0.10,
    EditKind.RETYPE: 0.10,
}
TWO_EDITS: Final = 0.5
_TRIES: Final = 30


class EvolutionSampler(BaseSampler):
    """An Optuna sampler that mutates the front's architectures by legal edits of the search space.

    Its parents are the non-dominated finished trials without a violated constraint; where there are none, the trained
    and the rejected ones with the smallest largest violations.  Randomness is ``default_rng([seed, trial number])``:
    the same results told in the same order give the same proposals.

    Args:
        space: what may be proposed.
        seed: of all proposals.
        feasible: the free part of the indicator; what it does not allow is proposed only if a few dozen tries find
            nothing else.
    """

    def __init__(
        self, space: SearchSpace, *, seed: int, feasible: Callable[[dict[str, Any]], bool] | None = None
    ) -> None:
        self._space = space
        self._seed = seed
        self._feasible = feasible
        self._fallback = RandomSampler(seed=seed)
        self._seen: set[tuple[Any, ...]] = set()
        self._read = 0
        self._parents: Parents | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every parameter of the space."""
        return self._space.distributions()

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Parameters of a child that no earlier trial had, as far as a few dozen tries find one."""
        rng = np.random.default_rng([self._seed, trial.number])
        trials = study.get_trials(deepcopy=False)
        self._remember(trials)
        if self._parents is None:
            self._parents = Parents(study.directions)
        self._parents.see(trials)
        parents = self._parents.now()
        for _ in range(_TRIES):
            if parents:
                parent = self._space.from_params(parents[int(rng.integers(len(parents)))].params)
                child, edits = breed(self._space, parent, rng)
                lineage = {"parent": parent.id, "edits": [str(e) for e in edits]}
            else:
                child, lineage = self._space.sample(rng), {}
            params = self._space.to_params(child)
            if _key(params) not in self._seen and (self._feasible is None or self._feasible(params)):
                break
        # Optuna's own samplers keep what they know of a trial in this way.
        study._storage.set_trial_user_attr(trial._trial_id, "lineage", lineage)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter that is not of the space: uniform."""
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)

    def _remember(self, trials: Sequence[FrozenTrial]) -> None:
        """Notes the parameters of trials that were not there at the last call (all but the one being asked)."""
        for trial in trials[self._read : -1]:
            self._seen.add(_key(trial.params))
        self._read = max(len(trials) - 1, 0)


def _key(params: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(value for _, value in sorted(params.items()))


def breed(space: SearchSpace, parent: Architecture, rng: np.random.Generator) -> tuple[Architecture, tuple[Edit, ...]]:
    """A child of ``parent`` by one or two edits, and the edits."""
    edits: list[Edit] = []
    child = parent
    for _ in range(2 if rng.random() < TWO_EDITS else 1):
        edit = pick_edit(space.edits(child), rng)
        if edit is not None:
            child = edit.apply(child)
            edits.append(edit)
    if child.id == parent.id and edits:  # the second edit undid the first
        edits = edits[:1]
        child = edits[0].apply(parent)
    return child, tuple(edits)


def pick_edit(edits: Sequence[Edit], rng: np.random.Generator) -> Edit | None:
    """A kind by :data:`EDIT_WEIGHTS`, then a scope, then one edit of those; None where no edit is legal."""
    by_kind: dict[EditKind, list[Edit]] = {}
    for edit in edits:
        by_kind.setdefault(edit.kind, []).append(edit)
    if not by_kind:
        return None
    kinds = sorted(by_kind)
    weights = np.array([EDIT_WEIGHTS[kind] for kind in kinds])
    of_kind = by_kind[kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]]
    scopes = sorted({edit.scope for edit in of_kind})
    scope = scopes[int(rng.integers(len(scopes)))]
    chosen = [edit for edit in of_kind if edit.scope == scope]
    return chosen[int(rng.integers(len(chosen)))]
