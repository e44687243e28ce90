"""Images for calibrating and testing exported files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset
from nas.data.folds import Split, units_of
from nas.data.rows import Images
from nas.errors import InputError

CALIBRATION: Final = 200  # images; more of them change the ranges by next to nothing


@dataclass(frozen=True, eq=False)
class HeldImages:
    """Images of one fold: those that the exported weights were trained on, and those that they have never seen.

    Attributes:
        calibration: uint8 (n, h, w, c), training images of the fold, for the ranges of int8 tensors.
        test: uint8 (m, h, w, c), images out of the fold.
        labels: int64 (m,), of the test images.
        groups: int64 (m,), the subject of each test image (else its sequence); where none are given, each image stands
            for itself.
        group_kind: what a group is, in the plural.
    """

    calibration: npt.NDArray[np.uint8]
    test: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    group_kind: str = "images"

    def __post_init__(self) -> None:
        if self.calibration.shape[1:] != self.test.shape[1:] or len(self.test) != len(self.labels):
            raise InputError(
                f"calibration images {self.calibration.shape}, test images {self.test.shape} and {len(self.labels)} "
                "labels do not belong together"
            )
        if not len(self.calibration) or not len(self.test):
            raise InputError("no image to calibrate with, or none to test on: give both")
        if not len(self.groups):
            object.__setattr__(self, "groups", np.arange(len(self.test), dtype=np.int64))
        if len(self.groups) != len(self.test):
            raise InputError(f"{len(self.groups)} groups for {len(self.test)} test images: give one an image, or none")

    @classmethod
    def of_fold(
        cls,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
        fold: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    ) -> HeldImages:
        """The training images of ``fold`` for calibration, and its test images.

        Args:
            images: uint8 (n, h, w, c), of the search subjects alone.
            labels: int64 (n,).
            fold: (train, test) indices into the images.
        """
        train, test = fold
        return cls(images[train], images[test], labels[test])

    @classmethod
    def of_data(cls, dataset: Dataset, split: Split) -> HeldImages:
        """The same of fold 0, whose weights are exported, with the subjects (else sequences) of the test images."""
        fold, (unit, groups) = split.folds[0], units_of(dataset)
        held = cls.of_fold(dataset.images, dataset.labels, (fold.train, fold.test))
        return replace(held, groups=groups[fold.test], group_kind=f"{unit}s")

    def spread(self) -> npt.NDArray[np.uint8]:
        """Up to :data:`CALIBRATION` of the calibration images, evenly spaced so that no class or person is left out."""
        return spread_of(self.calibration)


def spread_of(images: Images) -> npt.NDArray[np.uint8]:
    """Up to :data:`CALIBRATION` of ``images``, evenly spaced."""
    return images[np.linspace(0, len(images) - 1, min(CALIBRATION, len(images))).astype(np.int64)]


def as_input(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """uint8 pixels as every network of ours takes them: float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
