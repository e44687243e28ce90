"""The official parts of a data set, whatever its authors call them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

PARTS: Final = ("train", "validation", "test")
_CALLED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), "train"),
        **dict.fromkeys(("val", "valid", "validation", "publictest"), "validation"),
        **dict.fromkeys(("test", "testing", "privatetest"), "test"),
    }
)


def part_called(name: str) -> str | None:
    """``train``, ``validation`` or ``test`` where ``name`` is a usual word for it (in any case), else None."""
    return _CALLED.get(name.strip().lower())


def parts_of(names: npt.NDArray[np.str_]) -> npt.NDArray[np.str_] | None:
    """The part of each image, shape (n,), as a data set has it: None where all are of one part alone."""
    return names if len(np.unique(names)) > 1 else None
