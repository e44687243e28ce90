"""Data given as arrays in one .npz file."""

from __future__ import annotations

import lzma
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.paths import open_file
from nas.errors import InputError

_KNOWN = ("x", "y", "subject", "sequence", "classes")
_MAX_UNNAMED_CLASSES = 1000
_MAX_BYTES = 8_000_000_000
# Deflate reaches a thousandfold on repetitions alone; images of any kind stay far below a hundred.
_MAX_EXPANSION, _HARMLESS_BYTES = 100, 100_000_000
# MemoryError: a header that claims a huge shape; RuntimeError: an archive encrypted or compressed in another way.
DAMAGED = (
    *(OSError, ValueError, EOFError, MemoryError, RuntimeError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, SyntaxError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)

Array = npt.NDArray[Any]


def load_npz(path: Path) -> Dataset:
    """The data in an .npz file without pickled objects.

    Read are ``x`` (uint8, n×height×width or n×height×width×channels, 1 or 3 channels), ``y`` (n integers from 0), and,
    where they are there, ``subject`` and ``sequence`` (n ids each) and ``classes`` (names).

    Raises:
        InputError: not such a file, or an array of another type, rank, length or range.
    """
    arrays, ignored = _read(path)
    for name in ("x", "y"):
        if name not in arrays:
            found = ", ".join((*arrays, *ignored)) or "none"
            raise InputError(f"{path}: no array {name!r} (found: {found}); images are to be named x, labels y")
    notes = (f"arrays ignored: {', '.join(ignored)} (read are {', '.join(_KNOWN)})",) if ignored else ()
    return dataset_of_arrays(path, arrays, "npz", notes)


def dataset_of_arrays(path: Path, arrays: Mapping[str, Array], kind: str, notes: tuple[str, ...] = ()) -> Dataset:
    """The data set that ``x``, ``y`` and maybe ``subject``, ``sequence``, ``classes`` make; ``x`` may be mapped.

    Raises:
        InputError: an array of another type, rank, length or range.
    """
    images = _images(path, arrays["x"])
    class_names = _class_names(path, arrays.get("classes"))
    labels = _labels(path, arrays["y"], len(images), class_names)
    if class_names is None:
        class_names = tuple(str(index) for index in range(int(labels.max()) + 1))
    if len(np.unique(labels)) < 2:
        raise InputError(f"{path}: all {len(labels)} labels are {labels[0]}: only one class, two are needed at least")
    subjects = _ids(path, "subject", arrays.get("subject"), len(images))
    sequences = _ids(path, "sequence", arrays.get("sequence"), len(images))
    return Dataset(
        images=images,
        labels=labels,
        class_names=class_names,
        subjects=subjects,
        sequences=sequences,
        kind=kind,
        caption=path.name,
        warnings=notes + coverage_warnings(labels, class_names, subjects, sequences),
    )


def _read(path: Path) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The arrays that are known by name, and the names of the others."""
    try:
        # Opened here, since NumPy leaves a damaged archive open.
        with open_file(path) as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy on files of Python 2
            if zipfile.is_zipfile(handle):
                _refuse_bomb(path, handle)
            handle.seek(0)
            file = np.load(handle, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: a single array; save images and labels together: np.savez(path, x=…, y=…)")
            ignored = tuple(name for name in file.files if name not in _KNOWN)
            arrays = {name: _member(path, file, name) for name in file.files if name in _KNOWN}
    except DAMAGED as error:
        raise InputError(f"{path}: not an .npz file that can be read ({short(error)}): save it again") from error
    return arrays, ignored


def _refuse_bomb(path: Path, handle: BinaryIO) -> None:
    """Refuses an archive whose arrays would not fit into memory, or that is made to fill it, before unpacking any.

    NumPy reads no more of an array than the archive declares.
    """
    with zipfile.ZipFile(handle) as archive:
        for member in archive.infolist():
            if member.filename.removesuffix(".npy") not in _KNOWN:
                continue
            size, stored = member.file_size, max(member.compress_size, 1)
            if size > _MAX_BYTES or (size > _HARMLESS_BYTES and size > _MAX_EXPANSION * stored):
                raise InputError(
                    f"{path}: {member.filename!r} unpacks from {stored} to {size} bytes; read are at most {_MAX_BYTES} "
                    f"bytes, and at most {_MAX_EXPANSION} times what is stored: save it with np.savez, or fewer images"
                )


def _member(path: Path, file: Any, name: str) -> Array:
    try:
        return np.asarray(file[name])
    except DAMAGED as error:
        if "Object arrays" in str(error):
            raise InputError(
                f"{path}: array {name!r} holds Python objects, which are never unpickled: save it as numbers or strings"
            ) from error
        raise InputError(f"{path}: array {name!r} cannot be read ({short(error)}): save it again") from error


def short(error: BaseException) -> str:
    """The first line of what NumPy says, in words that a user can act on."""
    text = str(error).strip() or type(error).__name__
    return "pickled objects are not read" if "pickle" in text.lower() else text.splitlines()[0]


def _images(path: Path, x: Array) -> npt.NDArray[np.uint8]:
    """``x`` as uint8 of shape (n, height, width, channels)."""
    if x.dtype != np.uint8:
        raise InputError(f"{path}: x is {x.dtype}; it must be uint8 (0..255): scale and convert it")
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.ndim != 4 or x.shape[3] not in (1, 3) or 0 in x.shape:
        raise InputError(
            f"{path}: x has shape {x.shape}; expected (n, height, width) or (n, height, width, channels) with 1 or 3 "
            "channels and at least one image: reshape it"
        )
    return x if x.flags.c_contiguous else np.ascontiguousarray(x)  # which would make a plain array of a mapped one


def _class_names(path: Path, classes: Array | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if classes.ndim != 1 or classes.dtype.kind not in "US":
        raise InputError(f"{path}: classes is {classes.dtype} of shape {classes.shape}; expected a list of names")
    names = tuple(str(name) for name in _text(classes))
    if len(set(names)) < len(names) or "" in names:
        raise InputError(f"{path}: classes {list(names)} has an empty or repeated name: give each class its own")
    return names


def _labels(path: Path, y: Array, count: int, class_names: tuple[str, ...] | None) -> npt.NDArray[np.int64]:
    if y.dtype.kind not in "iu":
        raise InputError(f"{path}: y is {y.dtype}; it must hold integers from 0: convert it")
    if y.shape != (count,):
        raise InputError(f"{path}: y has shape {y.shape} but x holds {count} images: expected shape ({count},)")
    bound = _MAX_UNNAMED_CLASSES if class_names is None else len(class_names)
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= bound:
        why = "without an array classes" if class_names is None else f"since classes names {bound}"
        raise InputError(f"{path}: y ranges from {low} to {high}; it must lie in 0..{bound - 1} {why}: renumber it")
    return y.astype(np.int64)


def _ids(path: Path, name: str, ids: Array | None, count: int) -> npt.NDArray[np.str_] | None:
    if ids is None:
        return None
    if ids.shape != (count,) or ids.dtype.kind not in "iuUS":
        raise InputError(
            f"{path}: {name} is {ids.dtype} of shape {ids.shape}; expected {count} integers or strings, one an image"
        )
    text = _text(ids)
    try:
        "".join(text.tolist()).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: {name} holds ids that are no text ({error.reason}): save them as text") from error
    return text


def _text(values: Array) -> npt.NDArray[np.str_]:
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "replace")
    return values.astype(np.str_)
