"""Optuna parameters as rows of numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nas.errors import InputError

Rows = npt.NDArray[np.float64]  # (n, d): one row a point, in the coordinates of an Encoding

_LEVELS: Final = 256  # more values than this are treated as a continuum
_BINS: Final = 16  # a generator sees a numeric parameter through at most so many bins


@dataclass(frozen=True)
class Axis:
    """One parameter.

    Attributes:
        name: of the parameter.
        values: what it may be, in order; empty for a continuum.
        units: where those values lie in 0..1 (log-scaled parameters by their logarithm); of a categorical one all 0.
        distribution: Optuna's.
    """

    name: str
    values: tuple[Any, ...]
    units: tuple[float, ...]
    distribution: BaseDistribution

    @property
    def categorical(self) -> bool:
        """Whether its values have no order."""
        return isinstance(self.distribution, CategoricalDistribution)

    @property
    def constant(self) -> bool:
        """Whether it has one value only."""
        return len(self.values) == 1

    @cached_property
    def bins(self) -> int:
        """How many bins a generator tells apart."""
        return len(self.values) if self.categorical or 0 < len(self.values) <= _BINS else _BINS

    @cached_property
    def bin_of_level(self) -> npt.NDArray[np.int64]:
        """The bin of every value (of an axis that has values)."""
        levels = np.arange(len(self.values))
        return levels if self.bins == len(levels) else levels * self.bins // len(levels)

    def encode(self, value: Any) -> float:
        """The coordinate of a value: its position among the values, or in 0..1 on a continuum."""
        internal = self.distribution.to_internal_repr(value)
        if self.categorical:
            return float(internal)
        unit = _unit(self.distribution, internal)
        if not -1e-9 <= unit <= 1 + 1e-9:
            raise ValueError(f"parameter {self.name!r}: {value!r} is outside {self.distribution}")
        if not self.values:
            return unit
        return float(np.abs(np.asarray(self.units) - unit).argmin())

    def decode(self, coordinate: float) -> Any:
        """The value at a coordinate."""
        if self.values:
            return self.values[int(coordinate)]
        return _value(self.distribution, coordinate)


def _unit(distribution: BaseDistribution, value: float) -> float:
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if high <= low:
        return value - low
    if distribution.log:
        return float((np.log(value) - np.log(low)) / (np.log(high) - np.log(low)))
    return (value - low) / (high - low)


def _value(distribution: BaseDistribution, unit: float) -> Any:
    """The value at a position of a continuum, on its step and within its bounds."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        value = float(np.exp(np.log(low) + unit * (np.log(high) - np.log(low))))
    else:
        value = low + unit * (high - low)
    if distribution.step is not None and not distribution.log:
        value = low + round((value - low) / distribution.step) * distribution.step
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else value


def _axis(name: str, distribution: BaseDistribution) -> Axis:
    if isinstance(distribution, CategoricalDistribution):
        return Axis(name, tuple(distribution.choices), (0.0,) * len(distribution.choices), distribution)
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise InputError(f"parameter {name!r}: {type(distribution).__name__} is no distribution of Optuna 5")
    low, high, step = distribution.low, distribution.high, distribution.step
    values: tuple[Any, ...] = ()
    if high <= low:
        values = (low,)
    elif step is not None and round((high - low) / step) < _LEVELS:
        count = round((high - low) / step) + 1
        values = tuple(low + i * step for i in range(count))
        if isinstance(distribution, FloatDistribution):
            values = tuple(min(v, high) for v in values)
    return Axis(name, values, tuple(_unit(distribution, v) for v in values), distribution)


class Encoding:
    """Parameter dictionaries as rows (d,) of coordinates: positions among an axis' values, or 0..1 on a continuum.

    Args:
        distributions: of the parameters; their order is kept, neighbours in it are taken to interact.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(distributions)
        self.axes: tuple[Axis, ...] = tuple(_axis(name, d) for name, d in distributions.items())
        self.names = tuple(distributions)
        self.free: tuple[int, ...] = tuple(i for i, a in enumerate(self.axes) if not a.constant)
        self._lookup = [{v: float(i) for i, v in enumerate(a.values)} if _plain(a) else {} for a in self.axes]

    def __len__(self) -> int:
        return len(self.axes)

    @property
    def finite(self) -> bool:
        """Whether every parameter has finitely many values."""
        return all(a.values for a in self.axes)

    def encode(self, params: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        """The row (d,) of ``params``.  Raises KeyError where one is missing, ValueError for an illegal value."""
        row = np.empty(len(self.axes))
        for i, axis in enumerate(self.axes):
            value = params[axis.name]
            found = self._lookup[i].get(value)
            row[i] = axis.encode(value) if found is None else found
        return row

    def decode(self, row: npt.NDArray[np.float64]) -> dict[str, Any]:
        """The parameters of a row (d,)."""
        return {
            a.name: a.values[int(c)] if a.values else a.decode(c) for a, c in zip(self.axes, row.tolist(), strict=True)
        }

    def bins(self, rows: Rows) -> npt.NDArray[np.int64]:
        """The generator's bin of every coordinate of ``rows`` (n, d)."""
        out = np.empty(rows.shape, dtype=np.int64)
        for i, axis in enumerate(self.axes):
            if axis.values:
                out[:, i] = axis.bin_of_level[rows[:, i].astype(np.int64)]
            else:
                out[:, i] = np.minimum((rows[:, i] * axis.bins).astype(np.int64), axis.bins - 1)
        return out

    def from_bins(self, bins: npt.NDArray[np.int64], rng: np.random.Generator) -> Rows:
        """Rows (n, d) drawn uniformly within their bins (n, d)."""
        out = np.empty(bins.shape)
        for i, axis in enumerate(self.axes):
            spread = rng.random(len(bins))
            if not axis.values:
                out[:, i] = (bins[:, i] + spread) / axis.bins
            elif axis.bins == len(axis.values):
                out[:, i] = bins[:, i]
            else:
                first = np.searchsorted(axis.bin_of_level, np.arange(axis.bins))
                last = np.append(first[1:], len(axis.values))
                low, high = first[bins[:, i]], last[bins[:, i]]
                out[:, i] = low + np.floor(spread * (high - low))
        return out


def _plain(axis: Axis) -> bool:
    """Whether a dictionary tells the values apart (1, 1.0 and True are one key)."""
    return bool(axis.values) and len(set(axis.values)) == len(axis.values) and len({type(v) for v in axis.values}) == 1


def keys(rows: Rows) -> Sequence[bytes]:
    """What tells rows apart."""
    return [row.tobytes() for row in rows]
