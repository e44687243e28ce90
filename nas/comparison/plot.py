"""Accuracy of the front and of known networks over latency and over parameters, in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.comparison.rows import Row
from nas.report.axes import count_label, log_ticks
from nas.report.plots import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nas.comparison.result import Comparison

_PANELS: Final = (("latency_ms", "latency, float32, ms"), ("params", "parameters"))
_KNOWN: Final = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito's palette
_MARKS: Final = "sD^vP*X<>phd"
_FRONT: Final = "#0072B2"


def write_plot(comparison: Comparison, folder: Path) -> list[Path]:
    """Writes ``compare.png`` and ``compare.svg``; returns the paths.  Raises EnvironmentStopError."""
    return write_figure(partial(_draw, comparison), folder, "compare")


def _draw(comparison: Comparison) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, label) in zip(panels, _PANELS, strict=True):
        _panel(axes, name, label, comparison.rows)
    panels[0].set_ylabel("accuracy, % (bars: 95 %)")
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False, fontsize=6, bbox_to_anchor=(0.5, 0.045))
    a = comparison.about
    start = "" if a["pretrained"] else " from scratch"
    told = f"{a['caption']}; {a['protocol']['folds']} folds, {a['protocol']['epochs']} epochs{start}"
    figure.text(0.01, 0.012, told, size=5.5, color="#444444")
    lines = -(-(len(labels)) // 4)
    figure.subplots_adjust(left=0.07, right=0.98, top=0.97, bottom=0.2 + 0.042 * lines, wspace=0.06)
    return figure


def _panel(axes: Axes, name: str, label: str, rows: Sequence[Row]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    drawn = [r for r in rows if name in r.figures and "accuracy" in r.figures]
    members = [r for r in drawn if r.member]
    if members:
        _points(axes, name, members, {"marker": "o", "color": _FRONT, "label": "front of the run"})
    for number, row in enumerate(r for r in rows if not r.member):
        if row in drawn:
            color, marker = _KNOWN[number % len(_KNOWN)], _MARKS[number % len(_MARKS)]
            _points(axes, name, [row], {"marker": marker, "color": color, "label": row.name})
    values = [end for r in drawn for end in (r.figures[name].low, r.figures[name].high)]
    axes.set_xscale("log")
    if values:
        low, high = min(values) / 1.25, max(values) * 1.25
        axes.set_xlim(low, high)
        axes.set_xticks(log_ticks(low, high))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: count_label(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)
    axes.grid(visible=True, which="major", color="#E6E6E6", linewidth=0.5)
    axes.set_axisbelow(True)


def _points(axes: Axes, name: str, rows: Sequence[Row], style: dict[str, Any]) -> None:
    x, y = [r.figures[name] for r in rows], [r.figures["accuracy"] for r in rows]
    axes.errorbar(
        [m.value for m in x],
        [100 * m.value for m in y],
        xerr=[[m.value - m.low for m in x], [m.high - m.value for m in x]],
        yerr=[[100 * (m.value - m.low) for m in y], [100 * (m.high - m.value) for m in y]],
        linestyle="none",
        markersize=4,
        elinewidth=0.7,
        capsize=1.5,
        capthick=0.7,
        **style,
    )
