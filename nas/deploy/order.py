"""What is to be exported, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.deploy.held import HeldImages
from nas.indicator import Indicator
from nas.run.candidate import Candidate
from nas.run.directory import RunDirectory


@dataclass(frozen=True, eq=False)
class ExportOrder:
    """What is exported, apart from the candidate.

    Attributes:
        directory: the run.
        out: where the candidate's folder goes, ``<out>/<id>/``.
        formats: names of :data:`nas.deploy.formats.FORMATS`.
        class_names: in the order of the network's probabilities.
        caption: how the data must be named, verbatim.
        indicator: of the run.
        prototype: trial 0, beside which the card shows the candidate.
        images: for calibration and test; None where the data is not at hand, and then int8 cannot be made and the
            others are compared on noise.
        no_images: why there are none; empty where there are, or it is not known.
        target_names: in the order of the network's values.
    """

    directory: RunDirectory
    out: Path
    formats: tuple[str, ...]
    class_names: tuple[str, ...]
    caption: str
    indicator: Indicator
    prototype: Candidate
    images: HeldImages | None = None
    no_images: str = ""
    target_names: tuple[str, ...] = ()
