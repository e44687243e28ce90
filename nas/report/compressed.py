"""Accuracy over the bytes of a file and of its zip: the members that were compressed, and their variants."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.measurement import Measurement
from nas.report.axes import count_label, log_ticks
from nas.report.plots import write_figure
from nas.run.front import Front
from nas.run.variants import Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE: Final = "accuracy_bytes"
# Okabe and Ito's palette; markers tell the methods apart without it.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5C5C5C")
_MARKERS: Final = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
_FLOAT: Final = "float32, as searched"
_PANELS: Final = (("size_bytes", "bytes of the TFLite file"), ("zip_bytes", "bytes of its zip"))
_WIDTH: Final = 3.5  # inches, one journal column
_HEIGHT: Final = 1.75  # of one panel
_LETTERS: Final = 77
_SMALL: Final = 6.0  # points
_NOTE: Final = (
    "Accuracy of the files themselves on the out-of-fold images of fold 0; bars: two-sided 95 % over the test "
    "subjects. Each grey line joins a variant to the float network that it was made from: of such pairs only the "
    "paired difference (nas front) says whether they differ."
)

Point = tuple[float, Measurement]  # bytes, accuracy


def write_compressed(front: Front, variants: Mapping[str, Sequence[Variant]], folder: Path, caption: str) -> list[Path]:
    """Writes ``accuracy_bytes`` as PNG and SVG; nothing where no member of the front has a variant.

    Args:
        front: whose members are shown.
        variants: by the candidate's id.
        folder: where the files go.
        caption: what the data is.

    Returns:
        The paths written.

    Raises:
        EnvironmentStopError: the folder cannot be written.
    """
    made = [v for m in front.members for v in variants.get(m.id, ()) if _shown(v)]
    return write_figure(partial(_draw, made, caption), folder, FILE) if made else []


def _shown(v: Variant) -> bool:
    """Whether it was made, and measured beside its original."""
    return v.failure is None and all(
        {"accuracy", "size_bytes", "zip_bytes"} <= set(m) for m in (v.measurements, v.original)
    )


def _draw(variants: Sequence[Variant], caption: str) -> Figure:
    """One panel a kind of bytes, above the legend and the small print."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(v.name for v in variants))
    notes = [line for text in (caption, _NOTE) for line in textwrap.wrap(text, _LETTERS)]
    bottom = 0.2 + 0.14 * -(-(len(names) + 1) // 3) + 0.115 * len(notes)
    height = 0.3 + len(_PANELS) * (_HEIGHT + 0.42) + bottom
    figure = Figure(figsize=(_WIDTH, height))
    handles: list[Any] = []
    for number, (metric, label) in enumerate(_PANELS):
        low = height - 0.3 - _HEIGHT - number * (_HEIGHT + 0.42)
        axes = figure.add_axes((0.5 / _WIDTH, low / height, 2.85 / _WIDTH, _HEIGHT / height))
        handles = _panel(axes, variants, names, metric)
        _scale(axes, label)
    left = 0.06 / _WIDTH
    figure.text(left, 1 - 0.05 / height, "Accuracy and bytes of compressed variants", va="top", size=8, weight="bold")
    figure.text(left, 0.05 / height, "\n".join(notes), va="bottom", size=_SMALL, color="#444444", linespacing=1.25)
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (left, (0.12 + 0.115 * len(notes)) / height)}
    figure.legend(handles=handles, fontsize=_SMALL, ncols=3, frameon=False, borderpad=0, borderaxespad=0, **place)
    return figure


def _panel(axes: Axes, variants: Sequence[Variant], names: Sequence[str], metric: str) -> list[Any]:
    """Draws the points; returns the legend's handles."""
    origins: dict[str, Point] = {}
    for v in variants:
        origins[v.id] = _point(v.original, metric)
        ends = origins[v.id], _point(v.measurements, metric)
        line = [x for x, _ in ends], [100 * a.value for _, a in ends]
        axes.plot(*line, color="#C8C8C8", linewidth=0.5, zorder=1)
    handles = [_marks(axes, list(origins.values()), ("o", "#000000", _FLOAT))]
    for number, name in enumerate(names):
        points = [_point(v.measurements, metric) for v in variants if v.name == name]
        style = _MARKERS[number % len(_MARKERS)], _COLOURS[number % len(_COLOURS)], name
        handles.append(_marks(axes, points, style))
    return handles


def _point(measured: Mapping[str, Measurement], metric: str) -> Point:
    return measured[metric].value, measured["accuracy"]


def _marks(axes: Axes, points: Sequence[Point], style: tuple[str, str, str]) -> Any:
    marker, colour, label = style
    x, y = [x for x, _ in points], [100 * a.value for _, a in points]
    ends = [[100 * (a.value - a.low) for _, a in points], [100 * (a.high - a.value) for _, a in points]]
    axes.errorbar(x, y, yerr=ends, fmt="none", ecolor=colour, elinewidth=0.5, alpha=0.5, zorder=2)
    look: dict[str, Any] = {"markersize": 4, "markeredgewidth": 0.4, "markeredgecolor": "white", "linestyle": "none"}
    return axes.plot(x, y, marker=marker, color=colour, label=label, zorder=3, **look)[0]


def _scale(axes: Axes, label: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks(log_ticks(low, high))
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: count_label(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label, labelpad=2)
    axes.set_ylabel("accuracy (%, fold 0)", labelpad=2)
    axes.tick_params(width=0.6, length=2.5, pad=2)
    axes.grid(visible=True, which="major", color="#E6E6E6", linewidth=0.5)
    axes.set_axisbelow(True)
