"""``nas data prepare``: where faces come, what is kept of each image, and that a folder appears whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import fill
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from nas.cli.main import app
from nas.data.captions import SYNTHETIC_CAPTION
from nas.data.dataset import Dataset
from nas.data.facecrop import crop_face
from nas.data.recognise import load_dataset
from nas.data.stored import store
from nas.errors import EnvironmentStopError, InputError
from nas.preparation.faces import Face
from nas.preparation.plan import Plan
from nas.preparation.prepare import prepare
from nas.preparation.view import EYE_LEFT, EYE_RIGHT, Pixels, View, eye_centres, usable_eyes


def spot(height: int, width: int, x: float, y: float) -> Pixels:
    """A soft white spot about (x, y), pixels from the outer edge, shape (height, width, 1)."""
    across, down = np.arange(width) + 0.5 - x, np.arange(height) + 0.5 - y
    return (255 * np.exp(-(down[:, None] ** 2 + across**2) / 18.0)).astype(np.uint8)[:, :, None]


def centroid(image: Pixels) -> np.ndarray:
    weights = image[:, :, 0].astype(float) ** 2  # the halo counts for less
    rows, columns = np.indices(weights.shape) + 0.5
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@settings(max_examples=40, deadline=None)
@given(
    degrees=st.floats(-60, 60), apart=st.floats(25, 110), x=st.floats(70, 130), y=st.floats(60, 100), size=st.just(64)
)
def test_eyes_come_to_their_places_whatever_the_turn(
    degrees: float, apart: float, x: float, y: float, size: int
) -> None:
    half = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]) * apart / 2
    eyes = np.array([x, y]) + np.array([[-1.0], [1.0]]) * half
    view = View.from_eyes(eyes)
    for eye, place in zip(eyes, (EYE_LEFT, EYE_RIGHT), strict=True):
        found = centroid(view.pixels(spot(160, 200, *eye), size))
        np.testing.assert_allclose(found, np.array(place) * size, atol=1.0)
    np.testing.assert_allclose(view.shares(eyes), [EYE_LEFT, EYE_RIGHT], atol=1e-9)


def test_a_turned_view_has_the_pixels_of_the_upright_one() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(photograph).resize((200, 200), Image.Resampling.BICUBIC))
    upright = View.from_eyes(np.array([[70.0, 80.0], [130.0, 80.0]]))
    turned = View.from_eyes(np.array([[120.0, 70.0], [120.0, 130.0]]))  # a quarter turn about (100, 100)
    there = upright.pixels(smooth, 48).astype(int)
    back = turned.pixels(np.ascontiguousarray(np.rot90(smooth, -1)), 48).astype(int)
    assert np.abs(there - back).mean() < 3.0 < there.std()


def test_landmarks_alone_give_the_crop_that_the_loader_of_ckplus_makes() -> None:
    rng = np.random.default_rng(1)
    photograph = np.asarray(Image.fromarray(rng.integers(0, 256, (12, 16), dtype=np.uint8)).resize((160, 120)))
    landmarks = rng.uniform((40, 30), (110, 100), (68, 2))
    made = View.about(landmarks).pixels(photograph[:, :, None], 48)[:, :, 0]
    np.testing.assert_array_equal(made, crop_face(photograph, landmarks, 48))


def test_a_whole_image_keeps_its_proportions_and_repeats_its_edges() -> None:
    photograph = np.arange(8, dtype=np.uint8).reshape(2, 4, 1) * 30
    expected = photograph[[0, 0, 1, 1]]
    np.testing.assert_array_equal(View.whole(2, 4).pixels(photograph, 4), expected)
    np.testing.assert_array_equal(View.whole(4, 4).pixels(expected, 4), expected)


def test_eyes_of_the_68_landmarks() -> None:
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (10.0, 20.0), (30.0, 22.0)
    np.testing.assert_array_equal(eye_centres(points), [[10.0, 20.0], [30.0, 22.0]])
    assert usable_eyes(eye_centres(points))
    assert not usable_eyes(eye_centres(points)[::-1])


class BrightFaces:
    """Finds a face in images that are bright, two in very bright ones; a face of value 180 has no eyes."""

    name = "bright faces, of the tests"

    def __init__(self) -> None:
        self.seen = 0

    def faces(self, photograph: Pixels) -> tuple[Face, ...]:
        self.seen += 1
        value = int(photograph[0, 0, 0])
        if value < 100:
            return ()
        eyes = None if value == 180 else np.array([[12.0, 10.0], [28.0, 10.0]])
        one = Face(np.array([[5.0, 0.0], [35.0, 40.0]]), eyes, 0.9)
        return (one, Face(np.array([[0.0, 0.0], [4.0, 4.0]]), None, 0.8)) if value >= 200 else (one,)


VALUES = {"calm": (20, 120, 220), "glad": (150, 180, 160)}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two classes of three images of 40×50 pixels and one value each; one jpg, the others png."""
    root = tmp_path / "photographs"
    for label, values in VALUES.items():
        (root / label).mkdir(parents=True)
        for value in values:
            suffix = "jpg" if value == 20 else "png"
            Image.new("RGB", (50, 40), (value, value, value)).save(root / label / f"{value}.{suffix}")
    return root


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_found_is_written_and_what_is_missed_is_said(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told: list[tuple[int, int]] = []
    report = prepare(
        photographs, out, Plan(align=True, size=32), detector=BrightFaces(), progress=lambda *n: told.append(n)
    )
    assert report.missed == {"calm": ["calm/20.jpg"], "glad": ["glad/180.png"]}
    assert (report.made, report.several, report.placed_by) == (4, ["calm/220.png"], {"detector": 4})
    assert told[-1] == (6, 6)
    assert (out / "missed.txt").read_text() == "calm/20.jpg\nglad/180.png\n"
    assert rows_of(out) == [
        {"path": f"images/{label}/{value}.png", "label": label}
        for label, value in (("calm", 120), ("calm", 220), ("glad", 150), ("glad", 160))
    ]
    record = json.loads((out / "prepare.json").read_text())
    assert record["counts"]["missed_by_class"] == {"calm": 1, "glad": 1}
    assert (record["detector"], record["enlarged_by"], record["channels"]) == (BrightFaces.name, "lanczos", 3)
    data = load_dataset(out)
    assert (data.kind, data.images.shape, data.class_names) == ("manifest", (4, 32, 32, 3), ("calm", "glad"))
    assert list(data.images[:, 16, 16, 0]) == [120, 220, 150, 160]


def test_images_without_a_face_can_be_kept_whole(photographs: Path, tmp_path: Path) -> None:
    plan = Plan(detect=True, size=32, missing="keep", colour="grey")
    report = prepare(photographs, tmp_path / "out", plan, detector=BrightFaces())
    assert report.placed_by == {"whole": 1, "detector": 5}
    assert report.missed == {"calm": ["calm/20.jpg"]}
    data = load_dataset(tmp_path / "out")
    assert data.images.shape == (6, 32, 32, 1)
    assert list(data.class_counts().values()) == [3, 3]


def test_without_detection_all_is_brought_to_one_size(photographs: Path, tmp_path: Path) -> None:
    report = prepare(photographs, tmp_path / "out", Plan(size=64))
    assert (report.made, report.placed_by, report.enlarged) == (6, {"whole": 6}, 6)
    assert load_dataset(tmp_path / "out").input_shape == (64, 64, 3)


def with_landmarks(root: Path) -> tuple[Path, np.ndarray]:
    """A manifest of six turned faces (spots at the eyes), subjects, parts, targets and landmarks; and the landmarks."""
    root.mkdir()
    rng = np.random.default_rng(3)
    all_points = rng.uniform((30, 20), (130, 100), (6, 68, 2))
    lines = ["path,label,subject,part,valence,target:pain,landmarks"]
    for index, points in enumerate(all_points):
        points[36:42], points[42:48] = (60 + index, 50), (100, 60 + 3 * index)
        Image.fromarray(spot(120, 160, *points[36])[:, :, 0]).save(root / f"{index}.png")
        text = ";".join(f"{value:.4f}" for value in points.ravel())
        part = "train" if index < 4 else "test"
        lines.append(f"{index}.png,{'ab'[index % 2]},P{index // 2},{part},{index / 10},{index},{text}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root, all_points


def test_the_landmarks_of_the_data_place_the_face_and_move_with_it(tmp_path: Path) -> None:
    root, points = with_landmarks(tmp_path / "marked")
    out = tmp_path / "out"
    detector = BrightFaces()
    report = prepare(root, out, Plan(align=True, size=40), detector=detector)
    assert (report.placed_by, detector.seen) == ({"landmarks": 6}, 0)
    assert json.loads((out / "prepare.json").read_text())["detector"] is None
    data, before = load_dataset(out), load_dataset(root)
    for name in ("labels", "subjects", "parts", "targets"):
        np.testing.assert_array_equal(getattr(data, name), getattr(before, name))
    assert data.target_names == ("valence", "pain")
    assert data.landmarks is not None
    for index in range(6):
        eyes = eye_centres(np.asarray(data.landmarks[index], float))
        np.testing.assert_allclose(eyes, [EYE_LEFT, EYE_RIGHT], atol=2e-3)
        np.testing.assert_allclose(centroid(data.images[index]), np.array(EYE_LEFT) * 40, atol=1.0)
        # A similarity: all distances shrink alike.
        apart = np.linalg.norm(points[index, 0] - points[index, 68 - 1]) / np.linalg.norm(
            points[index, 36] - points[index, 42]
        )
        moved = np.linalg.norm(data.landmarks[index, 0] - data.landmarks[index, 67]) / (EYE_RIGHT[0] - EYE_LEFT[0])
        assert moved == pytest.approx(apart, rel=1e-3)


@pytest.mark.parametrize("given", [".", "train_set"])
def test_the_landmarks_of_affectnet_are_those_of_its_files(tmp_path: Path, given: str) -> None:
    root = tmp_path / "AffectNet"
    for folder in ("images", "annotations"):
        (root / "train_set" / folder).mkdir(parents=True)
    points = np.random.default_rng(3).uniform(20, 90, (4, 68, 2))
    points[:, 36:42], points[:, 42:48] = (40, 50), (70, 55)
    for index, each in enumerate(points):
        Image.new("L", (120, 110)).save(root / f"train_set/images/{index}.jpg")
        known = {"exp": str(index % 2), "val": "0.5", "aro": "0.25", "lnd": each.ravel()}
        for what, value in known.items():
            np.save(root / f"train_set/annotations/{index}_{what}.npy", np.array(value))
    report = prepare(root / given, tmp_path / "out", Plan(align=True, size=40))
    assert (report.placed_by, report.lost) == ({"landmarks": 4}, [])
    marks = load_dataset(tmp_path / "out").landmarks
    assert marks is not None
    for each in marks:
        np.testing.assert_allclose(eye_centres(np.asarray(each, float)), [EYE_LEFT, EYE_RIGHT], atol=2e-3)


def test_votes_that_a_manifest_cannot_hold_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 9, 9, 1), dtype=np.uint8), np.arange(6) % 2
    votes = np.where(np.eye(2)[labels] > 0, 0.8, 0.2).astype(np.float32)
    store(Dataset(images, labels, ("a", "b"), soft_labels=votes), tmp_path / "votes")
    code, output = run(tmp_path / "votes", tmp_path / "out", "--size", 9)
    assert code == 0 and "not carried over: soft labels (each image has its one label)" in output
    assert json.loads((tmp_path / "out/prepare.json").read_text())["lost"] == [
        "soft labels (each image has its one label)"
    ]


