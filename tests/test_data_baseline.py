"""The linear baseline, on data whose answer is known; and what is imported for it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from nas.data.baseline import linear_baseline
from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.data.inspect import inspect
from nas.errors import InputError


def _bars(side: int, channels: int, *, informative: bool = True, count: int = 240) -> Dataset:
    """Noise with a bright bar whose place is the class (or is drawn at random)."""
    rng = np.random.default_rng(1)
    labels = np.arange(count, dtype=np.int64) % 3
    places = labels if informative else rng.integers(0, 3, count)
    images = rng.integers(0, 200, (count, side, side, channels), dtype=np.uint8)
    width = side // 4
    for image, place in zip(images, places, strict=True):
        image[:, place * width : (place + 1) * width] += 55
    subjects = np.array([f"p{index // 6}" for index in range(count)])
    return Dataset(images, labels, ("left", "middle", "right"), subjects=subjects)


@pytest.mark.parametrize(("side", "channels"), [(12, 1), (12, 3), (100, 1), (48, 3)])
def test_what_is_linear_is_learnt(side: int, channels: int) -> None:
    data = _bars(side, channels)
    assert linear_baseline(data, make_split(data), [0, 1]) > 0.95


def test_what_is_noise_is_not() -> None:
    data = _bars(12, 1, informative=False)
    assert 0.2 < linear_baseline(data, make_split(data), range(5)) < 0.47


def test_folds_are_pooled_by_images() -> None:
    data = _bars(12, 1, informative=False)
    split = make_split(data)
    right = [linear_baseline(data, split, [index]) * len(split.folds[index].test) for index in range(5)]
    assert linear_baseline(data, split, range(5)) == pytest.approx(sum(right) / len(split.search_indices))


def test_many_images_are_drawn_from_the_same_way_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.baseline.MAX_TRAINING_IMAGES", 60)
    data = _bars(12, 1, informative=False)
    split = make_split(data)
    assert linear_baseline(data, split, [0, 1]) == linear_baseline(data, split, [0, 1])


@pytest.mark.parametrize("indices", [[], [5], [-1]])
def test_folds_that_are_not_there_are_refused(indices: list[int]) -> None:
    data = _bars(12, 1)
    with pytest.raises(InputError, match=r"give at least one in 0\.\.4"):
        linear_baseline(data, make_split(data), indices)


def test_inspect_says_null_where_nothing_is_known() -> None:
    data = _bars(12, 3)
    found = inspect(Dataset(data.images, data.labels, data.class_names, warnings=("mind this",)))
    assert found == {
        "kind": "array",
        "images": 240,
        "height": 12,
        "width": 12,
        "channels": 3,
        "classes": {"left": 80, "middle": 80, "right": 80},
        "subjects": None,
        "sequences": None,
        "fingerprint": found["fingerprint"],
        "warnings": ["mind this"],
        **{"parts": None, "targets": None, "landmarks": None, "soft_labels": False},
    }
    assert inspect(data)["subjects"] == 40 and inspect(data)["sequences"] is None
    assert len(found["fingerprint"]) == 16 and found["fingerprint"] != inspect(data)["fingerprint"]


def test_importing_the_data_floor_loads_no_scikit_learn() -> None:
    script = (
        "import sys, nas.data.recognise, nas.data.folds, nas.data.baseline, nas.data.inspect\n"
        "assert not {'sklearn', 'scipy', 'tensorflow', 'nas.data.synthetic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
