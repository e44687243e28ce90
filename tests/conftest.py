from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
sys.path.insert(0, str(Path(__file__).parent))

from fabricated import Fabrication

from nas.data.dataset import Dataset


def pytest_make_parametrize_id(val: object) -> str | None:
    """Hostile inputs are long; a test's name shows their beginning."""
    return f"{val[:30]!r}..." if isinstance(val, str | bytes) and len(val) > 80 else None


def blobs(n_subjects: int = 20, side: int = 16, seed: int = 0) -> Dataset:
    """Three easy classes of small grey images: a bright bar across, a bar down, a square; twelve a subject."""
    rng = np.random.default_rng(seed)
    images, labels, subjects = [], [], []
    for subject in range(n_subjects):
        for i in range(12):
            label = i % 3
            image = rng.normal(90, 18, (side, side))
            row, column = rng.integers(3, side - 5, size=2)
            if label == 0:
                image[row : row + 2, 2:-2] += 90
            elif label == 1:
                image[2:-2, column : column + 2] += 90
            else:
                image[row : row + 4, column : column + 4] += 90
            images.append(np.clip(image, 0, 255).astype(np.uint8))
            labels.append(label)
            subjects.append(f"S{subject:03d}")
    return Dataset(
        images=np.array(images)[..., None],
        labels=np.array(labels, dtype=np.int64),
        class_names=("across", "down", "square"),
        subjects=np.array(subjects),
        caption="bars and squares made by the tests",
    )


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Fabrication:
    return Fabrication(monkeypatch)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return blobs()


@pytest.fixture(scope="session")
def npz(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez(path, x=dataset.images, y=dataset.labels, subject=dataset.subjects, classes=np.array(dataset.class_names))
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 2 MB, which can really be full."""
    path = tmp_path / "small-disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here: it takes root")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(disk: Path) -> Path:
    """Takes all that is left of a disk; removing the file makes room again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return filler
