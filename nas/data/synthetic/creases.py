"""Folds and bulges of the skin that action units raise: the fine evidence of an expression."""

from __future__ import annotations

from nas.data.synthetic.action_units import level, mean_level
from nas.data.synthetic.sketch import OUTWARD, Sketch


def draw_creases(sketch: Sketch) -> None:
    """All folds, each as deep as its action units are strong (and as the person's age has left at rest)."""
    _forehead(sketch)
    _glabella(sketch)
    for side in (0, 1):
        _eye_corner(sketch, side)
        _nose_side(sketch, side)
        _cheek(sketch, side)
        _mouth_corner(sketch, side)
    _chin(sketch)


def _forehead(sketch: Sketch) -> None:
    """AU1 and AU2: lines across; over the nose from AU1, over the outer brows from AU2."""
    rest = 0.16 * sketch.face.lines
    inner = rest + 0.42 * mean_level(sketch.activation, 1)
    low = min(float(sketch.points[i, 1]) for i in (19, 21, 22, 24)) - 3.6
    reach = sketch.face.eye_x
    for k in range(3):
        y = low - 3.2 * k
        if y < sketch.face.hairline_y + 1.5:
            break
        sketch.crease([(-7.0, y + 0.5), (0.0, y + 1.0), (7.0, y + 0.5)], inner, 1.2)
        for side, sign in enumerate(OUTWARD):
            outer = rest + 0.42 * level(sketch.activation, 2, side)
            sketch.crease([(sign * 7.0, y + 0.5), (sign * reach, y - 0.3), (sign * (reach + 5.0), y + 1.0)], outer, 1.2)


def _glabella(sketch: Sketch) -> None:
    """AU4: two upright lines between the brows; AU9 adds to them."""
    frown = mean_level(sketch.activation, 4)
    depth = 0.10 * sketch.face.lines + 0.38 * frown + 0.10 * mean_level(sketch.activation, 9)
    for sign, brow in ((OUTWARD[0], 21), (OUTWARD[1], 22)):
        x, y = sketch.point(brow)
        x = sign * min(2.4, abs(x) * 0.5)
        sketch.crease([(x, y - 2.4), (x * 0.85, y + 0.4), (x, y + 2.8)], depth, 1.5)
    sketch.shade((0.0, float(sketch.points[21, 1]) + 1.0), (4.0, 3.6), -0.14 * frown)


def _eye_corner(sketch: Sketch, side: int) -> None:
    """AU6: crow's feet, a fold under the eye, a raised cheek; AU7: a fold close under the lid."""
    sign = OUTWARD[side]
    raised, tight = level(sketch.activation, 6, side), level(sketch.activation, 7, side)
    outer, inner, lower = ((36, 39, 41), (45, 42, 46))[side]
    x, y = sketch.point(outer)
    feet = 0.12 * sketch.face.lines + 0.42 * raised
    sketch.crease([(x + sign * 1.2, y - 0.6), (x + sign * 4.6, y - 2.4)], feet, 0.9)
    sketch.crease([(x + sign * 1.3, y + 0.8), (x + sign * 4.8, y + 1.6)], feet, 0.9)
    lid_y = float(sketch.points[lower, 1])
    inner_x = float(sketch.points[inner, 0])
    bag = [(inner_x, lid_y + 1.6), (sign * sketch.face.eye_x, lid_y + 2.7), (x, lid_y + 1.6)]
    sketch.crease(bag, 0.13 * sketch.face.lines + 0.36 * raised + 0.28 * tight, 1.1)
    sketch.shade((sign * sketch.face.eye_x * 1.12, 11.5), (7.5, 5.0), 0.20 * raised)


def _nose_side(sketch: Sketch, side: int) -> None:
    """AU9: short oblique lines on the bridge."""
    sign = OUTWARD[side]
    depth = 0.50 * level(sketch.activation, 9, side)
    for k in range(2):
        y = 1.6 + 3.4 * k
        sketch.crease([(sign * 0.8, y), (sign * 3.6, y - 1.3)], depth, 1.4)
    sketch.crease([(sign * 3.2, 5.5), (sign * 5.6, 8.5)], 0.8 * depth, 1.2)


