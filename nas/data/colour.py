"""Grey images of coloured ones, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.data.cache import Form, cached_rows
from nas.data.dataset import Dataset

Colour = Literal["as-stored", "grey", "rgb"]
COLOURS: Final[tuple[Colour, ...]] = ("as-stored", "grey", "rgb")


def coloured(dataset: Dataset, colour: Colour) -> Dataset:
    """``dataset`` with one channel (``grey``, ITU-R 601 luma) or three (``rgb``; grey ones three times the same).

    Itself where it has that many already, or is to stay ``as-stored``.
    """
    height, width, channels = dataset.input_shape
    wanted = {"as-stored": channels, "grey": 1, "rgb": 3}[colour]
    if wanted == channels:
        return dataset
    form = Form(len(dataset), (height, width, wanted))
    rows = cached_rows(lambda: f"{colour} {dataset.fingerprint}", lambda: _each(dataset.images, wanted), form)
    return replace(dataset, images=rows.values, warnings=dataset.warnings + rows.warnings)


def _each(images: npt.NDArray[np.uint8], channels: int) -> Iterator[npt.NDArray[np.uint8]]:
    for image in images:
        if channels == 3:
            yield np.repeat(image, 3, axis=2)
        else:
            yield np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L"))[:, :, None]
