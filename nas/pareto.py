"""Domination and hypervolume, for a handful of objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nas.errors import InputError
from nas.indicator import METRICS

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Objective:
    """A metric that the search improves."""

    name: str
    direction: Direction


def objectives_of(names: Sequence[str]) -> tuple[Objective, ...]:
    """Objectives by metric name.

    Raises:
        InputError: none, more than four, one named twice, or no metric of that name.
    """
    if not 1 <= len(names) <= 4 or len(set(names)) != len(names):
        raise InputError(f"objectives {','.join(names) or '(none)'}: name one to four, each once")
    for name in names:
        if name not in METRICS:
            raise InputError(f"objective {name!r} is no metric; use some of {', '.join(METRICS)}")
    return tuple(Objective(name, METRICS[name].direction) for name in names)


def as_losses(values: npt.NDArray[np.float64], objectives: Sequence[Objective]) -> npt.NDArray[np.float64]:
    """Values (n, m) with the maximized columns negated, so that less is better everywhere."""
    signs = np.array([1.0 if o.direction == "minimize" else -1.0 for o in objectives])
    return np.asarray(values * signs, np.float64)


def non_dominated(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which rows of ``losses`` (n, m; less is better) no other row dominates; of equal rows the first stays."""
    n = len(losses)
    keep = np.zeros(n, dtype=bool)
    front: list[int] = []
    # In lexicographic order no row can be dominated by a later one; of equal rows the first comes first.
    for i in np.lexsort(losses.T[::-1]):
        if not front or not np.any(np.all(losses[front] <= losses[i], axis=1)):
            front.append(int(i))
            keep[i] = True
    return keep


def hypervolume(losses: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """Volume dominated by ``losses`` (n, m) and bounded by ``reference`` (m,), by slicing along the last objective."""
    inside = losses[np.all(losses < reference, axis=1)]
    if len(inside) == 0:
        return 0.0
    inside = inside[non_dominated(inside)]
    if inside.shape[1] == 1:
        return float(reference[0] - inside.min())
    order = inside[np.argsort(inside[:, -1], kind="stable")]
    heights = np.append(order[1:, -1], reference[-1]) - order[:, -1]
    return float(sum(h * hypervolume(order[: i + 1, :-1], reference[:-1]) for i, h in enumerate(heights) if h > 0))
