"""Draws one plot with matplotlib's Figure objects; no global state, no display."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from nas.indicator import Status
from nas.report.axes import count_label, log_ticks
from nas.report.panel import Axis, Excluded, Panel, Point
from nas.report.place import Box, place_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart in every common form of colour blindness and, by marker, without colour.
_FRONT: Final = "#0072B2"
_REFUTED: Final = "#CC79A7"
_PROTOTYPE: Final = "#D55E00"
_TRAINED: Final = "#8C8C8C"
_EXCLUDED: Final = "#E69F00"
_WIDTH: Final = 3.5  # inches, one journal column
_AXES_HEIGHT: Final = 2.1
_LEFT: Final = 0.5
_AXES_WIDTH: Final = 2.85
_LINE: Final = 0.115  # inches, one line of small print
_SMALL: Final = 6.0  # points
_LETTERS: Final = 77
_LABEL: Final = (0.46, 0.1)  # inches, the word at the prototype
_DOTS: Final[tuple[tuple[bool, str, dict[str, Any]], ...]] = (  # of candidates that are not on the front
    (False, "trained", {"marker": ".", "markersize": 3.5, "markeredgewidth": 0}),
    (True, "stopped on the way", {"marker": "x", "markersize": 2.5, "markeredgewidth": 0.5}),
)
_MARKS: Final[dict[Status, tuple[str, str, str, str]]] = {  # marker, edge, face, legend
    Status.MET: ("o", _FRONT, _FRONT, "front: meets the indicator"),
    Status.UNDECIDED: ("o", _FRONT, "white", "front: undecided"),
    Status.VIOLATED: ("s", _REFUTED, "white", "nearest: violates the indicator"),
}


def draw_panel(axis: Axis, panel: Panel, caption: str) -> Figure:
    """A figure one column wide: title, headline, plot, legend, small print, from top to bottom."""
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    _scale(axes, axis, panel)
    handles = _draw(axes, panel)
    notes = [line for text in _notes(panel, caption) for line in textwrap.wrap(text, _LETTERS)]
    subtitle = textwrap.wrap(panel.subtitle, _LETTERS)
    top = 0.26 + _LINE * len(subtitle)
    bottom = 0.46 + 0.135 * -(-len(handles) // 2) + _LINE * len(notes)
    height = top + _AXES_HEIGHT + bottom
    figure.set_size_inches(_WIDTH, height)
    axes.set_position((_LEFT / _WIDTH, bottom / height, _AXES_WIDTH / _WIDTH, _AXES_HEIGHT / height))
    left = 0.06 / _WIDTH
    figure.text(left, 1 - 0.05 / height, panel.title, va="top", size=8, weight="bold")
    figure.text(left, 1 - 0.2 / height, "\n".join(subtitle), va="top", size=_SMALL, linespacing=1.25)
    figure.text(left, 0.05 / height, "\n".join(notes), va="bottom", size=_SMALL, color="#444444", linespacing=1.25)
    if handles:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (left, (0.12 + _LINE * len(notes)) / height)}
        style: dict[str, Any] = {"frameon": False, "borderpad": 0, "labelspacing": 0.4, "columnspacing": 1.0}
        figure.legend(handles=handles, fontsize=_SMALL, ncols=2, borderaxespad=0, **place, **style)
    return figure


def _notes(panel: Panel, caption: str) -> list[str]:
    return [caption, *([f"Bars: {panel.interval}."] if panel.interval else [])]


def _scale(axes: Axes, axis: Axis, panel: Panel) -> None:
    if axis.log:
        from matplotlib.ticker import FuncFormatter, NullFormatter

        axes.set_xscale("log")
        axes.set_xticks(log_ticks(*panel.xlim))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: count_label(x)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(*panel.xlim)
    axes.set_ylim(*panel.ylim)
    axes.set_xlabel(axis.label, labelpad=2)
    axes.set_ylabel(panel.accuracy_label, labelpad=2)
    axes.tick_params(width=0.6, length=2.5, pad=2)
    axes.grid(visible=True, which="major", color="#E6E6E6", linewidth=0.5)
    axes.set_axisbelow(True)


def _draw(axes: Axes, panel: Panel) -> list[Any]:
    """Draws everything; returns the legend's handles."""
    if not panel.trained:
        axes.text(0.5, 0.5, panel.empty, transform=axes.transAxes, ha="center", va="center", color="#444444")
        return []
    handles = [_shade(axes, e, panel) for e in panel.excluded]
    outside = set(panel.outside)
    inside = [p for p in panel.trained if p not in outside]
    for stopped, word, style in _DOTS:
        shown = [p for p in inside if p.stopped is stopped]
        if shown:
            label = f"{word} ({sum(p.stopped is stopped for p in panel.trained)})"
            xy = [p.x for p in shown], [p.accuracy for p in shown]
            handles += axes.plot(*xy, color=_TRAINED, label=label, zorder=2, linestyle="none", **style)
    if outside:
        handles.append(_edge(axes, panel))
    if len(panel.steps) > 1:
        axes.plot(
            [p.x for p in panel.steps],
            [p.accuracy for p in panel.steps],
            color=_FRONT,
            linewidth=0.8,
            drawstyle="steps-post",
            zorder=3,
        )
    for status, (marker, edge, face, label) in _MARKS.items():
        handles += _members(axes, [p for p in panel.front if p.status is status], (marker, edge, face, label))
    if panel.prototype is not None:
        handles.append(_star(axes, panel, panel.prototype))
    return handles


