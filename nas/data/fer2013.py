"""FER2013 and ckextended.csv, which share one format, and FER2013 as folders.

Both number the emotions alike from 0 (anger) to 6 (neutral); ckextended.csv alone has a 7, contempt.  Which of the two
a file is decides what the data are called and what is said of leaks, never the label of a row up to 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.data.classfolders import part_folders
from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.folders import read_class_folders
from nas.data.parts import parts_of
from nas.data.paths import image_files, subfolders
from nas.data.pixelcsv import PixelRows, read_pixel_rows
from nas.data.resize import resized
from nas.errors import InputError


@dataclass(frozen=True)
class _Numbering:
    """A data set in this format: its kind, what it is called, the name of each emotion's number, what to warn about."""

    kind: str
    title: str
    class_names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


CLASS_NAMES: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_FER2013: Final = _Numbering("fer2013", "FER2013", CLASS_NAMES)
_CKEXTENDED: Final = _Numbering(
    "ckextended",
    "CK+ as ckextended.csv, subjects unknown",
    ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt"),
    (
        "ckextended.csv names no person: no subject-independent split is possible, and its own Usage does not promise "
        "one; CK+ as distributed and CK+48 have subjects",
    ),
)
_CONTEMPT: Final = 7
# CK+ has 593 sequences, of each of which a few frames are taken; FER2013's smallest part has 3,589 images.
_MOST_OF_CKPLUS: Final = 3000
_FER_NAME: Final = re.compile(r"(?:fer[-_ ]?2013|icml_face_data)(?![a-z]|.*(?:plus|\+))", re.IGNORECASE)
_CK_NAME: Final = re.compile(r"ck[-_ ]?extended|ck(?![a-z])", re.IGNORECASE)
_FER_FILE: Final = re.compile(r"(?:Training|PublicTest|PrivateTest)_\d+\.(?:jpe?g|png)", re.IGNORECASE)
_NEARLY_ALL: Final = 0.9


def load_pixel_csv(path: Path, image_size: int | None = None) -> Dataset:
    """FER2013's or CK+'s faces from ``emotion,pixels,Usage``; the parts are those of the column ``Usage``.

    The file's name decides what it is (``fer2013…``, ``icml_face_data…``; ``ckextended…``, ``ck…``).  Under any other
    name a file with emotion 7 (contempt) is ckextended.csv, provided that it is not longer than that can be, and one
    without is FER2013; a warning says which was taken, where the length leaves it open.

    Raises:
        InputError: it cannot be read, more than half of its rows are damaged, it has one class only, or it can be
            neither of the two.
    """
    rows = read_pixel_rows(path)
    numbering, warnings = _numbering(path, rows.emotions)
    known = rows.emotions < len(numbering.class_names)
    if not known.all():
        first = int(np.argmin(known))
        why = f"emotion {rows.emotions[first]} is none of {numbering.title}'s 0..{len(numbering.class_names) - 1}"
        rows.bad.add(int(rows.numbers[first]), why, int((~known).sum()))
    warnings = rows.bad.warnings(len(rows.codes)) + warnings
    return resized(_dataset(path, numbering, rows, known, warnings), image_size)


def _dataset(
    path: Path, numbering: _Numbering, rows: PixelRows, known: npt.NDArray[np.bool_], warnings: tuple[str, ...]
) -> Dataset:
    labels = rows.emotions[known]
    parts = rows.parts
    if parts is None and len(labels):
        warnings += ("no column Usage: which images are for training and which for testing is not known",)
    return Dataset(
        images=rows.images if known.all() else rows.images[known],
        labels=labels,
        class_names=numbering.class_names,
        kind=numbering.kind,
        caption=f"{numbering.title} ({path.name}, {len(labels)} images)",
        warnings=warnings + coverage_warnings(labels, numbering.class_names, None) + numbering.warnings,
        parts=None if parts is None else parts_of(parts[known]),
        names=np.array([f"row {number}" for number in rows.numbers[known]]),
    )


def _numbering(path: Path, emotions: npt.NDArray[np.int64]) -> tuple[_Numbering, tuple[str, ...]]:
    """Which of the two data sets a file holds, and what to warn about."""
    if _FER_NAME.match(path.stem):
        return _FER2013, ()
    if _CK_NAME.match(path.stem):
        return _CKEXTENDED, ()
    contempt = int(np.count_nonzero(emotions == _CONTEMPT))
    listed = "0 anger 1 disgust 2 fear 3 happy 4 sad 5 surprise 6 neutral"
    if contempt and len(emotions) > _MOST_OF_CKPLUS:
        raise InputError(
            f"{path}: {contempt} of {len(emotions)} rows are of emotion 7, which FER2013 does not have, and they are "
            f"too many for ckextended.csv: what its numbers mean is not known. Where they are {listed} 7 contempt, "
            "name it ckextended.csv; for FERPlus give fer2013new.csv beside fer2013.csv"
        )
    if contempt:
        return _CKEXTENDED, (
            f"read as ckextended.csv, since {contempt} rows are of emotion 7: {listed} 7 contempt; name it fer2013.csv "
            "if it is that",
        )
    likely = len(emotions) > _MOST_OF_CKPLUS
    doubt = () if likely else (f"read as FER2013 ({listed}): name the file ckextended.csv if it is a part of that",)
    return _FER2013, doubt


def pixel_csv_of(files: tuple[Path, ...]) -> Path:
    """The one of several such files that the folder with them is given for: the one of a known name.

    Raises:
        InputError: several have such a name, or none has.
    """
    exact = [file for file in files if file.stem.lower() in ("fer2013", "ckextended")]
    named = [file for file in files if _FER_NAME.match(file.stem) or _CK_NAME.match(file.stem)]
    choice = exact or named or files
    if len(choice) == 1:
        return choice[0]
    names = ", ".join(f.name for f in files)
    raise InputError(f"{files[0].parent}: several files hold labelled pixels ({names}): give one of them")


def looks_like_fer_folders(root: Path) -> bool:
    """Whether the class folders are FER2013's, and nearly all of their images named like ``Training_10118481.jpg``."""
    parts = part_folders(root)
    folders = [folder for top in (parts or (root,)) for folder in subfolders(top) if image_files(folder)]
    if not folders or not {folder.name.lower() for folder in folders} <= set(CLASS_NAMES):
        return False
    named = [bool(_FER_FILE.fullmatch(file.name)) for folder in folders for file in image_files(folder)]
    return sum(named) >= _NEARLY_ALL * len(named)


def load_fer_folders(root: Path, image_size: int | None = None) -> Dataset:
    """FER2013 as ``train/angry/Training_10118481.jpg``, grey, its classes in the order of the csv (neutral is 6).

    The parts are those of the folders: ``test`` holds PublicTest and PrivateTest.

    Raises:
        InputError: fewer than two classes, or more than half of the files unreadable.
    """
    read = read_class_folders(root, image_size, channels=1)
    index = np.array([CLASS_NAMES.index(name.lower()) for name in read.class_names], np.int64)
    labels = index[read.labels]
    return Dataset(
        images=read.images,
        labels=labels,
        class_names=CLASS_NAMES,
        kind=_FER2013.kind,
        caption=f"FER2013 (folders, {len(labels)} images)",
        warnings=read.warnings + coverage_warnings(labels, CLASS_NAMES, None),
        parts=read.parts,
        names=read.names,
    )
