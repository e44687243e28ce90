"""Files in the formats of FER2013, FERPlus, ckextended.csv and CK_data.h5, filled with made-up pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PIXELS = 48 * 48
VOTES_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def face(seed: int) -> np.ndarray:
    """uint8, shape (48, 48), with all of 0..255 in it."""
    return np.random.default_rng(seed).permutation(np.arange(PIXELS) % 256).astype(np.uint8).reshape(48, 48)


def pixel_text(image: np.ndarray) -> str:
    return " ".join(map(str, image.ravel()))


def pixel_lines(rows: Sequence[tuple[int, str]], first: int = 0) -> list[str]:
    """One line a (emotion, Usage), the image of line n being ``face(first + n)``."""
    return [f"{emotion},{pixel_text(face(first + n))},{usage}" for n, (emotion, usage) in enumerate(rows)]


def write_pixel_csv(path: Path, rows: Sequence[tuple[int, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["emotion,pixels,Usage", *pixel_lines(rows)]) + "\n")
    return path


def votes_line(usage: str, name: str, votes: Mapping[str, int]) -> str:
    columns = VOTES_HEADER.split(",")[2:]
    assert set(votes) <= set(columns)
    return ",".join([usage, name, *(str(votes.get(column, 0)) for column in columns)])


def write_ck_data(path: Path, images: Any, labels: Any) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("data_pixel", data=images)
        file.create_dataset("data_label", data=labels)
    return path
