"""Some images of a large set: brought into memory when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from nas.data.gather import LARGE_BYTES

PORTION_BYTES: Final = 128_000_000


@dataclass(frozen=True, eq=False)
class Rows:
    """``images[indices]``, of which nothing is in memory yet.

    Attributes:
        images: uint8 (n, h, w, c), mapped.
        indices: int64 (m,).
    """

    images: npt.NDArray[np.uint8]
    indices: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, chosen: Any) -> npt.NDArray[np.uint8]:
        """The images of ``chosen``, a slice or positions among the m; in memory."""
        return np.asarray(self.images[self.indices[chosen]])

    def portions(self, order: npt.NDArray[np.int32]) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]]:
        """Batches in their order, cut into portions of :data:`PORTION_BYTES`, or of one batch where that is larger.

        Args:
            order: positions among the m, shape (steps, batch).

        Yields:
            The positions of a portion's images, sorted, since a disk is read faster so; and the portion's batches as
            positions among those.
        """
        each = int(np.prod(self.images.shape[1:]))
        steps = max(1, PORTION_BYTES // (each * order.shape[1]))
        for start in range(0, len(order), steps):
            batches = order[start : start + steps]
            chosen, local = np.unique(batches, return_inverse=True)
            yield chosen.astype(np.int64), local.reshape(batches.shape).astype(np.int32)


Images: TypeAlias = npt.NDArray[np.uint8] | Rows


def rows_of(images: npt.NDArray[np.uint8], indices: npt.NDArray[np.int64]) -> Images:
    """``images[indices]``: in memory, or as :class:`Rows` where that is more than 500 MB."""
    size = len(indices) * int(np.prod(images.shape[1:]))
    return Rows(images, indices) if size > LARGE_BYTES else np.asarray(images[indices])
