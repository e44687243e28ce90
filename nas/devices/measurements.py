"""Networks and what they took on a device: from a file, or from a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from nas.architecture import Architecture
from nas.decoding import field, reason
from nas.errors import DecodeError, InputError
from nas.graph import Graph
from nas.indicator import LATENCY_RATIO
from nas.measurement import is_number
from nas.run.candidate import Candidate

_MAX_BYTES: Final = 100_000_000


@dataclass(frozen=True)
class Measured:
    """Networks with their latencies on one device, and its fingerprint."""

    graphs: tuple[Graph, ...]
    latencies_ms: tuple[float, ...]
    source: Mapping[str, Any]


def read_measurements(path: Path) -> Measured:
    """Reads JSON as the measuring script writes it, or CSV.

    JSON: ``{"device": {...}, "networks": [{"graph" or "architecture": ..., "latency_ms": ...}]}``.  CSV: a column
    ``architecture`` or ``graph`` (JSON) and a column ``latency_ms``.  Where all networks have a ``ratio`` to a
    reference and the ``reference_ms`` measured beside it, the ratio times the median reference is taken: it repeats
    better.

    Raises:
        InputError: no such file, or one that holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path}: more than {_MAX_BYTES} bytes, the most that measurements may have")
    try:
        text = content.decode()
        return _of_csv(text) if path.suffix.lower() == ".csv" else _of_json(json.loads(text))
    except (ValueError, RecursionError, csv.Error, DecodeError) as error:
        raise InputError(
            f"{path}: not measurements ({reason(error)}); give measurements.json of a pack, or a CSV file with columns "
            "architecture (or graph) and latency_ms"
        ) from error


def _of_json(data: Any) -> Measured:
    rows = field(data, "networks", list)
    graphs = [_graph(row, i) for i, row in enumerate(rows)]
    return Measured(tuple(graphs), tuple(_latencies(rows)), dict(field(data, "device", dict)))


def _of_csv(text: str) -> Measured:
    rows: list[dict[str, Any]] = []
    for line in csv.DictReader(io.StringIO(text, newline="")):
        row: dict[str, Any] = {name: json.loads(line[name]) for name in ("architecture", "graph") if line.get(name)}
        rows.append({**row, "latency_ms": float(line.get("latency_ms") or "nan")})
    graphs = [_graph(row, i) for i, row in enumerate(rows)]
    return Measured(tuple(graphs), tuple(_latencies(rows)), {"processor": "unknown: measured by hand"})


def _graph(row: Any, index: int) -> Graph:
    try:
        if isinstance(row, Mapping) and "graph" in row:
            return Graph.from_json(field(row, "graph", list))
        return Architecture.from_json(json.dumps(field(row, "architecture", dict))).graph()
    except DecodeError as error:
        raise DecodeError(f"network {index}: {error}") from error


def _latencies(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    for i, row in enumerate(rows):
        if not is_number(row.get("latency_ms")) or not row["latency_ms"] > 0:
            raise DecodeError(f"network {i}: latency_ms {row.get('latency_ms')!r:.80} is no number above 0")
    paired = [(row.get("ratio"), row.get("reference_ms")) for row in rows]
    if rows and all(is_number(a) and is_number(b) and a > 0 and b > 0 for a, b in paired):  # type: ignore[operator]
        reference_ms = median(float(b) for _, b in paired)  # type: ignore[arg-type]
        return [float(a) * reference_ms for a, _ in paired]  # type: ignore[arg-type]
    return [float(row["latency_ms"]) for row in rows]


def of_run(candidates: Sequence[Candidate], source: Mapping[str, Any]) -> Measured:
    """What a run's evaluators measured, repeats left out; quotients to the prototype times its median latency.

    Args:
        candidates: of the run.
        source: of the machine that measured, as run.yaml has it.
    """
    graphs, ratios, prototype_ms = [], [], []
    for c in candidates:
        ms, ratio = (
            None if c.outcome is None else c.outcome.measurements.get(n) for n in ("latency_ms", LATENCY_RATIO)
        )
        if c.repeat_of is None and ms is not None and ratio is not None and ratio.value > 0:
            graphs.append(c.network().graph())
            ratios.append(ratio.value)
            prototype_ms.append(ms.value / ratio.value)
    reference_ms = median(prototype_ms) if prototype_ms else 0.0
    return Measured(tuple(graphs), tuple(r * reference_ms for r in ratios), dict(source))
