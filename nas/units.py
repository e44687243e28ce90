"""Quantities as people write them: ``1M`` parameters, ``250 kB``, ``10 ms``, ``5m``."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from typing import Final

from nas.errors import InputError

COUNT: Final[Mapping[str, float]] = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}
BYTES: Final[Mapping[str, float]] = {
    **{"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9},
    **{"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3},
}
MILLISECONDS: Final[Mapping[str, float]] = {"ms": 1, "us": 1e-3, "s": 1e3}
SECONDS: Final[Mapping[str, float]] = {"": 1, "ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
SHARE: Final[Mapping[str, float]] = {"": 1, "%": 1e-2}
RATIO: Final[Mapping[str, float]] = {"": 1}

_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%]*)\s*")


def parse_quantity(text: str | float, units: Mapping[str, float]) -> float:
    """The number that ``text`` stands for, in the base of ``units``.

    Raises:
        InputError: not a number, or a unit that does not belong here; names those that do.
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None or match[2] not in units or isinstance(text, bool):
        known = ", ".join(unit for unit in units if unit) or "none"
        example = next((unit for unit in units if unit), "")
        need = " (a unit is needed)" if "" not in units else ""
        raise InputError(
            f"{text!r} is not a quantity; write a number and a unit such as '10{example}'; units: {known}{need}"
        )
    value = float(match[1]) * units[match[2]]
    if not math.isfinite(value):
        raise InputError(f"{text!r} is beyond the largest number that can be held ({sys.float_info.max:.2g}): less")
    return value


def format_duration(seconds: float) -> str:
    """Such as ``42 s``, ``3 m 05 s`` or ``2 h 10 m``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def format_count(value: float) -> str:
    """Such as ``871``, ``141K`` or ``1.25M``."""
    if value < 1_000:
        return f"{value:.0f}"
    if value < 1_000_000:
        return f"{value / 1_000:.0f}K"
    return f"{value / 1_000_000:.2f}M"
