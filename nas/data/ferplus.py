"""FERPlus (Barsoum et al. 2016): ten people's votes on each image of FER2013, joined to it row by row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.data.coverage import coverage_warnings
from nas.data.csvlines import columns_of, fields_of, opened_table, whole_number
from nas.data.dataset import Dataset
from nas.data.parts import PARTS, part_called, parts_of
from nas.data.paths import visible_entries
from nas.data.pixelcsv import BadRows, PixelRows, is_pixel_csv, read_pixel_rows
from nas.data.resize import resized
from nas.errors import InputError

CLASS_NAMES: Final = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
_VOTES: Final = (*CLASS_NAMES, "unknown", "nf")
_COLUMNS: Final = ("usage", "image name", *_VOTES)
_MAX_BYTES: Final = 100_000_000  # sixty times the file as published
_NO_MAJORITY: Final = -1
_UNKNOWN: Final = len(PARTS)


class _Ballot(NamedTuple):
    """A row of fer2013new.csv: its ten numbers, whether it names an image, and its part as an index into ``PARTS``."""

    votes: list[int]
    named: bool
    code: int


@dataclass(frozen=True, eq=False)
class _Ballots:
    """The n rows of fer2013new.csv.

    Attributes:
        votes: int64, shape (n, 10): the eight classes, unknown, not a face.  Zeros in a row that cannot be read.
        named: shape (n,), whether the row names an image.
        codes: uint8, shape (n,), the part, as an index into ``PARTS``; 3 is unknown.
        bad: what is wrong with the rows that cannot be read.
        readable: shape (n,), whether the row could be read.
    """

    votes: npt.NDArray[np.int64]
    named: npt.NDArray[np.bool_]
    codes: npt.NDArray[np.uint8]
    readable: npt.NDArray[np.bool_]
    bad: BadRows


def is_votes_csv(path: Path) -> bool:
    """Whether ``path`` is fer2013new.csv, by its name or its columns."""
    if path.suffix.lower() != ".csv":
        return False
    return path.stem.lower() == "fer2013new" or {"image name", *_VOTES} <= set(columns_of(path))


def load_ferplus(path: Path, image_size: int | None = None) -> Dataset:
    """FER2013's images with the labels of FERPlus, from fer2013new.csv beside fer2013.csv.

    A label is what most votes say, by the rule of FERPlus' own code: single votes are outliers and do not count, and a
    class must have more than half of those that are left.  Images without such a class (ties are among them), with
    unknown or not a face in its place, or without a name are left out.  ``soft_labels`` are all votes for the eight
    classes, single ones too, as shares.

    Raises:
        InputError: either file cannot be read or is largely damaged, or their rows do not belong together.
    """
    beside = [file for file in visible_entries(path.parent)[1] if is_pixel_csv(file)]
    images = [file for file in beside if file.stem.lower() == "fer2013"] or beside
    if len(images) != 1:
        found = ", ".join(file.name for file in images) or "none"
        raise InputError(
            f"{path}: votes without images; put fer2013.csv (emotion,pixels,Usage) beside it (found there: {found})"
        )
    ballots = _read_ballots(path)
    rows = read_pixel_rows(images[0])
    _check_alike(path, ballots, images[0], rows)
    return resized(_joined(path, ballots, rows), image_size)


def majority(votes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The class, 0..7, that most votes are for; -1 where it is none of the eight.

    Args:
        votes: shape (n, 10): the eight classes, unknown, not a face.
    """
    counted = np.where(votes > 1, votes, 0)
    winner = counted.argmax(axis=1)
    decided = 2 * counted.max(axis=1) > counted.sum(axis=1)
    return np.where(decided & (winner < len(CLASS_NAMES)), winner, _NO_MAJORITY)


