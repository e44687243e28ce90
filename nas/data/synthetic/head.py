"""Head, hair, neck, beard and glasses."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nas.data.synthetic.canvas import smooth, upright_cover
from nas.data.synthetic.pose import FRAME_HEIGHT, FRAME_WIDTH
from nas.data.synthetic.sketch import OUTWARD, Sketch

Floats = npt.NDArray[np.float64]

_CROWN_Y = -34.0
_ARC = [math.pi * (i / 12.0) for i in range(13)]


def _ramp(values: Floats, softness: float) -> Floats:
    """0 below zero, 1 above, a ramp of ``softness`` between."""
    return np.minimum(np.maximum(values / softness + 0.5, 0.0), 1.0)


def _crown(sketch: Sketch, swell: float) -> list[tuple[float, float]]:
    """Arc over the top of the head from image-right to image-left, ``swell`` face pixels outside the skull."""
    reach = sketch.face.half_width + swell
    return [(reach * math.cos(a), 1.0 + (_CROWN_Y - 1.0 - swell) * math.sin(a)) for a in _ARC]


def draw_backdrop(sketch: Sketch) -> None:
    """Wall, hair behind the head, shoulders and neck."""
    face = sketch.face
    down = np.arange(FRAME_HEIGHT)[:, None] / FRAME_HEIGHT
    across = np.arange(FRAME_WIDTH)[None, :] / FRAME_WIDTH
    sketch.canvas.grey[:] = face.backdrop * (1.0 - 0.15 * down + 0.1 * across)
    if face.hair_volume > 0.0:
        reach, bottom = face.half_width + face.hair_volume, max(face.hair_bottom_y, 3.0)
        curtain = [*_crown(sketch, face.hair_volume), (-reach - 1.0, bottom), (reach + 1.0, bottom)]
        sketch.canvas.cover(upright_cover(sketch.at(curtain)), face.hair * 0.9)
    neck, low = face.half_width * 0.62, face.chin_y
    sketch.canvas.polygon(
        sketch.at([(-neck, low - 20.0), (neck, low - 20.0), (neck * 1.1, low + 30.0), (-neck * 1.1, low + 30.0)]),
        face.skin * 0.66,
        2.0,
    )
    collar = [(-60.0, low + 16.0), (-neck, low + 9.0), (0.0, low + 15.0), (neck, low + 9.0), (60.0, low + 16.0)]
    sketch.canvas.polygon(sketch.at([*collar, (60.0, low + 50.0), (-60.0, low + 50.0)]), face.clothes, 1.5)


def draw_head(sketch: Sketch, light: tuple[float, float]) -> Floats:
    """Skin, whiskers and hair of the head; returns the share of each pixel that is head, shape (98, 128)."""
    face, canvas = sketch.face, sketch.canvas
    jaw = smooth(sketch.landmarks[:17], closed=False, parts=2)
    skull = upright_cover(np.concatenate([sketch.at(_crown(sketch, 0.0)[1:-1]), jaw]))
    for side in OUTWARD:
        ear = np.array(_EAR) * np.array([side, 1.0]) + np.array([side * face.half_width * 1.02, 6.0])
        canvas.polygon(sketch.at(ear), face.skin * 0.85, 1.5)
    canvas.cover(skull, face.skin)
    u, v = sketch.pose.face_grid()
    _draw_whiskers(sketch, skull, u, v)
    if face.hair_volume > 0.0:
        line = face.hairline_y + u * u * face.hairline_bend + u * face.hairline_lean
        whole = upright_cover(np.concatenate([sketch.at(_crown(sketch, face.hair_volume)[1:-1]), jaw]))
        side_hair = _ramp(np.abs(u) - face.half_width + 1.0, 2.0) * _ramp(face.hair_bottom_y - v, 4.0)
        strands = 1.0 + 0.10 * _triangle(u * 0.21 + v * 0.04) + 0.06 * _triangle(u * 0.37 - v * 0.06)
        hair = whole * np.maximum(_ramp(line - v, 3.0), side_hair)
        canvas.grey[:] = canvas.grey + hair * (face.hair * strands - canvas.grey)
        skull = np.maximum(skull, hair)
    _light(sketch, skull, u, v, light)
    return skull


_EAR = [(-2.4, -5.0), (1.0, -6.0), (2.8, -2.0), (2.0, 4.0), (-0.5, 6.0), (-2.4, 3.0)]


def _triangle(values: Floats) -> Floats:
    """Triangle wave between -1 and 1 of period 1."""
    return 4.0 * np.abs(values - np.floor(values) - 0.5) - 1.0


def _draw_whiskers(sketch: Sketch, skull: Floats, u: Floats, v: Floats) -> None:
    face = sketch.face
    if face.beard > 0.0:
        chin_drop = float(sketch.points[8, 1]) - face.chin_y
        edge = face.mouth_y + 6.0 + 0.5 * chin_drop - u * u * 0.034
        share = skull * _ramp(v - edge, 5.0) * face.beard
        sketch.canvas.cover(share, face.hair)
    if face.moustache > 0.0:
        corners = [sketch.point(i) for i in (48, 49, 50, 51, 52, 53, 54)]
        nose = float(sketch.points[33, 1])
        top = [(x * 0.75, nose + 2.2 + abs(x) * 0.12) for x, _ in reversed(corners)]
        sketch.canvas.polygon(
            sketch.at([*[(x, y - 0.4) for x, y in corners], *top]), face.hair, sketch.length(2.0), face.moustache
        )


def _light(sketch: Sketch, skull: Floats, u: Floats, v: Floats, light: tuple[float, float]) -> None:
    """Lambert shading of an egg under a light from ``light`` (x, y of its direction, each within -1..1)."""
    x, y = u / (sketch.face.half_width * 1.18), (v - 6.0) / 56.0
    toward = np.sqrt(np.maximum(1.0 - x * x - y * y, 0.04))
    front = math.sqrt(max(0.05, 1.0 - light[0] * light[0] - light[1] * light[1]))
    lit = np.maximum(x * light[0] + y * light[1] + toward * front, 0.0)
    shade = 0.38 + 0.72 * lit
    sketch.canvas.grey[:] *= 1.0 + skull * (shade - 1.0)


def draw_glasses(sketch: Sketch) -> None:
    """Two rims, a bridge and temples, for those who wear them."""
    face = sketch.face
    if face.glasses == 0.0:
        return
    gap, high, low = face.eye_x * 0.28, -4.6, 6.2
    for side in OUTWARD:
        inner, outer = side * gap, side * (face.eye_x * 2.0 - gap)
        cut = 2.2 if face.glasses_round else 0.9
        rim = [
            *((inner, high + cut), (inner + side * cut, high), (outer - side * cut, high), (outer, high + cut)),
            *((outer, low - cut), (outer - side * cut, low), (inner + side * cut, low), (inner, low - cut)),
        ]
        sketch.canvas.stroke(smooth(sketch.at([*rim, rim[0]]), closed=False, parts=2), -face.glasses, 1.2)
        sketch.canvas.stroke(sketch.at([(outer, high + 2.0), (side * face.half_width, -1.0)]), -face.glasses, 1.2)
    sketch.canvas.stroke(sketch.at([(-gap, -2.6), (0.0, -3.4), (gap, -2.6)]), -face.glasses, 1.2)
