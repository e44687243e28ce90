"""The outcome of a comparison, and the files that tell of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from nas.comparison.protocol import ComparisonProtocol
from nas.comparison.rows import Row
from nas.comparison.statements import Statement
from nas.comparison.table import COLUMNS, markdown_table
from nas.data.folds import Split
from nas.measurement import Measurement
from nas.run.atomic import write_atomic
from nas.run.lock import utc_now
from nas.run.provenance import machine, versions
from nas.settings import Settings

SCHEMA: Final = 1
_ALIKE: Final = (
    "Every network was trained on the same folds, by the same recipe, with the same seeds and epochs, and batch "
    "normalisation with momentum 0.9 in all of them; neither the recipe nor the epochs were tuned for any of them. "
)
_CAVEATS: Final = (
    "The members were chosen by the search on images of these subjects, which the known networks were not: in that "
    "they have an advantage that these intervals do not contain (the subjects set aside are free of it: nas certify).",
    "Files and latencies are of the networks with made-up weights: neither depends on what a network has learned. "
    "Intervals of latencies are 95 % by order statistics over blocks; what was in doubt was timed twice.",
)


@dataclass(frozen=True)
class Comparison:
    """Networks side by side.

    Attributes:
        rows: members of the front first.
        statements: one for each known network.
        about: data, folds, recipe and machine, as plain data.
    """

    rows: tuple[Row, ...]
    statements: tuple[Statement, ...]
    about: Mapping[str, Any]

    @property
    def caveats(self) -> tuple[str, ...]:
        """What must be kept in mind."""
        pretrained = self.about["pretrained"]
        start = f"From ImageNet weights: {', '.join(pretrained)}; all others from scratch." if pretrained else ""
        return _ALIKE + (start or "All were trained from scratch."), *_CAVEATS

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema": SCHEMA,
            **self.about,
            "rows": [row.to_json() for row in self.rows],
            "statements": [s.to_json() for s in self.statements],
            "caveats": list(self.caveats),
        }

    def to_csv(self) -> str:
        """One line a network: each figure with the ends of its interval; empty where it is not known."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        names = [column.figure for column in COLUMNS]
        writer.writerow(
            ["id", "name", "member", *(f"{n}{end}" for n in names for end in ("", "_low", "_high")), "failures"]
        )
        for row in self.rows:
            cells = [cell for n in names for cell in _ends(row.figures.get(n))]
            writer.writerow([row.id, row.name, row.member, *cells, "; ".join(row.failures)])
        return buffer.getvalue()

    def to_markdown(self) -> str:
        """The table with what must be said beside it."""
        a = self.about
        lines = [
            "# The front beside known networks",
            "",
            f"Measured on: **{a['caption']}**.",
            "",
            f"{a['split']['protocol']}; {a['protocol']['epochs']} epochs, {a['protocol']['seeds']} training(s) a fold. "
            f"Intervals of accuracies and differences: 95 %. Differences are to {a['baseline']}, paired by subject "
            f"where subjects are known. Ratios are to the latency of the run's prototype ({a['reference']}).",
            "",
            *markdown_table(self.rows, a["baseline"]),
            "",
            *(f"- {row.name}: {failure}" for row in self.rows for failure in row.failures),
            *([""] if any(row.failures for row in self.rows) else []),
            "## What it shows",
            "",
            *(f"- {s.text}" for s in self.statements),
            "",
            "## What to keep in mind",
            "",
            *(f"- {c}" for c in self.caveats),
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> list[Path]:
        """Writes ``table.md``, ``compare.csv``, ``compare.json`` and the plot; returns the paths.

        Raises:
            EnvironmentStopError: the folder cannot be written.
        """
        from nas.comparison.plot import write_plot

        told = json.dumps(self.to_json(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        texts = {"table.md": self.to_markdown(), "compare.csv": self.to_csv(), "compare.json": told}
        for name, text in texts.items():
            write_atomic(folder / name, text)
        return [*(folder / name for name in texts), *write_plot(self, folder)]


def _ends(figure: Measurement | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if figure is None else (figure.value, figure.low, figure.high)


def described(
    caption: str, settings: Settings, protocol: ComparisonProtocol, seeds: Sequence[int], split: Split
) -> dict[str, Any]:
    """What all rows share, as plain data."""
    return {
        "written": utc_now(),
        "caption": caption,
        "data_fingerprint": settings.data_fingerprint,
        "protocol": {**asdict(protocol), "name": protocol.name, "training_seeds": list(seeds)},
        "split": split.describe(),
        "recipe": asdict(settings.recipe),
        "versions": versions(),
        "machine": machine(),
    }
