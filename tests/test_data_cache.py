"""Decoded images kept in the cache folder, and mapped from there."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data import cache
from nas.data.cache import cache_folder, decoded
from nas.data.inspect import inspect
from nas.data.recognise import load_dataset
from nas.errors import InputError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache; every array of more than 1000 bytes is large."""
    monkeypatch.setattr(cache, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of three 16×12 images, the values 10·class + image."""
    for label, name in enumerate(("happy", "sad")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(3):
            Image.new("L", (12, 16), 10 * label + index).save(tmp_path / "set" / name / f"{index}.png")
    return tmp_path / "set"


def files_of(root: Path) -> list[Path]:
    return sorted(root.rglob("*.png"))


def stored(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_large_set_is_mapped_and_is_the_same_as_in_memory(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_dataset(root)
    assert isinstance(data.images, np.memmap) and not data.images.flags.writeable
    assert [path.endswith(".rows") for path in stored(folder)] == [True]
    assert folder.stat().st_mode & 0o077 == 0  # faces of people: for the user alone
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 2, 10, 11, 12]
    monkeypatch.setattr(cache, "IN_MEMORY_BYTES", 10**9)
    small = load_dataset(root)
    assert not isinstance(small.images, np.memmap)
    assert inspect(small) == inspect(data)
    np.testing.assert_array_equal(small.images, data.images)


def test_it_is_decoded_once_and_again_when_a_file_changes(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = cache.read_pixels
    monkeypatch.setattr(cache, "read_pixels", lambda path, *rest: read.append(path) or original(path, *rest))
    load_dataset(root)
    load_dataset(root)
    assert len(read) == 6
    Image.new("L", (12, 16), 99).save(root / "sad/0.png")
    os.utime(root / "sad/0.png", ns=(1, 1))
    assert load_dataset(root).images[3, 0, 0, 0] == 99
    assert len(read) == 12
    load_dataset(root, image_size=15)
    assert len(read) == 18 and len(stored(folder)) == 3


def test_decoded_images_are_resized_into_the_cache(folder: Path, tmp_path: Path) -> None:
    x = np.repeat(np.arange(40, dtype=np.uint8), 64).reshape(40, 8, 8)
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(40) % 2)
    for _ in range(2):
        data = load_dataset(tmp_path / "set.npz", image_size=12)
        assert isinstance(data.images, np.memmap) and data.images.shape == (40, 12, 12, 1)
        assert list(data.images[:, 5, 5, 0]) == list(range(40))
    assert len(stored(folder)) == 1


def test_files_that_cannot_be_read_have_no_row_also_when_it_is_opened_again(folder: Path, root: Path) -> None:
    whole = (root / "happy/1.png").read_bytes()
    (root / "happy/1.png").write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        rows = decoded(files_of(root), (16, 12), 1)
        assert isinstance(rows.values, np.memmap)
        assert list(rows.kept) == [0, 2, 3, 4, 5]
        assert list(rows.values[:, 3, 3, 0]) == [0, 2, 10, 11, 12]


def test_a_damaged_cache_file_is_made_anew(folder: Path, root: Path) -> None:
    decoded(files_of(root), (16, 12), 1)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert list(decoded(files_of(root), (16, 12), 1).values[:, 0, 0, 0]) == [0, 1, 2, 10, 11, 12]


def test_what_killed_writers_left_is_removed_and_living_ones_are_not(folder: Path, root: Path) -> None:
    folder.mkdir()
    for name, age in (("old", 7200), ("new", 60)):
        (folder / f".{name}.rows.abc.tmp").write_bytes(b"x")
        os.utime(folder / f".{name}.rows.abc.tmp", (time.time() - age,) * 2)
    decoded(files_of(root), (16, 12), 1)
    assert [name for name in stored(folder) if name.endswith(".tmp")] == [".new.rows.abc.tmp"]


def _write_at_once(root: Path, barrier: threading.Barrier, results: multiprocessing.Queue[object]) -> None:
    cache.IN_MEMORY_BYTES = 1000  # a process of its own
    barrier.wait()
    rows = decoded(files_of(root), (16, 12), 1)
    results.put((type(rows.values).__name__, rows.values[:, 0, 0, 0].tolist()))


def test_several_processes_may_write_it_at_once(folder: Path, root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    writers = [context.Process(target=_write_at_once, args=(root, barrier, results)) for _ in range(3)]
    for writer in writers:
        writer.start()
    assert [results.get(timeout=60) for _ in writers] == [("memmap", [0, 1, 2, 10, 11, 12])] * 3
    for writer in writers:
        writer.join()
    assert len(stored(folder)) == 1


def test_without_a_cache_it_stays_in_memory_while_it_fits(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_CACHE", "off")
    data = load_dataset(root)
    assert not isinstance(data.images, np.memmap)
    assert any("NAS_CACHE is off: 0.0 GB of images are kept in memory" in line for line in data.warnings)
    assert not folder.exists()
    monkeypatch.setattr(cache, "MAX_MEMORY_BYTES", 1100)
    with pytest.raises(InputError, match=r"6 images of 16x12x1 are .* NAS_CACHE is off: set NAS_CACHE to a folder"):
        load_dataset(root)


def test_a_folder_that_cannot_be_written_and_a_full_disk_are_named(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_text("a file where the folder should be")
    data = load_dataset(root)
    assert any("cannot be written (File exists)" in line or "(Not a directory)" in line for line in data.warnings)
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 2, 10, 11, 12]
    folder.unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert any("cannot be written (No space left on device)" in line for line in load_dataset(root).warnings)
    assert stored(folder) == []


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NAS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/nas")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "nas"
    monkeypatch.setenv("NAS_CACHE", "OFF")
    assert cache_folder() is None
