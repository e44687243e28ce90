"""Where an axis begins and ends, so that one terrible candidate does not squash the front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_PADDING: Final = 0.06  # share of the range that stays empty at either end
_LOOSE: Final = 1.0  # values that are not essential are shown up to this many essential ranges away
_BOUND: Final = 1.5  # a bound is shown up to this many ranges away
_FENCE: Final = 3.0  # interquartile ranges beyond the quartiles: Tukey's "far out"
_STEPS: Final = (
    (1.0,),
    (1.0, 3.0),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    tuple(i / 10 for i in range(10, 100)),
)


@dataclass(frozen=True)
class Wanted:
    """What an axis must, should and may show, in the axis' own unit (logarithms on a logarithmic axis).

    Attributes:
        essential: always inside, such as the front and its intervals.
        others: inside unless far away, such as candidates that came to nothing.
        bounds: inside unless so far away that showing them would squash the rest.
    """

    essential: Sequence[float]
    others: Sequence[float] = ()
    bounds: Sequence[float] = ()


def axis_range(wanted: Wanted, *, smallest_span: float) -> tuple[float, float]:
    """(low, high) of an axis, at least ``smallest_span`` long; (0, smallest_span) where there is nothing to show."""
    values = list(wanted.essential) or list(wanted.others)
    if not values:
        return 0.0, smallest_span
    low, high = min(values), max(values)
    span = max(high - low, smallest_span)
    near = [v for v in wanted.others if low - _LOOSE * span <= v <= high + _LOOSE * span]
    low, high = min([low, *near]), max([high, *near])
    span = max(high - low, smallest_span)
    near = [v for v in wanted.bounds if low - _BOUND * span <= v <= high + _BOUND * span]
    low, high = min([low, *near]), max([high, *near])
    if high - low < smallest_span:
        middle = (low + high) / 2
        low, high = middle - smallest_span / 2, middle + smallest_span / 2
    padding = _PADDING * (high - low)
    return low - padding, high + padding


def far_out(values: Sequence[float]) -> list[bool]:
    """Which of ``values`` lie more than three interquartile ranges beyond the quartiles; none of fewer than five."""
    if len(values) < 5:
        return [False] * len(values)
    first, third = np.quantile(values, [0.25, 0.75])
    reach = _FENCE * (third - first)
    return [not first - reach <= v <= third + reach for v in values]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis from ``low`` to ``high`` (both positive): about three to seven of them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
        if len(ticks) >= 3:
            break
    return ticks if len(ticks) <= 7 else ticks[:: math.ceil(len(ticks) / 7)]


def count_label(value: float) -> str:
    """A count as an axis writes it: ``871``, ``1.5K``, ``30K``, ``1M``."""
    for size, letter in ((1e6, "M"), (1e3, "K")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
