"""Search strategies by name; every one is an Optuna sampler."""

from __future__ import annotations

import warnings
from typing import Final

import optuna
from optuna.samplers import BaseSampler

from nas.errors import InputError
from nas.space import SearchSpace
from nas.synthesis.evolution import EvolutionSampler

NAMES: Final = ("evolution", "nsga2", "nsga3", "tpe", "gp", "random")


def make_sampler(name: str, space: SearchSpace, seed: int) -> BaseSampler:
    """The sampler of that name.

    Raises:
        InputError: no such sampler, or one whose packages are not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "evolution":
                return EvolutionSampler(space, seed=seed)
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
