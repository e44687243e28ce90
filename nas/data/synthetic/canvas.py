"""Soft-edged drawing on a grey array, with arithmetic that every machine rounds alike (+ - * / and sqrt only)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nas.data.synthetic.pose import FRAME_HEIGHT, FRAME_WIDTH

Floats = npt.NDArray[np.float64]


_X = np.arange(FRAME_WIDTH, dtype=np.float64)[None, :]
_Y = np.arange(FRAME_HEIGHT, dtype=np.float64)[:, None]


@dataclass(frozen=True)
class Box:
    """The pixels that a shape touches: slices into the frame and their coordinates, shapes (1, w) and (h, 1)."""

    rows: slice
    columns: slice
    x: Floats
    y: Floats

    @classmethod
    def around(cls, points: Floats, margin: float) -> Box:
        """The smallest box with ``margin`` pixels about ``points`` (shape (n, 2)), cut to the frame."""
        left, top = points.min(axis=0).tolist()
        right, bottom = points.max(axis=0).tolist()
        return cls.between(left - margin, top - margin, right + margin, bottom + margin)

    @classmethod
    def between(cls, left: float, top: float, right: float, bottom: float) -> Box:
        """The smallest box that holds the given bounds, cut to the frame."""
        x0, y0 = max(0, int(left)), max(0, int(top))
        columns = slice(x0, max(x0, min(FRAME_WIDTH, int(right) + 2)))
        rows = slice(y0, max(y0, min(FRAME_HEIGHT, int(bottom) + 2)))
        return cls(rows, columns, _X[:, columns], _Y[rows])


def squared_distance(box: Box, line: Floats, taper: float = 0.0) -> Floats:
    """Squared distance of each pixel of ``box`` to the polyline ``line`` (shape (n, 2)), shape (h, w).

    Towards both ends of the line the distance counts for more, at the very ends ``taper`` squared pixels more.
    """
    ax, ay = line[:-1, 0, None, None], line[:-1, 1, None, None]
    step = line[1:] - line[:-1]
    bx, by = step[:, 0, None, None], step[:, 1, None, None]
    px, py = box.x - ax, box.y - ay
    along = (px * bx + py * by) / (bx * bx + by * by + 1e-12)
    along = np.minimum(np.maximum(along, 0.0), 1.0)
    dx, dy = px - along * bx, py - along * by
    squared: Floats = dx * dx + dy * dy
    if taper > 0.0:
        outwards = (along + np.arange(len(step))[:, None, None]) * (2.0 / len(step)) - 1.0
        outwards = outwards * outwards
        squared = squared + outwards * outwards * taper
    nearest: Floats = squared.min(axis=0)
    return nearest


def polygon_cover(box: Box, corners: Floats, softness: float) -> Floats:
    """Share (0..1) of each pixel inside a polygon (shape (n, 2)), its edge blurred over ``softness`` pixels."""
    closed = np.concatenate([corners, corners[:1]])
    distance = np.sqrt(squared_distance(box, closed))
    ax, ay = closed[:-1, 0][:, None, None], closed[:-1, 1][:, None, None]
    bx, by = closed[1:, 0][:, None, None], closed[1:, 1][:, None, None]
    spans = (ay > box.y[None]) != (by > box.y[None])
    rise = np.where(by == ay, 1.0, by - ay)
    crossing = ax + (box.y[None] - ay) * (bx - ax) / rise
    inside = np.logical_xor.reduce(spans & (box.x[None] < crossing), axis=0)
    signed = np.where(inside, distance, -distance)
    return np.minimum(np.maximum(signed / softness + 0.5, 0.0), 1.0)


def upright_cover(outline: Floats) -> Floats:
    """Share of each frame pixel inside a closed outline that each row cuts at most twice, shape (98, 128).

    Far cheaper than :func:`polygon_cover` for a shape as large as a head.
    """
    top, bottom = int(np.argmin(outline[:, 1])), int(np.argmax(outline[:, 1]))
    around = np.concatenate([outline, outline])
    one = around[top : (bottom if bottom > top else bottom + len(outline)) + 1]
    other = around[bottom : (top if top > bottom else top + len(outline)) + 1][::-1]
    rows = _Y[:, 0]
    edges = [np.interp(rows, np.maximum.accumulate(side[:, 1]), side[:, 0]) for side in (one, other)]
    left, right = np.minimum(edges[0], edges[1]), np.maximum(edges[0], edges[1])
    inside = np.minimum((_X - left[:, None]) * _steepness(left), (right[:, None] - _X) * _steepness(right))
    ends = np.minimum(rows - outline[top, 1], outline[bottom, 1] - rows)[:, None]
    cover: Floats = np.minimum(np.maximum(np.minimum(inside, ends) + 0.5, 0.0), 1.0)
    return cover


def _steepness(edge: Floats) -> Floats:
    """Factor that turns a horizontal distance to ``edge`` (x of each row) into a perpendicular one, shape (rows, 1)."""
    slope = np.zeros_like(edge)
    slope[1:-1] = (edge[2:] - edge[:-2]) * 0.5
    factor: Floats = 1.0 / np.sqrt(1.0 + slope * slope)
    return factor[:, None]


def smooth(line: Floats, closed: bool, parts: int = 3) -> Floats:
    """Catmull-Rom curve through ``line`` (shape (n, 2)), ``parts`` points a segment."""
    if closed:
        padded = np.concatenate([line[-1:], line, line[:2]])
    else:
        padded = np.concatenate([2.0 * line[:1] - line[1:2], line, 2.0 * line[-1:] - line[-2:-1]])
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(parts) / parts)[None, :, None]
    before, start, end, after = (part[:, None, :] for part in (before, start, end, after))
    bend = (2.0 * before - 5.0 * start + 4.0 * end - after) * t + (3.0 * start - before - 3.0 * end + after) * (t * t)
    curve: Floats = (start + (0.5 * t) * (end - before + bend)).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, line[-1:]])


@dataclass(frozen=True)
class Canvas:
    """A grey frame, float64 of shape (98, 128), about 0..1; every method changes it in place."""

    grey: Floats = field(default_factory=lambda: np.zeros((FRAME_HEIGHT, FRAME_WIDTH)))

    def cover(self, cover: Floats, tone: float) -> None:
        """Paint ``tone`` over the frame where ``cover`` (shape (98, 128), 0..1) says."""
        self.grey[:] = self.grey + cover * (tone - self.grey)

    def polygon(self, corners: Floats, tone: float, softness: float = 1.0, opacity: float = 1.0) -> None:
        """Paint a polygon (shape (n, 2), frame pixels)."""
        box = Box.around(corners, softness)
        part = self.grey[box.rows, box.columns]
        part += (polygon_cover(box, corners, softness) * opacity) * (tone - part)

    def stroke(self, line: Floats, gain: float, width: float, taper: float = 0.0) -> None:
        """Multiply by 1 + ``gain`` on a polyline (shape (n, 2)), fading to nothing at ``width`` pixels either side.

        ``taper`` (0 none .. 1 to nothing) thins it towards both ends.
        """
        box = Box.around(line, width)
        near = np.maximum(1.0 - squared_distance(box, line, taper * width * width) / (width * width), 0.0)
        self.grey[box.rows, box.columns] *= 1.0 + gain * near * near

    def blob(self, centre: tuple[float, float], radii: tuple[float, float], gain: float) -> None:
        """Multiply by 1 + ``gain`` at ``centre`` (x, y), fading to nothing on the ellipse of ``radii`` (x, y)."""
        (x, y), (reach_x, reach_y) = centre, radii
        box = Box.between(x - reach_x, y - reach_y, x + reach_x, y + reach_y)
        dx, dy = (box.x - x) / reach_x, (box.y - y) / reach_y
        near = np.maximum(1.0 - dx * dx - dy * dy, 0.0)
        self.grey[box.rows, box.columns] *= 1.0 + gain * near * near
