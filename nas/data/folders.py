"""Images in one folder a class, maybe within folders for the official parts (``train/happy/1.png``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data.classfolders import class_folders
from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.parts import PARTS, parts_of
from nas.data.paths import image_files
from nas.data.pictures import names_of, read_pictures


@dataclass(frozen=True, eq=False)
class FolderImages:
    """What was read from class folders.

    Attributes:
        images: uint8, shape (n, height, width, channels).
        labels: int64, shape (n,).
        class_names: the folders' names, sorted.
        files: the n files, in the order of ``images``.
        names: shape (n,), the files' paths from the folder that was given.
        parts: shape (n,), the official part of each image, or None where the images come in one piece.
        warnings: what was left out, resized or ignored.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    files: tuple[Path, ...]
    names: npt.NDArray[np.str_]
    parts: npt.NDArray[np.str_] | None
    warnings: tuple[str, ...]


def load_folders(root: Path, image_size: int | None = None) -> Dataset:
    """The images under ``root``, one folder a class; grey if all are stored as grey, else RGB.

    Raises:
        InputError: no image, one class only, more than half unreadable, or an image of more than 64 megapixels.
    """
    read = read_class_folders(root, image_size)
    return Dataset(
        images=read.images,
        labels=read.labels,
        class_names=read.class_names,
        kind="folders",
        caption=f"{root.resolve().name} (one folder per class{'' if read.parts is None else _listed(read.parts)})",
        warnings=read.warnings + coverage_warnings(read.labels, read.class_names, None),
        parts=read.parts,
        names=read.names,
    )


def _listed(parts: npt.NDArray[np.str_]) -> str:
    return f"; parts {', '.join(part for part in PARTS if part in parts)}"


def read_class_folders(root: Path, image_size: int | None, channels: int | None = None) -> FolderImages:
    """Pixels and labels of the images under ``root``, one folder a class.

    Images that all have one size of at most 224 a side keep it; others are brought to 48×48, or to ``image_size``.

    Args:
        root: holds the class folders; hidden files are ignored.
        image_size: the side to which images are brought; None as above.
        channels: 1 or 3; None is 1 if all images are stored as grey, else 3.

    Raises:
        InputError: no image, one class only, more than half unreadable, or an image of more than 64 megapixels.
    """
    classes, warnings = class_folders(root)
    owner = {folder.path: folder for folder in classes}
    files = [file for folder in owner for file in image_files(folder)]
    pictures = read_pictures(root, files, image_size, channels=channels)
    kept = tuple(files[index] for index in pictures.kept)
    class_names = tuple(sorted({folder.name for folder in classes}))
    index = {folder.path: class_names.index(folder.name) for folder in classes}
    return FolderImages(
        images=pictures.images,
        labels=np.array([index[file.parent] for file in kept], np.int64),
        class_names=class_names,
        files=kept,
        names=names_of(root, kept),
        parts=parts_of(np.array([owner[file.parent].part or "" for file in kept])),
        warnings=warnings + pictures.warnings,
    )
