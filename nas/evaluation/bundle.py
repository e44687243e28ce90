"""What an evaluator needs of the data: the search subjects' images and the folds, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset
from nas.data.folds import Fold, Split
from nas.data.rows import Images, rows_of
from nas.evaluation.extras import Extras, Inputs
from nas.evaluation.mapped import mapped_member
from nas.task import Task


@dataclass(frozen=True, eq=False)
class Bundle:
    """Images of the search part alone; the subjects set aside are only in what :meth:`of_holdout` makes.

    Attributes:
        images: uint8 (n, h, w, c).
        labels: int64 (n,).
        groups: int64 (n,), the images that are resampled together: subject, else sequence, else the image itself.
        folds: (train, test) indices into the images.
        classes: number of classes.
        group_kind: ``subjects``, ``sequences``, ``near-duplicate groups`` or ``images``.
        extras: what the task takes beside images and labels.
        targets: names of the numbers to predict.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    folds: tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], ...]
    classes: int
    group_kind: str
    extras: Extras = field(default_factory=Extras)
    targets: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset, split: Split, task: Task | None = None) -> Bundle:
        """The search part of ``dataset``, with the folds' indices renumbered."""
        return cls._over(dataset, np.sort(np.asarray(split.search_indices)), split.folds, task)

    @classmethod
    def of_holdout(cls, dataset: Dataset, split: Split, task: Task | None = None) -> Bundle:
        """All of ``dataset``, with one fold: trained on the search part, tested on what is set aside."""
        everything = np.arange(len(dataset), dtype=np.int64)
        return cls._over(dataset, everything, (Fold(np.sort(split.search_indices), split.holdout),), task)

    @classmethod
    def _over(cls, dataset: Dataset, chosen: npt.NDArray[np.int64], parts: Sequence[Fold], task: Task | None) -> Bundle:
        """The images ``chosen`` (m,), sorted; indices of the folds are renumbered."""
        task = task or Task()
        part = dataset.subset(chosen)
        kind, ids = "images", np.arange(len(chosen)).astype(str)
        if part.sequences is not None:
            kind, ids = f"{part.sequence_kind}s", part.sequences
        if part.subjects is not None:
            kind, ids = "subjects", part.subjects
        groups = np.unique(ids, return_inverse=True)[1].astype(np.int64)
        folds = tuple((np.searchsorted(chosen, f.train), np.searchsorted(chosen, f.test)) for f in parts)
        classes, extras = len(dataset.class_names), Extras.of(part, task)
        return cls(part.images, part.labels, groups, folds, classes, kind, extras, task.targets)

    def inputs(self, indices: npt.NDArray[np.int64]) -> Inputs:
        """What a network is given of the images at ``indices``: images, and flat landmarks where it is told of them."""
        points = self.extras.landmarks
        told = () if points is None else (points[indices].reshape(len(indices), -1),)
        return self.rows(indices), *told

    def rows(self, indices: npt.NDArray[np.int64]) -> Images:
        """The images at ``indices``; large ones are left in the file until they are used."""
        return rows_of(self.images, indices)

    def save(self, path: Path) -> None:
        """Writes an uncompressed ``.npz`` without pickle."""
        arrays: dict[str, Any] = {
            f"{part}_{k}": ids for k, fold in enumerate(self.folds) for part, ids in zip("ab", fold, strict=True)
        }
        numbers = np.array([self.classes, len(self.folds)])
        kind = np.array(self.group_kind)
        arrays |= self.extras.arrays() | {"target_names": np.array(self.targets, dtype=str)}
        np.savez(path, images=self.images, labels=self.labels, groups=self.groups, numbers=numbers, kind=kind, **arrays)

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Reads what :meth:`save` wrote; the images stay in the file, whose pages all processes share."""
        with np.load(path, allow_pickle=False) as file:
            classes, folds = (int(v) for v in file["numbers"])
            pairs = tuple((file[f"a_{k}"], file[f"b_{k}"]) for k in range(folds))
            images, kind = mapped_member(path, "images"), str(file["kind"])
            names = tuple(str(name) for name in file["target_names"])
            groups, extras = file["groups"], Extras.among(file)
            return cls(images, file["labels"], groups, pairs, classes, kind, extras, names)
