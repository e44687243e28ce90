"""One folder a class, CK+48, and what is said of paths that hold neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.coverage import NO_SUBJECTS
from nas.data.dataset import Dataset
from nas.data.imagefile import read_header, read_pixels
from nas.data.recognise import load_dataset
from nas.errors import InputError

CK48 = {
    "surprise": ["S010_002_00000012.png", "S010_002_00000013.png", "S026_001_00000015.png"],
    "anger": ["S010_004_00000017.png", "S011_004_00000019.png"],
    "contempt": ["S138_008_00000007.png", "S139_002_00000011.png"],
}


def _save(path: Path, *shape: int, value: int | None = None, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(noise if value is None else np.full(shape, value, np.uint8)).save(path)
    return path


@pytest.fixture
def ck48(tmp_path: Path) -> Path:
    root = tmp_path / "CK+48"
    for name, files in CK48.items():
        for seed, file in enumerate(files):
            _save(root / name / file, 48, 48, seed=seed)
    (root / ".DS_Store").write_bytes(b"\0")
    return root


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    """Two classes of three 12×10 grey images, whose values are 10·class + image."""
    root = tmp_path / "grey"
    for label, name in enumerate(("happy", "sad")):
        for index in range(3):
            _save(root / name / f"{index}.png", 12, 10, value=10 * label + index)
    return root


@pytest.mark.parametrize("given", ["CK+48", "."])
def test_ck48_takes_subject_and_sequence_from_the_file_name(ck48: Path, given: str) -> None:
    data = load_dataset(ck48.parent / given)
    assert (data.kind, data.images.shape) == ("ck+48", (7, 48, 48, 1))
    assert data.class_names == ("anger", "contempt", "surprise")
    assert data.class_counts() == {"anger": 2, "contempt": 2, "surprise": 3}
    assert data.subjects is not None and data.sequences is not None
    assert list(data.subjects) == ["S010", "S011", "S138", "S139", "S010", "S010", "S026"]
    assert list(data.sequences[:3]) == ["S010_004", "S011_004", "S138_008"]
    assert list(data.labels) == [0, 0, 1, 1, 2, 2, 2]
    assert data.warnings == ()
    with Image.open(ck48 / "anger/S010_004_00000017.png") as first:
        np.testing.assert_array_equal(data.images[0, :, :, 0], np.asarray(first))


def test_ck48_leaves_out_the_odd_file_without_a_subject(ck48: Path) -> None:
    for number in range(12):
        _save(ck48 / "anger" / f"S{500 + number}_001_00000001.png", 48, 48)
    _save(ck48 / "anger/copy.png", 48, 48)
    data = load_dataset(ck48)
    assert (data.kind, len(data)) == ("ck+48", 19)
    assert any("1 images whose names give no subject" in line and "copy.png" in line for line in data.warnings)


def test_a_class_of_one_person_is_warned_of(ck48: Path) -> None:
    (ck48 / "contempt/S139_002_00000011.png").rename(ck48 / "contempt/S138_008_00000008.png")
    assert any("'contempt' has images of one subject only" in line for line in load_dataset(ck48).warnings)


def test_folders_keep_grey_and_a_common_size(grey: Path) -> None:
    data = load_dataset(str(grey))
    assert (data.kind, data.images.shape, data.class_names) == ("folders", (6, 12, 10, 1), ("happy", "sad"))
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 2, 10, 11, 12]
    assert list(data.labels) == [0, 0, 0, 1, 1, 1]
    assert data.subjects is None and data.sequences is None
    assert data.warnings == (NO_SUBJECTS,)


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "JPG", "bmp", "gif", "webp", "tif", "pgm"])
def test_every_suffix_is_read(grey: Path, suffix: str) -> None:
    _save(grey / "sad" / f"z.{suffix}", 12, 10, value=128)
    data = load_dataset(grey)
    assert len(data) == 7
    assert np.abs(data.images[-1].astype(int) - 128).max() <= 2


def test_one_colour_image_makes_all_rgb(grey: Path) -> None:
    _save(grey / "sad/z.png", 12, 10, 3)
    data = load_dataset(grey)
    assert data.images.shape == (7, 12, 10, 3)
    assert list(data.images[3, 0, 0]) == [10, 10, 10]


def test_mixed_and_large_sizes_are_brought_to_48(grey: Path, tmp_path: Path) -> None:
    _save(grey / "sad/z.png", 20, 20)
    data = load_dataset(grey)
    assert data.images.shape == (7, 48, 48, 1)
    assert any("images of 2 sizes were brought to 48x48" in line for line in data.warnings)
    assert any("6 images are not square and were stretched" in line for line in data.warnings)
    assert load_dataset(grey, image_size=24).images.shape == (7, 24, 24, 1)
    for name in "ab":
        _save(tmp_path / "large" / name / "1.png", 300, 300)
    large = load_dataset(tmp_path / "large")
    assert large.input_shape == (48, 48, 1)
    assert any("images of 300x300 were brought to 48x48" in line for line in large.warnings)
    assert load_dataset(tmp_path / "large", image_size=300).input_shape == (300, 300, 1)


def test_broken_files_are_left_out_and_counted(grey: Path) -> None:
    (grey / "sad/broken.png").write_bytes(b"nothing")
    whole = _save(grey / "happy/cut.png", 12, 10).read_bytes()
    (grey / "happy/cut.png").write_bytes(whole[: len(whole) // 2])
    (grey / "happy/.hidden.png").write_bytes(b"nothing")
    (grey / "happy/notes.txt").write_text("no image")
    data = load_dataset(grey)
    assert len(data) == 6
    assert any("2 image files cannot be read and are left out" in line for line in data.warnings)
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 2, 10, 11, 12]


def test_mostly_broken_files_are_refused(grey: Path) -> None:
    for index in range(7):
        (grey / "sad" / f"b{index}.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="7 of its 13 image files cannot be read"):
        load_dataset(grey)
    for path in grey.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of its 13 image files can be read"):
        load_dataset(grey)


def test_a_class_of_one_image_is_warned_of(grey: Path) -> None:
    _save(grey / "tired/1.png", 12, 10)
    (grey / "void").mkdir()
    data = load_dataset(grey)
    assert data.class_names == ("happy", "sad", "tired")
    assert "class 'tired' has one image only: it cannot be both trained and tested" in data.warnings
    assert "subfolders without images are no classes: void" in data.warnings


def test_an_image_of_too_many_pixels_is_refused_before_decoding(grey: Path) -> None:
    Image.new("1", (9000, 8000)).save(grey / "sad/huge.png")
    with pytest.raises(InputError, match="72 megapixels, more than the 64"):
        load_dataset(grey)
    Image.new("1", (20000, 18000)).save(grey / "sad/huge.png")
    with pytest.raises(InputError, match="more than the 64 megapixels"):
        load_dataset(grey)


def test_pixels_of_unusual_modes(tmp_path: Path) -> None:
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 5), 0x8123, np.uint16)).save(deep)
    assert read_header(deep).is_grey
    assert set(np.unique(read_pixels(deep, 1))) == {0x81}
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (5, 4), (10, 20, 30, 0)).save(clear)
    assert read_pixels(clear, 3).shape == (4, 5, 3)
    assert set(np.unique(read_pixels(clear, 3))) == {255}
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 4)).save(turned, exif=exif)
    assert (read_header(turned).height, read_header(turned).width) == (8, 4)
    assert read_pixels(turned, 1).shape == (8, 4, 1)


def test_train_and_test_folders_are_the_parts_of_one_data_set(grey: Path, tmp_path: Path) -> None:
    root = tmp_path / "fer"
    root.mkdir()
    grey.rename(root / "Train")
    for value, name in enumerate(("happy", "sad"), 100):
        _save(root / "test" / name / "0.png", 12, 10, value=value)
        _save(root / "val" / name / "7.png", 12, 10, value=value + 100)
    data = load_dataset(tmp_path)
    assert (data.kind, data.images.shape, data.class_names) == ("folders", (10, 12, 10, 1), ("happy", "sad"))
    assert data.caption == "fer (one folder per class; parts train, validation, test)"
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 2, 10, 11, 12, 100, 101, 200, 201]
    assert list(data.labels) == [0, 0, 0, 1, 1, 1, 0, 1, 0, 1]
    assert data.parts is not None and data.names is not None
    assert list(data.parts) == ["train"] * 6 + ["test"] * 2 + ["validation"] * 2
    assert (data.names[0], data.names[9]) == ("Train/happy/0.png", "val/sad/7.png")
    assert data.warnings == (NO_SUBJECTS,)
    train = load_dataset(root / "Train")
    assert (train.kind, len(train), train.parts) == ("folders", 6, None)


def test_a_part_without_classes_is_left_out_and_named(grey: Path, tmp_path: Path) -> None:
    root = tmp_path / "faces"
    root.mkdir()
    grey.rename(root / "train")
    _save(root / "test/1.png", 12, 10)
    (root / "valid").mkdir()
    (root / "weights").mkdir()
    data = load_dataset(root)
    assert (len(data), data.parts) == (6, None)
    assert data.warnings == (
        "the part test is left out: 1 images without a class",
        "the part valid is left out: no class folder",
        "subfolders without images are no classes: weights",
        NO_SUBJECTS,
    )
    for file in (root / "train").rglob("*.png"):
        file.unlink()
    (root / "weights").rmdir()
    with pytest.raises(
        InputError, match=r"\(test, train, valid\) are parts of a data set, not classes, and none holds"
    ):
        load_dataset(root)


def test_ck48_keeps_its_subjects_where_it_was_divided(ck48: Path, tmp_path: Path) -> None:
    (tmp_path / "divided").mkdir()
    ck48.rename(tmp_path / "divided/train")
    for name in ("anger", "contempt"):
        _save(tmp_path / "divided/test" / name / "S010_004_00000018.png", 48, 48)
    data = load_dataset(tmp_path / "divided")
    assert (data.kind, len(data)) == ("ck+48", 9)
    assert data.parts is not None and data.subjects is not None
    assert list(data.parts) == ["test"] * 2 + ["train"] * 7
    assert list(data.subjects[:3]) == ["S010", "S010", "S010"]
    assert "the part test has no image of 'surprise'" in data.warnings


def test_beside_class_folders_test_is_a_class(grey: Path) -> None:
    _save(grey / "test/1.png", 12, 10)
    _save(grey / "test/2.png", 12, 10)
    assert load_dataset(grey).class_names == ("happy", "sad", "test")


def test_folders_wrapped_by_an_archive_are_found(grey: Path, tmp_path: Path) -> None:
    (tmp_path / "outer/__MACOSX").mkdir(parents=True)
    grey.rename(tmp_path / "outer/inner")
    assert len(load_dataset(tmp_path / "outer")) == 6
    (tmp_path / "outer/second").mkdir()
    with pytest.raises(InputError, match=r"did you mean .*inner"):
        load_dataset(tmp_path / "outer")


def test_folders_without_a_usable_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder is empty"):
        load_dataset(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="no image in its 1 subfolders"):
        load_dataset(tmp_path)
    _save(tmp_path / "a/1.png", 9, 9)
    with pytest.raises(InputError, match="only one class \\(subfolder 'a'\\)"):
        load_dataset(tmp_path)
    with pytest.raises(InputError, match="images but no subfolder"):
        load_dataset(tmp_path / "a")


def test_missing_paths_and_other_files(grey: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no such file or folder; did you mean {grey}\\?"):
        load_dataset(tmp_path / "gray")
    with pytest.raises(InputError, match=f"did you mean {grey}\\?"):
        load_dataset(tmp_path / "gray/happy/x")
    with pytest.raises(InputError, match="did you mean synthetic\\?"):
        load_dataset("synthetc")
    with pytest.raises(InputError, match="path of the data is empty"):
        load_dataset(" ")
    (tmp_path / "iris.csv").write_text("length,width\n1,2\n")
    with pytest.raises(InputError, match=r"a \.csv file cannot be read"):
        load_dataset(tmp_path / "iris.csv")


@pytest.mark.parametrize("size", [0, 7, 1025, 48.5, True])
def test_an_unusable_image_size_is_refused(grey: Path, size: int) -> None:
    with pytest.raises(InputError, match=r"whole number of pixels in 8\.\.1024"):
        load_dataset(grey, image_size=size)


def test_a_dataset_is_taken_as_it_is(grey: Path) -> None:
    data = load_dataset(grey)
    assert load_dataset(data) is data
    smaller = load_dataset(data, image_size=9)
    assert isinstance(smaller, Dataset)
    assert smaller.images.shape == (6, 9, 9, 1)
    assert list(smaller.images[:, 0, 0, 0]) == [0, 1, 2, 10, 11, 12]


def test_the_name_synthetic_means_the_drawn_faces_and_a_path_of_that_name_the_folder(
    grey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = load_dataset(grey)
    monkeypatch.setattr("nas.data.synthetic.synthetic_faces", lambda: drawn)
    assert load_dataset("synthetic") is drawn
    assert load_dataset("synthetic", image_size=8).input_shape == (8, 8, 1)
    _save(tmp_path / "synthetic/a/1.png", 9, 9)
    _save(tmp_path / "synthetic/b/1.png", 9, 9)
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset(Path("synthetic"))) == len(load_dataset("./synthetic")) == 2
