"""How compressed variants look on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from nas.measurement import Measurement
    from nas.run.variants import Variant

NOTE = (
    "accuracy, its interval and the paired difference (95 %, over test subjects; the luck of training is not in it) "
    "are of the files themselves, run by LiteRT on the out-of-fold images of fold 0"
)
NOTE_OF_VALUES = (
    "rmse is that of the files themselves, run by LiteRT on the out-of-fold images of fold 0, mean over the targets, "
    "without an interval"
)
DOUBT = "?: in doubt, since something else ran on the machine; nas compress --again times it again (and trains again)"

_LEAST_WIDTH = 116  # a narrower terminal breaks the lines; figures that are cut short say nothing


def variants_table(variants: Sequence[Variant]) -> Table:
    """One row a variant, under the float network that it was made from; what no network has is no column."""
    from rich.table import Table

    columns = [
        *("accuracy", "difference", "agrees") * (_any(variants, "accuracy") or not _any(variants, "rmse")),
        *("rmse",) * _any(variants, "rmse"),
        *("bytes", "zip", "zeros", "latency", "ratio"),
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("variant", *columns):
        table.add_column(name, justify="left" if name == "variant" else "right", no_wrap=name != "variant")
    for candidate in dict.fromkeys(v.id for v in variants):
        mine = [v for v in variants if v.id == candidate]
        origin = next((v.original for v in mine if v.original), None)
        if origin:
            table.add_row(candidate, *(_cells(origin)[name] for name in columns), style="bold")
        for v in mine:
            cells = _cells(v.measurements)
            table.add_row(f"  {v.name}", *([cells[name] for name in columns] if v.failure is None else ["failed"]))
    return table


def _any(variants: Sequence[Variant], metric: str) -> bool:
    """Whether one of them, or of the networks that they were made from, has it."""
    return any(metric in measured for v in variants for measured in (v.measurements, v.original))


def show_variants(console: Console, variants: Sequence[Variant]) -> None:
    """The table and what it rests on, and why some failed; nothing where there are none."""
    from rich.console import Console

    if not variants:
        return
    console.print()
    width = max(console.width, _LEAST_WIDTH)
    Console(file=console.file, width=width, highlight=False, markup=False, emoji=False).print(variants_table(variants))
    for line in failures(variants):
        console.print(line, soft_wrap=True)
    if _any(variants, "accuracy"):
        console.print(NOTE, soft_wrap=True)
    if _any(variants, "rmse"):
        console.print(NOTE_OF_VALUES, soft_wrap=True)
    if any(m.doubt is not None for v in variants for m in (*v.measurements.values(), *v.original.values())):
        console.print(DOUBT, soft_wrap=True)


def failures(variants: Iterable[Variant]) -> list[str]:
    """A line for each that failed."""
    return [f"{v.label} failed: {v.failure['reason']}" for v in variants if v.failure is not None]


def _cells(measured: Mapping[str, Measurement]) -> dict[str, str]:
    """What is shown of a file, by column."""
    accuracy, difference, rmse = (measured.get(name) for name in ("accuracy", "difference", "rmse"))
    size, packed, zeros = (measured.get(name) for name in ("size_bytes", "zip_bytes", "sparsity"))
    latency, ratio, agreement = (measured.get(name) for name in ("latency_ms", "latency_ratio", "agreement"))
    return {
        "accuracy": "" if accuracy is None else f"{accuracy.value:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}]",
        "difference": "" if difference is None else " ".join(_points(difference)),
        "agrees": "" if agreement is None else f"{agreement.value:.1%}",
        "rmse": "" if rmse is None else f"{rmse.value:.4f}",
        "bytes": "" if size is None else f"{size.value / 1000:.1f} kB",
        "zip": "" if packed is None else f"{packed.value / 1000:.1f} kB",
        "zeros": "" if zeros is None else f"{zeros.value:.0%}",
        "latency": "" if latency is None else f"{latency.value:.3f} ms{_doubt(latency)}",
        "ratio": "" if ratio is None else f"{ratio.value:.2f}{_doubt(ratio)}",
    }


def _doubt(measured: Measurement) -> str:
    return "" if measured.doubt is None else " ?"


def _points(difference: Measurement) -> list[str]:
    """In percentage points, with its interval."""
    return [f"{100 * difference.value:+.1f}", f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"]
