"""How hard the synthetic faces are to tell apart."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import InputError


@dataclass(frozen=True)
class Difficulty:
    """Ranges of everything that hides the expression; 0 switches a nuisance off.

    Attributes:
        roll_deg, yaw_deg, pitch_deg: largest head rotation in the image plane, to the side, up or down.
        scale_spread: largest relative change of the face's size.
        shift_px: largest shift of the face, pixels of the 128 x 98 frame.
        drift: largest pose change within a sequence, as a fraction of the ranges above.
        light: largest sideways pull of the light (0 frontal, 1 fully from the side).
        tone_curve: largest bend of the grey scale (emulates gamma).
        noise: largest standard deviation of the grain, of full scale.
        blur: largest share of its neighbours that each pixel takes.
        apex_low, apex_high: range of a sequence's strongest intensity.
        optional_aus: factor on the probability of each optional action unit of a prototype.
        distractor_aus: probability of each action unit that belongs to no prototype of the class (at low intensity).
        distractor_intensity: largest intensity of such a unit.
        resting_lines: factor on the creases and the tilts of brows and mouth that a person has at rest.
        asymmetry_px: largest left-right difference at rest, face pixels.
    """

    roll_deg: float = 22.0
    yaw_deg: float = 14.0
    pitch_deg: float = 9.0
    scale_spread: float = 0.10
    shift_px: float = 3.0
    drift: float = 0.15
    light: float = 0.7
    tone_curve: float = 0.4
    noise: float = 0.03
    blur: float = 0.16
    apex_low: float = 0.7
    apex_high: float = 1.0
    optional_aus: float = 1.0
    distractor_aus: float = 0.06
    distractor_intensity: float = 0.3
    resting_lines: float = 0.6
    asymmetry_px: float = 0.4

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise InputError(f"difficulty {name} is {value}; it must be 0 (off) or more")
        if not self.apex_low <= self.apex_high <= 1:
            raise InputError(
                f"difficulty apex_low {self.apex_low} .. apex_high {self.apex_high}: need apex_low <= apex_high <= 1"
            )


DEFAULT_DIFFICULTY = Difficulty()
