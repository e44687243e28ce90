"""Expected accuracy over subjects and training seeds, from out-of-fold predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.statistics.estimate import Estimate

Whole = npt.NDArray[np.int64]
_LEAST_DF: Final = 0.3


@dataclass(frozen=True)
class SeedNoise:
    """How far the accuracy of one network varies from training to training, on the same subjects.

    Attributes:
        variance: of the accuracy of one training, share squared.
        df: degrees of freedom that it was estimated with.
    """

    variance: float
    df: int

    def __post_init__(self) -> None:
        if not (0 <= self.variance <= 1 and self.df >= 1):
            raise ValueError(f"variance {self.variance!r} must lie in 0..1, and df {self.df!r} be at least 1")


def seed_noise(hit: npt.NDArray[np.bool_], groups: Whole, trainings: Whole) -> SeedNoise | None:
    """The variance between trainings, on the groups that every training was tested on; None without repeats.

    What differs between the images of one training by chance alone is in it as well: with few subjects it is on the
    large side, never on the small one.

    Args:
        hit, groups, trainings: as in :func:`accuracy_estimate`.
    """
    _, group = np.unique(groups, return_inverse=True)
    _, training = np.unique(trainings, return_inverse=True)
    shape = (int(training.max()) + 1, int(group.max()) + 1)
    flat = training * shape[1] + group
    tested = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
    common = (tested > 0).all(axis=0)
    if shape[0] < 2 or not common.any():
        return None
    hits = np.bincount(flat, weights=hit, minlength=shape[0] * shape[1]).reshape(shape)
    shares = hits[:, common].sum(1) / tested[:, common].sum(1)
    return SeedNoise(float(shares.var(ddof=1)), shape[0] - 1)


def pooled_noise(noises: Iterable[SeedNoise]) -> SeedNoise | None:
    """One variance from several networks', weighted by degrees of freedom; None where there are none."""
    known = tuple(noises)
    df = sum(n.df for n in known)
    return SeedNoise(sum(n.variance * n.df for n in known) / df, df) if known else None


def cluster_variance(totals: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> float:
    """Variance of sum(totals) / sum(sizes), a ratio of sums over independent groups, linearised.

    V = (G - 1) / G sum_g ((t_g - p n_g) / (1 - n_g / N))^2 / N^2, G groups: the CR3 form (Cameron & Miller 2015), in
    which a group that is most of the data does not hide its own error; with equal groups Cochran's (1977, section 9A).

    Args:
        totals, sizes: of each group, shape (G,); G at least 2, sizes positive.
    """
    size = sizes.sum()
    residuals = (totals - totals.sum() / size * sizes) / (1 - sizes / size)
    count = len(sizes)
    return float((count - 1) / count * (residuals**2).sum() / size**2)


def effective_groups(sizes: npt.NDArray[np.float64]) -> float:
    """As how many equal groups these count: (sum n)^2 / sum n^2 (Kish 1965), in 1..G."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def cluster_df(sizes: npt.NDArray[np.float64]) -> float:
    """Degrees of freedom of :func:`cluster_variance`: effective groups less one; above 0 where there are two groups."""
    return 0.0 if len(sizes) < 2 else max(effective_groups(sizes) - 1, _LEAST_DF)


def accuracy_estimate(
    hit: npt.NDArray[np.bool_], groups: Whole, trainings: Whole | None = None, elsewhere: SeedNoise | None = None
) -> Estimate:
    """Accuracy with its error over subjects and, where it is known, over training seeds.

    The subjects' part is the linearised cluster variance, with one degree of freedom less than there are effective
    groups (:func:`effective_groups`: a subject with most of the images counts for little), and at least the binomial
    one of the images (subjects whose shares happen to agree do not make it certain).  The trainings' part is that of
    :func:`seed_noise`, of the repeats at hand and of ``elsewhere``, divided by how many trainings are averaged.  Their
    sum has Satterthwaite's (1946) degrees of freedom.  Without repeats, and with nothing from elsewhere, a share of
    luck that one training had with all subjects at once is not in it: no data here can show it.

    Args:
        hit: whether a prediction is right, shape (n,).
        groups: the subject of each, shape (n,); an image may occur once a training.
        trainings: which training round predicted it, shape (n,): trainings of several folds from one seed are one
            round, since they may share its luck.  None: all of one.
        elsewhere: seed noise measured on other networks of the run.

    Raises:
        ValueError: no prediction at all.
    """
    if not len(hit):
        raise ValueError("no prediction: an accuracy needs at least one")
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group).astype(float)
    totals = np.bincount(group, weights=hit).astype(float)
    count, images = len(sizes), len(hit)
    value = float(totals.sum() / images)
    own = None if trainings is None else seed_noise(hit, groups, trainings)
    rounds = np.ones(1) if trainings is None else np.unique(trainings, return_counts=True)[1] / images
    averaged = float((rounds**2).sum())  # 1 / R for R equal rounds: repeats of an image are no new images
    least = value * (1 - value) / (images * averaged)
    subjects = max(cluster_variance(totals, sizes), least) if count > 1 else least
    noise = pooled_noise(n for n in (own, elsewhere) if n is not None)
    luck = 0.0 if noise is None else noise.variance * averaged
    df = satterthwaite(subjects, cluster_df(sizes), luck, noise)
    mistaken, right = int((totals < sizes).sum()), int((totals > 0).sum())
    alike = max(math.floor(effective_groups(sizes) + 1e-9), min(count, 2))
    return Estimate(value, subjects, df, alike, mistaken, right, luck)


def satterthwaite(subjects: float, df: float, luck: float, noise: SeedNoise | None) -> float:
    """Degrees of freedom of a sum of two variances."""
    if noise is None or luck == 0 or df == 0:
        return float(df)
    return (subjects + luck) ** 2 / (subjects**2 / df + luck**2 / noise.df)