def _shade(axes: Axes, e: Excluded, panel: Panel) -> Any:
    """Shades what a bound excludes; a bound outside the axes is named in the legend all the same."""
    low, high = panel.xlim if e.on == "x" else panel.ylim
    start, end = (max(e.limit, low), high) if e.beyond else (low, min(e.limit, high))
    label = f"excluded: {e.label}"
    if start >= end:
        return axes.plot([], [], linestyle="none", label=f"{label}, off this axis")[0]
    span = axes.axvspan if e.on == "x" else axes.axhspan
    line = axes.axvline if e.on == "x" else axes.axhline
    if low <= e.limit <= high:
        line(e.limit, color=_EXCLUDED, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    hatch = "\\\\\\" if e.on == "x" else "///"
    return span(start, end, facecolor="#FBF0DC", edgecolor="#EBCB94", hatch=hatch, linewidth=0, zorder=0, label=label)


def _edge(axes: Axes, panel: Panel) -> Any:
    """Triangles at the edge nearest to each candidate that lies outside the axes."""
    (left, right), (bottom, top) = panel.xlim, panel.ylim
    handle = None
    for p in panel.outside:
        x, y = min(max(p.x, left), right), min(max(p.accuracy, bottom), top)
        marker = "v" if p.accuracy < bottom else "^" if p.accuracy > top else ">" if p.x > right else "<"
        style: dict[str, Any] = {"markersize": 3.5, "markeredgewidth": 0, "clip_on": False, "zorder": 4}
        label = f"outside these axes ({len(panel.outside)})"
        (handle,) = axes.plot([x], [y], marker=marker, color="#555555", linestyle="none", label=label, **style)
    return handle


def _members(axes: Axes, points: Sequence[Point], mark: tuple[str, str, str, str]) -> list[Any]:
    if not points:
        return []
    marker, edge, face, label = mark
    x, y = [p.x for p in points], [p.accuracy for p in points]
    ends = [[p.accuracy - p.low for p in points], [p.high - p.accuracy for p in points]]
    axes.errorbar(x, y, yerr=ends, fmt="none", ecolor=edge, elinewidth=0.7, capsize=1.5, capthick=0.7, zorder=3)
    style: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0.9, "markersize": 4, "zorder": 4}
    return list(axes.plot(x, y, marker=marker, markeredgecolor=edge, markerfacecolor=face, label=label, **style))


def _star(axes: Axes, panel: Panel, p: Point) -> Any:
    """The prototype, under the front's marker where it is a member, with its label where that covers least."""
    style: dict[str, Any] = {"markeredgewidth": 0.6, "markeredgecolor": "white", "linestyle": "none", "zorder": 3.5}
    (handle,) = axes.plot([p.x], [p.accuracy], marker="*", markersize=11, color=_PROTOTYPE, label="prototype", **style)

    def inches(x: float, accuracy: float) -> tuple[float, float]:
        across, up = axes.transAxes.inverted().transform(axes.transData.transform((x, accuracy)))
        return float(across) * _AXES_WIDTH, float(up) * _AXES_HEIGHT

    obstacles = [Box(*inches(q.x, q.accuracy), *inches(q.x, q.accuracy)) for q in panel.trained]
    obstacles += [Box(*inches(q.x, q.low), *inches(q.x, q.high)) for q in panel.front]
    obstacles += [Box(*inches(a.x, a.accuracy), *inches(b.x, b.accuracy)) for a, b in itertools.pairwise(panel.steps)]
    mark = inches(p.x, p.accuracy)
    box = place_label(mark, _LABEL, obstacles, Box(0, 0, _AXES_WIDTH, _AXES_HEIGHT))
    offset = ((box.left + box.right) / 2 - mark[0]) * 72, ((box.bottom + box.top) / 2 - mark[1]) * 72
    axes.annotate(
        "prototype",
        (p.x, p.accuracy),
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va="center",
        size=_SMALL + 0.5,
        color=_PROTOTYPE,
        zorder=6,
        arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": _PROTOTYPE, "shrinkA": 0, "shrinkB": 4},
        bbox={"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
    )
    return handle
