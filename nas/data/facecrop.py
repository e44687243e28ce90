"""The face crop that every face set shares, so that the same frame gives the same pixels wherever it comes from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

_MARGIN = 1.16
_RAISE = 0.04


def face_box(landmarks: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Square (left, top, right, bottom) about points of a face, a little raised to leave room for the forehead.

    Args:
        landmarks: (x, y), shape (n, 2): 68 landmarks, or two corners of a detector's box.
    """
    left, top = (float(v) for v in landmarks.min(axis=0))
    right, bottom = (float(v) for v in landmarks.max(axis=0))
    side = _MARGIN * max(right - left, bottom - top, 1.0)
    x0 = (left + right - side) / 2.0
    y0 = (top + bottom - side) / 2.0 - _RAISE * side
    return x0, y0, x0 + side, y0 + side


def landmarks_in_crop(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Where the landmarks are in the crop that :func:`crop_face` makes about them: shares of its sides, shape (68, 2).

    Landmarks count from the centre of the first pixel, shares from the edge of the image.
    """
    x0, y0, x1, y1 = face_box(landmarks)
    shares: npt.NDArray[np.float32] = ((landmarks + 0.5 - (x0, y0)) / (x1 - x0, y1 - y0)).astype(np.float32)
    return shares


def crop_face(
    image: npt.NDArray[np.uint8], landmarks: npt.NDArray[np.float64] | None, size: int
) -> npt.NDArray[np.uint8]:
    """Square crop of a face, resized with an antialiasing filter.

    Args:
        image: grey, shape (h, w).
        landmarks: (x, y) in pixels of ``image``, shape (68, 2), or None for the largest central square.
        size: side of the result in pixels.

    Returns:
        uint8, shape (size, size).  What lies outside of ``image`` repeats its edge.
    """
    height, width = image.shape
    if landmarks is None:
        side = min(height, width)
        x0, y0, x1, y1 = ((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2)
        box = (float(x0), float(y0), float(x1), float(y1))
    else:
        box = face_box(landmarks)
    before_x, before_y = max(0, -int(box[0] // 1)), max(0, -int(box[1] // 1))
    after_x, after_y = max(0, int(box[2]) + 1 - width), max(0, int(box[3]) + 1 - height)
    padded = np.pad(image, ((before_y, after_y), (before_x, after_x)), mode="edge")
    moved = (box[0] + before_x, box[1] + before_y, box[2] + before_x, box[3] + before_y)
    resized = Image.fromarray(padded).resize((size, size), Image.Resampling.BILINEAR, box=moved)
    return np.asarray(resized, dtype=np.uint8)
