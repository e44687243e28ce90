"""Data sets by their names in TensorFlow Datasets; skipped but for the errors where that is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.recognise import load_dataset
from nas.errors import InputError

INSTALLED = importlib.util.find_spec("tensorflow_datasets") is not None


@pytest.mark.parametrize("name", ["tfds:", "tfds:a b", "tfds:../x", "tfds:huggingface:x"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="give tfds:NAME or tfds:NAME/config"):
        load_dataset(name)


@pytest.mark.skipif(INSTALLED, reason="tensorflow_datasets is installed")
def test_without_the_package_the_error_says_how_to_install_it() -> None:
    with pytest.raises(InputError, match=r"tensorflow_datasets is not installed: pip install 'nanosynth\[tfds\]'"):
        load_dataset("tfds:cifar10")


def pixels(number: int, side: int) -> np.ndarray:
    return np.full((side, side, 3), 10 * number, np.uint8)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets in a folder of their own: one of a fixed size, one of two sizes; their third split has no labels."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class TinyFaces(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        SIDES = (12, 12)

        def _info(self) -> Any:
            side = 12 if self.SIDES == (12, 12) else None
            features = {
                "face": tfds.features.Image(shape=(side, side, 3)),
                "mood": tfds.features.ClassLabel(names=["sad", "happy"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("face", "mood")
            )

        def _split_generators(self, dl_manager: Any) -> Any:
            return {"train": self._generate_examples(0), "test": self._generate_examples(6), "unlabelled": self._none()}

        def _generate_examples(self, first: int) -> Iterator[Any]:
            for number in range(first, first + 6):
                yield number, {"face": pixels(number, self.SIDES[number % 2]), "mood": number // 3 % 2}

        def _none(self) -> Iterator[Any]:
            yield 0, {"face": pixels(0, 12), "mood": -1}

    class TinyMixed(TinyFaces):
        SIDES = (12, 30)

    class TinyAbsent(TinyFaces):
        pass

    folder = tmp_path_factory.mktemp("tfds")
    for builder in (TinyFaces, TinyMixed):
        builder(data_dir=folder).download_and_prepare()
    assert TinyAbsent.name == "tiny_absent"
    return folder


def test_a_prepared_set_is_read_with_its_splits_as_parts(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(built))
    data = load_dataset("tfds:tiny_faces")
    assert (data.kind, data.class_names, data.images.shape) == ("tfds", ("sad", "happy"), (12, 12, 12, 3))
    assert data.caption == "tiny_faces/1.0.0 (TensorFlow Datasets, 12 images)"
    numbers = data.images[:, 0, 0, 0] // 10
    assert sorted(numbers) == list(range(12))
    assert list(data.labels) == [number // 3 % 2 for number in numbers]
    assert data.parts is not None and list(data.parts) == ["train"] * 6 + ["test"] * 6
    assert set(numbers[:6]) == set(range(6))
    assert "the split unlabelled is left out: no labels" in data.warnings
    assert load_dataset("tfds:tiny_faces").fingerprint == data.fingerprint
    assert load_dataset("tfds:tiny_faces", image_size=16).input_shape == (16, 16, 3)
    assert load_dataset("tfds:tiny_mixed").input_shape == (48, 48, 3)


def test_nothing_is_downloaded(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(built))
    with pytest.raises(InputError, match=r"not prepared in .*tfds build tiny_absent"):
        load_dataset("tfds:tiny_absent")
    with pytest.raises(InputError, match=r"does not know it .*no_such_set"):
        load_dataset("tfds:no_such_set")
