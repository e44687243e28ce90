"""AffectNet with .npy annotations and with csv lists."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.data.recognise import load_dataset
from nas.errors import InputError

NAMES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
SIDE = 32


def points_of(number: int, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    """68 landmarks in pixels; the first lies at (number, 2·number) hundredths of width and height."""
    shares = np.linspace(0, 1, 136).reshape(68, 2)
    shares[0] = number / 100, number / 50
    return shares * (width, height)


def image(folder: Path, number: int, suffix: str = "jpg") -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIDE, SIDE), (10 * number, 0, 0)).save(folder / "images" / f"{number}.{suffix}", quality=95)


def annotate(folder: Path, number: int, what: str, value: Any, pickled: bool = False) -> None:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    np.save(folder / "annotations" / f"{number}_{what}.npy", value, allow_pickle=pickled)


def face(folder: Path, number: int, expression: Any, valence: float = 0.5, arousal: float = -0.25) -> None:
    """As distributed: everything but the landmarks is a text of a number."""
    image(folder, number)
    annotate(folder, number, "exp", np.array(str(expression)))
    annotate(folder, number, "val", np.array(str(valence)))
    annotate(folder, number, "aro", np.array(str(arousal)))
    annotate(folder, number, "lnd", points_of(number).reshape(136))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Training images 0..15 of the expressions 0..7, 0..7; validation images 1..4 of 7, 6, 5, 0."""
    for number in range(16):
        face(tmp_path / "AffectNet/train_set", number, number % 8, number / 16, -number / 16)
    for number, expression in enumerate((7, 6, 5, 0), 1):
        face(tmp_path / "AffectNet/val_set", number, expression)
    (tmp_path / "AffectNet/train_set/annotations/.DS_Store").write_bytes(b"\0")
    return tmp_path / "AffectNet"


def by_name(data: Any) -> dict[str, int]:
    return {str(name): index for index, name in enumerate(data.names)}


@pytest.mark.parametrize("given", [".", ".."])
def test_annotations_are_read_with_the_images_of_their_number(root: Path, given: str) -> None:
    data = load_dataset(root / given)
    assert (data.kind, data.class_names, data.images.shape) == ("affectnet", NAMES, (20, SIDE, SIDE, 3))
    rows = by_name(data)
    tenth = rows["train_set/images/10.jpg"]
    assert data.class_names[data.labels[tenth]] == "sad"
    assert data.images[tenth, 5, 5, 0] == pytest.approx(100, abs=3)
    assert data.target_names == ("valence", "arousal") and data.targets is not None
    np.testing.assert_allclose(data.targets[tenth], (10 / 16, -10 / 16))
    assert data.landmarks is not None and data.landmarks.shape == (20, 68, 2)
    np.testing.assert_allclose(data.landmarks[tenth, :2], [(0.1, 0.2), (2 / 135, 3 / 135)], rtol=1e-5)
    assert data.class_names[data.labels[rows["val_set/images/1.jpg"]]] == "contempt"
    assert data.parts is not None and [int((data.parts == part).sum()) for part in ("train", "validation")] == [16, 4]
    assert data.class_counts() == {**dict.fromkeys(NAMES, 2), "neutral": 3, "disgust": 3, "anger": 3, "contempt": 3}
    assert not any("left out" in line for line in data.warnings)


def test_one_of_the_two_folders_will_do(root: Path) -> None:
    data = load_dataset(root / "val_set")
    assert (data.kind, len(data), data.parts) == ("affectnet", 4, None)
    assert [data.class_names[label] for label in data.labels] == ["contempt", "anger", "disgust", "neutral"]


def test_images_without_expression_valence_or_landmarks_are_counted_and_left_out(root: Path) -> None:
    train = root / "train_set"
    face(train, 16, 8)
    face(train, 17, 10, -2, -2)
    face(train, 18, 11)
    face(train, 19, 0, -2, -2)
    face(train, 20, 0)
    (train / "annotations/20_lnd.npy").unlink()
    image(train, 21)
    face(train, 22, "3.0")
    cut = train / "images/3.jpg"
    cut.write_bytes(cut.read_bytes()[:200])
    data = load_dataset(root)
    told = "\n".join(data.warnings)
    assert len(data) == 20 and data.labels[by_name(data)["train_set/images/22.jpg"]] == 3
    assert "1 images of expression 8 (none) are left out" in told
    assert "1 images of expression 10 (no face) are left out" in told
    assert "2 images left out: their expression is no number in 0..10" in told and "18.jpg" in told
    assert "1 images without targets (valence, arousal) are left out" in told and "19.jpg" in told
    assert "1 images without landmarks are left out" in told and "20.jpg" in told
    assert "1 image files cannot be read and are left out" in told


def test_without_landmarks_and_valence_the_classes_still_load(root: Path) -> None:
    for path in [*root.rglob("*_lnd.npy"), *root.rglob("*_val.npy")]:
        path.unlink()
    data = load_dataset(root)
    assert len(data) == 20 and data.landmarks is None and data.targets is None and data.target_names == ()
    assert any(line.startswith("20 of 20 images have no landmarks") for line in data.warnings)


