"""How well numbers are predicted: root mean square error, concordance and correlation, with errors over groups.

Of a target with true values y and predictions p (population moments, of all images together):

* ``rmse`` = sqrt(mean (p - y)^2)
* ``pearson`` = cov(p, y) / (s_p s_y)
* ``ccc`` = 2 cov(p, y) / (s_p^2 + s_y^2 + (mean p - mean y)^2), the concordance of Lin (1989)

All three follow from six sums, so that leaving a group out costs a subtraction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

REGRESSION: Final = ("rmse", "ccc", "pearson")
_SURE: Final = 1e-12  # an agreement is kept this far from 1, where Fisher's z is infinite


@dataclass(frozen=True)
class RegressionEstimate:
    """One figure of a regression with its standard error over groups: Student's t on a scale without ends.

    That scale is the logarithm for ``rmse``, which cannot be negative, and Fisher's z = atanh for ``ccc`` and
    ``pearson`` (Lin 1989, section 3, recommends it for both), so that no interval leaves what its figure can be.

    Attributes:
        name: of :data:`REGRESSION`.
        value: the estimate.
        variance: of the estimate on its scale.
        df: degrees of freedom: groups less one.  With 0 nothing is known of other groups.
    """

    name: str
    value: float
    variance: float
    df: int

    def low(self, confidence: float) -> float:
        """Lower bound at a one-sided confidence in 0.5..1; the value itself where there is one group alone."""
        return self._at(-self._half(confidence))

    def high(self, confidence: float) -> float:
        """Upper bound likewise."""
        return self._at(self._half(confidence))

    def confidence_above(self, bound: float) -> float:
        """Largest one-sided confidence at which the figure lies above ``bound``; below 0.5 where the value is not."""
        if self.df == 0 or self.variance == 0:
            return 1.0 if self.variance == 0 and self.df and self.value >= bound else 0.0
        from scipy.special import stdtr  # type: ignore[import-untyped]

        return float(stdtr(self.df, (self._on_scale(self.value) - self._on_scale(bound)) / math.sqrt(self.variance)))

    def confidence_below(self, bound: float) -> float:
        """Likewise that it lies below."""
        if self.df == 0 or self.variance == 0:
            return 1.0 if self.variance == 0 and self.df and self.value <= bound else 0.0
        return 1 - self.confidence_above(bound)

    def _half(self, confidence: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.df, confidence)) * math.sqrt(self.variance) if self.df else 0.0

    def _on_scale(self, value: float) -> float:
        return float(on_scale(self.name, np.float64(value)))

    def _at(self, moved: float) -> float:
        if not moved:
            return self.value
        there = self._on_scale(self.value) + moved
        return math.exp(min(there, 700.0)) if self.name == "rmse" else math.tanh(there)


def on_scale(name: str, values: npt.NDArray[np.float64] | np.float64) -> Real:
    """Values of ``name`` on the scale without ends that their intervals are made on."""
    if name == "rmse":
        return np.asarray(np.log(np.maximum(values, np.finfo(np.float64).tiny)))
    return np.asarray(np.arctanh(np.clip(values, -1 + _SURE, 1 - _SURE)))


def regression_scores(true: Real, predicted: Real) -> dict[str, Real]:
    """``rmse``, ``ccc`` and ``pearson`` of each target, shape (k,), of values (n, k).

    Agreement with, or of, what does not vary at all is 0: nothing goes along with it.
    """
    found = _scores(_sums(true, predicted).sum(0, keepdims=True), np.array([len(true)], float))
    return {name: values[0] for name, values in found.items()}


def regression_estimates(true: Real, predicted: Real, groups: Whole) -> list[dict[str, RegressionEstimate]]:
    """The figures averaged over targets, then those of each target, with the delete-one-group jackknife's variance.

    V = (G - 1) / G sum_g (z_g - mean)^2 (Efron & Stein 1981), z_g being the figure without group g on its scale.

    Args:
        true, predicted: shape (n, k).
        groups: the images that belong together (one subject's), shape (n,).
    """
    _, code = np.unique(groups, return_inverse=True)
    count = int(code.max()) + 1
    each = _sums(true, predicted)
    sums = np.zeros((count, *each.shape[1:]))
    np.add.at(sums, code, each)
    sizes = np.bincount(code, minlength=count).astype(float)
    whole = _scores(sums.sum(0, keepdims=True), sizes.sum(keepdims=True))
    without = _scores(sums.sum(0) - sums, sizes.sum() - sizes) if count > 1 else {}
    out = []
    for which in (None, *range(true.shape[1])):
        found = {}
        for name in REGRESSION:
            value = float(_taken(whole[name], which)[0])
            variance = (count - 1) * float(np.var(on_scale(name, _taken(without[name], which)))) if count > 1 else 0.0
            found[name] = RegressionEstimate(name, value, variance, count - 1)
        out.append(found)
    return out


def _taken(values: Real, which: int | None) -> Real:
    """Of values (rows, k) one target's, or their mean over the targets: shape (rows,)."""
    return np.asarray(values.mean(1) if which is None else values[:, which])


def _sums(true: Real, predicted: Real) -> Real:
    """What adds up, of each image and target: shape (n, 5, k)."""
    return np.stack([true, predicted, true * true, predicted * predicted, true * predicted], axis=1)


def _scores(sums: Real, sizes: Real) -> dict[str, Real]:
    """The figures of sums (rows, 5, k) over ``sizes`` (rows,) images, each of shape (rows, k)."""
    y, p, yy, pp, yp = (sums[:, i] / sizes[:, None] for i in range(5))
    spread_y, spread_p = np.maximum(yy - y * y, 0.0), np.maximum(pp - p * p, 0.0)
    together = yp - y * p
    # Differences of sums that agree to sixteen digits are rounding, and no spread.
    flat = (spread_y <= 1e-12 * np.maximum(yy, 1e-300)) | (spread_p <= 1e-12 * np.maximum(pp, 1e-300))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "rmse": np.sqrt(np.maximum(yy + pp - 2 * yp, 0.0)),
            "ccc": np.where(flat, 0.0, 2 * together / (spread_y + spread_p + (p - y) ** 2)),
            "pearson": np.where(flat, 0.0, np.clip(together / np.sqrt(spread_y * spread_p), -1.0, 1.0)),
        }
