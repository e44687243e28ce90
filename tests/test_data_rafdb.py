"""RAF-DB in its two layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.coverage import NO_SUBJECTS
from nas.data.rafdb import CLASS_NAMES
from nas.data.recognise import load_dataset
from nas.errors import InputError

# The first lines are those of the real list: train_00001.jpg is a surprise.
LINES = (
    *(("train_00001.jpg", 5), ("train_00002.jpg", 5), ("train_00003.jpg", 4), ("train_00004.jpg", 1)),
    *(("train_00005.jpg", 2), ("train_00006.jpg", 3), ("train_00007.jpg", 6), ("train_00008.jpg", 7)),
    *(("test_0001.jpg", 7), ("test_0002.jpg", 4), ("test_0003.jpg", 1)),
)


def picture(path: Path, value: int, side: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (value, 0, 255 - value)).save(path, quality=95)


def basic(root: Path, kind: str = "aligned", name: str = "list_patition_label.txt") -> Path:
    """The folder ``basic`` as distributed; image i is of red 20·i."""
    (root / "basic/EmoLabel").mkdir(parents=True)
    (root / "basic/EmoLabel" / name).write_text("".join(f"{file} {number}\n" for file, number in LINES))
    for index, (file, _) in enumerate(LINES):
        stored = file.replace(".jpg", "_aligned.jpg") if kind == "aligned" else file
        picture(root / "basic/Image" / kind / stored, 20 * index)
    (root / "basic/Image/.DS_Store").write_bytes(b"\0")
    (root / ".DS_Store").write_bytes(b"\0")
    return root


@pytest.mark.parametrize("given", [".", "basic"])
@pytest.mark.parametrize("name", ["list_patition_label.txt", "list_partition_label.txt"])
def test_the_list_of_labels_is_read_under_rafdbs_own_numbers(tmp_path: Path, given: str, name: str) -> None:
    data = load_dataset(basic(tmp_path / "RAF-DB", name=name) / given)
    assert data.kind == "raf-db"
    assert data.class_names == ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    assert [data.class_names[label] for label in data.labels] == [
        *("sadness", "sadness", "happiness", "surprise", "fear", "disgust", "anger", "neutral"),
        *("neutral", "happiness", "surprise"),
    ]
    assert list(data.class_counts().values()) == [2, 1, 1, 2, 2, 1, 2]
    assert data.parts is not None and list(data.parts) == ["train"] * 8 + ["test"] * 3
    assert data.images.shape == (11, 100, 100, 3)
    np.testing.assert_allclose(data.images[:, 50, 50, 0], 20 * np.arange(11), atol=3)
    assert data.names is not None and data.names[0].endswith("Image/aligned/train_00001_aligned.jpg")
    assert NO_SUBJECTS in data.warnings and not any("left out" in line for line in data.warnings)


def test_whole_photographs_are_taken_where_there_are_no_aligned_ones(tmp_path: Path) -> None:
    data = load_dataset(basic(tmp_path, "original"))
    assert list(data.labels[:4]) == [4, 4, 3, 0]
    assert any("whole photographs" in line for line in data.warnings)


def numbered(root: Path) -> Path:
    for part, count in (("train", 3), ("test", 2)):
        for number in range(1, 8):
            for copy in range(count):
                picture(root / part / str(number) / f"{part}_{number}{copy}.jpg", 30 * number, side=16)
    return root


@pytest.mark.parametrize("given", [".", "DATASET"])
def test_numbered_folders_are_rafdb_and_not_classes_called_1_to_7(tmp_path: Path, given: str) -> None:
    numbered(tmp_path / "DATASET")
    (tmp_path / "train_labels.csv").write_text("image,label\n")
    data = load_dataset(tmp_path / given)
    assert (data.kind, data.class_names) == ("raf-db", CLASS_NAMES)
    assert data.class_counts() == dict.fromkeys(CLASS_NAMES, 5)
    assert data.parts is not None and [int((data.parts == part).sum()) for part in ("train", "test")] == [21, 14]
    assert list(data.labels[:7]) == [0, 0, 0, 1, 1, 1, 2]
    np.testing.assert_allclose(data.images[:, 8, 8, 0], 30 * (data.labels + 1), atol=3)


def test_numbered_folders_alone_are_plain_classes(tmp_path: Path) -> None:
    numbered(tmp_path)
    data = load_dataset(tmp_path / "train")
    assert (data.kind, data.class_names[0]) == ("folders", "1")


def test_what_is_damaged_is_counted_and_the_rest_loads(tmp_path: Path) -> None:
    root = basic(tmp_path)
    images = root / "basic/Image/aligned"
    (images / "train_00002_aligned.jpg").unlink()
    cut = images / "test_0002_aligned.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    picture(images / "train_09999_aligned.jpg", 0)
    with (root / "basic/EmoLabel/list_patition_label.txt").open("a") as file:
        file.write("train_00009.jpg 8\nnothing\n../../x_1.jpg 3\n")
    data = load_dataset(root)
    assert len(data) == 9 and list(data.labels[:3]) == [4, 3, 0]
    told = "\n".join(data.warnings)
    assert "3 labels left out: not like 'train_00001.jpg 5' (first: 'train_00009.jpg 8')" in told
    assert "1 image files cannot be read and are left out" in told and "test_0002_aligned.jpg" in told
    assert "1 image files are not there and are left out" in told and "train_00002_aligned.jpg" in told
    assert "1 images of Image/aligned have no usable label" in told


def test_mostly_missing_images_and_a_damaged_list_are_refused(tmp_path: Path) -> None:
    root = basic(tmp_path)
    for file in sorted((root / "basic/Image/aligned").iterdir())[:7]:
        file.unlink()
    with pytest.raises(InputError, match=r"7 of its 11 image files are not there .*unpack all of the data"):
        load_dataset(root)
    (root / "basic/EmoLabel/list_patition_label.txt").write_text("train_00001.jpg 9\ntrain_00003.jpg ten\n")
    with pytest.raises(InputError, match=r"2 of 2 lines are not like 'train_00001\.jpg 5'"):
        load_dataset(root)
