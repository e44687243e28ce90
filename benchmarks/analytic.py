"""A benchmark in closed form: widths and links, with pair effects, saturation, noise and a known front."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from tables import Table

STAGES = 5
WIDTHS = (8, 16, 24, 32, 40, 48)
LINKS = tuple((i, j) for i, j in combinations(range(STAGES), 2) if j - i >= 2)  # 6 skips
TRAININGS = 3


@dataclass(frozen=True)
class Landscape:
    """The coefficients of one table.

    Attributes:
        gain: (5,) points of accuracy that a wide stage is worth.
        scale: (5,) the width at which that saturates.
        mismatch: (4,) points lost when neighbours' widths differ by a factor of e from the wanted ratio.
        wanted: (4,) logarithm of that ratio.
        link: (6,) points that a link is worth between wide stages; some harm.
        overlap: (6, 6) share of a link's gain that another link already gives.
    """

    gain: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    mismatch: npt.NDArray[np.float64]
    wanted: npt.NDArray[np.float64]
    link: npt.NDArray[np.float64]
    overlap: npt.NDArray[np.float64]

    @staticmethod
    def of(seed: int) -> Landscape:
        """Coefficients drawn by seed."""
        rng = np.random.default_rng([seed, 5])
        return Landscape(
            gain=rng.uniform(3, 12, STAGES),
            scale=rng.uniform(6, 20, STAGES),
            mismatch=rng.uniform(0.5, 2.5, STAGES - 1),
            wanted=rng.uniform(-0.3, 0.8, STAGES - 1),
            link=rng.uniform(-0.6, 1.6, len(LINKS)),
            overlap=np.triu(rng.uniform(0, 0.5, (len(LINKS), len(LINKS))), 1),
        )

    def accuracy(self, widths: npt.NDArray[np.float64], links: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Percent (n,), of widths (n, 5) and links (n, 6) of 0 and 1."""
        lost = self.gain * np.exp(-widths / self.scale)
        apart = np.log(widths[:, 1:] / widths[:, :-1]) - self.wanted
        ends = np.stack([np.minimum(widths[:, i], widths[:, j]) for i, j in LINKS], axis=1)
        worth = self.link * (1 - np.exp(-ends / 16)) * links
        shared = np.einsum("ni,ij,nj->n", np.maximum(worth, 0), self.overlap, links)
        return 95 - lost.sum(1) - (self.mismatch * apart**2).sum(1) + worth.sum(1) - shared


def cost(widths: npt.NDArray[np.float64], links: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Parameters (n,): 3x3 convolutions between neighbours, 1x1 convolutions of links, a dense layer."""
    chain = 9 * (3 * widths[:, 0] + (widths[:, :-1] * widths[:, 1:]).sum(1)) + 10 * widths[:, -1]
    return chain + sum(links[:, k] * widths[:, i] * widths[:, j] for k, (i, j) in enumerate(LINKS))


def analytic_table(seed: int, noise: float = 0.3) -> Table:
    """All 497,664 networks, each trained three times with normal noise of ``noise`` points."""
    landscape = Landscape.of(seed)
    points = np.array(list(product(*[WIDTHS] * STAGES, *[(0, 1)] * len(LINKS))), dtype=np.float64)
    widths, links = points[:, :STAGES], points[:, STAGES:]
    means = landscape.accuracy(widths, links)
    errors = np.random.default_rng([seed, 6]).normal(0, noise, (len(points), TRAININGS))
    distributions: dict[str, BaseDistribution] = {
        f"width{i}": IntDistribution(WIDTHS[0], WIDTHS[-1], step=8) for i in range(STAGES)
    }
    distributions |= {f"link{i}_{j}": CategoricalDistribution((False, True)) for i, j in LINKS}
    # True == 1, so the same tuples serve as keys.
    keys = (tuple(row) for row in points.astype(np.int64).tolist())
    return Table(
        name=f"analytic-{seed}",
        distributions=distributions,
        index={key: k for k, key in enumerate(keys)},
        trainings=means[:, None] + errors,
        means=means,
        params=cost(widths, links),
    )
