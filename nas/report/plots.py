"""Accuracy over parameters and over latency, fit for a paper."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from nas.indicator import Indicator
from nas.report.panel import AXES, panel_of
from nas.run.atomic import write_atomic
from nas.run.candidate import Candidate
from nas.run.front import Front

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
    import matplotlib

    from nas.report.draw import draw_panel

    written = []
    with matplotlib.rc_context(_STYLE):
        for axis in AXES:
            figure = draw_panel(axis, panel_of(axis, front, candidates, indicator), caption)
            for kind in _FORMATS:
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, dpi=_DPI, metadata=_METADATA[kind])
                path = folder / f"{axis.file}.{kind}"
                write_atomic(path, buffer.getvalue())
                written.append(path)
    return written
