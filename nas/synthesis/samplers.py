"""Search strategies by name; every one is an Optuna sampler."""

from __future__ import annotations

import warnings
from typing import Final, Protocol

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from nas.errors import InputError
from nas.indicator import Indicator
from nas.pareto import Objective
from nas.space import SearchSpace
from nas.synthesis.evolution import EvolutionSampler
from nas.synthesis.filtered import FilteredSampler
from nas.synthesis.free import FreeKnowledge
from nas.synthesis.mind import Feasible, KnownObjectives
from nas.synthesis.proposals import EditPrior
from nas.synthesis.sampler import SynthesisSampler

NAMES: Final = ("synthesis", "evolution", "nsga2", "nsga3", "tpe", "gp", "random")


class Searched(Protocol):
    """What is searched, and how it is judged."""

    @property
    def space(self) -> SearchSpace:
        """What may be proposed."""

    @property
    def indicator(self) -> Indicator:
        """Its exact costs are known beforehand."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """In the study's order."""


def make_sampler(
    name: str,
    space: SearchSpace,
    seed: int,
    *,
    past: int = 0,
    known_objectives: KnownObjectives | None = None,
    feasible: Feasible | None = None,
) -> BaseSampler:
    """The sampler of that name.

    Args:
        name: one of :data:`NAMES`.
        space: what may be proposed.
        seed: of the proposals.
        past: trials of earlier sessions.  Optuna's samplers keep their random state in memory alone; with the same seed
            they would propose after a resume what they proposed before it, so the number goes into their seed.
        known_objectives: values known without evaluation, which synthesis makes use of.
        feasible: the free part of the indicator; every strategy proposes behind it.

    Raises:
        InputError: no such sampler, or one whose packages are not installed.
    """
    if name == "evolution":
        return EvolutionSampler(space, seed=seed, feasible=feasible)
    if name == "synthesis":
        return SynthesisSampler(seed=seed, known_objectives=known_objectives, feasible=feasible, space=space)
    sampler = _of_optuna(name, seed, past)
    return sampler if feasible is None else FilteredSampler(sampler, space.distributions(), feasible)


def sampler_for(
    searched: Searched, name: str, seed: int, past: int, edit_prior: EditPrior | None = None
) -> BaseSampler:
    """The sampler of a search, behind the free part of its indicator.

    Args:
        searched: such as the search's plan.
        name, seed, past: see :func:`make_sampler`.
        edit_prior: which edits are likelier to pay; synthesis alone asks it.
    """
    known, feasible = _free(searched.space, searched.indicator, searched.objectives)
    if name == "synthesis":
        return SynthesisSampler(
            seed=seed, known_objectives=known, feasible=feasible, space=searched.space, edit_prior=edit_prior
        )
    return make_sampler(name, searched.space, seed, past=past, known_objectives=known, feasible=feasible)


def synthesis_sampler(
    space: SearchSpace, indicator: Indicator, objectives: tuple[Objective, ...], seed: int
) -> SynthesisSampler:
    """Generative synthesis as a search with these would use it."""
    known, feasible = _free(space, indicator, objectives)
    return SynthesisSampler(seed=seed, known_objectives=known, feasible=feasible, space=space)


def _free(
    space: SearchSpace, indicator: Indicator, objectives: tuple[Objective, ...]
) -> tuple[KnownObjectives | None, Feasible | None]:
    """What is known without evaluation, None where that is nothing."""
    free = FreeKnowledge(space, indicator, objectives)
    return free.known_objectives if free.knows_objectives else None, free.feasible if free.refuses else None


def _of_optuna(name: str, seed: int, past: int) -> BaseSampler:
    if past:
        seed = int(np.random.SeedSequence([seed, past]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "nsga2":
                return optuna.samplers.NSGAIISampler(seed=seed)
            case "nsga3":
                return optuna.samplers.NSGAIIISampler(seed=seed)
            case "tpe":
                return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
            case "random":
                return optuna.samplers.RandomSampler(seed=seed)
            case "gp":
                return _gp(seed)
    raise InputError(f"sampler {name!r} is not known; use one of {', '.join(NAMES)}")


def _gp(seed: int) -> BaseSampler:
    try:
        import torch  # noqa: F401 - Optuna imports it only at the first proposal
    except ImportError as error:
        raise InputError("sampler 'gp' needs torch: pip install 'nanosynth[gp]'") from error
    return optuna.samplers.GPSampler(seed=seed)
