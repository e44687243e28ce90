"""Images in one folder a class, maybe within folders for the official parts (``train/happy/1.png``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data.classfolders import class_folders
from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.imagefile import BrokenImageError, ImageHeader, read_header, read_pixels
from nas.data.parts import PARTS, parts_of
from nas.data.paths import image_files
from nas.errors import InputError, one_line

DEFAULT_SIDE = 48
MAX_NATIVE_SIDE = 224
MAX_GIGABYTES = 8


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
    headers = {file: header for file in files if (header := _header(file)) is not None}
    if not headers:
        raise InputError(f"{root}: none of its {len(files)} image files can be read: check how they were copied")
    size, size_warnings = _target_size(list(headers.values()), image_size)
    if channels is None:
        channels = 1 if all(header.is_grey for header in headers.values()) else 3
    images, kept = _decode(list(headers), size, channels)
    broken = sorted(set(files) - set(kept))
    if 2 * len(broken) > len(files):
        raise InputError(
            f"{root}: {len(broken)} of its {len(files)} image files cannot be read (first: {broken[0]}): replace them"
        )
    if broken:
        warnings = (*warnings, f"{len(broken)} image files cannot be read and are left out (first: {broken[0]})")
    class_names = tuple(sorted({folder.name for folder in classes}))
    index = {folder.path: class_names.index(folder.name) for folder in classes}
    return FolderImages(
        images=images,
        labels=np.array([index[file.parent] for file in kept], np.int64),
        class_names=class_names,
        files=tuple(kept),
        names=np.array([one_line(str(file.relative_to(root))) for file in kept]),
        parts=parts_of(np.array([owner[file.parent].part or "" for file in kept])),
        warnings=warnings + size_warnings,
    )


def _header(file: Path) -> ImageHeader | None:
    try:
        return read_header(file)
    except BrokenImageError:
        return None


def _target_size(headers: Sequence[ImageHeader], image_size: int | None) -> tuple[tuple[int, int], tuple[str, ...]]:
    """(height, width) for all images, and what to warn about."""
    sizes = {(header.height, header.width) for header in headers}
    height, width = min(sizes)
    if image_size is None and len(sizes) == 1 and max(height, width) <= MAX_NATIVE_SIDE:
        return (height, width), ()
    side = DEFAULT_SIDE if image_size is None else int(image_size)
    stretched = sum(header.height != header.width for header in headers)
    warnings = [f"{stretched} images are not square and were stretched"] if stretched else []
    if image_size is None:
        what = f"images of {len(sizes)} sizes were" if len(sizes) > 1 else f"images of {height}x{width} were"
        warnings.insert(0, f"{what} brought to {side}x{side}: give an image size to choose another")
    return (side, side), tuple(warnings)


def _decode(files: Sequence[Path], size: tuple[int, int], channels: int) -> tuple[npt.NDArray[np.uint8], list[Path]]:
    """Images, shape (m, *size, channels), and the m files that could be decoded."""
    gigabytes = len(files) * size[0] * size[1] * channels / 1e9
    if gigabytes > MAX_GIGABYTES:
        raise InputError(
            f"{len(files)} images of {size[0]}x{size[1]}x{channels} are {gigabytes:.0f} GB in memory, more than "
            f"{MAX_GIGABYTES} GB: give a smaller image size"
        )
    images = np.empty((len(files), *size, channels), np.uint8)
    kept: list[Path] = []
    for file in files:
        try:
            images[len(kept)] = read_pixels(file, channels, size)
        except BrokenImageError:
            continue
        kept.append(file)
    return images[: len(kept)], kept
