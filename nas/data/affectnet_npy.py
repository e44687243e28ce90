"""AffectNet with its annotations in .npy files: ``train_set/images/0.jpg``, ``train_set/annotations/0_exp.npy``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.data.affectnet import POINTS, TARGET_NAMES, affectnet_dataset, stacked
from nas.data.cache import Form, cached_rows, digest_of
from nas.data.dataset import Dataset
from nas.data.npz import DAMAGED
from nas.data.parts import part_called
from nas.data.paths import image_files, open_file, subfolders
from nas.data.table import Table
from nas.errors import InputError

_WHAT: Final = ("exp", "val", "aro", "lnd")
_WIDTHS: Final = (1, 1, 1, 2 * POINTS)
_PICKLED: Final = np.inf  # in place of a label that is a Python object
_MAX_BYTES: Final = 10_000  # 68 points as text have some 4,000
_WORTH_KEEPING: Final = 10_000  # sets of as many images take seconds to read


def looks_like_affectnet(root: Path) -> bool:
    """Whether ``images`` and ``annotations`` with ``*_exp.npy`` lie in ``root``, ``train_set`` or ``val_set``."""
    return bool(_sets(root))


def nearly_affectnet(root: Path) -> str | None:
    """What AffectNet has and ``root`` lacks; None where it does not resemble AffectNet."""
    for folder in (root, *subfolders(root)):
        inside = {child.name for child in subfolders(folder)}
        if "annotations" in inside and "images" not in inside:
            return f"has {folder.name}/annotations but {folder.name}/images is missing"
        named = (part_called(folder.name.removesuffix("_set")) and folder.name.endswith("_set")) or folder == root
        if named and "images" in inside and "annotations" not in inside and image_files(folder / "images"):
            return f"has {folder.name}/images but {folder.name}/annotations is missing"
        if {"images", "annotations"} <= inside and not _has_labels(folder / "annotations"):
            return f"has {folder.name}/annotations but no *_exp.npy in it"
    return None


def load_affectnet(root: Path, image_size: int | None = None) -> Dataset:
    """AffectNet with .npy annotations, 8 classes; its two folders are the parts train and validation.

    Raises:
        InputError: no image or no usable label, or more than half of the images unreadable.
    """
    tables = [_table(root, part, folder) for part, folder in _sets(root).items()]
    return affectnet_dataset(root, stacked(tables), image_size)


def _sets(root: Path) -> dict[str, Path]:
    """The folders with images and annotations, by part."""
    if _is_set(root):
        return {_part(root.resolve().name) or "train": root}
    found = {part: folder for folder in subfolders(root) if (part := _part(folder.name)) and _is_set(folder)}
    return dict(sorted(found.items()))


def _part(name: str) -> str | None:
    return part_called(name.lower().removesuffix("_set"))


def _is_set(folder: Path) -> bool:
    images, annotations = folder / "images", folder / "annotations"
    return images.is_dir() and annotations.is_dir() and _has_labels(annotations)


def _has_labels(annotations: Path) -> bool:
    try:
        with os.scandir(annotations) as entries:  # no list of them all: there may be a million
            return any(entry.name.endswith("_exp.npy") for entry in entries)
    except OSError:
        return False


def _table(root: Path, part: str, folder: Path) -> Table:
    files = image_files(folder / "images")
    if not files:
        raise InputError(f"{folder / 'images'}: no image file; unpack AffectNet's images there")
    rows = _annotations(folder / "annotations", files)
    _refuse_unlabelled(folder / "annotations", files, rows[:, 0])
    labels = np.where(np.isfinite(rows[:, 0]), rows[:, 0], -1).astype(np.int64)
    pickled = int((rows[:, 0] == _PICKLED).sum())
    points = rows[:, 3:].reshape(len(rows), POINTS, 2)
    return Table(
        files=files,
        labels=labels,
        targets=rows[:, 1:3],
        target_names=TARGET_NAMES,
        points=points,
        parts=np.full(len(files), part),
        warnings=(f"{pickled} labels are pickled Python objects, which are never unpickled",) if pickled else (),
    )


def _refuse_unlabelled(folder: Path, files: Sequence[Path], labels: npt.NDArray[np.float32]) -> None:
    for them, why, remedy in (
        (labels == _PICKLED, "are pickled Python objects, which are never unpickled", "save them as numbers"),
        (np.isnan(labels), "are missing or no number", "unpack all of the annotations"),
    ):
        if 2 * them.sum() > len(labels):
            first = folder / f"{files[int(np.argmax(them))].stem}_exp.npy"
            raise InputError(f"{folder}: {them.sum()} of {len(labels)} labels {why} (first: {first}): {remedy}")


def _annotations(folder: Path, files: Sequence[Path]) -> npt.NDArray[np.float32]:
    """Expression, valence, arousal, and x, y of 68 points, shape (n, 139), of each image; NaN where there is none.

    They lie in four small files an image, whose reading takes minutes for all of AffectNet: done once.
    """
    paths = [folder / f"{file.stem}_{what}.npy" for file in files for what in _WHAT]

    def rows() -> Iterator[npt.NDArray[np.float32]]:
        for start in range(0, len(paths), len(_WHAT)):
            each = zip(paths[start : start + len(_WHAT)], _WIDTHS, strict=True)
            yield np.concatenate([_numbers(path, width) for path, width in each])

    form = Form(len(files), (sum(_WIDTHS),), "<f4")
    least_bytes = _WORTH_KEEPING * form.row_bytes
    return cached_rows(lambda: f"affectnet {digest_of(paths)}", rows, form, least_bytes).values


def _numbers(path: Path, width: int) -> npt.NDArray[np.float32]:
    """The ``width`` numbers, or texts of numbers, that a file holds; NaN where it does not, inf for pickled objects."""
    try:
        with open_file(path) as file:
            if len(file.read(_MAX_BYTES + 1)) > _MAX_BYTES:
                return np.full(width, np.nan, np.float32)
            file.seek(0)
            values: npt.NDArray[Any] = np.load(file, allow_pickle=False)
        if values.size == width:
            return values.reshape(width).astype(np.float32)
    except DAMAGED as error:
        if "Object arrays" in str(error):
            return np.full(width, _PICKLED, np.float32)
    return np.full(width, np.nan, np.float32)
