"""A share with its standard error: what may be claimed of it at any confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

_ENOUGH: Final = 3  # groups with a mistake, from which on their spread says something
_SURE: Final = 1e-15  # one minus the largest confidence that is told apart from certainty


@dataclass(frozen=True)
class Estimate:
    """A share in 0..1 with an error over groups (Student's t on the logit) and, where it is known, over trainings.

    With theta = logit(value) and s = sqrt(variance) / (value (1 - value)) by the delta method, a one-sided bound over
    groups lies at expit(theta -+ t(df) s): it never leaves 0..1, and is skewed as a share's error is.  Where fewer than
    three groups make a mistake their spread is hardly seen, and with none there is no variance at all.  There the lower
    bound is at most the one of faultless predictions: the exact binomial one, (1 - confidence)^(1 / groups) (Clopper &
    Pearson 1934 with no failure), where a group is what is independent, not an image.  The upper bounds mirror this.

    The luck of trainings, t(df) sqrt(luck) to either side, is added to that bound's distance as the root of the sum of
    squares (MOVER, Zou & Donner 2008): the noise is one of the accuracy, and the logit would stretch it near 0 and 1.

    Attributes:
        value: the estimate.
        variance: of the estimate over groups, share squared.
        df: degrees of freedom of ``variance`` and ``luck`` together.
        groups: as how many equal, independent groups (subjects) it counts.  One alone says nothing of others: unless
            it is faultless or hopeless, its interval is 0..1.
        mistaken, right: in how many groups there is a mistake, and in how many a hit.
        luck: variance of the estimate between trainings, share squared; 0 where it is not known.
    """

    value: float
    variance: float
    df: float
    groups: int
    mistaken: int
    right: int
    luck: float = 0.0

    def __post_init__(self) -> None:
        variances = 0 <= self.variance < math.inf and 0 <= self.luck < math.inf
        if not (0 <= self.value <= 1 and variances and self.groups >= 1 and self.df >= 0):
            raise ValueError(
                f"value {self.value!r} must lie in 0..1, variance {self.variance!r}, luck {self.luck!r} and df "
                f"{self.df!r} be at least 0, groups {self.groups!r} at least 1"
            )

    def low(self, confidence: float) -> float:
        """Lower bound, at a one-sided confidence in 0.5..1.  Raises ValueError outside it."""
        if not 0.5 <= confidence <= 1:
            raise ValueError(f"confidence {confidence!r} must lie in 0.5..1")
        return max(self.value - self._below(confidence), 0.0)

    def high(self, confidence: float) -> float:
        """Upper bound, at a one-sided confidence in 0.5..1.  Raises ValueError outside it."""
        return max(1 - self._mirrored().low(confidence), self.value)

    def confidence_above(self, bound: float) -> float:
        """Largest one-sided confidence at which the lower bound still reaches ``bound``: one minus the p-value.

        Below 0.5 where the estimate is below the bound: one minus the confidence that it is.
        """
        if self.value < bound:
            return 1 - self._mirrored().confidence_above(1 - bound)
        if self.low(1 - _SURE) >= bound:
            return 1.0
        from scipy.optimize import brentq  # type: ignore[import-untyped]

        def above(log_doubt: float) -> float:
            return self.low(1 - math.exp(log_doubt)) - bound

        most = math.log(0.5)
        return 0.5 if above(most) <= 0 else 1 - math.exp(brentq(above, math.log(_SURE), most, xtol=1e-9))

    def _below(self, confidence: float) -> float:
        """How far the lower bound is below the value."""
        faultless = (1 - confidence) ** (1 / self.groups)
        if self.value == 0 or (self.groups < 2 and self.value < 1) or confidence == 1:
            return self.value
        from scipy.special import stdtrit  # type: ignore[import-untyped]

        quantile = float(stdtrit(self.df, confidence)) if self.df else 0.0
        low = self.value
        if self.value < 1:
            error = math.sqrt(self.variance) / (self.value * (1 - self.value))
            low = min(_expit(_logit(self.value) - quantile * error), self.value)
        if self.mistaken < _ENOUGH:
            low = min(low, faultless)
        return math.hypot(self.value - low, quantile * math.sqrt(self.luck))

    def _mirrored(self) -> Estimate:
        """Of what is wrong instead of what is right."""
        return replace(self, value=1 - self.value, mistaken=self.right, right=self.mistaken)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _expit(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
