"""Read many image files into one array: common size, grey or colour, what cannot be read left out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data.cache import Form, cached_rows, decoded, digest_of
from nas.data.imagefile import BrokenImageError, read_header
from nas.errors import InputError, one_line

DEFAULT_SIDE = 48
MAX_NATIVE_SIDE = 224
_HEADERS_WORTH_KEEPING = 20_000  # reading as many takes longer than a second


@dataclass(frozen=True, eq=False)
class Pictures:
    """What was read from n files.

    Attributes:
        images: uint8, shape (m, height, width, channels); memory-mapped where they are large.
        kept: int64, shape (m,), which of the n files they are, ascending.
        boxes: int64, shape (m, 4): left, top, width, height in pixels of the file of what each image shows.
        warnings: what was left out, resized or stretched.
    """

    images: npt.NDArray[np.uint8]
    kept: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]
    warnings: tuple[str, ...]


def read_pictures(
    root: Path,
    files: Sequence[Path],
    image_size: int | None = None,
    *,
    channels: int | None = None,
    boxes: npt.NDArray[np.int64] | None = None,
) -> Pictures:
    """The pixels of ``files``.

    Images that all have one size of at most 224 a side keep it; others are brought to 48×48, or to ``image_size``.

    Args:
        root: what the user gave, for messages.
        files: at least one image file.
        image_size: the side to which images are brought; None as above.
        channels: 1 or 3; None is 1 if all images are stored as grey, else 3.
        boxes: shape (n, 4), left, top, width and height of what is to be cut out of each, in pixels; the whole image is
            taken where a box is not within it at all.  None takes all whole.

    Raises:
        InputError: more than half missing or unreadable, an image of more than 64 megapixels, or no room for them all.
    """
    headers = _headers(files)
    there = np.flatnonzero(headers[:, 0] > 0)
    if not len(there):
        missing = not any(map(os.path.lexists, files[:100]))
        remedy = "is there: check the paths" if missing else "can be read: check how they were copied"
        raise InputError(f"{root}: none of its {len(files)} image files {remedy} (first: {files[0]})")
    cuts = _cuts(headers[there], None if boxes is None else boxes[there])
    size, size_warnings = _target_size(cuts[:, 3:1:-1], image_size)
    if channels is None:
        channels = 1 if headers[there, 2].all() else 3
    rows = decoded([files[int(index)] for index in there], size, channels, boxes=None if boxes is None else cuts)
    kept = there[rows.kept]
    left_out = np.ones(len(files), bool)
    left_out[kept] = False
    broken = [files[int(index)] for index in np.flatnonzero(left_out)]
    warnings = _left_out(root, broken, len(files))
    return Pictures(rows.values, kept, cuts[rows.kept], warnings + size_warnings + rows.warnings)


def names_of(root: Path, files: Iterable[Path]) -> npt.NDArray[np.str_]:
    """How the files are called below ``root``, in characters that any terminal can show."""
    prefix = os.path.join(os.fspath(root), "")
    return np.array([one_line(os.fspath(file).removeprefix(prefix)) for file in files])


def _headers(files: Sequence[Path]) -> npt.NDArray[np.int32]:
    """Height, width and whether it is grey of each file, shape (n, 3); zeros where it cannot be read."""

    def rows() -> Iterator[npt.NDArray[np.int32]]:
        for file in files:
            try:
                header = read_header(file)
                yield np.array([header.height, header.width, header.is_grey], np.int32)
            except BrokenImageError:
                yield np.zeros(3, np.int32)

    form = Form(len(files), (3,), "<i4")
    kept = cached_rows(lambda: f"headers {digest_of(files)}", rows, form, _HEADERS_WORTH_KEEPING * form.row_bytes)
    return kept.values


def _cuts(headers: npt.NDArray[np.int32], boxes: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    """Left, top, width and height of what is shown of each file, shape (n, 4): ``boxes`` within the image."""
    whole = np.zeros((len(headers), 4), np.int64)
    whole[:, 2:] = headers[:, 1::-1]
    if boxes is None:
        return whole
    bound = whole[:, 2:]
    low = np.clip(boxes[:, :2], 0, bound)
    high = np.clip(boxes[:, :2] + boxes[:, 2:], 0, bound)
    usable = (high > low).all(axis=1)
    return np.where(usable[:, np.newaxis], np.concatenate([low, high - low], axis=1), whole)


def _target_size(sizes: npt.NDArray[np.int64], image_size: int | None) -> tuple[tuple[int, int], tuple[str, ...]]:
    """(height, width) for all images, whose heights and widths are ``sizes``, (n, 2); and what to warn about."""
    distinct = np.unique(sizes, axis=0)
    height, width = (int(side) for side in distinct[0])
    if image_size is None and len(distinct) == 1 and max(height, width) <= MAX_NATIVE_SIDE:
        return (height, width), ()
    side = DEFAULT_SIDE if image_size is None else int(image_size)
    stretched = int((sizes[:, 0] != sizes[:, 1]).sum())
    warnings = [f"{stretched} images are not square and were stretched"] if stretched else []
    if image_size is None:
        what = f"images of {len(distinct)} sizes were" if len(distinct) > 1 else f"images of {height}x{width} were"
        warnings.insert(0, f"{what} brought to {side}x{side}: give an image size to choose another")
    return (side, side), tuple(warnings)


def _left_out(root: Path, broken: Sequence[Path], count: int) -> tuple[str, ...]:
    """What to warn about of the ``broken`` ones of ``count`` files.  Raises InputError for more than half."""
    missing = [file for file in broken if not os.path.lexists(file)]
    absent = set(missing)
    damaged = [file for file in broken if file not in absent]
    counted = ((damaged, "cannot be read", "replace them"), (missing, "are not there", "unpack all of the data"))
    if 2 * len(broken) > count:
        them, what, remedy = max(counted, key=lambda each: len(each[0]))
        raise InputError(f"{root}: {len(them)} of its {count} image files {what} (first: {them[0]}): {remedy}")
    return tuple(
        f"{len(them)} image files {what} and are left out (first: {them[0]})" for them, what, _ in counted if them
    )
