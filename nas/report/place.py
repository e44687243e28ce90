"""Finds a spot for a label where it covers least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_GAP: Final = 0.05  # inches between a mark and its label


@dataclass(frozen=True)
class Box:
    """A rectangle; all numbers in inches from the plot's lower left corner."""

    left: float
    bottom: float
    right: float
    top: float

    def covers(self, other: Box) -> bool:
        """Whether the two share a point; a Box may be a point or a line."""
        across = self.left <= other.right and other.left <= self.right
        return across and self.bottom <= other.top and other.bottom <= self.top


def place_label(mark: tuple[float, float], size: tuple[float, float], obstacles: Sequence[Box], plot: Box) -> Box:
    """The box of ``size`` (width, height) beside ``mark`` that lies inside ``plot`` and covers fewest ``obstacles``.

    Of equal ones the nearest to the mark is taken, and the first in a fixed order of directions.
    """
    x, y = mark
    w, h = size
    boxes = []
    for far in (1.0, 2.5, 5.0):
        gap = _GAP * far
        for dx, dy in ((gap, gap), (-gap - w, gap), (gap, -gap - h), (-gap - w, -gap - h)):
            boxes.append(Box(x + dx, y + dy, x + dx + w, y + dy + h))
        for dx, dy in ((-w / 2, gap), (-w / 2, -gap - h), (gap, -h / 2), (-gap - w, -h / 2)):
            boxes.append(Box(x + dx, y + dy, x + dx + w, y + dy + h))

    def cost(box: Box) -> tuple[bool, int]:
        cut = box.left < plot.left or box.right > plot.right or box.bottom < plot.bottom or box.top > plot.top
        return cut, sum(box.covers(o) for o in obstacles)

    return min(boxes, key=cost)