def _cheek(sketch: Sketch, side: int) -> None:
    """Nasolabial fold: AU12 bows it out, AU10 deepens it beside the nose, AU9 above, AU15 below, AU20 stretches it."""
    sign = OUTWARD[side]
    smile, sneer = level(sketch.activation, 12, side), level(sketch.activation, 10, side)
    wrinkle, sulk = level(sketch.activation, 9, side), level(sketch.activation, 15, side)
    stretch = level(sketch.activation, 20, side)
    rest = 0.22 * sketch.face.lines
    ala_x, ala_y = sketch.point((31, 35)[side])
    x, y = sketch.point((48, 54)[side])
    x += sign * 2.6
    middle = ((ala_x + x) * 0.5 + sign * (1.0 + 1.4 * smile), (ala_y + y) * 0.5 - 0.5)
    upper = [(ala_x + sign * 0.9, ala_y - 2.6), (ala_x + sign * 2.0, ala_y + 0.4), middle]
    sketch.crease(upper, rest + 0.26 * smile + 0.32 * sneer + 0.26 * wrinkle + 0.08 * stretch, 2.1)
    sketch.crease([middle, (x, y)], 0.8 * rest + 0.28 * smile + 0.14 * sneer + 0.08 * stretch, 2.1)
    droop = [(x - sign * 1.6, y + 1.0), (x - sign * 0.6, y + 3.4), (x - sign * 0.4, y + 6.0)]
    sketch.crease(droop, 0.6 * rest + 0.30 * sulk, 1.7)
    sketch.shade((x + sign * 2.0, y - 5.0), (6.0, 4.5), 0.12 * smile)


def _mouth_corner(sketch: Sketch, side: int) -> None:
    """AU14: a dimple beside the corner and a bulge about it; AU20: upright folds farther out; AU23, AU24: a pad."""
    sign = OUTWARD[side]
    dimple = level(sketch.activation, 14, side)
    x, y = sketch.point((48, 54)[side])
    sketch.crease([(x + sign * 1.3, y - 2.6), (x + sign * 1.9, y), (x + sign * 1.2, y + 2.4)], 0.62 * dimple, 1.2)
    sketch.shade((x + sign * 1.2, y), (2.4, 2.2), -0.40 * dimple)
    sketch.shade((x + sign * 4.2, y - 0.6), (3.2, 4.0), 0.16 * dimple)
    stretch = level(sketch.activation, 20, side)
    beside = [(x + sign * 2.2, y - 1.6), (x + sign * 3.0, y + 1.0), (x + sign * 2.4, y + 3.6)]
    sketch.crease(beside, 0.30 * stretch, 1.4)


def _chin(sketch: Sketch) -> None:
    """AU17: a pitted, raised chin with a crease above; AU23 and AU24: the skin about the lips bulges."""
    raised = mean_level(sketch.activation, 17)
    press = mean_level(sketch.activation, 23) + mean_level(sketch.activation, 24)
    lip = float(sketch.points[57, 1])
    chin = float(sketch.points[8, 1])
    above = [(-5.0, lip + 3.8), (0.0, lip + 2.4), (5.0, lip + 3.8)]
    sketch.crease(above, 0.10 * sketch.face.lines + 0.38 * raised, 1.6)
    middle = lip + 0.5 * (chin - lip)
    sketch.shade((0.0, middle + 0.8), (5.0, 4.0), 0.16 * raised)
    for x, y in ((-2.6, 0.6), (0.2, 1.9), (2.7, 0.4), (-1.0, 3.2), (1.9, 3.0)):
        sketch.shade((x, middle + y), (1.2, 1.0), -0.36 * raised)
    sketch.shade((0.0, lip + 1.6), (5.5, 1.8), 0.16 * press)
    sketch.shade((0.0, float(sketch.points[51, 1]) - 1.4), (5.5, 1.5), 0.12 * press)