def _joined(path: Path, ballots: _Ballots, rows: PixelRows) -> Dataset:
    decided = majority(ballots.votes)
    at = rows.numbers - 1
    labels = np.where(ballots.named[at], decided[at], _NO_MAJORITY)
    kept = labels != _NO_MAJORITY
    of_classes = ballots.votes[at][kept][:, : len(CLASS_NAMES)].astype(np.float32)
    total = len(ballots.codes)
    nameless = int(np.count_nonzero(ballots.readable & ~ballots.named))
    undecided = int(np.count_nonzero(ballots.readable & ballots.named & (decided == _NO_MAJORITY)))
    left_out = [f"{nameless} images without a name left out, as FERPlus does"] if nameless else []
    if undecided:
        left_out.append(f"{undecided} images without a majority for one of the eight classes left out, as FERPlus does")
    parts = rows.parts
    return Dataset(
        images=rows.images[kept],
        labels=labels[kept],
        class_names=CLASS_NAMES,
        kind="ferplus",
        caption=f"FERPlus (majority of ten votes on FER2013, {int(kept.sum())} images)",
        warnings=(
            *ballots.bad.warnings(total),
            *rows.bad.warnings(total),
            *left_out,
            *coverage_warnings(labels[kept], CLASS_NAMES, None),
        ),
        soft_labels=of_classes / of_classes.sum(axis=1, keepdims=True),
        parts=None if parts is None else parts_of(parts[kept]),
        names=np.array([f"row {number}" for number in rows.numbers[kept]]),
    )


def _read_ballots(path: Path) -> _Ballots:
    bad = BadRows(path)
    found: list[_Ballot | None] = []
    with opened_table(path, _COLUMNS) as (columns, lines, size):
        if size > _MAX_BYTES:
            raise InputError(f"{path}: {size} bytes, more than the {_MAX_BYTES} that are read: it is no fer2013new.csv")
        for number, line in enumerate(lines, 1):
            try:
                found.append(_ballot(fields_of(line), columns))
            except ValueError as error:
                bad.add(number, str(error))
                found.append(None)
    whole = [ballot or _Ballot([0] * len(_VOTES), named=False, code=_UNKNOWN) for ballot in found]
    return _Ballots(
        votes=np.array([ballot.votes for ballot in whole], np.int64).reshape(len(whole), len(_VOTES)),
        named=np.array([ballot.named for ballot in whole], bool),
        codes=np.array([ballot.code for ballot in whole], np.uint8),
        readable=np.array([ballot is not None for ballot in found], bool),
        bad=bad,
    )


def _ballot(fields: list[bytes], columns: tuple[str, ...]) -> _Ballot:
    """One row; ValueError says what is wrong with it."""
    if len(fields) != len(columns):
        raise ValueError(f"{len(fields)} columns instead of {len(columns)}")
    row = dict(zip(columns, fields, strict=True))
    votes = [number for name in _VOTES if (number := whole_number(row[name])) is not None]
    if len(votes) < len(_VOTES):
        raise ValueError("votes that are no whole numbers of at least 0")
    part = part_called(row["usage"].decode("ascii", "replace"))
    return _Ballot(votes, named=bool(row["image name"]), code=_UNKNOWN if part is None else PARTS.index(part))


def _check_alike(path: Path, ballots: _Ballots, images: Path, rows: PixelRows) -> None:
    """Refuses files of which a row of one does not belong to the same row of the other."""
    ours, theirs = ballots.codes, rows.codes
    common = min(len(ours), len(theirs))
    differ = (ours[:common] != theirs[:common]) & (ours[:common] != _UNKNOWN) & (theirs[:common] != _UNKNOWN)
    if differ.any():
        at = int(np.argmax(differ))
        raise InputError(
            f"{path}: row {at + 1} is of the part {PARTS[ours[at]]}, but row {at + 1} of {images.name} of "
            f"{PARTS[theirs[at]]}: the two are joined by row, so that both must be as published, unsorted and complete"
        )
    if len(ours) != len(theirs):
        short = path.name if len(ours) < len(theirs) else images.name
        raise InputError(
            f"{path}: {len(ours)} rows, but {images.name} has {len(theirs)}; {short} has no row {common + 1}: the two "
            "are joined by row, so that both must be complete"
        )
