"""A labelled set of small images, in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nas.data.paths import is_text
from nas.errors import InputError, one_line


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with labels and, where they are known, the person and the sequence that each came from.

    Attributes:
        images: uint8, shape (n, height, width, channels), channels 1 or 3.
        labels: int64, shape (n,), indices into ``class_names``.
        class_names: one name a class, at least two.
        subjects: shape (n,), the person in each image, or None where unknown.
        sequences: shape (n,), the video sequence of each image, or None where unknown.
        kind: what was recognised: ``synthetic``, ``ck+``, ``ck+48``, ``folders``, ``npz``, ``array``.
        caption: how the data must be named wherever a figure measured on it is shown.
        warnings: what a user should know about the data (unreadable files left out, no subject ids ...).
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    subjects: npt.NDArray[np.str_] | None = None
    sequences: npt.NDArray[np.str_] | None = None
    kind: str = "array"
    caption: str = "data given as arrays"
    warnings: tuple[str, ...] = ()

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
        for what, ids in (("subjects", self.subjects), ("sequences", self.sequences)):
            if ids is not None and len(ids) != n:
                raise InputError(f"{len(ids)} {what} but {n} labels: give one a label, or none at all")

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
        digest.update(np.ascontiguousarray(self.images).tobytes())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        for ids in (self.subjects, self.sequences):
            digest.update(b"none" if ids is None else "\n".join(map(str, ids)).encode())
        return digest.hexdigest()[:16]

    def class_counts(self) -> dict[str, int]:
        """Number of images of each class, in the order of ``class_names``."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return {name: int(count) for name, count in zip(self.class_names, counts, strict=True)}

    def subset(self, indices: npt.NDArray[np.int64]) -> Dataset:
        """The images at ``indices`` (shape (m,)), with what is known of them."""
        return Dataset(
            images=self.images[indices],
            labels=self.labels[indices],
            class_names=self.class_names,
            subjects=None if self.subjects is None else self.subjects[indices],
            sequences=None if self.sequences is None else self.sequences[indices],
            kind=self.kind,
            caption=self.caption,
            warnings=self.warnings,
        )
