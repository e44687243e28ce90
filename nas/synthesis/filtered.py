"""Any Optuna sampler behind the free part of the indicator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from optuna.samplers import BaseSampler

from nas.synthesis.mind import Feasible

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState

TRIES: Final = 20


class FilteredSampler(BaseSampler):
    """Asks another sampler again until what it proposes is allowed, a few times at most.

    The last proposal stands when none was: the search then records a refusal, which costs no evaluation.

    Args:
        sampler: the other one.
        distributions: of all parameters, so that proposals are whole before they are judged.
        feasible: whether the free part of the indicator allows a point.
        tries: how often it is asked for one trial.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        distributions: Mapping[str, BaseDistribution],
        feasible: Feasible,
        *,
        tries: int = TRIES,
    ) -> None:
        self._sampler = sampler
        self._distributions = dict(distributions)
        self._feasible = feasible
        self._tries = tries

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every parameter."""
        return dict(self._distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The first allowed proposal, else the last one."""
        params: dict[str, Any] = {}
        for _ in range(self._tries):
            params = self._whole(study, trial)
            if self._feasible(params):
                break
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter that is not among the distributions: the other sampler's."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Of the other sampler."""
        self._sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Of the other sampler."""
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Of the other sampler."""
        self._sampler.after_trial(study, trial, state, values)

    def _whole(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        space = self._sampler.infer_relative_search_space(study, trial)
        found = self._sampler.sample_relative(study, trial, space) if space else {}
        return {
            name: found[name] if name in found else self._sampler.sample_independent(study, trial, name, distribution)
            for name, distribution in self._distributions.items()
        }
