"""Light on the face and what the camera makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.data.synthetic.difficulty import Difficulty
from nas.data.synthetic.draw import Draw

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """Conditions of one sequence.

    Attributes:
        light: direction (x right, y down) that the light comes from; (0, 0) is the viewer's.
        gain, offset: of the grey scale.
        bend: of the grey scale, positive lifts the middle tones (as a gamma below 1 does).
        blur: share that each pixel takes from its neighbours, per axis.
        noise: standard deviation of the grain, of full scale.
        gaze: of both eyes, face pixels (x right, y down).
    """

    light: tuple[float, float] = (0.0, -0.2)
    gain: float = 1.0
    offset: float = 0.0
    bend: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)

    def expose(self, grey: Floats, grain: Draw) -> npt.NDArray[np.uint8]:
        """The picture of a drawn frame, both of shape (h, w); ``grain`` draws its noise."""
        soft = grey
        for axis in (0, 1):
            soft = soft + self.blur * (_shifted(soft, axis, 1) + _shifted(soft, axis, -1) - 2.0 * soft)
        toned = np.minimum(np.maximum(soft * self.gain + self.offset, 0.0), 1.0)
        toned = toned + self.bend * toned * (1.0 - toned)
        if self.noise > 0.0:
            toned = toned + self.noise * grain.grain((grey.shape[0], grey.shape[1]))
        levels = np.floor(toned * 255.0 + 0.5)
        return np.minimum(np.maximum(levels, 0.0), 255.0).astype(np.uint8)


def _shifted(grey: Floats, axis: int, step: int) -> Floats:
    """``grey`` moved by one pixel, its edge repeated."""
    index = np.minimum(np.maximum(np.arange(grey.shape[axis]) + step, 0), grey.shape[axis] - 1)
    moved: Floats = np.take(grey, index, axis=axis)
    return moved


def draw_camera(draw: Draw, difficulty: Difficulty) -> Camera:
    """Random conditions within the ranges of ``difficulty``."""
    side = difficulty.light
    return Camera(
        light=(draw.spread(side), draw.bell(-0.7 * side, 0.35 * side)),
        gain=draw.bell(0.75, 1.25),
        offset=draw.spread(0.08),
        bend=draw.spread(difficulty.tone_curve),
        blur=draw.uniform(0.0, difficulty.blur),
        noise=difficulty.noise * draw.uniform(0.25, 1.0),
        gaze=(draw.spread(1.1), draw.spread(0.6)),
    )
