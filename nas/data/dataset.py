"""A labelled set of small images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from nas.data.gather import gathered
from nas.data.paths import is_text
from nas.errors import InputError, one_line

SequenceKind = Literal["sequence", "near-duplicate group"]
# What may be known of each image beside its label.
PER_IMAGE: Final = ("subjects", "sequences", "targets", "landmarks", "soft_labels", "parts", "names")
_HASHED_AT_ONCE: Final = 1024


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with labels and, where they are known, the person and the sequence that each came from.

    Attributes:
        images: uint8, shape (n, height, width, channels), channels 1 or 3; a memory map where they are many.
        labels: int64, shape (n,), indices into ``class_names``.
        class_names: one name a class, at least two.
        subjects: shape (n,), the person in each image, or None where unknown.
        sequences: shape (n,), the video sequence of each image, or None where unknown.
        kind: what was recognised: ``synthetic``, the name of a layout (:mod:`nas.data.layouts`), ``array``.
        caption: how the data must be named wherever a figure measured on it is shown.
        warnings: what a user should know about the data (unreadable files left out, no subject ids ...).
        targets: float32, shape (n, k), numbers to predict beside the class, or None where there are none.
        target_names: one name a column of ``targets``, such as ``valence``, ``arousal``.
        landmarks: float32, shape (n, points, 2), x and y as shares of width and height, or None where unknown.
        soft_labels: float32, shape (n, classes), the share of votes that each class got; rows sum to 1.  None where
            every image has one label alone.
        parts: shape (n,), the official part of each image (``train``, ``validation``, ``test``), or None where the
            data come in one piece.
        names: shape (n,), how each image is called (a file's path, a row's number), or None.
        sequence_kind: what ``sequences`` are: ``sequence``, or ``near-duplicate group`` where they were found by
            likeness (:func:`nas.data.leaks.group_near_copies`).
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    subjects: npt.NDArray[np.str_] | None = None
    sequences: npt.NDArray[np.str_] | None = None
    kind: str = "array"
    caption: str = "data given as arrays"
    warnings: tuple[str, ...] = ()
    targets: npt.NDArray[np.float32] | None = None
    target_names: tuple[str, ...] = ()
    landmarks: npt.NDArray[np.float32] | None = None
    soft_labels: npt.NDArray[np.float32] | None = None
    parts: npt.NDArray[np.str_] | None = None
    names: npt.NDArray[np.str_] | None = None
    sequence_kind: SequenceKind = "sequence"

    def __post_init__(self) -> None:
        # Both name files of the user's, and are printed and written into every report.
        object.__setattr__(self, "caption", one_line(self.caption))
        object.__setattr__(self, "warnings", tuple(one_line(warning) for warning in self.warnings))
        n = len(self.labels)
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] not in (1, 3):
            raise InputError(
                f"images are {self.images.dtype} of shape {self.images.shape}; expected uint8 of shape "
                "(n, height, width, 1 or 3): convert them before"
            )
        if len(self.images) != n:
            raise InputError(f"{len(self.images)} images but {n} labels: give one label an image")
        if n == 0:
            raise InputError(f"{self.caption}: no image at all; a search needs some dozens of each class")
        present = np.unique(self.labels)
        if len(self.class_names) < 2 or len(present) < 2:
            named = ", ".join(self.class_names) or "none"
            raise InputError(f"{self.caption}: only one class (named: {named}); a classifier needs at least two")
        if present[0] < 0 or present[-1] >= len(self.class_names):
            raise InputError(
                f"labels range from {present[0]} to {present[-1]} but there are {len(self.class_names)} class names: "
                f"labels must lie in 0..{len(self.class_names) - 1}"
            )
        for name in self.class_names:
            if not is_text(name):  # it would reach tables and files
                raise InputError(f"class name {name!r} holds line ends or characters that are no text: rename it")
        for what in ("subjects", "sequences", "parts", "names"):
            ids = getattr(self, what)
            if ids is not None and len(ids) != n:
                raise InputError(f"{len(ids)} {what} but {n} labels: give one a label, or none at all")
        self._check_numbers(n)

    def _check_numbers(self, n: int) -> None:
        """Targets, landmarks and soft labels have their shapes, and are finite."""
        points = 0 if self.landmarks is None or self.landmarks.ndim != 3 else self.landmarks.shape[1]
        shapes = {
            "targets": (n, len(self.target_names)),
            "landmarks": (n, points, 2),
            "soft_labels": (n, len(self.class_names)),
        }
        if (self.targets is None) != (not self.target_names):
            raise InputError(f"targets and their names go together; named: {', '.join(self.target_names) or 'none'}")
        for what, shape in shapes.items():
            values = getattr(self, what)
            if values is None:
                continue
            if values.dtype != np.float32 or values.shape != shape or 0 in shape:
                raise InputError(f"{what} are {values.dtype} of shape {values.shape}; expected float32 of {shape}")
            if not np.isfinite(values).all():
                raise InputError(f"{what}: some are no finite numbers: leave these images out")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        _, height, width, channels = self.images.shape
        return int(height), int(width), int(channels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) of pixels, labels, class names, subjects and sequences."""
        digest = hashlib.sha256()
        digest.update(repr((self.images.shape, self.class_names)).encode())
        for start in range(0, len(self.images), _HASHED_AT_ONCE):  # in pieces: they may be larger than the memory
            digest.update(np.ascontiguousarray(self.images[start : start + _HASHED_AT_ONCE]).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        for ids in (self.subjects, self.sequences):
            digest.update(b"none" if ids is None else "\n".join(map(str, ids)).encode())
        # Each by its name, and only where it is there: data without them keep the fingerprint that they had.
        for name in ("targets", "landmarks", "soft_labels", "parts"):
            values = getattr(self, name)
            if values is not None:
                digest.update(name.encode() + repr((values.shape, self.target_names)).encode())
                numbers = np.issubdtype(values.dtype, np.number)
                digest.update(
                    np.ascontiguousarray(values, "<f4").tobytes() if numbers else "\n".join(map(str, values)).encode()
                )
        return digest.hexdigest()[:16]

    def class_counts(self) -> dict[str, int]:
        """Number of images of each class, in the order of ``class_names``."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return {name: int(count) for name, count in zip(self.class_names, counts, strict=True)}

    def subset(self, indices: npt.NDArray[np.int64]) -> Dataset:
        """The images at ``indices`` (shape (m,)), with what is known of them."""
        each = ("labels", *PER_IMAGE)
        taken: dict[str, Any] = {
            name: None if (all_ := getattr(self, name)) is None else all_[indices] for name in each
        }
        return replace(self, **taken | {"images": gathered(self.images, indices)})
