"""What a covariance of channels tells: how many directions are in use, and which channel others could stand in for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

_JITTER: Final = 1e-5  # of a channel's variance, added so that duplicates leave an invertible matrix
_SILENT: Final = 1e-12  # of the mean variance: below it a channel counts as constant
_RIDGE: Final = 1e-3  # of a channel's variance, added before gradients are divided by covariances


class Scatter:
    """Mean and covariance over samples that come in parts (Chan, Golub and LeVeque 1983).

    Attributes:
        count: number of samples.
        mean: (channels,).
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Matrix = np.zeros(())
        self._sum: Matrix = np.zeros(())

    def add(self, count: int, mean: npt.NDArray[Any], centred: npt.NDArray[Any]) -> None:
        """Takes in ``count`` samples: their mean (channels,), and sum of centred products (channels, channels)."""
        apart = mean.astype(np.float64) - self.mean
        total = self.count + count
        self._sum = self._sum + centred.astype(np.float64) + np.outer(apart, apart) * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    @property
    def covariance(self) -> Matrix:
        """(channels, channels), of the population of all samples."""
        return self._sum / max(self.count, 1)


def effective_rank(covariance: Matrix) -> float:
    """exp(entropy of the normalised singular values) of a covariance (channels, channels) (Roy and Vetterli 2007).

    Between 1, all variance in one direction, and the number of channels; 0 where nothing varies.
    """
    values = np.maximum(np.linalg.eigvalsh(covariance), 0.0)
    if values.sum() <= 0:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def whitened_energy(gradient: Matrix, covariance: Matrix) -> float:
    """tr(G^T C^-1 G) of a gradient G (channels, outputs) and a covariance C (channels, channels).

    A little is added to every channel's variance, so that what hardly varies beside the others is not amplified to full
    size; channels that do not vary have no part in it.  Scaling channels, and G with them, changes nothing.
    """
    variance = np.diag(covariance)
    live = variance > _SILENT * max(float(variance.mean()), 1e-300)
    if not live.any():
        return 0.0
    scale = np.sqrt(variance[live])
    correlation = covariance[np.ix_(live, live)] / np.outer(scale, scale)
    scaled = gradient[live] / scale[:, None]
    return float(np.sum(scaled * np.linalg.solve(correlation + _RIDGE * np.eye(len(scale)), scaled)))


class _Precision:
    """Inverse of a correlation matrix, from which channels are taken out one by one."""

    def __init__(self, covariance: Matrix) -> None:
        variance = np.diag(covariance)
        self._live = variance > _SILENT * max(float(variance.mean()), 1e-300)
        scale = np.where(self._live, np.sqrt(np.maximum(variance, 1e-300)), 1.0)
        correlation = covariance / np.outer(scale, scale)
        correlation[~self._live] = 0.0
        correlation[:, ~self._live] = 0.0
        size = len(variance)
        self._inverse = np.linalg.inv(correlation + np.diag(np.where(self._live, _JITTER, 1.0 + _JITTER)))
        self._size = size

    def unexplained(self) -> Matrix:
        """(channels,) shares of a channel's variance that no linear function of the remaining others gives."""
        shares = 1.0 / np.maximum(np.diag(self._inverse), 1.0)
        return np.where(self._live, shares, 0.0)

    def remove(self, channel: int) -> None:
        """Takes a channel out of what may explain others."""
        row = self._inverse[channel]
        self._inverse = self._inverse - np.outer(row, row) / row[channel]
        self._inverse[channel, channel] = 1.0


def dispensed(importance: Sequence[Matrix], covariances: Sequence[Matrix], whole: Matrix) -> Matrix:
    """Importance (channels,) of a group such that its order is the one in which channels had best go.

    Backward elimination: the channel with the least ``whole`` x (share of its variance that the remaining channels do
    not explain) goes first, then the shares are taken anew.  So one of two duplicates goes at once, and the other one
    then counts in full, which no score of single channels can say.  What a channel had when it went is its importance,
    raised to just above that of the one before where it would be less.

    Args:
        importance: for every tensor that carries the group, (channels,) its weight in the mean of the shares.
        covariances: for every such tensor, (channels, channels).
        whole: (channels,) importance of the channels of the group, redundancy aside.
    """
    weights = np.array(importance)
    total = weights.sum(0)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1.0), 1.0 / len(weights))
    precisions = [_Precision(covariance) for covariance in covariances]
    left = np.ones(len(whole), dtype=np.bool_)
    out = np.zeros(len(whole))
    before = -np.inf
    for _ in range(len(whole)):
        shares = np.sum([w * p.unexplained() for w, p in zip(weights, precisions, strict=True)], axis=0)
        scores = np.where(left, whole * shares, np.inf)
        first = int(np.argmin(scores))
        before = max(float(scores[first]), float(np.nextafter(before, np.inf)) if before >= 0 else 0.0)
        out[first] = before
        left[first] = False
        for precision in precisions:
            precision.remove(first)
    return out
