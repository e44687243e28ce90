"""What a data set holds, as one JSON object."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset


def inspect(dataset: Dataset) -> dict[str, Any]:
    """What ``nas data inspect --json`` prints: counts are None where they are not known."""
    height, width, channels = dataset.input_shape
    return {
        "kind": dataset.kind,
        "images": len(dataset),
        "height": height,
        "width": width,
        "channels": channels,
        "classes": dataset.class_counts(),
        "subjects": _distinct(dataset.subjects),
        "sequences": _distinct(dataset.sequences),
        "fingerprint": dataset.fingerprint,
        "warnings": list(dataset.warnings),
    }


def _distinct(ids: npt.NDArray[np.str_] | None) -> int | None:
    return None if ids is None else len(np.unique(ids))
