"""Grey images of coloured ones, and the other way round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.data.colour import coloured
from nas.data.dataset import Dataset
from nas.data.preparation import Preparation
from nas.errors import DecodeError, InputError

RGB = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 10, 10]], np.uint8).reshape(4, 1, 1, 3).repeat(8, 1)


def of(images: np.ndarray) -> Dataset:
    return Dataset(images.repeat(8, 2), np.array([0, 1, 0, 1]), ("a", "b"))


def test_grey_is_the_luma_of_itu_r_601() -> None:
    grey = coloured(of(RGB), "grey")
    assert grey.input_shape == (8, 8, 1)
    assert [int(image[0, 0, 0]) for image in grey.images] == [76, 150, 29, 10]  # .299, .587, .114 of 255
    assert list(grey.labels) == [0, 1, 0, 1]


def test_rgb_of_grey_is_three_times_the_same_and_back_again_nothing_is_lost() -> None:
    grey = of(np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1).repeat(8, 1))
    three = coloured(grey, "rgb")
    assert three.input_shape == (8, 8, 3) and np.array_equal(three.images, grey.images.repeat(3, 3))
    assert np.array_equal(coloured(three, "grey").images, grey.images)


def test_what_is_so_already_is_left_alone() -> None:
    data = of(RGB)
    assert coloured(data, "rgb") is data and coloured(data, "as-stored") is data


def test_a_large_set_goes_through_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    monkeypatch.setattr("nas.data.cache.IN_MEMORY_BYTES", 100)
    grey = coloured(of(RGB), "grey")
    assert isinstance(grey.images, np.memmap) and int(grey.images[0, 0, 0, 0]) == 76


def test_a_run_records_it() -> None:
    chosen = Preparation(colour="grey")
    assert Preparation.from_json(chosen.to_json()) == chosen
    assert Preparation.from_json({}).colour == "as-stored"  # runs begun before
    assert chosen.prepared(of(RGB)).input_shape == (8, 8, 1)
    with pytest.raises(InputError, match="colour 'blue': use as-stored, grey, rgb"):
        Preparation(colour="blue")  # type: ignore[arg-type]
    with pytest.raises(DecodeError, match="colour"):
        Preparation.from_json({"colour": "blue"})
