"""Two candidates on the same images: whether the data can tell them apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.statistics.accuracy import SeedNoise, cluster_df, cluster_variance


@dataclass(frozen=True)
class Difference:
    """Accuracy of one candidate less that of another, in shares.

    Attributes:
        value: the difference.
        low, high: ends of its two-sided interval.
        images, groups: how many of each it rests on.
    """

    value: float
    low: float
    high: float
    images: int
    groups: int

    @property
    def indistinguishable(self) -> bool:
        """Whether the interval contains 0: the data cannot tell which is better."""
        return self.low <= 0 <= self.high


def paired_difference(
    first: npt.NDArray[np.bool_] | npt.NDArray[np.float64],
    second: npt.NDArray[np.bool_] | npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
    *,
    confidence: float = 0.95,
    noise: SeedNoise | None = None,
) -> Difference:
    """The difference in accuracy on the same images, with a cluster-t interval over groups.

    The variance is the linearised one of the per-image differences, summed by subject, and at least McNemar's (1947) of
    the images on which the two differ, (b + c - (b - c)^2 / n) / n^2.  It is about these two trainings; with ``noise``
    it is about the networks, each trained once: twice the seed variance is added (Satterthwaite's degrees of freedom).

    Args:
        first, second: whether each candidate is right, image by image, shape (n,); where it was trained several times,
            in which share of its trainings.
        groups: the subject of each image, shape (n,).
        confidence: two-sided, in 0..1.
        noise: between trainings of one network.

    Raises:
        ValueError: shapes that differ, no image at all, or a confidence outside 0..1.
    """
    if not first.shape == second.shape == groups.shape or not len(groups):
        raise ValueError(f"shapes {first.shape}, {second.shape}, {groups.shape}: give the same images, at least one")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence!r} must lie inside 0..1")
    better = first.astype(float) - second.astype(float)
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group).astype(float)
    count, images = len(sizes), len(better)
    value = float(better.mean())
    if count < 2:  # one subject says nothing of others
        return Difference(value, -1.0, 1.0, images, count)
    mcnemar = float(np.abs(better).sum() - images * value**2) / images**2
    variance = max(cluster_variance(np.bincount(group, weights=better).astype(float), sizes), mcnemar)
    margin = _margin(variance, cluster_df(sizes), noise, confidence)
    return Difference(value, max(value - margin, -1.0), min(value + margin, 1.0), images, count)


def _margin(variance: float, df: float, noise: SeedNoise | None, confidence: float) -> float:
    """Half the width of the interval."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    freedom = df
    if noise is not None and noise.variance > 0:
        luck = 2 * noise.variance
        freedom = (variance + luck) ** 2 / (variance**2 / df + luck**2 / noise.df)
        variance += luck
    return float(stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(variance)
