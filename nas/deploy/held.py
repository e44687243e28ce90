"""Images for calibrating and testing exported files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset
from nas.data.folds import Split, units_of
from nas.errors import InputError
from nas.graph import Graph
from nas.networks.tflite import Tensors

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
        calibration_landmarks, landmarks: float32 (n, 2 x points) and (m, 2 x points), x and y of each point of the
            calibration and of the test images; None where they are not known.
        targets: float32 (m, k), numbers to predict of the test images; None likewise.
    """

    calibration: npt.NDArray[np.uint8]
    test: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    group_kind: str = "images"
    calibration_landmarks: npt.NDArray[np.float32] | None = None
    landmarks: npt.NDArray[np.float32] | None = None
    targets: npt.NDArray[np.float32] | None = None

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
        each = (self.calibration_landmarks, self.calibration), (self.landmarks, self.test), (self.targets, self.test)
        if any(values is not None and len(values) != len(images) for values, images in each):
            raise InputError("landmarks or targets of another number of images: give those of each image, or none")

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
        points = None if dataset.landmarks is None else dataset.landmarks.reshape(len(dataset), -1)
        return replace(
            held,
            groups=groups[fold.test],
            group_kind=f"{unit}s",
            calibration_landmarks=None if points is None else points[fold.train],
            landmarks=None if points is None else points[fold.test],
            targets=None if dataset.targets is None else dataset.targets[fold.test],
        )

    def fit_for(self, graph: Graph) -> HeldImages:
        """The same, with landmarks and targets only where the network of ``graph`` has a use for them.

        Raises:
            InputError: images of another size, or data without the landmarks or targets of the network.
        """
        if self.test.shape[1:] != graph.input_shape:
            raise InputError(f"the images are {self.test.shape[1:]}, the network takes {graph.input_shape}")
        wanted = (
            ("calibration_landmarks", 2 * graph.points),
            ("landmarks", 2 * graph.points),
            ("targets", graph.targets),
        )
        for name, width in wanted:
            values = getattr(self, name)
            if width and (values is None or values.shape[1:] != (width,)):
                known = "none" if values is None else f"{values.shape[1]} numbers"
                raise InputError(f"{name}: the data has {known} an image, the network wants {width}: give other data")
        kept: dict[str, Any] = {name: getattr(self, name) if width else None for name, width in wanted}
        return replace(self, **kept)

    def given(self, count: int | None = None) -> Tensors:
        """The test images, or the first ``count``, as a network takes them: with landmarks where there are some."""
        return _together(as_input(self.test[:count]), None if self.landmarks is None else self.landmarks[:count])

    def given_to_calibrate(self) -> Tensors:
        """The images of :meth:`spread`, likewise."""
        points = self.calibration_landmarks
        return _together(as_input(self.spread()), None if points is None else points[spread(len(self.calibration))])

    def spread(self) -> npt.NDArray[np.uint8]:
        """Up to :data:`CALIBRATION` of the calibration images, evenly spaced so that no class or person is left out."""
        return spread_of(self.calibration)


def spread_of(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Up to :data:`CALIBRATION` of ``images``, or of what is known of each, evenly spaced."""
    return images[spread(len(images))]


def spread(count: int) -> npt.NDArray[np.int64]:
    """Indices of up to :data:`CALIBRATION` of so many, evenly spaced."""
    return np.linspace(0, count - 1, min(CALIBRATION, count)).astype(np.int64)


def _together(images: npt.NDArray[np.float32], landmarks: npt.NDArray[np.float32] | None) -> Tensors:
    return images if landmarks is None else [images, landmarks]


def as_input(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """uint8 pixels as every network of ours takes them: float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)
