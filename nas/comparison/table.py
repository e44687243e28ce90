"""The columns of a comparison, and how a figure is written with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from nas.comparison.rows import Row
from nas.measurement import Measurement

MISSING: Final = "-"


class Column(NamedTuple):
    """One figure of every row.

    Attributes:
        figure: its name in :attr:`nas.comparison.rows.Row.figures`.
        title: for people.
        form: how the value and each end are written.
        factor: by which they are multiplied before.
    """

    figure: str
    title: str
    form: str
    factor: float = 1.0


COLUMNS: Final = (
    Column("params", "parameters", ",.0f"),
    Column("macs", "MACs", ",.0f"),
    Column("size_bytes", "float bytes", ",.0f"),
    Column("int8_size_bytes", "int8 bytes", ",.0f"),
    Column("latency_ms", "float ms", ".3g"),
    Column("latency_ratio", "ratio", ".3g"),
    Column("int8_latency_ms", "int8 ms", ".3g"),
    Column("int8_latency_ratio", "int8 ratio", ".3g"),
    Column("fps", "FPS", ",.0f"),
    Column("int8_fps", "int8 FPS", ",.0f"),
    Column("accuracy", "accuracy %", ".1f", 100.0),
    Column("balanced_accuracy", "balanced %", ".1f", 100.0),
    Column("macro_f1", "macro-F1 %", ".1f", 100.0),
    Column("difference", "difference, points", "+.1f", 100.0),
)


def cell(column: Column, figure: Measurement | None) -> tuple[str, str]:
    """Value and interval; the latter is empty for an exact figure, and both for a missing one say so."""
    if figure is None:
        return MISSING, ""
    value, low, high = (format(end * column.factor, column.form) for end in (figure.value, figure.low, figure.high))
    return value, "" if figure.low == figure.high else f"[{low}, {high}]"


def title_of(column: Column, baseline: str) -> str:
    """Of a column; the difference names what it is to."""
    return f"{column.title} to {baseline}" if column.figure == "difference" else column.title


def markdown_table(rows: Sequence[Row], baseline: str) -> list[str]:
    """The lines of the table."""
    titles = ["network", *(title_of(c, baseline) for c in COLUMNS)]
    lines = [_line(titles), _line(["---", *("---:" for _ in COLUMNS)])]
    for row in rows:
        name = f"{row.name} (front)" if row.member else row.name
        cells = (cell(c, row.figures.get(c.figure)) for c in COLUMNS)
        lines.append(_line([name, *(" ".join(part for part in pair if part) for pair in cells)]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