def test_labels_may_be_numbers_and_pickled_ones_are_refused(root: Path) -> None:
    for number in range(16):
        annotate(root / "train_set", number, "exp", np.array(number % 8) if number % 2 else np.array([number % 8]))
    assert load_dataset(root).class_counts()["sad"] == 2
    annotate(root / "train_set", 0, "exp", np.array({"exp": 0}, object), pickled=True)
    data = load_dataset(root)
    assert len(data) == 19
    assert "1 labels are pickled Python objects, which are never unpickled" in data.warnings
    for number in range(9):
        annotate(root / "train_set", number, "exp", np.array("3", object), pickled=True)
    with pytest.raises(InputError, match=r"9 of 16 labels are pickled Python objects, which are never unpickled"):
        load_dataset(root)


def test_labels_that_are_mostly_missing_are_refused(root: Path) -> None:
    for number in range(9):
        (root / f"train_set/annotations/{number}_exp.npy").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"9 of 16 labels are missing or no number .*0_exp\.npy"):
        load_dataset(root)


COLUMNS = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


def row(path: Path, name: str, expression: int, box: tuple[int, int, int, int], valence: float = 0.5) -> str:
    """A 60×40 photograph, green but for the red of its box, and its line."""
    left, top, width, height = box
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    photograph = Image.new("RGB", (60, 40), (0, 200, 0))
    photograph.paste((200, 0, 0), (left, top, left + width, top + height))
    photograph.save(path / name, quality=95, subsampling=0)
    points = np.add(points_of(10, width, height), (left, top))
    marks = ";".join(f"{x:.2f};{y:.2f}" for x, y in points)
    return f"{name},{left},{top},{width},{height},{marks},{expression},{valence},-0.25\n"


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Lists in one folder, photographs in another, as distributed."""
    images = tmp_path / "Manually_Annotated/Manually_Annotated_Images"
    lines = [row(images, f"{n}/a{n}.jpg", n % 11, (4 + n, 8, 24, 24), -2 if n % 11 > 7 else n / 20) for n in range(16)]
    (tmp_path / "Manually_Annotated_file_lists").mkdir()
    (tmp_path / "Manually_Annotated_file_lists/training.csv").write_text(f"{COLUMNS}\n{''.join(lines)}cut,short\n")
    held = [row(images, f"900/b{n}.jpg", n, (0, 0, 24, 24)) for n in (3, 1)]
    (tmp_path / "Manually_Annotated_file_lists/validation.csv").write_text(f"{COLUMNS}\n{''.join(held)}")
    return tmp_path


def test_lists_cut_the_faces_out(lists: Path) -> None:
    data = load_dataset(lists)
    assert (data.kind, data.class_names, data.images.shape) == ("affectnet", NAMES, (15, 24, 24, 3))
    assert [data.class_names[label] for label in data.labels[:3]] == ["neutral", "happy", "sad"]
    assert list(data.labels[8:]) == [0, 1, 2, 3, 4, 3, 1]
    assert data.parts is not None and list(data.parts) == ["train"] * 13 + ["validation"] * 2
    assert data.images[:, 2:-2, 2:-2, 0].min() > 180 and data.images[:, 2:-2, 2:-2, 1].max() < 20
    assert data.targets is not None and data.landmarks is not None
    np.testing.assert_allclose(data.targets[7:9], [(7 / 20, -0.25), (11 / 20, -0.25)])
    np.testing.assert_allclose(data.landmarks[:, 0], [(0.1, 0.2)] * 15, atol=1e-3)
    told = "\n".join(data.warnings)
    assert "1 images of expression 9 (uncertain) are left out" in told
    assert "1 rows of training.csv left out" in told


def test_one_list_may_be_given(lists: Path) -> None:
    data = load_dataset(lists / "Manually_Annotated_file_lists/validation.csv")
    assert (data.kind, list(data.labels), data.parts) == ("affectnet", [3, 1], None)


def test_lists_without_their_photographs_are_refused(lists: Path) -> None:
    shutil.rmtree(lists / "Manually_Annotated")
    with pytest.raises(InputError, match=r"none of the images that its lists name is there .first: 0/a0"):
        load_dataset(lists)


def test_a_box_that_leaves_the_photograph_is_cut_to_it(lists: Path) -> None:
    path = lists / "Manually_Annotated_file_lists/training.csv"
    images = lists / "Manually_Annotated/Manually_Annotated_Images"
    lines = [row(images, f"{n}/a{n}.jpg", n, (50, 30, 24, 24)) for n in range(2)]
    path.write_text(f"{COLUMNS}\n{''.join(lines)}")
    (lists / "Manually_Annotated_file_lists/validation.csv").unlink()
    data = load_dataset(lists)
    assert data.images.shape == (2, 10, 10, 3)
    assert data.landmarks is not None
    np.testing.assert_allclose(data.landmarks[0, 0], (0.24, 0.48), atol=1e-3)
