"""What is known of images beside their labels, as training uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset
from nas.task import Task

Inputs = tuple[Any, ...]
"""What a network is given: uint8 images (n, h, w, c), an array or :class:`nas.data.rows.Rows`, and, where it is told of
landmarks, float32 (n, 2 x points)."""

Answer = dict[str, npt.NDArray[np.float32]]
"""``probabilities`` (n, classes) and ``values`` (n, targets), those that a network answers."""

NAMES: Final = ("targets", "landmarks", "soft_labels")


@dataclass(frozen=True, eq=False)
class Extras:
    """Of n images; what is None is not used.

    Attributes:
        targets: numbers to predict, float32 (n, k).
        landmarks: a second input, float32 (n, points, 2), x and y as shares of width and height.
        soft_labels: the share of each class, float32 (n, classes).
    """

    targets: npt.NDArray[np.float32] | None = None
    landmarks: npt.NDArray[np.float32] | None = None
    soft_labels: npt.NDArray[np.float32] | None = None

    @classmethod
    def of(cls, dataset: Dataset, task: Task) -> Extras:
        """Those of ``dataset`` that the task takes; soft labels wherever it names classes and the data have them."""
        return cls(
            dataset.targets if task.regresses else None,
            dataset.landmarks if task.landmarks else None,
            dataset.soft_labels if task.classifies else None,
        )

    def at(self, indices: npt.NDArray[np.int64]) -> Extras:
        """Of the images at ``indices``."""
        return Extras(**{name: values[indices] for name, values in self.arrays().items()})

    def arrays(self) -> dict[str, Any]:
        """Those that are there, by name."""
        return {name: values for name in NAMES if (values := getattr(self, name)) is not None}

    @classmethod
    def among(cls, arrays: Mapping[str, Any]) -> Extras:
        """Those that a file of arrays holds, by their names."""
        return cls(**{name: arrays[name] for name in NAMES if name in arrays})
