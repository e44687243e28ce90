"""A value that was measured, and how sure one can be of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nas.errors import DecodeError


@dataclass(frozen=True)
class Measurement:
    """A value with unit, interval and provenance.  What was not measured has no Measurement.

    Attributes:
        value: the estimate.
        low, high: ends of its interval; equal to ``value`` where it is exact.
        unit: such as ``ms``, ``share`` or ``bytes``.
        n: how many images, runs or blocks it rests on; 1 where it is exact.
        provenance: how it came about, in a few words.
        doubt: why it is not to be trusted, such as load while it was measured; such a value decides nothing.
    """

    value: float
    low: float
    high: float
    unit: str
    n: int
    provenance: str
    doubt: str | None = None

    def __post_init__(self) -> None:
        if not all(is_number(v) for v in (self.value, self.low, self.high)) or not self.low <= self.high:
            raise ValueError(f"{self.value!r} in [{self.low!r}, {self.high!r}] is no value in an interval")

    @classmethod
    def exact(cls, value: float, unit: str, provenance: str) -> Measurement:
        """A value without uncertainty."""
        return cls(value, value, value, unit, 1, provenance)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        data = asdict(self)
        if self.doubt is None:
            del data["doubt"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError on anything else."""
        try:
            measured = cls(**data)
        except (TypeError, ValueError) as error:
            raise DecodeError(f"not a measurement: {error}") from error
        texts = isinstance(measured.unit, str) and isinstance(measured.provenance, str)
        if not (texts and is_number(measured.n) and isinstance(measured.doubt, str | None)):
            raise DecodeError(f"not a measurement: unit {measured.unit!r}, n {measured.n!r}, provenance or doubt")
        return measured


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite real number, and not a truth value."""
    if type(value) is float:  # nearly always, and asked hundreds of thousands of times
        return math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
