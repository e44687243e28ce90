"""Finding faces and their eyes in a photograph."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.errors import InputError
from nas.preparation.view import Pixels, Points, usable_eyes

# Between these sides, in pixels, the detector sees a photograph: faces of 48x48 sets fill its smallest window better
# when enlarged, and above a few hundred pixels it only takes longer.
_LEAST_SIDE, _MOST_SIDE = 160, 640


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a photograph; points are (x, y) in pixels from the outer edge of its first pixel.

    Attributes:
        corners: top left and bottom right of the box about it, shape (2, 2).
        eyes: centres of the eyes, left in the photograph first, shape (2, 2); None where they cannot be eyes.
        confidence: the detector's own, 0..1.
    """

    corners: Points
    eyes: Points | None
    confidence: float

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return float(np.prod(self.corners[1] - self.corners[0]))


class Detector(Protocol):
    """Finds faces."""

    @property
    def name(self) -> str:
        """What it is, with its version."""

    def faces(self, photograph: Pixels) -> tuple[Face, ...]:
        """All faces, the largest first, in a photograph, uint8 of shape (h, w, 3)."""


def check_installed() -> None:
    """Raises InputError where the detector's package is missing; says how to install it."""
    if importlib.util.find_spec("mtcnn") is None:
        raise InputError("finding faces needs mtcnn: pip install 'nanosynth[faces]'")


class Mtcnn:
    """Three cascaded networks (Zhang et al. 2016), as the package ``mtcnn`` has them with their weights inside.

    They are loaded when the first face is to be found, which raises InputError where the package is missing.

    Args:
        loading: entered while they are.
    """

    def __init__(self, loading: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._loading = loading
        self._network: Any = None

    @property
    def name(self) -> str:
        """What it is, with its version."""
        return f"mtcnn {version('mtcnn')}"

    def faces(self, photograph: Pixels) -> tuple[Face, ...]:
        """All faces, the largest first, in a photograph, uint8 of shape (h, w, 3)."""
        if self._network is None:
            self._load()
        seen, scale = _seen(photograph)
        found = [_face(each, scale) for each in self._network.detect_faces(seen)]
        return tuple(sorted((face for face in found if face.area > 0), key=lambda face: -face.area))

    def _load(self) -> None:
        check_installed()
        with self._loading():
            from mtcnn import MTCNN

            self._network = MTCNN()


def _seen(photograph: Pixels) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """The photograph as the detector is shown it, and how many pixels (x, y) of that one of its own is."""
    height, width, _ = photograph.shape
    longer = max(height, width)
    factor = min(max(longer, _LEAST_SIDE), _MOST_SIDE) / longer
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    seen = np.asarray(Image.fromarray(photograph).resize(size, Image.Resampling.BICUBIC), dtype=np.uint8)
    return seen, np.array(size, float) / (width, height)


def _face(found: dict[str, Any], scale: npt.NDArray[np.float64]) -> Face:
    left, top, width, height = (float(value) for value in found["box"])
    corners = np.array([[left, top], [left + width, top + height]])
    points = found["keypoints"]
    # Whole pixels, cut off: on average half a pixel more.
    eyes = (np.array([points["left_eye"], points["right_eye"]], float) + 0.5) / scale
    return Face(corners / scale, eyes if usable_eyes(eyes) else None, float(found["confidence"]))
