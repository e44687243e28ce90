"""The paper's augmentation, in the TensorFlow graph but outside the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Augmentation:
    """Ranges of EmotionNet Nano's recipe: rotation, width and height shift, zoom, horizontal flip.

    Attributes:
        rotation: largest rotation, radians either way.
        shift: largest shift, share of the side.
        zoom: largest zoom, share of the scale.
        flip: whether images are mirrored half of the time (off for digits, text ...).
    """

    rotation: float = 0.17
    shift: float = 0.08
    zoom: float = 0.1
    flip: bool = True

    def scaled(self, strength: float) -> Augmentation:
        """The same with every range times ``strength``: 0 moves nothing, 1 is this one; mirroring stays as it is."""
        return Augmentation(self.rotation * strength, self.shift * strength, self.zoom * strength, self.flip)


def augment(images: Any, seed: Any, settings: Augmentation) -> Any:
    """Random projective transforms of float images (batch, h, w, c); the same ``seed`` (2,) gives the same images."""
    import tensorflow as tf

    shape = tf.shape(images)
    n, height, width = shape[0], tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    draw = tf.random.stateless_uniform((5, n), seed, -1.0, 1.0)
    angle = draw[0] * settings.rotation
    scale = 1.0 + draw[1] * settings.zoom
    mirror = tf.where(draw[4] > 0, -1.0, 1.0) if settings.flip else tf.ones(n)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    cx, cy = (width - 1) / 2, (height - 1) / 2
    # Output pixel (x, y) reads input (a0 x + a1 y + a2, b0 x + b1 y + b2), about the image's centre.
    a0, a1, b0, b1 = cos * mirror, -sin, sin * mirror, cos
    a2 = cx - a0 * cx - a1 * cy + draw[2] * settings.shift * width
    b2 = cy - b0 * cx - b1 * cy + draw[3] * settings.shift * height
    zero = tf.zeros(n)
    transforms = tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
