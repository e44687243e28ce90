"""Facial action units (Ekman and Friesen 1978) as movements of the 68 iBUG landmarks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nas.data.landmarks import LANDMARKS, MIRROR

Activation = Mapping[int, tuple[float, float]]
"""Action unit number -> intensity 0..1 in the left and in the right half of the image; absent means 0."""

# Left half of the image and midline: landmark -> (outward, down) in face pixels at intensity 1.
_MOVES: dict[int, dict[int, tuple[float, float]]] = {
    1: {21: (0.2, -4.4), 20: (0.1, -3.2), 19: (0.0, -1.4), 18: (0.0, -0.3), 38: (0.0, -0.2)},
    2: {17: (0.2, -2.8), 18: (0.1, -3.8), 19: (0.0, -3.2), 20: (0.0, -1.2), 37: (0.0, -0.2)},
    4: {21: (-1.7, 2.8), 20: (-1.3, 2.6), 19: (-0.7, 2.0), 18: (-0.3, 1.3), 17: (0.0, 0.6)},
    5: {37: (0.0, -1.5), 38: (0.0, -1.5), 40: (0.0, 0.2), 41: (0.0, 0.2)},
    6: {40: (0.0, -1.0), 41: (0.0, -1.1), 36: (0.0, -0.2), 37: (0.0, 0.3), 38: (0.0, 0.2)},
    7: {40: (0.0, -0.9), 41: (0.0, -0.9), 37: (0.0, 0.7), 38: (0.0, 0.7)},
    9: {
        **{31: (0.4, -1.3), 32: (0.2, -1.2), 33: (0.0, -0.8), 30: (0.0, -0.7), 29: (0.0, -0.4)},
        **{49: (0.0, -1.0), 50: (0.0, -1.8), 51: (0.0, -1.7), 61: (0.0, -1.1), 62: (0.0, -1.1)},
        **{19: (-0.2, 0.6), 20: (-0.5, 1.3), 21: (-0.8, 1.9)},
        **{37: (0.0, 0.4), 38: (0.0, 0.5), 40: (0.0, -0.6), 41: (0.0, -0.5)},
    },
    10: {
        **{48: (0.0, -0.2), 49: (0.3, -1.7), 50: (0.1, -2.7), 51: (0.0, -2.1)},
        **{60: (0.0, -0.1), 61: (0.0, -1.5), 62: (0.0, -1.5), 31: (0.3, -0.5)},
    },
    12: {
        **{48: (3.5, -3.3), 49: (2.0, -1.7), 50: (0.7, -0.3), 59: (2.0, -1.2), 58: (0.7, 0.1)},
        **{60: (3.1, -3.1), 61: (1.1, -0.7), 67: (1.1, -0.5), 31: (0.4, -0.2)},
    },
    14: {
        **{48: (2.0, -1.8), 49: (1.1, -0.2), 59: (1.1, -1.0), 60: (1.9, -1.7), 61: (0.5, -0.3), 67: (0.5, -0.3)},
    },
    15: {
        **{48: (0.4, 3.1), 49: (0.3, 1.1), 59: (0.5, 1.7), 58: (0.1, 0.3)},
        **{60: (0.3, 2.8), 61: (0.1, 0.3), 67: (0.1, 0.3)},
    },
    17: {
        **{57: (0.0, -1.7), 58: (0.0, -1.5), 59: (0.0, -0.8), 66: (0.0, -1.0), 67: (0.0, -0.9)},
        **{51: (0.0, -0.8), 50: (0.0, -0.7), 62: (0.0, -0.9), 61: (0.0, -0.8), 48: (0.0, 0.5), 60: (0.0, 0.4)},
        **{8: (0.0, -1.1), 7: (0.0, -0.8)},
    },
    20: {
        **{48: (3.5, 0.9), 49: (2.0, 0.6), 50: (0.8, 0.3), 59: (2.0, 0.1), 58: (0.8, -0.4), 57: (0.0, -0.4)},
        **{60: (3.2, 0.9), 61: (1.2, 0.1), 67: (1.2, 0.1)},
    },
    23: {
        **{48: (-1.3, 0.0), 49: (-0.8, 0.6), 50: (-0.3, 0.8), 51: (0.0, 0.7)},
        **{59: (-0.8, -0.8), 58: (-0.3, -1.1), 57: (0.0, -1.1), 60: (-1.1, 0.0)},
    },
    24: {
        **{48: (-0.3, 0.0), 49: (0.0, 0.7), 50: (0.0, 1.0), 51: (0.0, 1.0)},
        **{59: (0.0, -0.9), 58: (0.0, -1.4), 57: (0.0, -1.5)},
    },
    25: {
        **{57: (0.0, 1.4), 58: (0.0, 1.3), 59: (0.0, 0.6), 66: (0.0, 1.9), 67: (0.0, 1.6)},
        **{61: (0.0, -0.4), 62: (0.0, -0.5), 51: (0.0, -0.2), 8: (0.0, 0.7), 7: (0.0, 0.6)},
    },
    26: {
        **{57: (0.0, 4.8), 58: (0.0, 4.4), 59: (0.0, 2.5), 66: (0.0, 4.8), 67: (0.0, 4.2)},
        **{48: (-0.5, 1.4), 60: (-0.5, 1.6), 62: (0.0, -0.2)},
        **{8: (0.0, 4.6), 7: (0.0, 4.4), 6: (0.0, 3.6), 5: (0.0, 2.4), 4: (0.0, 1.2), 3: (0.0, 0.5)},
    },
    27: {
        **{57: (0.0, 9.3), 58: (0.0, 8.6), 59: (-0.3, 5.2), 66: (0.0, 9.3), 67: (0.0, 8.3)},
        **{48: (-1.7, 3.2), 60: (-1.5, 3.4), 49: (-0.6, 0.6), 50: (0.0, -0.4), 51: (0.0, -0.5)},
        **{61: (0.0, -0.3), 62: (0.0, -0.5)},
        **{8: (0.0, 8.4), 7: (0.0, 8.0), 6: (0.0, 6.6), 5: (0.0, 4.5), 4: (0.0, 2.3), 3: (0.0, 1.0)},
    },
    43: {37: (0.0, 1.6), 38: (0.0, 1.6), 40: (0.0, -0.1), 41: (0.0, -0.1)},
}

ACTION_UNITS = tuple(_MOVES)


def _table(moves: dict[int, tuple[float, float]]) -> npt.NDArray[np.float64]:
    """Moves of one unit, shape (2 sides, 68, 2 of x and y); a midline point takes half from either side."""
    table = np.zeros((2, LANDMARKS, 2))
    for landmark, (outward, down) in moves.items():
        twin = int(MIRROR[landmark])
        if twin == landmark:
            table[:, landmark] = (0.0, down / 2.0)
        else:
            table[0, landmark] = (-outward, down)
            table[1, twin] = (outward, down)
    return table


_TABLES = {unit: _table(moves) for unit, moves in _MOVES.items()}


def displacement(activation: Activation) -> npt.NDArray[np.float64]:
    """Sum of the movements of all active units: (x right, y down) in face pixels, shape (68, 2)."""
    total = np.zeros((LANDMARKS, 2))
    for unit, (left, right) in activation.items():
        total = total + _TABLES[unit][0] * left + _TABLES[unit][1] * right
    return total


def level(activation: Activation, unit: int, side: int) -> float:
    """Intensity of ``unit`` on ``side`` (0 image-left, 1 image-right)."""
    pair = activation.get(unit)
    return 0.0 if pair is None else pair[side]


def mean_level(activation: Activation, unit: int) -> float:
    """Intensity of ``unit``, mean of both sides."""
    return 0.5 * (level(activation, unit, 0) + level(activation, unit, 1))
