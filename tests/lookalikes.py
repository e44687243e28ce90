"""Small sets in CK+48's layout: people who show expressions, in frames that follow each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from nas.data.dataset import Dataset

CLASSES = ("anger", "happy", "surprise")


def frames(people: int = 12, per_sequence: int = 3, seed: int = 0, side: int = 48) -> Dataset:
    """Each person shows each class in one sequence; its frames differ by noise and a little brightness."""
    rng = np.random.default_rng(seed)
    shows = [_smooth(rng, side) for _ in CLASSES]
    images, labels, subjects, sequences, names = [], [], [], [], []
    for person in range(people):
        face = _smooth(rng, side)
        for label, expression in enumerate(shows):
            peak = 120 + 50 * face + 30 * expression + 12 * _smooth(rng, side)
            for frame in range(per_sequence):
                images.append(np.clip(peak + 2 * frame + rng.normal(0, 2, (side, side)), 0, 255).astype(np.uint8))
                labels.append(label)
                subjects.append(f"S{person:03d}")
                sequences.append(f"S{person:03d}_{label:03d}")
                names.append(f"{CLASSES[label]}/S{person:03d}_{label:03d}_{frame + 1:08d}.png")
    return Dataset(
        np.array(images)[..., None],
        np.array(labels, np.int64),
        CLASSES,
        np.array(subjects),
        np.array(sequences),
        caption="frames made by the tests",
        names=np.array(names),
    )


def _smooth(rng: np.random.Generator, side: int) -> np.ndarray:
    small = Image.fromarray(rng.normal(0, 1, (7, 7)).astype(np.float32))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


def write_ck48(root: Path, data: Dataset, *, keep_names: bool) -> Path:
    """One folder a class; without the names that tell the subject, files are called by a number."""
    assert data.names is not None
    for number, (image, name) in enumerate(zip(data.images, data.names, strict=True)):
        file = root / name if keep_names else root / Path(name).parent / f"{number:05d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(file)
    return root
