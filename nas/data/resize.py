"""Bring images that are already in memory to another size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.data.dataset import Dataset
from nas.errors import InputError

MIN_SIDE, MAX_SIDE = 8, 1024


def check_image_size(image_size: int | None) -> None:
    """Refuse a side outside 8..1024 pixels.

    Raises:
        InputError: it is no whole number, or outside.
    """
    if image_size is None:
        return
    whole = isinstance(image_size, (int, np.integer)) and not isinstance(image_size, bool)
    if not whole or not MIN_SIDE <= image_size <= MAX_SIDE:
        raise InputError(f"image size {image_size!r}: give a whole number of pixels in {MIN_SIDE}..{MAX_SIDE}")


def resized(dataset: Dataset, image_size: int | None) -> Dataset:
    """``dataset`` with square images of side ``image_size``; itself where that is None or already so."""
    if image_size is None or dataset.input_shape[:2] == (image_size, image_size):
        return dataset
    return replace(dataset, images=_resize_images(dataset.images, int(image_size)))


def _resize_images(images: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """(n, height, width, channels) to (n, side, side, channels), stretched where the proportions differ."""
    count, _, _, channels = images.shape
    result = np.empty((count, side, side, channels), np.uint8)
    for index, image in enumerate(images):
        plain = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if channels == 1 else image))
        small = np.asarray(plain.resize((side, side), Image.Resampling.BILINEAR))
        result[index] = small.reshape(side, side, channels)
    return result
