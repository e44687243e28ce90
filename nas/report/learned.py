"""Draws what a run's generators have learned: per-layer widths, and how often each 1x1 convolution is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.report.plots import write_figure
from nas.report.widths import Drawn, layers_of, pointwise_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE: Final = "generator"
_SIZE: Final = (7.0, 5.0)  # inches, two journal columns
# Okabe and Ito's palette; the first entry is the generator that knows nothing.
_COLOURS: Final = ("#8C8C8C", "#D55E00", "#009E73", "#0072B2", "#CC79A7", "#E69F00")
_MARKERS: Final = ("x", "^", "o", "v", "s", "D")


def write_learned(drawn: Sequence[Drawn], folder: Path, *, title: str, caption: str) -> list[Path]:
    """Writes ``generator`` as PNG and SVG, two journal columns wide; returns the paths.

    Args:
        drawn: networks of some generators and preferences, the one that knows nothing first.
        folder: where the files go.
        title: above the plot.
        caption: what the data is, printed under it.

    Raises:
        EnvironmentStopError: the folder cannot be written.
    """
    return write_figure(lambda: _figure(drawn, title, caption), folder, FILE)


def _figure(drawn: Sequence[Drawn], title: str, caption: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 2))
    layers, pointwise = layers_of(drawn), pointwise_of(drawn)
    for i, one in enumerate(drawn):
        place = (i - (len(drawn) - 1) / 2) * 0.7 / len(drawn)
        style = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
        _draw_widths(upper, one, layers, place, style)
        _draw_shares(lower, one, pointwise, place, style)
    _label(upper, layers, "output channels")
    _label(lower, pointwise, "share of networks\nthat have it")
    upper.set_yscale("log", base=2)
    upper.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    upper.set_title("convolutions: median and quartiles, paler where fewer networks have the layer", size=7, loc="left")
    lower.set_title("1x1 convolutions", size=7, loc="left")
    lower.set_ylim(-0.06, 1.06)
    figure.suptitle(title, size=8, weight="bold", ha="left", x=0.01)
    handles, labels = lower.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False, fontsize=6)
    lower.set_xlabel(caption, size=6, color="#444444", loc="left")
    return figure


def _draw_widths(axes: Axes, one: Drawn, layers: Sequence[str], place: float, style: dict[str, Any]) -> None:
    """A marker at the median, a bar over the quartiles."""
    for x, width in enumerate(one.widths(layers)):
        if width is None:
            continue
        alpha = 0.25 + 0.75 * width.share
        axes.plot([x + place] * 2, [width.low, width.high], color=style["color"], linewidth=1.2, alpha=alpha)
        axes.plot([x + place], [width.middle], **style, markersize=3, linestyle="none", alpha=alpha)


def _draw_shares(axes: Axes, one: Drawn, names: Sequence[str], place: float, style: dict[str, Any]) -> None:
    shares = [0.0 if width is None else width.share for width in one.widths(names)]
    at = [x + place for x in range(len(names))]
    axes.plot(at, shares, **style, markersize=3, linestyle="none", label=one.label)


def _label(axes: Axes, names: Sequence[str], what: str) -> None:
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=5.5)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel(what, labelpad=2)
    axes.tick_params(width=0.6, length=2.5, pad=2)
    axes.grid(visible=True, axis="y", color="#E6E6E6", linewidth=0.5)
    axes.set_axisbelow(True)
