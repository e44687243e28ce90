"""IDX files, the format of MNIST and its successors: ``train-images-idx3-ubyte.gz`` and its labels."""

from __future__ import annotations

import gzip
import math
import os
import re
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.parts import parts_of
from nas.data.paths import open_file, visible_entries
from nas.errors import InputError

FASHION_CLASSES: Final = (
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "boot"),
)
_FILE: Final = re.compile(r"(train|t10k|test)[-_](images|labels)[-_.]idx([134])-ubyte(?:\.gz)?", re.IGNORECASE)
_UNSIGNED_BYTE: Final = 8
_MAX_BYTES: Final = 8_000_000_000
_MAX_EXPANSION, _HARMLESS_BYTES = 100, 100_000_000  # as of an .npz file


def looks_like_idx(root: Path) -> bool:
    """Whether images and labels of a part lie in ``root`` as IDX files."""
    return bool(_pairs(root))


def nearly_idx(root: Path) -> str | None:
    """Which of two IDX files is there and which is not; None where neither is."""
    for part, found in _files(root).items():
        for what, other in (("images", "labels"), ("labels", "images")):
            if what in found and other not in found:
                return f"has {found[what].name} but {part}-{other}-idx{3 if other == 'images' else 1}-ubyte is missing"
    return None


def load_idx(root: Path) -> Dataset:
    """Images and labels of the parts train and test; classes are digits, or Fashion-MNIST's in a folder named for it.

    Raises:
        InputError: a file that is damaged, of other numbers than bytes, or with another count than its partner.
    """
    pairs = _pairs(root)
    images = {part: _grey(found["images"]) for part, found in pairs.items()}
    labels = {part: _labels(found["labels"], len(images[part])) for part, found in pairs.items()}
    shapes = {array.shape[1:] for array in images.values()}
    if len(shapes) > 1:
        raise InputError(f"{root}: its parts have images of {len(shapes)} sizes: give each its own folder")
    numbers = np.concatenate(list(labels.values()))
    classes = _class_names(root, int(numbers.max()) + 1)
    parts = np.concatenate([np.full(len(array), part) for part, array in labels.items()])
    return Dataset(
        images=np.concatenate(list(images.values())),
        labels=numbers,
        class_names=classes,
        kind="idx",
        caption=f"{root.resolve().name} ({len(numbers)} images)",
        warnings=coverage_warnings(numbers, classes, None),
        parts=parts_of(parts),
    )


def _files(root: Path) -> dict[str, dict[str, Path]]:
    """Images and labels by part, train first."""
    found: dict[str, dict[str, Path]] = {"train": {}, "test": {}}
    for file in visible_entries(root)[1]:
        if match := _FILE.fullmatch(file.name):
            part = "train" if match[1].lower() == "train" else "test"
            found[part].setdefault(match[2].lower(), file)
    return found


def _pairs(root: Path) -> dict[str, dict[str, Path]]:
    return {part: found for part, found in _files(root).items() if len(found) == 2}


def _class_names(root: Path, count: int) -> tuple[str, ...]:
    folder = root.resolve()
    fashion = any("fashion" in name.lower() for name in (folder.name, folder.parent.name))
    if fashion and count <= len(FASHION_CLASSES):
        return FASHION_CLASSES
    return tuple(str(index) for index in range(max(count, 10)))


def _grey(path: Path) -> npt.NDArray[np.uint8]:
    """Images, shape (n, height, width, 1)."""
    array = read_idx(path)
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape:
        raise InputError(f"{path}: an array of shape {array.shape}; images are (n, height, width)")
    return array


def _labels(path: Path, count: int) -> npt.NDArray[np.int64]:
    array = read_idx(path)
    if array.shape != (count,):
        raise InputError(f"{path}: labels of shape {array.shape}, but there are {count} images beside it: unpack again")
    return array.astype(np.int64)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array of an IDX file of unsigned bytes, gzipped or not: two zeros, type, rank, big-endian sizes, values.

    Raises:
        InputError: not such a file, or one that is cut short.
    """
    try:
        with open_file(path) as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if packed else raw as file:
                head = file.read(4)
                if len(head) < 4 or head[:2] != b"\0\0" or head[2] != _UNSIGNED_BYTE or not 1 <= head[3] <= 4:
                    raise InputError(f"{path}: not an IDX file of unsigned bytes (it begins with {head!r})")
                shape = tuple(int(size) for size in np.frombuffer(file.read(4 * head[3]), ">u4"))
                size = math.prod(shape)
                if len(shape) != head[3] or size > _MAX_BYTES:
                    raise InputError(f"{path}: an array of shape {shape}; at most {_MAX_BYTES} bytes are read")
                stored = max(os.fstat(raw.fileno()).st_size, 1)
                if size > _HARMLESS_BYTES and size > _MAX_EXPANSION * stored:
                    raise InputError(f"{path}: {stored} bytes that claim to hold {size}: download it again")
                content = file.read(size)  # no more than was declared, whatever is packed
                file.read(1)  # at its end gzip compares the checksum
    except (OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        raise InputError(f"{path}: cannot be unpacked ({error}): download it again") from error
    if len(content) < size:
        raise InputError(f"{path}: cut short, {len(content)} of {size} bytes: download it again")
    return np.frombuffer(content, np.uint8).reshape(shape)
