"""Random numbers that every machine draws alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")


@dataclass(frozen=True)
class Draw:
    """Named draws from one generator, all made from its plain uniform doubles.

    Its normal and exponential draws call log and exp, whose last bit varies between machines.
    """

    rng: np.random.Generator

    @classmethod
    def of(cls, *key: int) -> Draw:
        """The draws that belong to ``key`` (such as seed, subject, sequence), whatever was drawn before."""
        return cls(np.random.default_rng(key))

    def uniform(self, low: float, high: float) -> float:
        """Evenly from [low, high)."""
        return low + (high - low) * float(self.rng.random())

    def bell(self, low: float, high: float) -> float:
        """Mean of three uniform draws: likelier in the middle of [low, high), never outside."""
        mean = (float(self.rng.random()) + float(self.rng.random()) + float(self.rng.random())) / 3.0
        return low + (high - low) * mean

    def spread(self, bound: float) -> float:
        """Bell-shaped about 0, in [-bound, bound)."""
        return self.bell(-bound, bound)

    def chance(self, probability: float) -> bool:
        """True with ``probability``."""
        return float(self.rng.random()) < probability

    def below(self, bound: int) -> int:
        """Evenly from 0 .. bound - 1."""
        return min(int(float(self.rng.random()) * bound), bound - 1)

    def one_of(self, items: Sequence[Item]) -> Item:
        """One of ``items``, evenly."""
        return items[self.below(len(items))]

    def order(self, count: int) -> npt.NDArray[np.int64]:
        """A permutation of 0 .. count - 1, shape (count,)."""
        return np.argsort(self.rng.random(count), kind="stable")

    def grain(self, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Noise of mean 0 and standard deviation 1 (three uniforms added), shape ``shape``."""
        total = self.rng.random(shape) + self.rng.random(shape) + self.rng.random(shape)
        return (total - 1.5) * 2.0
