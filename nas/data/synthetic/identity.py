"""What one synthetic person looks like at rest."""

from __future__ import annotations

from dataclasses import dataclass

from nas.data.synthetic.difficulty import Difficulty
from nas.data.synthetic.draw import Draw


@dataclass(frozen=True)
class Identity:
    """A person's face: lengths in face pixels (frame pixels at scale 1, origin between the eyes), tones in 0..1."""

    half_width: float
    chin_y: float
    jaw_fullness: float
    eye_x: float
    eye_half_width: float
    eye_half_height: float
    eye_tilt: float
    brow_y: float
    brow_half_length: float
    brow_arch: float
    brow_tilt: float
    brow_thickness: float
    nose_length: float
    nose_half_width: float
    nose_relief: float
    mouth_y: float
    mouth_half_width: float
    mouth_rest: float
    upper_lip: float
    lower_lip: float
    skin: float
    hair: float
    brow_tone: float
    lip_tone: float
    iris_tone: float
    lines: float
    expressivity: float
    hairline_y: float
    hairline_bend: float
    hairline_lean: float
    hair_volume: float
    hair_bottom_y: float
    beard: float
    moustache: float
    glasses: float
    glasses_round: bool
    asymmetry: tuple[float, float, float]
    moles: tuple[tuple[float, float], ...]
    backdrop: float
    clothes: float


def _hair(draw: Draw, feminine: bool) -> dict[str, float]:
    style = draw.below(10)
    long = feminine and style < 7
    fringe = style in {1, 4}
    bald = not feminine and style == 9
    return {
        "hairline_y": -40.0 if bald else draw.bell(-16.5, -11.5) if fringe else draw.bell(-27.0, -18.0),
        "hairline_bend": draw.bell(0.002, 0.026) if not fringe else draw.uniform(-0.004, 0.004),
        "hairline_lean": draw.spread(0.25),
        "hair_volume": 0.0 if bald else draw.bell(1.0, 7.0),
        "hair_bottom_y": draw.uniform(25.0, 70.0) if long else draw.uniform(-8.0, 6.0),
    }


def _whiskers(draw: Draw, feminine: bool) -> dict[str, float]:
    bearded = not feminine and draw.chance(0.3)
    moustached = not feminine and draw.chance(0.2)
    return {
        "beard": draw.uniform(0.12, 0.6) if bearded else 0.0,
        "moustache": draw.uniform(0.15, 0.6) if moustached else 0.0,
    }


def draw_identity(draw: Draw, difficulty: Difficulty) -> Identity:
    """A random person."""
    feminine = draw.chance(0.65)
    skin = draw.bell(0.30, 0.92) if draw.chance(0.4) else draw.bell(0.55, 0.92)
    hair = min(draw.uniform(0.04, 0.30) if draw.chance(0.7) else draw.uniform(0.25, 0.7), skin - 0.12)
    rest = difficulty.resting_lines
    lop = difficulty.asymmetry_px
    return Identity(
        half_width=draw.bell(23.5, 30.5),
        chin_y=draw.bell(38.0, 48.0) - (1.0 if feminine else 0.0),
        jaw_fullness=draw.bell(0.52, 0.92) - (0.0 if feminine else 0.06),
        eye_x=draw.bell(10.6, 14.4),
        eye_half_width=draw.bell(3.9, 5.9),
        eye_half_height=draw.bell(1.6, 2.8),
        eye_tilt=draw.spread(1.1),
        brow_y=draw.bell(-11.2, -6.8),
        brow_half_length=draw.bell(5.4, 7.6),
        brow_arch=draw.bell(0.2, 2.6),
        brow_tilt=rest * draw.spread(1.7),
        brow_thickness=draw.bell(0.7, 1.7) if feminine else draw.bell(1.1, 2.4),
        nose_length=draw.bell(14.0, 19.5),
        nose_half_width=draw.bell(3.6, 6.4),
        nose_relief=draw.uniform(0.5, 1.2),
        mouth_y=draw.bell(25.2, 29.8),
        mouth_half_width=draw.bell(7.4, 11.4),
        mouth_rest=rest * draw.spread(1.2),
        upper_lip=draw.bell(1.2, 3.0),
        lower_lip=draw.bell(1.9, 3.9),
        skin=skin,
        hair=max(hair, 0.03),
        brow_tone=draw.uniform(0.3, 0.75),
        lip_tone=draw.bell(0.55, 0.95),
        iris_tone=draw.uniform(0.05, 0.5),
        lines=rest * draw.uniform(0.0, 1.0) * draw.uniform(0.2, 1.0),
        expressivity=draw.bell(0.8, 1.15),
        **_hair(draw, feminine),
        **_whiskers(draw, feminine),
        glasses=draw.uniform(0.35, 0.9) if draw.chance(0.14) else 0.0,
        glasses_round=draw.chance(0.5),
        asymmetry=(draw.spread(lop), draw.spread(lop), draw.spread(lop)),
        moles=tuple((draw.uniform(-20.0, 20.0), draw.uniform(-14.0, 38.0)) for _ in range(draw.below(4))),
        backdrop=draw.uniform(0.15, 0.9),
        clothes=draw.uniform(0.08, 0.8),
    )
