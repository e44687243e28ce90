"""CK+ as distributed, in the nestings in which users have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.facecrop import crop_face
from nas.data.inspect import inspect
from nas.data.recognise import load_dataset
from nas.errors import InputError

# (subject, sequence, number of frames, CK+ number of the emotion or None)
SEQUENCES = (
    ("S005", "001", 11, 3),
    ("S010", "002", 5, 1),
    ("S010", "004", 4, 7),
    ("S011", "001", 4, 2),
    ("S022", "003", 4, 4),
    ("S026", "006", 4, 5),
    ("S037", "001", 4, 6),
    ("S050", "001", 4, None),
    ("S999", "001", 4, 0),
)


def _pixels(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def _write_label(emotions: Path, subject: str, sequence: str, frame: int, text: str) -> Path:
    folder = emotions / subject / sequence
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{subject}_{sequence}_{frame:08d}_emotion.txt"
    path.write_text(text)
    return path


def write_ckplus(images: Path, emotions: Path, landmarks: Path | None = None) -> None:
    """The tree of CK+ with small random frames; frame f of sequence number i is drawn with seed 100·i + f."""
    for number, (subject, sequence, frames, emotion) in enumerate(SEQUENCES):
        folder = images / subject / sequence
        folder.mkdir(parents=True)
        (images / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        for frame in range(1, frames + 1):
            name = f"{subject}_{sequence}_{frame:08d}"
            Image.fromarray(_pixels(100 * number + frame)).save(folder / f"{name}.png")
            if landmarks is not None:
                points = landmarks / subject / sequence
                points.mkdir(parents=True, exist_ok=True)
                rows = _landmarks(number)
                (points / f"{name}_landmarks.txt").write_text("\n".join(f"   {x:.7e}   {y:.7e}" for x, y in rows))
        if emotion is None:
            (emotions / subject / sequence).mkdir(parents=True)
            (emotions / subject / sequence / ".DS_Store").write_bytes(b"\0")
        else:
            _write_label(emotions, subject, sequence, frames, f"   {emotion:.7e}\n")


def _landmarks(number: int) -> np.ndarray:
    return np.random.default_rng(number).uniform((20, 10), (60, 50), (68, 2))


@pytest.fixture
def ckplus(tmp_path: Path) -> Path:
    root = tmp_path / "CK+"
    write_ckplus(root / "cohn-kanade-images", root / "Emotion", root / "Landmarks")
    return root


def test_the_last_three_frames_of_each_labelled_sequence(ckplus: Path) -> None:
    data = load_dataset(ckplus)
    assert data.kind == "ck+"
    assert data.images.shape == (21, 48, 48, 1)
    assert data.class_names == ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
    assert data.sequences is not None and data.subjects is not None
    assert list(data.sequences[::3]) == [
        *("S005_001", "S010_002", "S010_004", "S011_001", "S022_003", "S026_006", "S037_001")
    ]
    assert list(data.subjects[::3]) == ["S005", "S010", "S010", "S011", "S022", "S026", "S037"]
    assert [data.class_names[label] for label in data.labels[::3]] == [
        *("disgust", "anger", "surprise", "contempt", "fear", "happy", "sadness")
    ]
    assert list(data.labels) == [2] * 3 + [0] * 3 + [6] * 3 + [1] * 3 + [3] * 3 + [4] * 3 + [5] * 3
    assert "7 labelled sequences, 6 subjects" in data.caption


def test_pixels_are_those_of_the_cropped_frame(ckplus: Path) -> None:
    data = load_dataset(ckplus)
    points = np.array([[float(f"{value:.7e}") for value in row] for row in _landmarks(0)])
    for index, frame in enumerate((9, 10, 11)):
        np.testing.assert_array_equal(data.images[index, :, :, 0], crop_face(_pixels(frame), points, 48))


def test_the_neutral_sequence_is_left_out_with_a_warning(ckplus: Path) -> None:
    data = load_dataset(ckplus)
    assert data.subjects is not None and "S999" not in data.subjects and "S050" not in data.subjects
    assert any("1 neutral sequences (label 0) left out (first: S999_001)" in line for line in data.warnings)


def test_without_landmarks_the_central_square(ckplus: Path) -> None:
    for path in (ckplus / "Landmarks").rglob("*_landmarks.txt"):
        path.unlink()
    data = load_dataset(ckplus, image_size=32)
    assert data.images.shape == (21, 32, 32, 1)
    np.testing.assert_array_equal(data.images[0, :, :, 0], crop_face(_pixels(9), None, 32))
    assert any("21 of 21 frames have no usable landmarks" in line for line in data.warnings)


def test_landmarks_are_given_where_they_are_wanted(ckplus: Path) -> None:
    plain, told = load_dataset(ckplus), load_dataset(ckplus, wanted=("landmarks",))
    assert plain.landmarks is None and told.landmarks is not None and told.landmarks.shape == (21, 68, 2)
    points = np.array([[float(f"{value:.7e}") for value in row] for row in _landmarks(0)])
    side = 1.16 * (points.max(0) - points.min(0)).max()  # the crop's own rule
    corner = (points.max(0) + points.min(0) - side) / 2 - (0, 0.04 * side)
    assert told.landmarks[0] == pytest.approx((points + 0.5 - corner) / side, abs=1e-5)
    (ckplus / "Landmarks/S005/001/S005_001_00000009_landmarks.txt").write_text("a b")
    fewer = load_dataset(ckplus, wanted=("landmarks",))
    assert len(fewer) == 20 and np.array_equal(fewer.images, told.images[1:])
    assert np.array_equal(fewer.landmarks, told.landmarks[1:])
    assert any("1 frames without usable landmarks are left out" in line for line in fewer.warnings)
    for path in (ckplus / "Landmarks").rglob("*_landmarks.txt"):
        path.unlink()
    with pytest.raises(InputError, match="no frame has 68 landmarks"):
        load_dataset(ckplus, wanted=("landmarks",))


@pytest.mark.parametrize("rows", ["", "1 2\n3 4", "nan nan\n" * 68, "1e12 1e12\n" * 68, "a b\n" * 68])
def test_unusable_landmarks_count_as_none(ckplus: Path, rows: str) -> None:
    (ckplus / "Landmarks/S005/001/S005_001_00000009_landmarks.txt").write_text(rows)
    data = load_dataset(ckplus)
    np.testing.assert_array_equal(data.images[0, :, :, 0], crop_face(_pixels(9), None, 48))
    assert any("1 of 21 frames have no usable landmarks" in line for line in data.warnings)


@pytest.mark.parametrize(
    ("images", "emotions", "given"),
    [
        ("cohn-kanade-images", "cohn-kanade-images/Emotion", "."),
        ("cohn-kanade-images", "cohn-kanade-images/Emotion", "cohn-kanade-images"),
        ("cohn-kanade-images", "Emotion", "cohn-kanade-images"),
        ("a/CK+/cohn-kanade-images", "a/CK+/Emotion", "."),
        ("extended-cohn-kanade-images/cohn-kanade-images", "Emotion_labels/Emotion", "."),
    ],
)
def test_any_nesting_gives_the_same_data(tmp_path: Path, ckplus: Path, images: str, emotions: str, given: str) -> None:
    root = tmp_path / "other"
    write_ckplus(root / images, root / emotions)
    for path in (ckplus / "Landmarks").rglob("*_landmarks.txt"):
        path.unlink()
    assert load_dataset(root / given).fingerprint == load_dataset(ckplus).fingerprint


def test_a_colour_frame_becomes_grey(ckplus: Path) -> None:
    path = ckplus / "cohn-kanade-images/S005/001/S005_001_00000011.png"
    colour = np.zeros((60, 80, 3), np.uint8)
    colour[:, :, 0] = 200
    Image.fromarray(colour).save(path)
    data = load_dataset(ckplus)
    assert data.images.shape == (21, 48, 48, 1)
    assert set(np.unique(data.images[2])) == {60}  # 0.299 · 200


def test_a_label_that_is_no_emotion_is_left_out(ckplus: Path) -> None:
    _write_label(ckplus / "Emotion", "S010", "002", 5, "what")
    _write_label(ckplus / "Emotion", "S011", "001", 4, "   8.0000000e+00")
    data = load_dataset(ckplus)
    assert data.class_counts()["anger"] == data.class_counts()["contempt"] == 0
    assert any("2 sequences left out: their label is no number in 0..7" in line for line in data.warnings)
    assert "class 'anger' has no image" in data.warnings


def test_labelled_sequences_without_frames_and_broken_frames_are_counted(ckplus: Path) -> None:
    _write_label(ckplus / "Emotion", "S700", "001", 4, "   3.0000000e+00")
    (ckplus / "cohn-kanade-images/S005/001/S005_001_00000010.png").write_bytes(b"\x89PNG cut")
    data = load_dataset(ckplus)
    assert len(data) == 20
    assert any("1 labelled sequences left out: they have no frame (first: S700_001)" in line for line in data.warnings)
    assert any("1 frames cannot be read" in line and "S005_001_00000010.png" in line for line in data.warnings)


def test_mostly_broken_frames_are_refused(ckplus: Path) -> None:
    for path in (ckplus / "cohn-kanade-images").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="21 of 21 labelled CK\\+ frames cannot be read"):
        load_dataset(ckplus)


def test_images_without_labels_say_where_labels_belong(tmp_path: Path) -> None:
    write_ckplus(tmp_path / "x/cohn-kanade-images", tmp_path / "elsewhere/Emotion")
    with pytest.raises(InputError, match="put the folder Emotion beside"):
        load_dataset(tmp_path / "x")
    with pytest.raises(InputError, match="no frame like"):
        load_dataset(tmp_path / "elsewhere")


def test_one_class_is_refused(ckplus: Path) -> None:
    for path in (ckplus / "Emotion").rglob("*_emotion.txt"):
        if "S005" not in path.name:
            path.unlink()
    with pytest.raises(InputError, match="of 1 class; a classifier needs at least two"):
        load_dataset(ckplus)


def test_a_frame_found_twice_is_taken_once(ckplus: Path) -> None:
    folder = ckplus / "zz-copy/S005/001"
    folder.mkdir(parents=True)
    Image.fromarray(_pixels(7)).save(folder / "S005_001_00000011.png")
    data = load_dataset(ckplus)
    assert len(data) == 21
    assert any("1 frames lie there more than once" in line for line in data.warnings)


def test_inspect_counts_people_and_sequences(ckplus: Path) -> None:
    found = inspect(load_dataset(ckplus))
    assert (found["kind"], found["images"], found["subjects"], found["sequences"]) == ("ck+", 21, 6, 7)
    assert (found["height"], found["width"], found["channels"]) == (48, 48, 1)
    assert set(found["classes"].values()) == {3}
