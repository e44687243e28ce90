"""Search strategies by name; every one is an Optuna sampler."""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from nas.errors import InputError
from nas.space import SearchSpace
from nas.synthesis.evolution import EvolutionSampler

NAMES: Final = ("evolution", "nsga2", "nsga3", "tpe", "gp", "random")


def make_sampler(name: str, space: SearchSpace, seed: int, *, past: int = 0) -> BaseSampler:
    """The sampler of that name.

    Args:
        name: one of :data:`NAMES`.
        space: what may be proposed.
        seed: of the proposals.
        past: trials of earlier sessions.  Optuna's samplers keep their random state in memory alone; with the same seed
            they would propose after a resume what they proposed before it, so the number goes into their seed.

    Raises:
        InputError: no such sampler, or one whose packages are not installed.
    """
    if name == "evolution":
        return EvolutionSampler(space, seed=seed)
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
