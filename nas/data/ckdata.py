"""CK_data.h5: the 981 faces of CK+ at 48×48 in one HDF5 file, without the names that would tell the people apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.paths import open_file
from nas.data.resize import resized
from nas.errors import InputError

CLASS_NAMES: Final = ("anger", "disgust", "fear", "happy", "sadness", "surprise", "contempt")
_CKPLUS_COUNTS: Final = (135, 177, 75, 207, 84, 249, 54)
_PIXELS, _LABELS = "data_pixel", "data_label"
_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_MIN_SIDE: Final = 8
_MAX_BYTES: Final = 200_000_000  # ninety times the file as published
_NO_PEOPLE: Final = (
    "CK_data.h5 names neither person nor sequence: no subject-independent split is possible, and near-copies (three "
    "frames of each sequence) can lie on both sides of any; CK+ as distributed and CK+48 hold these faces with subjects"
)
# What HDF5's library and its Python layer raise on damaged files.
_DAMAGED: Final = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError)


def is_hdf5(path: Path) -> bool:
    """Whether a file is, or by its name should be, HDF5."""
    if path.suffix.lower() in (".h5", ".hdf5"):
        return True
    try:
        with open_file(path) as file:
            return path.suffix == "" and file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def is_ck_data(path: Path) -> bool:
    """Whether a file is named like ``CK_data.h5``."""
    return path.suffix.lower() in (".h5", ".hdf5") and path.stem.lower().startswith("ck_data")


def load_ck_data(path: Path, image_size: int | None = None) -> Dataset:
    """The grey faces in ``data_pixel`` with the labels in ``data_label``.

    Raises:
        InputError: arrays of another name, type or shape, labels of another numbering, or more than half of the labels
            outside 0..6.
    """
    images, labels = _arrays(path)
    known = (labels >= 0) & (labels < len(CLASS_NAMES))
    bad = int(np.count_nonzero(~known))
    warnings: tuple[str, ...] = ()
    if bad:
        first = int(np.argmin(known))
        of = f"{bad} of {len(labels)} labels"
        what = f"{of} are none of 0..{len(CLASS_NAMES) - 1} (first: {labels[first]}, image {first})"
        if 2 * bad > len(labels):
            raise InputError(f"{path}: {what}: it is no CK_data.h5, or damaged; copy it again")
        warnings = (f"{what}; these images are left out",)
    _check_numbering(path, labels[known])
    data = Dataset(
        images=images if not bad else images[known],
        labels=labels[known],
        class_names=CLASS_NAMES,
        kind="ck_data.h5",
        caption=f"CK+ as CK_data.h5, subjects unknown ({len(labels) - bad} images)",
        warnings=(*warnings, *coverage_warnings(labels[known], CLASS_NAMES, None), _NO_PEOPLE),
        names=np.array([f"image {number}" for number in np.flatnonzero(known)]),
    )
    return resized(data, image_size)


def _check_numbering(path: Path, labels: npt.NDArray[np.int64]) -> None:
    """Refuses all of CK+ under another numbering, as its class sizes betray it: some scripts number alphabetically."""
    counts = tuple(np.bincount(labels, minlength=len(CLASS_NAMES)).tolist())
    if sorted(counts) != sorted(_CKPLUS_COUNTS) or counts == _CKPLUS_COUNTS:
        return
    expected = ", ".join(f"{number} {name}" for number, name in enumerate(CLASS_NAMES))
    swapped = next(number for number, count in enumerate(counts) if count != _CKPLUS_COUNTS[number])
    meant = CLASS_NAMES[_CKPLUS_COUNTS.index(counts[swapped])]
    raise InputError(
        f"{path}: label {swapped} has {counts[swapped]} images, as {meant} has in CK+, so that its numbering is "
        f"another than {expected}: renumber it"
    )


def _arrays(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images, shape (n, 48, 48, 1), and labels, shape (n,)."""
    import h5py

    try:
        with open_file(path) as handle, h5py.File(handle, "r") as file:
            pixels, labels = (_member(path, h5py, file, name) for name in (_PIXELS, _LABELS))
            _check_shapes(path, pixels, labels)
            return pixels[()][..., np.newaxis], labels[()].astype(np.int64)
    except _DAMAGED as error:
        why = str(error).splitlines()[0] if str(error).strip() else "it cannot be read"
        raise InputError(f"{path}: no HDF5 file that can be read ({why}): copy it again") from error


def _member(path: Path, h5py: Any, file: Any, name: str) -> Any:
    """The array ``name``, none of whose values lie in another file."""
    links = file.id.links  # asked, since to ask for the array itself opens the file that a link leads to
    if not links.exists(name.encode()):
        found = ", ".join(sorted(file)) or "none"
        raise InputError(
            f"{path}: no array {name!r} (found: {found}); read is CK_data.h5 with {_PIXELS} and {_LABELS}: save other "
            "data as an .npz file with arrays x and y"
        )
    member = file[name] if links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD else None
    if not isinstance(member, h5py.Dataset) or member.external or member.is_virtual:
        raise InputError(f"{path}: {name!r} is no array of this file's own: save it with its values")
    return member


def _check_shapes(path: Path, pixels: Any, labels: Any) -> None:
    if pixels.dtype != np.uint8 or len(pixels.shape) != 3 or min(pixels.shape[1:]) < _MIN_SIDE:
        raise InputError(f"{path}: {_PIXELS} is {pixels.dtype} of shape {pixels.shape}; expected uint8 of (n, 48, 48)")
    if labels.dtype.kind not in "iu" or labels.shape != pixels.shape[:1]:
        raise InputError(
            f"{path}: {_LABELS} is {labels.dtype} of shape {labels.shape}; expected {pixels.shape[0]} integers"
        )
    if pixels.size > _MAX_BYTES:
        raise InputError(f"{path}: {_PIXELS} has {pixels.size} bytes, more than the {_MAX_BYTES} that are read")
