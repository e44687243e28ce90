"""Comma-separated files whose first line names the columns."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.data.paths import open_file
from nas.errors import InputError

_HEAD_BYTES: Final = 10_000
_DELIMITERS: Final = (",", ";", "\t")


def csv_columns(path: Path) -> tuple[str, ...]:
    """The columns that the first line names, in lower case; none where it is no such file.  Raises nothing."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        return ()
    try:
        with open_file(path) as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return ()
    line = head.decode("utf-8-sig", "replace").splitlines()[:1]
    try:
        return _names(next(csv.reader(line, delimiter=_delimiter(line[0])), [])) if line else ()
    except csv.Error:
        return ()


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Line number and values by column (lower case, values without surrounding blanks) of each row.

    None for a row that has not as many values as there are columns.

    Raises:
        InputError: the file cannot be read, or holds what is no such text.
    """
    columns = csv_columns(path)
    delimiter = _delimiter_of(path)
    try:
        with open_file(path) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            next(reader, None)
            for values in reader:
                if values:
                    stripped = (value.strip() for value in values)
                    whole = len(values) == len(columns)
                    yield reader.line_num, dict(zip(columns, stripped, strict=True)) if whole else None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check its permissions") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not comma-separated UTF-8 text ({error}): save it again as csv") from error


def _names(columns: list[str]) -> tuple[str, ...]:
    return tuple(column.strip().lower() for column in columns)


def _delimiter_of(path: Path) -> str:
    with open_file(path) as file:
        line = file.read(_HEAD_BYTES).decode("utf-8-sig", "replace").splitlines()[:1]
    return _delimiter(line[0]) if line else ","


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def number_in(text: str) -> float:
    """The number that ``text`` is; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def numbers_in(text: str, count: int) -> npt.NDArray[np.float32]:
    """The ``count`` numbers, separated by semicolons or blanks, that ``text`` holds, shape (count,); else all NaN."""
    try:
        values = np.array(text.replace(";", " ").split(), np.float32)
    except ValueError:
        values = np.empty(0, np.float32)
    return values if len(values) == count else np.full(count, np.nan, np.float32)
