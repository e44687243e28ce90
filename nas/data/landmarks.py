"""The 68 points of a face (iBUG's order), and which is which in a mirrored image."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

LANDMARKS: Final = 68

_MIRROR_PAIRS: Final = (
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    (31, 35),
    (32, 34),
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    *((48, 54), (49, 53), (50, 52), (59, 55), (58, 56)),
    *((60, 64), (61, 63), (67, 65)),
)


def _mirror() -> npt.NDArray[np.int64]:
    mirror = np.arange(LANDMARKS)
    for left, right in _MIRROR_PAIRS:
        mirror[left], mirror[right] = right, left
    return mirror


MIRROR: Final = _mirror()
"""Shape (68,): the point of the other half of the face, of points on the midline themselves."""