def test_frames_of_ckplus_are_read_at_their_own_size(tmp_path: Path) -> None:
    from test_data_ckplus import write_ckplus

    root = tmp_path / "CK+"
    write_ckplus(root / "cohn-kanade-images", root / "Emotion", root / "Landmarks")
    (root / "Landmarks/S005/001/S005_001_00000009_landmarks.txt").unlink()
    report = prepare(root, tmp_path / "out", Plan(detect=True, size=56), detector=BrightFaces())
    assert (report.made + len(report.missed_names), report.placed_by["landmarks"]) == (21, 20)
    data = load_dataset(tmp_path / "out")
    assert data.images.shape[1:] == (56, 56, 1)
    frame = np.asarray(Image.open(root / "cohn-kanade-images/S005/001/S005_001_00000010.png"))
    landmarks = np.loadtxt(root / "Landmarks/S005/001/S005_001_00000010_landmarks.txt")
    index = int(np.argmax(np.char.endswith(data.names, "S005_001_00000010.png")))
    half = View.about(landmarks + 0.5).pixels(frame[:, :, None], 56)
    np.testing.assert_array_equal(data.images[index], half)
    assert data.subjects is not None and data.subjects[index] == "S005"


def test_arrays_have_no_files_and_are_prepared_as_they_are(npz: Path, tmp_path: Path) -> None:
    prepare(npz, tmp_path / "out", Plan(size=16))
    before, data = load_dataset(npz), load_dataset(tmp_path / "out")
    np.testing.assert_array_equal(data.images, before.images)
    np.testing.assert_array_equal(data.subjects, before.subjects)
    assert data.class_counts() == before.class_counts()


