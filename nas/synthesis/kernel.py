"""How alike two points of a search space are: features, and a kernel with one relevance a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.synthesis.encoding import Encoding, Rows

Matrix = npt.NDArray[np.float64]

_WIDEST_PAIR: Final = 16  # columns of the product of two neighbouring parameters; wider ones are left out
_GROUP: Final = 3  # so many parameters with the same distribution are also counted together
_SCALES: Final = 6  # constant parts of a Theta: linear, products, neighbours, smooth, length, noise


@dataclass(frozen=True)
class Features:
    """Points as columns of numbers.

    Attributes:
        single: (n, F) columns of the parameters, of their groups, and of free numbers such as log-costs and effort.
        pairs: (n, P) products of neighbouring parameters' columns.
    """

    single: Matrix
    pairs: Matrix

    def __len__(self) -> int:
        return len(self.single)

    def take(self, index: npt.NDArray[np.intp]) -> Features:
        """Some of the points."""
        return Features(self.single[index], self.pairs[index])

    @staticmethod
    def stack(first: Features, second: Features) -> Features:
        """The points of both."""
        return Features(np.vstack([first.single, second.single]), np.vstack([first.pairs, second.pairs]))


class Design:
    """Makes features of rows.

    A categorical parameter is one-hot, a numeric one its unit and a parabola.  Parameters with the same distribution
    (the blocks of a network) are also counted: the share of every choice, or the mean.

    Args:
        encoding: of the rows.
        extra: how many free numbers, each scaled to about -1..1, come with a row.
    """

    def __init__(self, encoding: Encoding, extra: int) -> None:
        self._encoding = encoding
        self._extra = extra
        self._tables = [self._table(i) for i in encoding.free]
        owners: list[int] = []
        for k, table in enumerate(self._tables):
            owners += [k] * table.shape[1]
        self._own_columns = len(owners)
        members: dict[object, list[int]] = {}
        for k, i in enumerate(encoding.free):
            members.setdefault(encoding.axes[i].distribution.__repr__(), []).append(k)
        self._groups = [m for m in members.values() if len(m) >= _GROUP]
        count = len(self._tables)
        for g, group in enumerate(self._groups):
            owners += [count + g] * self._tables[group[0]].shape[1]
        count += len(self._groups)
        for e in range(extra):
            owners += [count + e] * 2
        self.owner = np.array(owners, dtype=np.intp)
        self.relevances = count + extra
        self._starts = np.searchsorted(self.owner[: self._own_columns], np.arange(len(self._tables) + 1))
        widths = np.diff(self._starts)
        self._pairs = [k for k in range(len(widths) - 1) if widths[k] * widths[k + 1] <= _WIDEST_PAIR]
        self.pair_owner = np.array(
            [k for k in self._pairs for _ in range(widths[k] * widths[k + 1])], dtype=np.intp
        ).reshape(-1)

    def _table(self, index: int) -> Matrix:
        """The columns of every value of an axis (of a continuum: of 257 points)."""
        axis = self._encoding.axes[index]
        if axis.categorical:
            one_hot = np.eye(len(axis.values)) - 1 / len(axis.values)
            return np.asarray(one_hot / np.sqrt(2), np.float64)
        units = np.array(axis.units) if axis.values else np.linspace(0, 1, 257)
        return _curve(2 * units - 1)

    def features(self, rows: Rows, extra: Matrix) -> Features:
        """Features of ``rows`` (n, d) with their free numbers (n, extra)."""
        parts = []
        for k, i in enumerate(self._encoding.free):
            values = self._encoding.axes[i].values
            levels = rows[:, i] if values else np.rint(rows[:, i] * 256)
            parts.append(self._tables[k][levels.astype(np.intp)])
        blocks = list(parts)
        for group in self._groups:
            blocks.append(2 * np.mean([parts[k] for k in group], axis=0))
        for e in range(self._extra):
            blocks.append(_curve(extra[:, e]))
        n = len(rows)
        pairs = [(parts[k][:, :, None] * parts[k + 1][:, None, :]).reshape(n, -1) for k in self._pairs]
        return Features(
            np.concatenate(blocks, axis=1) if blocks else np.empty((n, 0)),
            np.concatenate(pairs, axis=1) if pairs else np.empty((n, 0)),
        )


def _curve(x: Matrix) -> Matrix:
    """A number and a parabola of it, (n, 2)."""
    return np.asarray(np.stack([x, 0.5 * (x * x - 1 / 3)], axis=1), np.float64)


@dataclass(frozen=True)
class Theta:
    """Hyperparameters, as logarithms.

    Attributes:
        relevance: (r,) one a parameter, group and free number.
        scales: (6,) of the linear part, of all products, of neighbours' products, of the smooth part, of the smooth
            part's inverse squared length, of the noise variance.
    """

    relevance: Matrix
    scales: Matrix

    @staticmethod
    def unpack(vector: Matrix) -> Theta:
        """From one vector (r + 6,)."""
        return Theta(vector[:-_SCALES], vector[-_SCALES:])

    @property
    def noise(self) -> float:
        """Variance of the noise."""
        return float(np.exp(self.scales[5]))


def weighted(design: Design, theta: Theta, features: Features) -> tuple[Matrix, Matrix]:
    """Columns scaled by the roots of their relevances."""
    root = np.exp(theta.relevance / 2)
    single = features.single * root[design.owner]
    pairs = features.pairs * (root[design.pair_owner] * root[design.pair_owner + 1]) if features.pairs.size else None
    return single, features.pairs if pairs is None else pairs


def covariance(theta: Theta, a: tuple[Matrix, Matrix], b: tuple[Matrix, Matrix]) -> Matrix:
    """Prior covariance (n, m) of two sets of weighted columns, without noise.

    .. math:: k = 1 + s_1 l + s_2 l^2 + s_3 \\sum_i l_i l_{i+1} + s_4 (1 + r + r^2/3) e^{-r}, r^2 = 5 c\\, d^2

    with :math:`l = \\sum_i w_i \\phi_i\\phi_i'` and :math:`d^2` the squared distance of the same columns: an additive
    part, all products of two parameters, products of neighbours, and Matern 5/2 for the rest.
    """
    s = np.exp(theta.scales)
    linear = a[0] @ b[0].T
    distance = np.maximum((a[0] ** 2).sum(1)[:, None] + (b[0] ** 2).sum(1)[None, :] - 2 * linear, 0)
    r = np.sqrt(5 * s[4] * distance)
    smooth = (1 + r + r * r / 3) * np.exp(-r)
    out = 1 + linear * (s[0] + s[1] * linear) + s[3] * smooth
    if a[1].size:
        out += s[2] * (a[1] @ b[1].T)
    return np.asarray(out, np.float64)


def variances(theta: Theta, a: tuple[Matrix, Matrix]) -> Matrix:
    """Prior variances (n,), without noise."""
    s = np.exp(theta.scales)
    linear = (a[0] ** 2).sum(1)
    return np.asarray(1 + linear * (s[0] + s[1] * linear) + s[2] * (a[1] ** 2).sum(1) + s[3], np.float64)
