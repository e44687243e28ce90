"""Arrays in .npy files, and IDX files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from nas.data.idx import read_idx
from nas.data.recognise import load_dataset
from nas.errors import InputError

X = np.random.default_rng(0).integers(0, 256, (6, 8, 9), dtype=np.uint8)
Y = np.array([2, 1, 0, 2, 1, 0], np.uint8)


@pytest.mark.parametrize(("x", "y"), [("x", "y"), ("images", "labels")])
def test_npy_pairs_are_mapped_and_not_read(tmp_path: Path, x: str, y: str) -> None:
    np.save(tmp_path / f"{x}.npy", X)
    np.save(tmp_path / f"{y}.npy", Y)
    np.save(tmp_path / "subjects.npy", np.arange(6) // 2)
    data = load_dataset(tmp_path)
    assert (data.kind, data.class_names, data.images.shape) == ("npy", ("0", "1", "2"), (6, 8, 9, 1))
    assert isinstance(data.images, np.memmap) and not data.images.flags.writeable
    np.testing.assert_array_equal(data.images[..., 0], X)
    assert list(data.labels) == list(Y)
    assert data.subjects is not None and list(data.subjects) == ["0", "0", "1", "1", "2", "2"]
    with_arrays = tmp_path / "same.npz"
    np.savez(with_arrays, x=X, y=Y, subject=np.arange(6) // 2)
    assert load_dataset(with_arrays).fingerprint == data.fingerprint
    assert load_dataset(tmp_path, image_size=16).images.shape == (6, 16, 16, 1)


def test_npy_pairs_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(InputError, match=r"nearest: npy: has x\.npy but y\.npy is missing"):
        load_dataset(tmp_path)
    with pytest.raises(InputError, match=r"nearest: npz: is one array: give the folder that holds x\.npy and y\.npy"):
        load_dataset(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", Y[:-1])
    with pytest.raises(InputError, match=r"y has shape \(5,\) but x holds 6 images"):
        load_dataset(tmp_path)
    np.save(tmp_path / "y.npy", Y.astype(object), allow_pickle=True)
    with pytest.raises(InputError, match=r"y\.npy: .*Python objects, which are never unpickled"):
        load_dataset(tmp_path)
    np.save(tmp_path / "y.npy", Y)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"x\.npy: not an \.npy file that can be read"):
        load_dataset(tmp_path)


def idx(path: Path, array: np.ndarray) -> None:
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    idx(folder / "train-images-idx3-ubyte.gz", X)
    idx(folder / "train-labels-idx1-ubyte.gz", Y)
    idx(folder / "t10k-images-idx3-ubyte", X[::-1])
    idx(folder / "t10k-labels-idx1-ubyte", Y[::-1])
    return folder


def test_idx_files_packed_or_not(mnist: Path) -> None:
    data = load_dataset(mnist)
    assert (data.kind, data.images.shape, data.caption) == ("idx", (12, 8, 9, 1), "mnist (12 images)")
    assert data.class_names == tuple("0123456789")
    np.testing.assert_array_equal(data.images[..., 0], np.concatenate([X, X[::-1]]))
    assert list(data.labels) == [2, 1, 0, 2, 1, 0, 0, 1, 2, 0, 1, 2]
    assert data.parts is not None and list(data.parts) == ["train"] * 6 + ["test"] * 6
    assert load_dataset(mnist, image_size=12).input_shape == (12, 12, 1)


def test_a_folder_called_fashion_mnist_has_its_class_names(mnist: Path) -> None:
    folder = mnist.rename(mnist.parent / "Fashion-MNIST")
    for file in folder.glob("t10k*"):
        file.unlink()
    data = load_dataset(folder)
    assert data.class_names[:3] == ("T-shirt", "trouser", "pullover") and data.class_names[9] == "boot"
    assert data.class_counts()["pullover"] == 2 and data.parts is None


def test_damaged_idx_files(mnist: Path) -> None:
    labels = mnist / "train-labels-idx1-ubyte.gz"
    idx(labels, Y[:-1])
    with pytest.raises(InputError, match=r"labels of shape \(5,\), but there are 6 images"):
        load_dataset(mnist)
    labels.write_bytes(labels.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte\.gz: cannot be unpacked"):
        load_dataset(mnist)
    (mnist / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0\0\x06\0\0\0\x08\0\0\0\x09abc")
    with pytest.raises(InputError, match="cut short, 3 of 432 bytes"):
        read_idx(mnist / "t10k-images-idx3-ubyte")
    (mnist / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x0d\x01\0\0\0\x06")
    with pytest.raises(InputError, match="not an IDX file of unsigned bytes"):
        read_idx(mnist / "t10k-images-idx3-ubyte")
    labels.unlink()
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match=r"nearest: idx: has .* but train-labels-idx1-ubyte is missing"):
        load_dataset(mnist)