def test_synthetic_faces_stay_named_as_such(photographs: Path, tmp_path: Path) -> None:
    from test_data_ckplus import write_ckplus

    root = tmp_path / "drawn"
    write_ckplus(root / "cohn-kanade-images", root / "Emotion")
    (root / "README.txt").write_text(f"{SYNTHETIC_CAPTION}\n")
    prepare(root, tmp_path / "out", Plan(size=16))
    assert load_dataset(tmp_path / "out").caption == SYNTHETIC_CAPTION
    prepare(photographs, tmp_path / "other", Plan(size=16))
    assert load_dataset(tmp_path / "other").caption == "manifest.csv (6 images)"


@pytest.mark.parametrize("where", ["taken", "photographs/out"])
def test_a_place_that_cannot_be_written_to_is_refused(photographs: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").touch()
    with pytest.raises(InputError, match="name a "):
        prepare(photographs, tmp_path / where, Plan())


class Stops(BrightFaces):
    def faces(self, photograph: Pixels) -> tuple[Face, ...]:
        if self.seen == 3:
            raise KeyboardInterrupt
        return super().faces(photograph)


def test_after_ctrl_c_nothing_is_there(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(photographs, tmp_path / "out", Plan(detect=True), detector=Stops())
    assert os.listdir(tmp_path) == ["photographs"]


def test_what_a_killed_process_left_is_removed(photographs: Path, tmp_path: Path) -> None:
    dead, living = (tmp_path / f".out.{pid}-abc.part" for pid in (2**22 + 1, os.getpid()))
    for folder in (dead, living):
        (folder / "images").mkdir(parents=True)
    prepare(photographs, tmp_path / "out", Plan())
    assert (dead.exists(), living.exists()) == (False, True)


def test_nothing_left_is_an_error(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no face was found in 6 images"):
        prepare(photographs, tmp_path / "out", Plan(detect=True))
    assert os.listdir(tmp_path) == ["photographs"]


def test_a_full_disk_leaves_nothing_half_done(photographs: Path, small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(EnvironmentStopError, match="cannot be written") as caught:
        prepare(photographs, small_disk / "out", Plan(size=64))
    assert caught.value.exit_code == 4
    assert os.listdir(small_disk) == ["filler"]


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", "prepare", *map(str, words)])
    return result.exit_code, result.output


def test_the_command_says_what_was_done(photographs: Path, tmp_path: Path) -> None:
    code, output = run(photographs, tmp_path / "out", "--size", 64, "--grey")
    assert code == 0
    assert "6 images of 64x64" in output
    assert "6 by Lanczos interpolation, which adds no detail: no super-resolution" in output
    assert load_dataset(tmp_path / "out").input_shape == (64, 64, 1)


def test_without_the_detectors_package_the_remedy_is_named(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mtcnn", None)
    code, output = run(photographs, tmp_path / "out", "--detect")
    assert (code, "pip install 'nanosynth[faces]'" in output) == (2, True)
    assert os.listdir(tmp_path) == ["photographs"]


@pytest.mark.parametrize(
    "words", [("--size", "7"), ("--size", "1025"), ("--upscale", ""), ("--upscale", "none.tflite"), ("--missing", "no")]
)
def test_options_out_of_bounds(photographs: Path, tmp_path: Path, words: tuple[str, str]) -> None:
    code, _ = run(photographs, tmp_path / "out", *words)
    assert code == 2
    assert not (tmp_path / "out").exists()


def test_mtcnn_finds_faces_and_eyes(tmp_path: Path) -> None:
    """Synthetic faces of 128×98 pixels, and the same turned by 20 degrees."""
    pytest.importorskip("mtcnn")
    from nas.data.synthetic.difficulty import DEFAULT_DIFFICULTY
    from nas.data.synthetic.sequence import draw_sequences
    from nas.preparation.faces import Mtcnn

    detector = Mtcnn()
    found = errors = 0
    for sequence in draw_sequences(0, DEFAULT_DIFFICULTY)[:240:40]:
        frame = sequence.frame(0)
        eyes = eye_centres(frame.landmarks + 0.5)
        faces = detector.faces(np.repeat(frame.image[:, :, None], 3, axis=2))
        found += bool(faces)
        if faces and faces[0].eyes is not None:
            apart = np.linalg.norm(eyes[0] - eyes[1])
            errors += bool(np.linalg.norm(faces[0].eyes - eyes, axis=1).max() > 0.15 * apart)
    assert (found, errors) == (6, 0)
