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
DOUBT = "?: in doubt, since something else ran on the machine; nas compress --again times it again (and trains again)"

_LEAST_WIDTH = 116  # a narrower terminal breaks the lines; figures that are cut short say nothing


def variants_table(variants: Sequence[Variant]) -> Table:
    """One row a variant, under the float network that it was made from."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("variant", "accuracy", "difference", "agrees", "bytes", "zip", "zeros", "latency", "ratio"):
        table.add_column(name, justify="left" if name == "variant" else "right", no_wrap=name != "variant")
    for candidate in dict.fromkeys(v.id for v in variants):
        mine = [v for v in variants if v.id == candidate]
        origin = next((v.original for v in mine if v.original), None)
        if origin:
            table.add_row(candidate, *_cells(origin), style="bold")
        for v in mine:
            table.add_row(f"  {v.name}", *(_cells(v.measurements) if v.failure is None else ["failed"]))
    return table


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
    console.print(NOTE, soft_wrap=True)
    if any(m.doubt is not None for v in variants for m in (*v.measurements.values(), *v.original.values())):
        console.print(DOUBT, soft_wrap=True)


def failures(variants: Iterable[Variant]) -> list[str]:
    """A line for each that failed."""
    return [f"{v.label} failed: {v.failure['reason']}" for v in variants if v.failure is not None]


def _cells(measured: Mapping[str, Measurement]) -> list[str]:
    accuracy, difference = measured.get("accuracy"), measured.get("difference")
    size, packed, zeros = (measured.get(name) for name in ("size_bytes", "zip_bytes", "sparsity"))
    latency, ratio, agreement = (measured.get(name) for name in ("latency_ms", "latency_ratio", "agreement"))
    return [
        "" if accuracy is None else f"{accuracy.value:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}]",
        "" if difference is None else " ".join(_points(difference)),
        "" if agreement is None else f"{agreement.value:.1%}",
        "" if size is None else f"{size.value / 1000:.1f} kB",
        "" if packed is None else f"{packed.value / 1000:.1f} kB",
        "" if zeros is None else f"{zeros.value:.0%}",
        "" if latency is None else f"{latency.value:.3f} ms{_doubt(latency)}",
        "" if ratio is None else f"{ratio.value:.2f}{_doubt(ratio)}",
    ]


def _doubt(measured: Measurement) -> str:
    return "" if measured.doubt is None else " ?"


def _points(difference: Measurement) -> list[str]:
    """In percentage points, with its interval."""
    return [f"{100 * difference.value:+.1f}", f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"]
