"""Images in one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.paths import image_files, subfolders, visible_entries
from nas.data.pictures import names_of, read_pictures
from nas.errors import InputError

_SPLIT_NAMES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})


@dataclass(frozen=True, eq=False)
class FolderImages:
    """What was read from class folders.

    Attributes:
        images: uint8, shape (n, height, width, channels).
        labels: int64, shape (n,).
        class_names: the folders' names, sorted.
        files: the n files, in the order of ``images``.
        warnings: what was left out, resized or ignored.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    files: tuple[Path, ...]
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
        caption=f"{root.resolve().name} (one folder per class)",
        warnings=read.warnings + coverage_warnings(read.labels, read.class_names, None),
        names=names_of(root, read.files),
    )


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
    files = [file for folder in classes for file in image_files(folder)]
    owner = {folder: index for index, folder in enumerate(classes)}
    pictures = read_pictures(root, files, image_size, channels=channels)
    kept = tuple(files[index] for index in pictures.kept)
    return FolderImages(
        images=pictures.images,
        labels=np.array([owner[file.parent] for file in kept], np.int64),
        class_names=tuple(folder.name for folder in classes),
        files=kept,
        warnings=warnings + pictures.warnings,
    )


def class_folders(root: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The subfolders of ``root`` that hold images, sorted by name, and what to warn about.

    Raises:
        InputError: fewer than two; the message says what lies there instead.
    """
    folders, files = visible_entries(root)
    if not folders and not files:
        raise InputError(f"{root}: the folder is empty; expected one subfolder of images per class")
    if not folders:
        what = "images" if image_files(root) else "files"
        raise InputError(f"{root}: {what} but no subfolder; put the images of each class into a subfolder of its name")
    _refuse_splits(root, folders)
    classes = tuple(folder for folder in folders if image_files(folder))
    if not classes:
        deeper = next((folder for folder in folders if any(map(image_files, subfolders(folder)))), None)
        remedy = f"did you mean {deeper}?" if deeper else "expected one subfolder of images per class"
        raise InputError(f"{root}: no image in its {len(folders)} subfolders; {remedy}")
    if len(classes) == 1:
        raise InputError(
            f"{root}: only one class (subfolder {classes[0].name!r}) holds images; a classifier needs at least two: "
            "give the folder that holds all classes"
        )
    ignored = [folder.name for folder in folders if folder not in classes]
    warnings = [f"subfolders without images are no classes: {', '.join(ignored)}"] if ignored else []
    if image_files(root):
        warnings.append(f"{len(image_files(root))} images outside any class folder are left out")
    return classes, tuple(warnings)


def is_split_name(name: str) -> bool:
    """Whether a folder of this name is a part of a data set (``train``, ``test`` ...) and not a class."""
    return name.lower() in _SPLIT_NAMES


def _refuse_splits(root: Path, folders: Sequence[Path]) -> None:
    if not all(is_split_name(folder.name) for folder in folders):
        return
    names = ", ".join(folder.name for folder in folders)
    ordered = sorted(folders, key=lambda folder: (not folder.name.lower().startswith("train"), folder.name))
    inside = next((folder for folder in ordered if subfolders(folder)), None)
    remedy = f"give {inside}" if inside else "give a folder with one subfolder of images per class"
    raise InputError(f"{root}: its subfolders ({names}) are parts of a data set, not classes; {remedy}")
