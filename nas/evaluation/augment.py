"""The paper's augmentation, in the TensorFlow graph but outside the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nas.data.landmarks import MIRROR


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

    return _moved(images, _transforms(tf.shape(images), seed, settings))


def augment_with_landmarks(images: Any, landmarks: Any, seed: Any, settings: Augmentation) -> tuple[Any, Any]:
    """The same images, and the points on them moved along.

    In a mirrored image a point takes the number of its twin in the other half of the face
    (:data:`nas.data.landmarks.MIRROR`), so that the left eye is on the left again.

    Args:
        images: float (batch, h, w, c).
        landmarks: float (batch, points, 2), x and y as shares of width and height; 68 points where ``settings`` mirror.
        seed, settings: as in :func:`augment`.
    """
    import tensorflow as tf

    shape = tf.shape(images)
    transforms = _transforms(shape, seed, settings)
    a0, a1, a2, b0, b1, b2 = (transforms[:, i, None] for i in range(6))
    width, height = tf.cast(shape[2], tf.float32), tf.cast(shape[1], tf.float32)
    # A share of the width is counted from the image's edge, a pixel from its own centre.
    x, y = landmarks[:, :, 0] * width - 0.5 - a2, landmarks[:, :, 1] * height - 0.5 - b2
    area = a0 * b1 - a1 * b0
    moved = tf.stack([(b1 * x - a1 * y) / area, (a0 * y - b0 * x) / area], axis=2)
    moved = (moved + 0.5) / tf.stack([width, height])
    if settings.flip:
        moved = tf.where(area[:, :, None] < 0, tf.gather(moved, MIRROR, axis=1), moved)
    return _moved(images, transforms), moved


def _transforms(shape: Any, seed: Any, settings: Augmentation) -> Any:
    """Of each image: output pixel (x, y) reads input (a0 x + a1 y + a2, b0 x + b1 y + b2), about the image's centre.

    Args:
        shape: of the images.
        seed: shape (2,).

    Returns:
        (batch, 8): a0, a1, a2, b0, b1, b2, 0, 0.
    """
    import tensorflow as tf

    n, height, width = shape[0], tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    draw = tf.random.stateless_uniform((5, n), seed, -1.0, 1.0)
    angle = draw[0] * settings.rotation
    scale = 1.0 + draw[1] * settings.zoom
    mirror = tf.where(draw[4] > 0, -1.0, 1.0) if settings.flip else tf.ones(n)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    cx, cy = (width - 1) / 2, (height - 1) / 2
    a0, a1, b0, b1 = cos * mirror, -sin, sin * mirror, cos
    a2 = cx - a0 * cx - a1 * cy + draw[2] * settings.shift * width
    b2 = cy - b0 * cx - b1 * cy + draw[3] * settings.shift * height
    zero = tf.zeros(n)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


def _moved(images: Any, transforms: Any) -> Any:
    import tensorflow as tf

    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
