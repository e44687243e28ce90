"""Data as arrays in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.data.coverage import NO_SUBJECTS
from nas.data.recognise import load_dataset
from nas.errors import InputError


def _arrays(**changes: Any) -> dict[str, Any]:
    x = np.arange(6 * 8 * 9, dtype=np.uint8).reshape(6, 8, 9)
    arrays = {"x": x, "y": np.array([0, 1, 2, 0, 1, 2], np.uint8), **changes}
    return {name: value for name, value in arrays.items() if value is not None}


def _write(path: Path, **changes: Any) -> Path:
    np.savez(path / "data.npz", **_arrays(**changes))
    return path / "data.npz"


def test_grey_images_without_names(tmp_path: Path) -> None:
    data = load_dataset(_write(tmp_path))
    assert (data.kind, data.caption, data.class_names) == ("npz", "data.npz", ("0", "1", "2"))
    assert data.images.shape == (6, 8, 9, 1)
    np.testing.assert_array_equal(data.images[..., 0], _arrays()["x"])
    assert data.labels.dtype == np.int64 and list(data.labels) == [0, 1, 2, 0, 1, 2]
    assert data.warnings == (NO_SUBJECTS,)


def test_everything_that_can_be_given(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
    path = _write(
        tmp_path,
        x=x,
        subject=np.array([3, 3, 3, 12, 12, 12]),
        sequence=np.array([b"a", b"b", b"c", b"d", b"e", b"f"]),
        classes=np.array(["joy", "fear", "awe"]),
    )
    data = load_dataset(str(path))
    np.testing.assert_array_equal(data.images, x)
    assert data.subjects is not None and list(data.subjects) == ["3", "3", "3", "12", "12", "12"]
    assert data.sequences is not None and list(data.sequences) == ["a", "b", "c", "d", "e", "f"]
    assert data.class_names == ("joy", "fear", "awe")
    assert data.warnings == ()


def test_other_arrays_are_named_and_ignored_even_pickled_ones(tmp_path: Path) -> None:
    data = load_dataset(_write(tmp_path, head=np.arange(6), junk=np.array([{}, []], object)))
    assert data.warnings[0].startswith("arrays ignored: head, junk ")


def test_sequences_alone_do_not_make_folds_subject_independent(tmp_path: Path) -> None:
    data = load_dataset(_write(tmp_path, sequence=np.arange(6)))
    assert any(line.startswith(NO_SUBJECTS) for line in data.warnings)


def test_classes_without_images_or_of_one_subject_are_warned_of(tmp_path: Path) -> None:
    names = np.array(["a", "b", "c", "d"])
    data = load_dataset(_write(tmp_path, classes=names, subject=np.array(["p", "p", "q", "p", "r", "q"])))
    assert data.warnings == (
        "class 'a' has images of one subject only: it cannot be both trained and tested",
        "class 'c' has images of one subject only: it cannot be both trained and tested",
        "class 'd' has no image",
    )


def test_images_are_resized_on_request(tmp_path: Path) -> None:
    data = load_dataset(_write(tmp_path, x=np.full((6, 20, 30), 77, np.uint8)), image_size=16)
    assert data.images.shape == (6, 16, 16, 1)
    assert set(np.unique(data.images)) == {77}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "no array 'x' \\(found: y\\)"),
        ({"y": None}, "no array 'y' \\(found: x\\)"),
        ({"x": np.zeros((6, 8, 9))}, "x is float64; it must be uint8"),
        ({"x": np.zeros((6, 72), np.uint8)}, "x has shape \\(6, 72\\)"),
        ({"x": np.zeros((6, 8, 9, 4), np.uint8)}, "x has shape \\(6, 8, 9, 4\\)"),
        ({"x": np.zeros((0, 8, 9), np.uint8)}, "at least one image"),
        ({"x": np.array([None] * 6, object)}, "array 'x' holds Python objects, which are never unpickled"),
        ({"y": np.array([0, 1, 0, 1, 0, 1], object)}, "array 'y' holds Python objects"),
        ({"y": np.array([0.0, 1, 2, 0, 1, 2])}, "y is float64; it must hold integers"),
        ({"y": np.array([0, 1, 2])}, "y has shape \\(3,\\) but x holds 6 images"),
        ({"y": np.array([[0], [1], [2], [0], [1], [2]])}, "y has shape \\(6, 1\\)"),
        ({"y": np.array([0, 1, -1, 0, 1, 2])}, "y ranges from -1 to 2"),
        ({"y": np.array([0, 1, 2, 0, 1, 10**12])}, "must lie in 0..999 without an array classes"),
        ({"y": np.zeros(6, int)}, "only one class"),
        ({"classes": np.array(["a", "b"])}, "y ranges from 0 to 2; it must lie in 0..1 since classes names 2"),
        ({"classes": np.array([1, 2, 3])}, "expected a list of names"),
        ({"classes": np.array(["a", "b", "a"])}, "empty or repeated name"),
        ({"subject": np.arange(5)}, "subject is int64 of shape \\(5,\\); expected 6"),
        ({"sequence": np.linspace(0, 1, 6)}, "sequence is float64"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = _write(tmp_path, **changes)
    with pytest.raises(InputError, match=message) as error:
        load_dataset(path)
    assert str(path) in str(error.value)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="the file is empty: copy it again"):
        load_dataset(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"not an \.npz file that can be read"):
        load_dataset(path)
    path.write_bytes(b"some text")
    with pytest.raises(InputError, match="pickled objects are not read"):
        load_dataset(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="a single array"):
        load_dataset(path)


def test_a_damaged_npz(tmp_path: Path) -> None:
    path = _write(tmp_path)
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="array 'x' cannot be read"):
        load_dataset(path)
    path.write_bytes(content[:400])
    with pytest.raises(InputError, match=r"not an \.npz file that can be read"):
        load_dataset(path)
