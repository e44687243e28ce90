"""Brows, eyes, nose and mouth."""

from __future__ import annotations

import numpy as np

from nas.data.synthetic.action_units import mean_level
from nas.data.synthetic.canvas import Box, polygon_cover, smooth
from nas.data.synthetic.sketch import OUTWARD, Sketch

_BROWS = (range(17, 22), range(26, 21, -1))
_EYES = (range(36, 42), (45, 44, 43, 42, 47, 46))
_BROW_PROFILE = np.array([0.35, 0.75, 0.95, 1.1, 0.85])


def draw_sockets(sketch: Sketch) -> None:
    """Relief about the eyes, the cheekbones and the chin, before anything is drawn on it."""
    face = sketch.face
    for side in OUTWARD:
        sketch.shade((side * face.eye_x, -1.5), (9.5, 7.0), -0.17)
        sketch.shade((side * face.eye_x * 0.42, 0.5), (4.0, 6.0), -0.13)
        sketch.shade((side * face.half_width * 0.62, 13.0), (8.5, 7.0), 0.12)
    sketch.shade((0.0, -17.0), (15.0, 8.0), 0.07)
    chin = float(sketch.points[57, 1])
    sketch.shade((0.0, chin + 2.6), (6.5, 2.6), -0.20)
    sketch.shade((0.0, (chin + float(sketch.points[8, 1])) * 0.5 + 1.0), (6.0, 4.0), 0.09)
    for x, y in face.moles:
        sketch.shade((x, y), (1.2, 1.2), -0.45)


def draw_brows(sketch: Sketch) -> None:
    """Each brow a band along its five landmarks, thin at its tail."""
    face = sketch.face
    tone = face.hair * (1.0 - face.brow_tone) + face.skin * 0.5 * face.brow_tone
    tone = min(tone, face.skin * 0.62)
    for brow in _BROWS:
        line = sketch.points[list(brow)]
        half = (_BROW_PROFILE * face.brow_thickness)[:, None] * np.array([[0.0, 1.0]])
        upper, lower = smooth(line - half, closed=False), smooth(line + half, closed=False)
        sketch.canvas.polygon(sketch.at(np.concatenate([upper, lower[::-1]])), tone, sketch.length(1.3), 0.9)


def draw_eyes(sketch: Sketch, gaze: tuple[float, float]) -> None:
    """White, iris and pupil seen through the lids, the lash line and the fold; ``gaze`` in face pixels."""
    face, canvas = sketch.face, sketch.canvas
    for eye in _EYES:
        lids = sketch.points[list(eye)]
        rim = smooth(sketch.at(lids), closed=True)
        centre = (0.5 * float(lids[0, 0] + lids[3, 0]) + gaze[0], gaze[1])
        box = Box.around(rim, 1.0)
        opening = polygon_cover(box, rim, 1.0)
        middle = sketch.pose.project_one(*centre)
        dx, dy = box.x - middle[0], box.y - middle[1]
        radius = np.sqrt(dx * dx + dy * dy)
        size = sketch.length(2.35)
        iris = np.minimum(np.maximum(size - radius + 0.5, 0.0), 1.0)
        pupil = np.minimum(np.maximum(size * 0.45 - radius + 0.5, 0.0), 1.0)
        white = 0.62 + 0.33 * face.skin
        ball = white + iris * (face.iris_tone * 0.6 - white)
        ball = ball + pupil * (0.02 - ball)
        part = canvas.grey[box.rows, box.columns]
        part += opening * (ball - part)
        glint = sketch.pose.project_one(centre[0] - 0.8, centre[1] - 0.8)
        if float(lids[4, 1] - lids[2, 1]) > 2.4:
            canvas.blob(glint, (1.1, 1.1), 1.6)
        canvas.stroke(smooth(sketch.at(lids[:4]), closed=False), -0.72, sketch.length(1.15))
        canvas.stroke(smooth(sketch.at(lids[[3, 4, 5, 0]]), closed=False), -0.3, sketch.length(0.9))
        fold = lids[:4] + np.array([[0.0, -0.8], [0.0, -1.9], [0.0, -1.9], [0.0, -1.2]])
        canvas.stroke(smooth(sketch.at(fold), closed=False), -0.28, sketch.length(0.9))


