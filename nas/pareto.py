"""Domination and hypervolume, for a handful of objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from nas.errors import InputError
from nas.indicator import METRICS

T = TypeVar("T")
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


@dataclass(frozen=True)
class Placed(Generic[T]):
    """An item of an archive.

    Attributes:
        losses: its objectives, less is better.
        number: the lower one of two items with equal losses stays.
        item: whatever it stands for.
    """

    losses: tuple[float, ...]
    number: int
    item: T


class ParetoArchive(Generic[T]):
    """The items that no other dominates, kept up one at a time: all that came before need not be looked at again."""

    def __init__(self) -> None:
        self._placed: list[Placed[T]] = []

    def __len__(self) -> int:
        return len(self._placed)

    def insert(self, losses: tuple[float, ...], number: int, item: T) -> bool:
        """Adds an item unless it is dominated; whether the archive is another one now."""
        for held in self._placed:
            if _no_worse(held.losses, losses) and not (held.losses == losses and number < held.number):
                return False
        self._placed = [held for held in self._placed if not _no_worse(losses, held.losses)]
        self._placed.append(Placed(losses, number, item))
        return True

    def by_losses(self) -> list[Placed[T]]:
        """Best in the first objective first."""
        return sorted(self._placed, key=lambda p: (p.losses, p.number))

    def by_number(self) -> list[Placed[T]]:
        """In the order of their numbers."""
        return sorted(self._placed, key=lambda p: p.number)


def _no_worse(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True))


def hypervolume(losses: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """Volume dominated by ``losses`` (n, m) and bounded by ``reference`` (m,)."""
    from optuna._hypervolume import compute_hypervolume  # Optuna's own, and fast; it has no public name

    inside = losses[np.all(losses < reference, axis=1)]
    return float(compute_hypervolume(inside, reference)) if len(inside) else 0.0
