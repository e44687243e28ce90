"""Bring images that are already decoded to another size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.data.cache import Form, cached_rows
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
    side = int(image_size)
    form = Form(len(dataset), (side, side, dataset.input_shape[2]))
    rows = cached_rows(lambda: f"resized {dataset.fingerprint}", lambda: _resized_images(dataset.images, side), form)
    return replace(dataset, images=rows.values, warnings=dataset.warnings + rows.warnings)


def _resized_images(images: npt.NDArray[np.uint8], side: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Each of the images, shape (side, side, channels), stretched where the proportions differ."""
    channels = images.shape[3]
    for image in images:
        plain = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if channels == 1 else image))
        small = np.asarray(plain.resize((side, side), Image.Resampling.BILINEAR))
        yield small.reshape(side, side, channels)