def draw_nose(sketch: Sketch) -> None:
    """Sides of the bridge, tip, wings and nostrils."""
    face = sketch.face
    relief, wing = face.nose_relief, face.nose_half_width
    tip_y = float(sketch.points[30, 1])
    base_y = float(sketch.points[33, 1])
    for side, ala, nostril in ((OUTWARD[0], 31, 32), (OUTWARD[1], 35, 34)):
        x, y = sketch.point(ala)
        line = [(side * 3.0, -2.0), (side * 2.1, 4.0), (side * 2.6, tip_y - 3.5), (side * wing * 0.8, y - 3.2)]
        sketch.canvas.stroke(smooth(sketch.at(line), closed=False), -0.13 * relief, sketch.length(2.2), 0.7)
        curl = [(x - side * 0.6, y - 3.4), (x + side * 0.5, y - 1.6), (x, y + 0.2), (x - side * 1.4, y + 0.5)]
        sketch.canvas.stroke(smooth(sketch.at(curl), closed=False), -0.30 * relief, sketch.length(1.3), 0.6)
        nx, ny = sketch.point(nostril)
        sketch.shade((nx + side * 0.1, ny - 0.2), (1.8, 1.15), -0.75)
    sketch.canvas.stroke(sketch.at([(0.0, 0.0), (0.0, tip_y)]), 0.08 * relief, sketch.length(2.8), 0.8)
    sketch.shade((0.0, tip_y), (2.8, 2.4), 0.14 * relief)
    sketch.shade((0.0, base_y + 1.2), (wing, 1.8), -0.20)
    philtrum = [(0.0, base_y + 2.0), (0.0, float(sketch.points[51, 1]) - 0.6)]
    sketch.canvas.stroke(sketch.at(philtrum), -0.10, sketch.length(1.1))


def draw_mouth(sketch: Sketch) -> None:
    """Lips, and between them a dark line or, when they part, teeth and the mouth's inside."""
    face, canvas, points = sketch.face, sketch.canvas, sketch.points
    outer, inner = points[48:60], points[60:68]
    rim = sketch.at(smooth(outer, closed=True))
    lips = face.skin * face.lip_tone * 0.86
    canvas.polygon(rim, lips, sketch.length(1.0), 0.9)
    below = outer[[11, 10, 9, 8, 7]] * 0.5 + inner[[7, 7, 6, 5, 5]] * 0.5
    canvas.stroke(smooth(sketch.at(below), closed=False), 0.22, sketch.length(1.3))
    upper = outer[[1, 2, 3, 4, 5]] * 0.45 + inner[[1, 1, 2, 3, 3]] * 0.55
    canvas.stroke(smooth(sketch.at(upper), closed=False), -0.16, sketch.length(1.2))
    gap = float(inner[6, 1] - inner[2, 1])
    if gap > 0.7:
        _draw_inside(sketch, gap)
    middle = np.concatenate([outer[:1], (inner[[1, 2, 3]] + inner[[7, 6, 5]]) * 0.5, outer[6:7]])
    if gap < 2.0:
        canvas.stroke(smooth(sketch.at(middle), closed=False), -0.62 * (1.0 - 0.35 * gap), sketch.length(1.2))
    for side, corner in ((OUTWARD[0], 48), (OUTWARD[1], 54)):
        x, y = sketch.point(corner)
        sketch.shade((x + side * 0.2, y), (1.7, 1.4), -0.42)


def _draw_inside(sketch: Sketch, gap: float) -> None:
    """Dark inside with the upper teeth along the upper lip, the lower along the lower one when stretched."""
    inner = sketch.points[60:68]
    hole = smooth(sketch.at(inner), closed=True)
    box = Box.around(hole, 1.0)
    opening = polygon_cover(box, hole, 1.0) * min(1.0, (gap - 0.3) / 1.2)
    part = sketch.canvas.grey[box.rows, box.columns]
    smile = mean_level(sketch.activation, 12) + mean_level(sketch.activation, 20) + mean_level(sketch.activation, 10)
    teeth = min(gap * 0.85, 0.6 + 2.2 * min(1.0, smile) + 0.5 * sketch.face.upper_lip / 2.0)
    edge = inner[[0, 1, 2, 3, 4]]
    lower_edge = edge[::-1] + np.array([[0.0, teeth * k] for k in (0.2, 0.9, 1.0, 0.9, 0.2)])
    row = polygon_cover(box, sketch.at(np.concatenate([edge, lower_edge])), 1.0)
    inside = 0.07 + 0.05 * sketch.face.skin
    bite = inside + row * (0.50 + 0.32 * sketch.face.skin - inside)
    part += opening * (bite - part)
