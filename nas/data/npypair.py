"""Data given as ``x.npy`` and ``y.npy`` in one folder, mapped instead of read."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset
from nas.data.npz import DAMAGED, dataset_of_arrays, short
from nas.data.paths import open_file, visible_entries
from nas.errors import InputError

# What each array may be called, without its suffix.
_CALLED: Final = {
    "x": ("x", "images"),
    "y": ("y", "labels"),
    "subject": ("subject", "subjects"),
    "sequence": ("sequence", "sequences"),
    "classes": ("classes",),
}


def looks_like_npy_pair(root: Path) -> bool:
    """Whether ``x.npy`` and ``y.npy`` (or ``images.npy`` and ``labels.npy``) lie in ``root``."""
    return {"x", "y"} <= set(_files(root))


def nearly_npy_pair(path: Path) -> str | None:
    """What is there of ``x.npy`` and ``y.npy`` and what is not; None where neither is, or ``path`` is another file."""
    if path.is_file():
        remedy = "give the folder that holds x.npy and y.npy"
        return f"is one array: {remedy}" if path.suffix.lower() == ".npy" else None
    found = _files(path)
    if "x" in found and "y" not in found:
        return f"has {found['x'].name} but y.npy is missing"
    return f"has {found['y'].name} but x.npy is missing" if "y" in found and "x" not in found else None


def load_npy_pair(root: Path) -> Dataset:
    """The arrays of ``root``, as :func:`nas.data.npz.load_npz` takes them; the images stay on disk.

    Raises:
        InputError: no such file, or an array of another type, rank, length or range.
    """
    arrays = {name: _mapped(file) for name, file in _files(root).items()}
    return dataset_of_arrays(root, arrays, "npy")


def _files(root: Path) -> dict[str, Path]:
    here = {file.name.lower(): file for file in visible_entries(root)[1] if file.suffix.lower() == ".npy"}
    found = {name: [here[f"{word}.npy"] for word in words if f"{word}.npy" in here] for name, words in _CALLED.items()}
    return {name: files[0] for name, files in found.items() if files}


def _mapped(file: Path) -> npt.NDArray[Any]:
    try:
        open_file(file).close()  # which refuses what is no regular file
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an archive of arrays")
    except DAMAGED as error:
        objects = "Object arrays" in str(error) or "Python objects" in str(error)
        why = "it holds Python objects, which are never unpickled" if objects else short(error)
        raise InputError(f"{file}: not an .npy file that can be read ({why}): save it again with np.save") from error
    return array
