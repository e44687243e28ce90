"""How well one ranking goes with another: Spearman's correlation and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FEWEST: Final = 5  # pairs, below which there is no interval to speak of


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of ``pairs`` pairs, -1..1."""

    value: float
    pairs: int

    def low(self, confidence: float) -> float:
        """Lower bound at a one-sided confidence in 0.5..1, see :meth:`high`."""
        return math.tanh(math.atanh(self._inner()) - self._margin(confidence))

    def high(self, confidence: float) -> float:
        """Upper bound at a one-sided confidence in 0.5..1.

        On Fisher's z with the standard error of Bonett and Wright (2000), sqrt((1 + value^2 / 2) / (pairs - 3)).

        Raises:
            ValueError: a confidence outside its range.
        """
        return math.tanh(math.atanh(self._inner()) + self._margin(confidence))

    def _inner(self) -> float:
        return min(max(self.value, -1 + 1e-12), 1 - 1e-12)

    def _margin(self, confidence: float) -> float:
        if not 0.5 <= confidence < 1:
            raise ValueError(f"confidence {confidence!r} must lie in 0.5..1")
        from scipy.special import ndtri  # type: ignore[import-untyped]

        return float(ndtri(confidence)) * math.sqrt((1 + self.value**2 / 2) / (self.pairs - 3))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation | None:
    """Spearman's correlation; None for fewer than :data:`FEWEST` pairs, or where one side is all the same.

    Raises:
        ValueError: sequences of different lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values: give pairs")
    if len(first) < FEWEST or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    return RankCorrelation(float(spearmanr(first, second).statistic), len(first))
