"""Where the head is in the frame and how it is turned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nas.data.synthetic.difficulty import Difficulty
from nas.data.synthetic.draw import Draw

FRAME_WIDTH = 128
FRAME_HEIGHT = 98

_EYES_X = 64.0
_EYES_Y = 39.0
_PIVOT_Y = 12.0

Coordinate = TypeVar("Coordinate", float, npt.NDArray[np.float64])


@dataclass(frozen=True)
class Pose:
    """Head pose: angles in degrees, shifts in frame pixels, scale in frame pixels a face pixel.

    The head's relief is a flat bowl with a nose; it turns about a point between eyes and mouth.
    """

    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    @cached_property
    def _turns(self) -> tuple[float, float, float, float, float, float]:
        """Sine and cosine of yaw, of pitch, and of roll times the scale."""
        yaw, pitch, roll = (math.radians(angle) for angle in (self.yaw_deg, self.pitch_deg, self.roll_deg))
        tilt = (math.sin(roll) * self.scale, math.cos(roll) * self.scale)
        return math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch), *tilt

    def project(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Face pixels to frame pixels, both (x right, y down), shape (n, 2): turn the head's relief, drop the depth."""
        placed = np.empty_like(points)
        placed[:, 0], placed[:, 1] = self._place(points[:, 0], points[:, 1])
        return placed

    def project_one(self, x: float, y: float) -> tuple[float, float]:
        """:meth:`project` of one point."""
        return self._place(x, y)

    def _place(self, x: Coordinate, y: Coordinate) -> tuple[Coordinate, Coordinate]:
        sin_yaw, cos_yaw, sin_pitch, cos_pitch, sin_roll, cos_roll = self._turns
        bowl_y, nose_x, nose_y = y - 8.0, x * 0.2, (y - 14.0) * (1.0 / 6.0)
        depth = 14.0 - x * x * 0.026 - bowl_y * bowl_y * 0.004 + 6.0 / (1.0 + nose_x * nose_x + nose_y * nose_y)
        across = x * cos_yaw + depth * sin_yaw
        down = (y - _PIVOT_Y) * cos_pitch + (depth * cos_yaw - x * sin_yaw) * sin_pitch
        placed_x = across * cos_roll - down * sin_roll + (_EYES_X + self.shift_x)
        placed_y = across * sin_roll + down * cos_roll + (_PIVOT_Y + _EYES_Y + self.shift_y)
        return placed_x, placed_y

    def face_grid(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Face coordinates of every frame pixel, the head seen flat: two arrays of shape (98, 128)."""
        roll = math.radians(self.roll_deg)
        cos, sin = math.cos(roll) / self.scale, math.sin(roll) / self.scale
        dx = np.arange(FRAME_WIDTH)[None, :] - (_EYES_X + self.shift_x)
        dy = np.arange(FRAME_HEIGHT)[:, None] - (_EYES_Y + self.shift_y + _PIVOT_Y)
        return dx * cos + dy * sin, dy * cos - dx * sin + _PIVOT_Y


def draw_pose(draw: Draw, difficulty: Difficulty) -> Pose:
    """A random pose within the ranges of ``difficulty``."""
    return Pose(
        roll_deg=draw.spread(difficulty.roll_deg),
        yaw_deg=draw.spread(difficulty.yaw_deg),
        pitch_deg=draw.spread(difficulty.pitch_deg),
        scale=1.0 + draw.spread(difficulty.scale_spread),
        shift_x=draw.spread(difficulty.shift_px),
        shift_y=draw.spread(difficulty.shift_px),
    )


def drifted(pose: Pose, end: Pose, share: float) -> Pose:
    """``pose`` moved by ``share`` (0..1) of the way to ``end``."""
    return Pose(
        roll_deg=pose.roll_deg + (end.roll_deg - pose.roll_deg) * share,
        yaw_deg=pose.yaw_deg + (end.yaw_deg - pose.yaw_deg) * share,
        pitch_deg=pose.pitch_deg + (end.pitch_deg - pose.pitch_deg) * share,
        scale=pose.scale + (end.scale - pose.scale) * share,
        shift_x=pose.shift_x + (end.shift_x - pose.shift_x) * share,
        shift_y=pose.shift_y + (end.shift_y - pose.shift_y) * share,
    )
