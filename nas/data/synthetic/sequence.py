"""One sequence of frames from neutral to apex."""

from __future__ import annotations

from dataclasses import dataclass

from nas.data.synthetic.action_units import Activation
from nas.data.synthetic.camera import Camera, draw_camera
from nas.data.synthetic.difficulty import Difficulty
from nas.data.synthetic.draw import Draw
from nas.data.synthetic.expressions import affect, at_intensity, draw_apex
from nas.data.synthetic.frame import Frame, draw_frame
from nas.data.synthetic.identity import Identity, draw_identity
from nas.data.synthetic.plan import draw_plan
from nas.data.synthetic.pose import Pose, draw_pose, drifted

PEAK_FRAMES = 3
"""Frames at the end of a sequence that carry its label, as is the custom with CK+."""

_PLAN, _SUBJECT, _SEQUENCE, _GRAIN = range(4)
_PEAK_INTENSITY = (0.88, 0.95, 1.0)


@dataclass(frozen=True)
class Sequence:
    """Everything that decides the frames of one sequence."""

    seed: int
    subject: int
    number: int
    expression: str
    face: Identity
    apex: Activation
    frames: int
    start: Pose
    end: Pose
    camera: Camera

    @property
    def subject_id(self) -> str:
        """Such as ``S005``."""
        return f"S{self.subject:03d}"

    @property
    def sequence_id(self) -> str:
        """Such as ``S005_001``."""
        return f"{self.subject_id}_{self.number:03d}"

    def intensity(self, index: int) -> float:
        """Intensity (0..1 of the apex) of frame ``index`` (0 .. frames - 1): a smooth rise, then near the apex."""
        rise = self.frames - PEAK_FRAMES
        if index >= rise:
            return _PEAK_INTENSITY[index - rise]
        t = index / rise
        return _PEAK_INTENSITY[0] * t * t * (3.0 - 2.0 * t)

    def frame(self, index: int) -> Frame:
        """Frame ``index`` (0 .. frames - 1)."""
        pose = drifted(self.start, self.end, index / (self.frames - 1))
        grain = Draw.of(self.seed, _GRAIN, self.subject, self.number, index)
        return draw_frame(self.face, at_intensity(self.apex, self.intensity(index)), pose, self.camera, grain)

    def affect(self, index: int) -> tuple[float, float]:
        """Valence and arousal, -1..1, of frame ``index`` (0 .. frames - 1)."""
        return affect(self.expression, at_intensity(self.apex, self.intensity(index)))


def _draw_sequence(key: tuple[int, int, int], face: Identity, expression: str, difficulty: Difficulty) -> Sequence:
    """The sequence of ``key`` (seed, subject, number)."""
    seed, subject, number = key
    draw = Draw.of(seed, _SEQUENCE, subject, number)
    strength = min(1.0, face.expressivity * draw.uniform(difficulty.apex_low, difficulty.apex_high))
    start = draw_pose(draw, difficulty)
    return Sequence(
        seed=seed,
        subject=subject,
        number=number,
        expression=expression,
        face=face,
        apex=draw_apex(draw, expression, strength, difficulty),
        frames=6 + draw.below(9),
        start=start,
        end=drifted(start, draw_pose(draw, difficulty), difficulty.drift),
        camera=draw_camera(draw, difficulty),
    )


def draw_sequences(seed: int, difficulty: Difficulty) -> tuple[Sequence, ...]:
    """All 327 sequences, sorted by subject, then number."""
    sequences = []
    for subject, expressions in enumerate(draw_plan(Draw.of(seed, _PLAN)), start=1):
        face = draw_identity(Draw.of(seed, _SUBJECT, subject), difficulty)
        for number, expression in enumerate(expressions, start=1):
            sequences.append(_draw_sequence((seed, subject, number), face, expression, difficulty))
    return tuple(sequences)
