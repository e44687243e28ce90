"""The seven expressions of CK+ as prototypes of action units (EMFACS; Lucey et al. 2010, table 1)."""

from __future__ import annotations

from dataclasses import dataclass

from nas.data.synthetic.action_units import Activation
from nas.data.synthetic.difficulty import Difficulty
from nas.data.synthetic.draw import Draw

CLASS_NAMES = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
CK_NUMBERS = dict(zip(CLASS_NAMES, (1, 2, 3, 4, 5, 6, 7), strict=True))
"""The emotion numbers in CK+'s own label files, where 0 is neutral."""


@dataclass(frozen=True)
class UnitRule:
    """How one action unit takes part in a prototype.

    Attributes:
        units: action unit numbers, one of which is drawn.
        low, high: range of its intensity, relative to the sequence's.
        probability: 1 for a unit that defines the prototype.
        one_sided: on one half of the face only (the same half for every such rule).
    """

    units: tuple[int, ...]
    low: float
    high: float
    probability: float = 1.0
    one_sided: bool = False


PROTOTYPES: dict[str, tuple[UnitRule, ...]] = {
    "anger": (
        UnitRule((4,), 0.7, 1.0),
        UnitRule((7,), 0.5, 1.0),
        UnitRule((23, 24), 0.6, 1.0),
        UnitRule((5,), 0.3, 0.7, 0.4),
        UnitRule((17,), 0.3, 0.8, 0.5),
        UnitRule((10,), 0.1, 0.3, 0.15),
    ),
    "contempt": (
        UnitRule((14,), 0.75, 1.0, one_sided=True),
        UnitRule((12,), 0.15, 0.4, 0.5, one_sided=True),
        UnitRule((2,), 0.2, 0.5, 0.15, one_sided=True),
        UnitRule((24,), 0.1, 0.35, 0.3),
        UnitRule((43,), 0.2, 0.5, 0.3),
    ),
    "disgust": (
        UnitRule((9,), 0.65, 1.0),
        UnitRule((10,), 0.3, 0.9, 0.7),
        UnitRule((17,), 0.3, 0.8, 0.5),
        UnitRule((4,), 0.2, 0.6, 0.5),
        UnitRule((7,), 0.3, 0.9, 0.6),
        UnitRule((25,), 0.3, 0.9, 0.35),
        UnitRule((6,), 0.2, 0.6, 0.3),
    ),
    "fear": (
        UnitRule((1,), 0.6, 1.0),
        UnitRule((4,), 0.4, 0.8),
        UnitRule((20,), 0.6, 1.0),
        UnitRule((5,), 0.4, 1.0, 0.85),
        UnitRule((2,), 0.2, 0.6, 0.6),
        UnitRule((25,), 0.4, 1.0, 0.75),
        UnitRule((26,), 0.2, 0.6, 0.35),
    ),
    "happy": (
        UnitRule((12,), 0.65, 1.0),
        UnitRule((6,), 0.4, 1.0, 0.9),
        UnitRule((25,), 0.4, 1.0, 0.7),
        UnitRule((26,), 0.1, 0.5, 0.25),
        UnitRule((7,), 0.2, 0.6, 0.2),
    ),
    "sadness": (
        UnitRule((1,), 0.55, 1.0),
        UnitRule((15,), 0.6, 1.0),
        UnitRule((4,), 0.3, 0.8, 0.85),
        UnitRule((17,), 0.3, 0.9, 0.7),
        UnitRule((43,), 0.2, 0.6, 0.35),
    ),
    "surprise": (
        UnitRule((1,), 0.7, 1.0),
        UnitRule((2,), 0.7, 1.0),
        UnitRule((26, 27, 27), 0.45, 1.0),
        UnitRule((5,), 0.4, 1.0, 0.85),
        UnitRule((25,), 0.3, 0.8, 0.5),
    ),
}

# Slight movements that mean nothing; which of them may join a class without turning it into another.
_DISTRACTORS: dict[str, tuple[int, ...]] = {
    "anger": (2, 9, 14, 20, 25, 43),
    "contempt": (1, 4, 7, 17, 25),
    "disgust": (1, 2, 5, 14, 15, 43),
    "fear": (9, 10, 14, 15, 17),
    "happy": (1, 2, 4, 5, 14, 17, 10),
    "sadness": (7, 14, 20, 24, 25, 9),
    "surprise": (4, 7, 12, 20, 15),
}


TARGET_NAMES = ("valence", "arousal")
AFFECT: dict[str, tuple[float, float]] = {
    "anger": (-0.6, 0.7),
    "contempt": (-0.5, 0.2),
    "disgust": (-0.7, 0.4),
    "fear": (-0.6, 0.8),
    "happy": (0.9, 0.5),
    "sadness": (-0.8, -0.4),
    "surprise": (0.2, 0.9),
}
"""Valence and arousal of each expression at full intensity: numbers of our own, placed as on the circumplex (Russell
1980), and no ratings that people gave."""


def affect(expression: str, activation: Activation) -> tuple[float, float]:
    """Valence and arousal, -1..1, of a face: the expression's own times the mean intensity of the units that define it.

    A unit counts as it is on the side where it is stronger; where one of several may define an expression, the
    strongest does.
    """
    defining = [rule for rule in PROTOTYPES[expression] if rule.probability == 1.0]
    strongest = [max(max(activation.get(unit, (0.0, 0.0))) for unit in rule.units) for rule in defining]
    intensity = sum(strongest) / len(strongest)
    valence, arousal = AFFECT[expression]
    return valence * intensity, arousal * intensity


def _both_sides(draw: Draw, intensity: float) -> tuple[float, float]:
    """Nearly the same intensity on both sides."""
    return (min(1.0, intensity * draw.uniform(0.9, 1.1)), min(1.0, intensity * draw.uniform(0.9, 1.1)))


def draw_apex(draw: Draw, expression: str, strength: float, difficulty: Difficulty) -> dict[int, tuple[float, float]]:
    """Action units at the apex of one sequence of ``expression``; ``strength`` (0..1) scales them all."""
    side = draw.below(2)
    apex: dict[int, tuple[float, float]] = {}
    for rule in PROTOTYPES[expression]:
        unit = draw.one_of(rule.units)
        intensity = strength * draw.uniform(rule.low, rule.high)
        if not draw.chance(rule.probability * (1.0 if rule.probability == 1.0 else difficulty.optional_aus)):
            continue
        if rule.one_sided:
            weak = intensity * draw.uniform(0.0, 0.12)
            apex[unit] = (intensity, weak) if side == 0 else (weak, intensity)
        else:
            apex[unit] = _both_sides(draw, intensity)
    for unit in _DISTRACTORS[expression]:
        intensity = draw.uniform(0.1, 1.0) * difficulty.distractor_intensity
        if draw.chance(difficulty.distractor_aus) and unit not in apex:
            apex[unit] = _both_sides(draw, intensity)
    return apex


def prototype(expression: str) -> Activation:
    """The units that define ``expression``, at full intensity (a one-sided unit in the left half of the image)."""
    defining = [rule for rule in PROTOTYPES[expression] if rule.probability == 1.0]
    return {rule.units[0]: (1.0, 0.0 if rule.one_sided else 1.0) for rule in defining}


def at_intensity(apex: Activation, intensity: float) -> Activation:
    """``apex`` scaled by ``intensity`` (0 neutral .. 1 apex)."""
    return {unit: (left * intensity, right * intensity) for unit, (left, right) in apex.items()}
