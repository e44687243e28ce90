"""The 68 landmarks of a face, at rest and moved by action units."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nas.data.landmarks import MIRROR
from nas.data.synthetic.action_units import Activation, displacement
from nas.data.synthetic.identity import Identity

Points = npt.NDArray[np.float64]

_LEAST_LIP = 0.45
_LEAST_EYE = 0.35


def _left_half(face: Identity) -> dict[int, tuple[float, float]]:
    """Landmarks of the left half of the image and of the midline, face pixels."""
    points: dict[int, tuple[float, float]] = {}
    for i in range(9):
        angle = i / 8.0 * math.pi / 2.0
        across = max(0.0, math.cos(angle)) ** face.jaw_fullness if i < 8 else 0.0
        points[i] = (-face.half_width * across, 1.0 + (face.chin_y - 1.0) * math.sin(angle) ** 1.1)
    for i, (along, lift) in enumerate(((1.0, 0.0), (0.5, 0.85), (0.0, 1.0), (-0.5, 0.7), (-1.0, 0.1))):
        y = face.brow_y - face.brow_arch * lift + face.brow_tilt * along * 0.7
        points[17 + i] = (-face.eye_x - face.brow_half_length * along, y)
    for i, part in enumerate((0.05, 0.32, 0.58, 0.82)):
        points[27 + i] = (0.0, -0.5 + face.nose_length * part)
    for i, (along, drop) in enumerate(((1.0, -0.7), (0.5, 0.2), (0.0, 0.7))):
        points[31 + i] = (-face.nose_half_width * along, face.nose_length + drop)
    width, height = face.eye_half_width, face.eye_half_height
    for i, (along, rise) in enumerate(((1.0, 0.0), (0.42, -1.0), (-0.38, -1.0), (-1.0, 0.0), (-0.4, 0.8), (0.4, 0.8))):
        y = height * rise - face.eye_tilt * along * 0.5 + (0.5 if rise == 0.0 else 0.0)
        points[36 + i] = (-face.eye_x - width * along, y)
    points.update(_left_mouth(face))
    return points


def _left_mouth(face: Identity) -> dict[int, tuple[float, float]]:
    width, y, up, down = face.mouth_half_width, face.mouth_y, face.upper_lip, face.lower_lip
    return {
        48: (-width, y + face.mouth_rest),
        49: (-width * 0.6, y - up * 0.72 + face.mouth_rest * 0.4),
        50: (-width * 0.22, y - up * 1.08),
        51: (0.0, y - up * 0.85),
        57: (0.0, y + down),
        58: (-width * 0.3, y + down * 0.95),
        59: (-width * 0.66, y + down * 0.62 + face.mouth_rest * 0.4),
        60: (-width * 0.88, y + face.mouth_rest * 0.88),
        61: (-width * 0.35, y - 0.1),
        62: (0.0, y + 0.1),
        66: (0.0, y + 0.2),
        67: (-width * 0.35, y + 0.05),
    }


def neutral_shape(face: Identity) -> Points:
    """Landmarks of ``face`` at rest, face pixels, shape (68, 2)."""
    points = np.zeros((68, 2))
    for landmark, (x, y) in _left_half(face).items():
        points[landmark] = (x, y)
        points[int(MIRROR[landmark])] = (-x, y) if int(MIRROR[landmark]) != landmark else (x, y)
    brow, eye, mouth = face.asymmetry
    points[17:22, 1] -= brow
    points[22:27, 1] += brow
    points[[37, 38], 1] -= eye * 0.5
    points[[43, 44], 1] += eye * 0.5
    points[[48, 60, 49, 59], 1] -= mouth * np.array([1.0, 0.9, 0.5, 0.5])
    points[[54, 64, 53, 55], 1] += mouth * np.array([1.0, 0.9, 0.5, 0.5])
    return points


def _keep_apart(points: Points, upper: list[int], lower: list[int], gap: float) -> None:
    """Move ``upper`` and ``lower`` points (y down) apart where they are closer than ``gap``."""
    lack = np.maximum(gap - (points[lower, 1] - points[upper, 1]), 0.0) * 0.5
    points[upper, 1] -= lack
    points[lower, 1] += lack


def shape_of(face: Identity, activation: Activation) -> Points:
    """Landmarks of ``face`` under ``activation``, face pixels, shape (68, 2)."""
    points = neutral_shape(face) + displacement(activation)
    _keep_apart(points, [37, 38, 43, 44], [41, 40, 47, 46], _LEAST_EYE)
    _keep_apart(points, [61, 62, 63], [67, 66, 65], 0.0)
    _keep_apart(points, [50, 51, 52], [61, 62, 63], _LEAST_LIP)
    _keep_apart(points, [67, 66, 65], [58, 57, 56], _LEAST_LIP)
    return points
