"""Faces written as numbers, one a row: ``emotion,pixels,Usage`` with 48×48 grey values between blanks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.data.csvlines import columns_of, fields_of, opened_table, whole_number
from nas.data.parts import PARTS, part_called
from nas.errors import InputError

SIDE: Final = 48
_PIXELS: Final = SIDE * SIDE
_MAX_BYTES: Final = 4_000_000_000  # thirteen times FER2013
_UNKNOWN: Final = len(PARTS)  # the code of a row whose part is not known


@dataclass(frozen=True, eq=False)
class PixelRows:
    """What the rows of such a file hold.

    Attributes:
        images: uint8, shape (m, 48, 48, 1), of the m rows that can be used.
        emotions: int64, shape (m,), the numbers in the column ``emotion``.
        numbers: int64, shape (m,), which row each is; the first below the header is row 1.
        codes: uint8, shape (n,), the part of each of all n rows, as an index into ``PARTS``; 3 is unknown.
        bad: what is wrong with the other n - m rows.
    """

    images: npt.NDArray[np.uint8]
    emotions: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    codes: npt.NDArray[np.uint8]
    bad: BadRows

    @property
    def parts(self) -> npt.NDArray[np.str_] | None:
        """The part of each usable row, shape (m,); None where the file has no column ``Usage``."""
        codes = self.codes[self.numbers - 1]
        return None if len(codes) == 0 or codes[0] == _UNKNOWN else np.array(PARTS)[codes]


@dataclass
class BadRows:
    """How many rows of ``path`` cannot be used, and why the first of them cannot."""

    path: Path
    count: int = 0
    first: str = ""
    _lowest: int = field(default=0, repr=False)

    def add(self, number: int, why: str, count: int = 1) -> None:
        """Counts rows, of which ``number`` is the first."""
        if not self.count or number < self._lowest:
            self._lowest, self.first = number, f"row {number}: {why}"
        self.count += count

    def warnings(self, total: int) -> tuple[str, ...]:
        """What to say of them.

        Raises:
            InputError: they are more than half of ``total``.
        """
        if 2 * self.count > total:
            raise InputError(
                f"{self.path}: {self.count} of its {total} rows cannot be used (first: {self.first}): copy it again"
            )
        return (f"{self.count} rows cannot be used and are left out (first: {self.first})",) if self.count else ()


def is_pixel_csv(path: Path) -> bool:
    """Whether ``path`` is a csv with the columns ``emotion`` and ``pixels``, or named like one."""
    if path.suffix.lower() != ".csv":
        return False
    return path.stem.lower() in ("fer2013", "ckextended") or {"emotion", "pixels"} <= set(columns_of(path))


def read_pixel_rows(path: Path) -> PixelRows:
    """The rows of ``path``, in its order; columns in any order, ``Usage`` may be missing.

    Raises:
        InputError: it cannot be read, is empty or lacks a column.
    """
    with opened_table(path, ("emotion", "pixels")) as (columns, lines, size):
        if size > _MAX_BYTES:
            raise InputError(f"{path}: {size} bytes, more than the {_MAX_BYTES} that are read: divide it")
        # A row takes two bytes a pixel at least; what is not used of this array is never given any memory.
        images = np.empty((size // (2 * _PIXELS) + 1, SIDE, SIDE, 1), np.uint8)
        return _filled(images, _Reader(columns), lines, BadRows(path))


def _filled(images: npt.NDArray[np.uint8], reader: _Reader, lines: Iterator[bytes], bad: BadRows) -> PixelRows:
    """``lines`` read into ``images``, which has room for all rows that can be used."""
    emotions: list[int] = []
    numbers: list[int] = []
    codes = bytearray()
    for number, line in enumerate(lines, 1):
        fields = fields_of(line)
        codes.append(reader.code(fields))
        try:
            emotion = reader.emotion(fields)
            images[len(numbers)] = reader.pixels(fields).reshape(SIDE, SIDE, 1)
        except ValueError as error:
            bad.add(number, str(error))
            continue
        emotions.append(emotion)
        numbers.append(number)
    return PixelRows(
        images=images[: len(numbers)],
        emotions=np.array(emotions, np.int64),
        numbers=np.array(numbers, np.int64),
        codes=np.frombuffer(bytes(codes), np.uint8),
        bad=bad,
    )


class _Reader:
    """Takes the fields of a row apart; each method raises ValueError with what is wrong with the row."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._width = len(columns)
        self._emotion = columns.index("emotion")
        self._pixels = columns.index("pixels")
        self._usage = columns.index("usage") if "usage" in columns else None

    def code(self, fields: list[bytes]) -> int:
        """The code of the row's part; that of the unknown where it has none."""
        if self._usage is None or len(fields) != self._width:
            return _UNKNOWN
        part = part_called(fields[self._usage].decode("ascii", "replace"))
        return _UNKNOWN if part is None else PARTS.index(part)

    def emotion(self, fields: list[bytes]) -> int:
        if len(fields) != self._width:
            raise ValueError(f"{len(fields)} columns instead of {self._width}")
        if self._usage is not None and self.code(fields) == _UNKNOWN:
            raise ValueError(f"Usage {_shown(fields[self._usage])} is none of Training, PublicTest, PrivateTest")
        emotion = whole_number(fields[self._emotion])
        if emotion is None:
            raise ValueError(f"emotion {_shown(fields[self._emotion])} is no whole number")
        return emotion

    def pixels(self, fields: list[bytes]) -> npt.NDArray[np.int64]:
        """Values in 0..255, shape (2304,)."""
        text = fields[self._pixels]
        if text.translate(None, b"0123456789 "):
            raise ValueError("its pixels hold something else than whole numbers of at least 0 and blanks")
        values = np.fromstring(text, np.int64, sep=" ") if text else np.empty(0, np.int64)
        if len(values) != _PIXELS:
            raise ValueError(f"{len(values)} pixels instead of {_PIXELS} ({SIDE}x{SIDE})")
        if (highest := values.max()) > 255:
            raise ValueError(f"a pixel of {highest}, outside 0..255")
        return values


def _shown(field: bytes) -> str:
    return repr(field[:20].decode("utf-8", "replace"))
