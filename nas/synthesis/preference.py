"""Trade-offs between objectives, as points of a simplex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.errors import InputError

Vector = npt.NDArray[np.float64]

_PARTS: Final = {1: 1, 2: 4, 3: 3, 4: 2}  # of the simplex lattice, by the number of objectives
_REACH: Final = 0.15
_LEAST: Final = 0.1  # no objective is ever quite forgotten


def anchors(objectives: int) -> npt.NDArray[np.float64]:
    """Preferences (a, m) that a generator learns for: the simplex lattice (Das and Dennis 1998)."""
    parts = _PARTS.get(objectives, 1)
    points = [p for p in product(range(parts + 1), repeat=objectives) if sum(p) == parts]
    return np.array(points, dtype=np.float64) / parts


def anchor_weights(preference: Vector, lattice: npt.NDArray[np.float64]) -> Vector:
    """How much each anchor (a,) counts for a preference (m,): a Gaussian of the distance, summing to 1."""
    weights = np.exp(-((lattice - preference) ** 2).sum(1) / (2 * _REACH**2)) + 1e-12
    return np.asarray(weights / weights.sum(), np.float64)


def scalarised(ranks: npt.NDArray[np.float64], preference: Vector) -> Vector:
    """One number a row (n, m) of ranks in 0..1, less is better: augmented Tchebycheff (Steuer and Choo 1983)."""
    weights = np.maximum(preference, _LEAST)
    weights = weights / weights.sum()
    return np.asarray((ranks * weights).max(1) + 0.05 * (ranks * weights).sum(1), np.float64)


def as_preference(shares: Mapping[str, float], objectives: Sequence[str]) -> Vector:
    """A preference (m,) from shares by objective name, such as ``{"accuracy": 0.8, "params": 0.2}``.

    Raises:
        InputError: a name that is no objective, a negative share, or nothing above 0.
    """
    for name in shares:
        if name not in objectives:
            raise InputError(f"preference {name!r} is no objective; use some of {', '.join(objectives)}")
    return checked_preference([float(shares.get(name, 0.0)) for name in objectives], len(objectives))


def checked_preference(shares: Sequence[float], objectives: int) -> Vector:
    """Shares as a preference (m,) that sums to 1.

    Raises:
        InputError: not one share an objective, a negative or infinite one, or nothing above 0.
    """
    weights = np.asarray(shares, np.float64)
    if weights.shape != (objectives,):
        raise InputError(f"preference {list(shares)}: give one share for each of the {objectives} objectives")
    if not np.all(np.isfinite(weights)) or weights.min() < 0 or weights.max() <= 0:
        raise InputError(f"preference {list(shares)}: shares must be at least 0, and one of them above")
    weights = weights / weights.max()  # so that the sum of large ones is finite
    return np.asarray(weights / weights.sum(), np.float64)
