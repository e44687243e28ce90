"""A csv of numbers, line by line, of which none but the one at hand is in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from nas.data.paths import open_file
from nas.errors import InputError

LONGEST: Final = 100_000  # bytes of a line; ten times those of a row of 48×48 pixels
_BOM: Final = b"\xef\xbb\xbf"
_SHOWN: Final = 80


def columns_of(path: Path) -> tuple[str, ...]:
    """The names in the first line that is not blank, in lower case; none where there is no such line to read."""
    try:
        with open_file(path) as file:
            return _names(next(_lines(file), b""))
    except OSError:
        return ()


@contextmanager
def opened_table(path: Path, required: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Iterator[bytes], int]]:
    """The columns of a csv file, its rows that are not blank, and its size in bytes.

    Args:
        path: the file.
        required: columns that must be there, in lower case.

    Raises:
        InputError: it cannot be read, is empty, or lacks a column.
    """
    try:
        with open_file(path) as file:
            lines = _lines(file)
            columns = _names(first := next(lines, b""))
            if not first:
                raise InputError(f"{path}: the file is empty; expected the columns {','.join(required)}: copy it again")
            lacking = [name for name in required if name not in columns]
            if lacking:
                shown = first[:_SHOWN].decode("utf-8", "replace")
                raise InputError(
                    f"{path}: no column {' nor '.join(map(repr, lacking))} in its first line ({shown}); expected "
                    f"{','.join(required)}, separated by commas, as UTF-8"
                )
            yield columns, lines, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}): check how it was copied") from error


def fields_of(line: bytes) -> list[bytes]:
    """The fields of a row, without quotation marks and the blanks around them; no field may hold a comma."""
    return [field.strip(b' \t"') for field in line.split(b",")]


def whole_number(field: bytes) -> int | None:
    """The number that ``field`` writes in at most six digits, else None."""
    return int(field) if field.isdigit() and len(field) <= 6 else None


def _names(line: bytes) -> tuple[str, ...]:
    return tuple(field.decode("utf-8", "replace").lower() for field in fields_of(line))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines without blanks and ends around them, none of them empty; what is longer than ``LONGEST`` is cut there."""
    while line := file.readline(LONGEST):
        cut = len(line) == LONGEST and not line.endswith(b"\n")
        while cut and (more := file.readline(LONGEST)) and not more.endswith(b"\n"):
            pass
        if line := line.removeprefix(_BOM).strip():
            yield line
