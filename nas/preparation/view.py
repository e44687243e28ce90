"""The square of a photograph that becomes an image: where it lies, how it is turned, what its pixels are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.data.facecrop import face_box

Points = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

# Where the centres of the eyes come, as shares of the side.  The chin lies 1.5 to 2.1 distances of the eyes below them
# (the latter with the jaw dropped; synthetic faces), and must not be cut off: it tells surprise.
EYE_LEFT: Final = (0.34, 0.32)
EYE_RIGHT: Final = (0.66, 0.32)
_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)  # of the 68 landmarks; left in the image
_TURNED: Final = 1e-9  # radians; less is none


@dataclass(frozen=True)
class View:
    """A square in a photograph.

    A point z = x + iy of the photograph, in pixels from the outer edge of its first pixel (so that this pixel's centre
    is 0.5 + 0.5i), comes to w = (z - origin) / step, both as complex numbers, in shares of the square's side.

    Attributes:
        origin: the square's top left corner.
        step: from there to the top right corner: its length is the side in pixels, its angle the square's turn.
    """

    origin: complex
    step: complex

    @classmethod
    def whole(cls, height: int, width: int) -> Self:
        """The smallest square about the whole photograph."""
        side = max(height, width)
        return cls(complex(width - side, height - side) / 2, complex(side))

    @classmethod
    def about(cls, points: Points) -> Self:
        """The upright square about points of a face (x, y), shape (n, 2): landmarks, or two corners of a box."""
        left, top, right, _ = face_box(points)
        return cls(complex(left, top), complex(right - left))

    @classmethod
    def from_eyes(cls, eyes: Points) -> Self:
        """The square in which the eyes are level, at :data:`EYE_LEFT` and :data:`EYE_RIGHT`.

        With the eyes l, r and their places L, R as complex numbers, step = (r - l) / (R - L) and
        origin = l - step·L: the only similarity (turn, scale, shift; no mirroring) that brings l to L and r to R.

        Args:
            eyes: centres (x, y) of the eye that is left in the photograph and of the other, shape (2, 2), apart.
        """
        left, right = (complex(x, y) for x, y in eyes.tolist())
        step = (right - left) / (complex(*EYE_RIGHT) - complex(*EYE_LEFT))
        return cls(left - step * complex(*EYE_LEFT), step)

    @property
    def side(self) -> float:
        """In pixels of the photograph."""
        return abs(self.step)

    def shares(self, points: Points) -> Points:
        """Points (x, y) of the photograph as shares of the square's sides, both of shape (n, 2)."""
        placed = (points[:, 0] + 1j * points[:, 1] - self.origin) / self.step
        return np.stack([placed.real, placed.imag], axis=1)

    def pixels(self, photograph: Pixels, size: int) -> Pixels:
        """What the square shows.

        Brought to the scale first (by an antialiasing filter where it shrinks, by Lanczos where it grows), then turned
        (bicubic) if it must be.  What lies outside of the photograph repeats its edge.

        Args:
            photograph: uint8, shape (h, w, c), c 1 or 3.
            size: side of the result.

        Returns:
            uint8, shape (size, size, c).
        """
        corners = self.origin + self.step * np.array([0, 1, 1j, 1 + 1j])
        box = np.array([corners.real.min(), corners.imag.min(), corners.real.max(), corners.imag.max()])
        turned = abs(math.atan2(self.step.imag, self.step.real)) > _TURNED
        scale = size / self.side
        if turned:  # a margin, which the bicubic filter reaches into
            box += np.array([-2, -2, 2, 2]) * max(1.0, 1.0 / scale)
        shrinks = scale <= 1.0
        filter_ = Image.Resampling.BILINEAR if shrinks else Image.Resampling.LANCZOS
        around, corner = _padded(photograph, box, margin=3.0 * max(1.0, 1.0 / scale))  # as far as filters reach
        if not turned:
            return _array(around.resize((size, size), filter_, box=tuple((box - np.tile(corner, 2)).tolist())))
        width, height = (max(1, round(float(extent) * scale)) for extent in box[2:] - box[:2])
        # Rounded to whole pixels, each axis has a scale of its own, which the turn takes back.
        across, down = width / float(box[2] - box[0]), height / float(box[3] - box[1])
        scaled = around.resize((width, height), filter_, box=tuple((box - np.tile(corner, 2)).tolist()))
        turn = self.step / size
        x0, y0 = self.origin.real - float(box[0]), self.origin.imag - float(box[1])
        back = (turn.real * across, -turn.imag * across, x0 * across, turn.imag * down, turn.real * down, y0 * down)
        return _array(scaled.transform((size, size), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC))


def eye_centres(landmarks: Points) -> Points:
    """Centres (x, y) of the eyes, shape (2, 2), left in the image first, of 68 landmarks (iBUG's order)."""
    return np.stack([landmarks[_LEFT_EYE].mean(axis=0), landmarks[_RIGHT_EYE].mean(axis=0)])


def usable_eyes(eyes: Points) -> bool:
    """Whether two points can be eyes: apart, and the left one on the left (a head turned by less than 90 degrees)."""
    left, right = eyes
    return bool(right[0] - left[0] > 1.0)


def _padded(photograph: Pixels, box: Points, margin: float) -> tuple[Image.Image, Points]:
    """The part of the photograph about ``box`` (left, top, right, bottom), its edges repeated, and its corner."""
    height, width, channels = photograph.shape
    low, high = np.floor(box[:2] - margin).astype(int), np.ceil(box[2:] + margin).astype(int)
    columns = np.clip(np.arange(low[0], high[0]), 0, width - 1)
    rows = np.clip(np.arange(low[1], high[1]), 0, height - 1)
    part = photograph[rows[:, None], columns]
    return Image.fromarray(part[:, :, 0] if channels == 1 else part), low.astype(float)


def _array(image: Image.Image) -> Pixels:
    found = np.asarray(image, dtype=np.uint8)
    return found[:, :, np.newaxis] if found.ndim == 2 else found
