"""The landmark tracker's error: where it believes the face to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.data.synthetic.difficulty import Difficulty
from nas.data.synthetic.draw import Draw


@dataclass(frozen=True)
class Tracker:
    """Error of all landmarks of one sequence alike: a shift in frame pixels and a scale about their middle."""

    shift_x: float = 0.0
    shift_y: float = 0.0
    scale: float = 1.0

    def report(self, landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """``landmarks`` (frame pixels, shape (68, 2)) as reported, rounded to the 2 decimals that are written down."""
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        middle = (low + high) * 0.5
        moved = middle + (landmarks - middle) * self.scale + np.array([self.shift_x, self.shift_y])
        return np.round(moved, 2)


def draw_tracker(draw: Draw, difficulty: Difficulty) -> Tracker:
    """A random error within the ranges of ``difficulty``."""
    shift = difficulty.tracker_shift_px
    return Tracker(draw.spread(shift), draw.spread(shift), 1.0 + draw.spread(difficulty.tracker_scale))
