"""Some rows of a large array, without holding them in memory."""

from __future__ import annotations

import tempfile
from typing import Final

import numpy as np
import numpy.typing as npt

LARGE_BYTES: Final = 500_000_000
_CHUNK_BYTES: Final = 64_000_000


def gathered(
    images: npt.NDArray[np.uint8], indices: npt.NDArray[np.int64], *, large_bytes: int = LARGE_BYTES
) -> npt.NDArray[np.uint8]:
    """``images[indices]``, read-only; what is larger than ``large_bytes`` lies in a nameless temporary file.

    Args:
        images: uint8, shape (n, height, width, channels).
        indices: shape (m,), or m true values among n.
        large_bytes: see there.

    Raises:
        OSError: there is no room for the file (in ``TMPDIR``).
    """
    indices = np.flatnonzero(indices) if np.asarray(indices).dtype == bool else np.asarray(indices)
    each = int(np.prod(images.shape[1:]))
    if len(indices) * each <= large_bytes:
        return np.asarray(images[indices])
    with tempfile.TemporaryFile() as file:
        step = max(1, _CHUNK_BYTES // each)
        for start in range(0, len(indices), step):
            # Written, not mapped: a full disk is then an error and no signal.
            file.write(np.ascontiguousarray(images[indices[start : start + step]]).data)
        file.flush()
        return np.memmap(file, np.uint8, "r", shape=(len(indices), *images.shape[1:]))
