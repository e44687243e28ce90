"""One face being drawn: who, doing what, seen how, on which canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nas.data.synthetic.action_units import Activation
from nas.data.synthetic.canvas import Canvas
from nas.data.synthetic.identity import Identity
from nas.data.synthetic.pose import Pose
from nas.data.synthetic.shape import shape_of

Points = npt.NDArray[np.float64]

OUTWARD = (-1.0, 1.0)
"""Sign of x that points away from the midline, for image-left (0) and image-right (1)."""

_FAINT = 0.02


@dataclass(frozen=True)
class Sketch:
    """What every drawing function reads; points are in face pixels until :meth:`at` projects them."""

    face: Identity
    activation: Activation
    pose: Pose
    canvas: Canvas = field(default_factory=Canvas)

    @cached_property
    def points(self) -> Points:
        """Moved landmarks in face pixels, shape (68, 2)."""
        return shape_of(self.face, self.activation)

    @cached_property
    def landmarks(self) -> Points:
        """Moved landmarks in frame pixels, shape (68, 2)."""
        return self.pose.project(self.points)

    def at(self, points: Sequence[tuple[float, float]] | Points) -> Points:
        """Frame pixels of ``points`` given in face pixels, shape (n, 2)."""
        return self.pose.project(np.asarray(points, dtype=np.float64))

    def length(self, face_px: float) -> float:
        """Frame pixels of a length in face pixels."""
        return face_px * self.pose.scale

    def point(self, landmark: int) -> tuple[float, float]:
        """One moved landmark (x, y) in face pixels."""
        return float(self.points[landmark, 0]), float(self.points[landmark, 1])

    def crease(self, line: Sequence[tuple[float, float]], depth: float, width: float) -> None:
        """A fold of the skin: a dark line (points in face pixels) with a lit lip below it; nothing if shallow."""
        if depth < _FAINT:
            return
        along = self.at(line)
        lip = along + np.array([0.0, self.length(width * 0.9)])
        self.canvas.stroke(lip, 0.35 * depth, self.length(width), 0.9)
        self.canvas.stroke(along, -depth, self.length(width), 0.9)

    def shade(self, centre: tuple[float, float], radii: tuple[float, float], gain: float) -> None:
        """Lighten (or darken) a soft ellipse, centre and radii in face pixels."""
        if abs(gain) >= _FAINT:
            self.canvas.blob(self.pose.project_one(*centre), (self.length(radii[0]), self.length(radii[1])), gain)
