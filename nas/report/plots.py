"""Accuracy over parameters and over latency, fit for a paper; and how every figure of ours is written."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.indicator import Indicator
from nas.report.panel import AXES, panel_of
from nas.run.atomic import write_atomic
from nas.run.candidate import Candidate
from nas.run.front import Front

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS: Final = ("png", "svg")
_DPI: Final = 300
# No date and no random ids, so that the same run gives the same bytes.
_STYLE: Final[Any] = {"svg.hashsalt": "nas", "font.size": 7.0, "axes.linewidth": 0.6, "hatch.linewidth": 0.5}
_METADATA: Final[dict[str, dict[str, Any]]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": "nas"}}


def write_plots(
    front: Front, candidates: Sequence[Candidate], indicator: Indicator, folder: Path, *, caption: str
) -> list[Path]:
    """Writes ``accuracy_params`` and ``accuracy_latency`` as PNG (300 dpi) and SVG, one journal column wide (3.5 inch).

    A candidate that has no latency is left out of the latency plot.  The same arguments give the same bytes.

    Args:
        front: whose members are marked and joined.
        candidates: all of the run; those that were trained are drawn, trial 0 as the prototype.
        indicator: its bounds on accuracy, parameters and latency shade what they exclude.
        folder: where the files go; made when it does not exist.
        caption: what the data is, printed under the plot.

    Returns:
        The paths written.

    Raises:
        EnvironmentStopError: the folder cannot be written.
    """
    from nas.report.draw import draw_panel

    written = []
    for axis in AXES:
        panel = panel_of(axis, front, candidates, indicator)
        written += write_figure(partial(draw_panel, axis, panel, caption), folder, axis.file)
    return written


def write_figure(draw: Callable[[], Figure], folder: Path, name: str) -> list[Path]:
    """Writes what ``draw`` makes as PNG and SVG, in the style of all our plots; returns the paths."""
    import matplotlib

    written = []
    with matplotlib.rc_context(_STYLE):
        figure = draw()
        for kind in _FORMATS:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=_DPI, metadata=_METADATA[kind])
            path = folder / f"{name}.{kind}"
            write_atomic(path, buffer.getvalue())
            written.append(path)
    return written
