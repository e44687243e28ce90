"""The synthetic faces: counts, geometry of the action units, pixels, and the layout on disk."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nas.data.baseline import linear_baseline
from nas.data.dataset import Dataset
from nas.data.facecrop import crop_face
from nas.data.folds import make_split
from nas.data.landmarks import MIRROR
from nas.data.recognise import load_dataset
from nas.data.synthetic import (
    SYNTHETIC_CAPTION,
    SYNTHETIC_VERSION,
    Difficulty,
    synthetic_faces,
    write_ckplus_layout,
)
from nas.data.synthetic.action_units import ACTION_UNITS
from nas.data.synthetic.difficulty import DEFAULT_DIFFICULTY
from nas.data.synthetic.draw import Draw
from nas.data.synthetic.expressions import AFFECT, CK_NUMBERS, CLASS_NAMES, PROTOTYPES, affect, draw_apex, prototype
from nas.data.synthetic.frame import prototype_frame
from nas.data.synthetic.identity import Identity, draw_identity
from nas.data.synthetic.plan import SEQUENCES_OF
from nas.data.synthetic.sequence import draw_sequences
from nas.data.synthetic.shape import neutral_shape, shape_of
from nas.errors import InputError

FROZEN_VERSION = "1"
FROZEN_FINGERPRINT = "093d69d1ee52b407"


@pytest.fixture(scope="module")
def faces() -> Dataset:
    return synthetic_faces()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    directory = tmp_path_factory.mktemp("ck") / "synthetic"
    return directory, write_ckplus_layout(directory)


def someone(number: int = 0) -> Identity:
    return draw_identity(Draw.of(7, number), DEFAULT_DIFFICULTY)


def moved(activation: Mapping[int, tuple[float, float]], number: int = 0) -> npt.NDArray[np.float64]:
    """What ``activation`` moves on one face, (x right, y down), shape (68, 2)."""
    face = someone(number)
    return shape_of(face, activation) - neutral_shape(face)


def both(unit: int, intensity: float = 1.0) -> npt.NDArray[np.float64]:
    return moved({unit: (intensity, intensity)})


# --- the protocol -------------------------------------------------------------------------------------------------


def test_sizes_are_those_of_ckplus(faces: Dataset) -> None:
    assert faces.images.shape == (981, 48, 48, 1)
    assert faces.class_names == ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
    assert faces.class_counts() == {
        "anger": 135,
        "contempt": 54,
        "disgust": 177,
        "fear": 75,
        "happy": 207,
        "sadness": 84,
        "surprise": 249,
    }
    assert sum(SEQUENCES_OF.values()) == 327
    assert (faces.kind, faces.caption) == ("synthetic", SYNTHETIC_CAPTION)


def test_subjects_make_one_to_six_different_expressions(faces: Dataset) -> None:
    assert faces.subjects is not None and faces.sequences is not None
    assert sorted(set(faces.subjects)) == [f"S{i:03d}" for i in range(1, 119)]
    assert len(set(faces.sequences)) == 327
    for subject in np.unique(faces.subjects):
        own = faces.subjects == subject
        names = sorted(set(faces.sequences[own]))
        assert names == [f"{subject}_{i:03d}" for i in range(1, len(names) + 1)]
        assert 1 <= len(names) <= 6
        assert len(set(faces.labels[own])) == len(names)


def test_three_frames_a_sequence_in_sorted_order(faces: Dataset) -> None:
    assert faces.sequences is not None
    assert list(faces.sequences) == sorted(faces.sequences)
    ids, counts = np.unique(faces.sequences, return_counts=True)
    assert set(counts) == {3}
    assert all(len(set(faces.labels[faces.sequences == name])) == 1 for name in ids)


def test_frames_of_a_sequence_are_alike_and_not_equal(faces: Dataset) -> None:
    grey = faces.images[:, :, :, 0].astype(np.float64)
    within = np.abs(grey[2::3] - grey[1::3]).mean()
    between = np.abs(grey[3::3] - grey[2:-1:3]).mean()
    assert 0.5 < within < between / 3
    assert len({image.tobytes() for image in faces.images}) == 981


# --- determinism --------------------------------------------------------------------------------------------------


def test_content_is_frozen(faces: Dataset) -> None:
    assert (SYNTHETIC_VERSION, faces.fingerprint) == (FROZEN_VERSION, FROZEN_FINGERPRINT), (
        "the synthetic faces changed: figures measured on them no longer hold; raise SYNTHETIC_VERSION and freeze anew"
    )


def test_global_state_does_not_matter(faces: Dataset) -> None:
    np.random.seed(5)
    np.random.random(3)
    assert synthetic_faces(0).fingerprint == faces.fingerprint


def test_another_seed_gives_other_faces_with_the_same_counts(faces: Dataset) -> None:
    other = synthetic_faces(1)
    assert other.fingerprint != faces.fingerprint
    assert other.class_counts() == faces.class_counts()


def test_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"seed -1 .* give 0 or more"):
        synthetic_faces(-1)
    with pytest.raises(InputError, match="seed -1"):
        write_ckplus_layout(tmp_path / "new", -1)
    assert not (tmp_path / "new").exists()


# --- action units -------------------------------------------------------------------------------------------------

# unit -> landmark -> sign of its move outward (away from the midline) and down; 0: not asked.
MOVES: dict[int, dict[int, tuple[int, int]]] = {
    1: {20: (0, -1), 21: (0, -1)},
    2: {17: (0, -1), 18: (0, -1)},
    4: {20: (-1, 1), 21: (-1, 1)},
    5: {37: (0, -1), 38: (0, -1)},
    6: {40: (0, -1), 41: (0, -1)},
    7: {37: (0, 1), 38: (0, 1), 40: (0, -1), 41: (0, -1)},
    9: {31: (0, -1), 50: (0, -1), 51: (0, -1), 21: (0, 1)},
    10: {50: (0, -1), 51: (0, -1)},
    12: {48: (1, -1), 60: (1, -1)},
    14: {48: (1, -1), 60: (1, -1)},
    15: {48: (0, 1), 60: (0, 1)},
    17: {57: (0, -1), 58: (0, -1), 8: (0, -1)},
    20: {48: (1, 0), 60: (1, 0)},
    23: {48: (-1, 0), 51: (0, 1), 57: (0, -1)},
    24: {51: (0, 1), 57: (0, -1)},
    25: {57: (0, 1), 66: (0, 1), 62: (0, -1)},
    26: {57: (0, 1), 66: (0, 1), 8: (0, 1)},
    27: {57: (0, 1), 66: (0, 1), 8: (0, 1), 48: (-1, 1)},
    43: {37: (0, 1), 38: (0, 1)},
}
CASES = [(unit, landmark, *signs) for unit, marks in MOVES.items() for landmark, signs in marks.items()]


def test_every_unit_has_its_directions_tested() -> None:
    assert set(MOVES) == set(ACTION_UNITS)
    used = {unit for rules in PROTOTYPES.values() for rule in rules for unit in rule.units}
    assert used <= set(ACTION_UNITS)


@pytest.mark.parametrize(("unit", "landmark", "outward", "down"), CASES)
def test_unit_moves_its_landmarks(unit: int, landmark: int, outward: int, down: int) -> None:
    shift = both(unit)
    twin = int(MIRROR[landmark])
    for mark, away in ((landmark, -1.0), (twin, 1.0)):
        if outward:
            assert shift[mark, 0] * away * outward > 0.2, mark
        if down:
            assert shift[mark, 1] * down > 0.2, mark


@pytest.mark.parametrize("unit", ACTION_UNITS)
def test_unit_is_mirrored_and_proportional(unit: int) -> None:
    shift, half = both(unit, 0.2), both(unit, 0.1)
    np.testing.assert_allclose(shift[MIRROR] * [-1.0, 1.0], shift, atol=1e-9)
    np.testing.assert_allclose(half * 2.0, shift, atol=0.35)


def test_one_sided_unit_leaves_the_other_side() -> None:
    shift = moved({14: (1.0, 0.0)})
    assert shift[48, 0] < -0.5 and shift[48, 1] < -0.5
    np.testing.assert_allclose(shift[[53, 54, 55, 63, 64, 65]], 0.0, atol=1e-9)


def test_jaw_falls_farther_in_a_stretched_than_in_a_dropped_mouth() -> None:
    assert both(27)[8, 1] > both(26)[8, 1] + 2.0 > 4.0


@pytest.mark.parametrize("expression", CLASS_NAMES)
@pytest.mark.parametrize("number", range(6))
def test_lids_and_lips_never_cross(expression: str, number: int) -> None:
    for trial in range(8):
        apex = draw_apex(Draw.of(number, trial), expression, 1.0, DEFAULT_DIFFICULTY)
        points = shape_of(someone(number), apex)
        for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (50, 61), (51, 62), (66, 57)):
            assert points[lower, 1] > points[upper, 1] + 0.3, (upper, lower)
        # Thin pressed lips push their inner edges past each other by less than shows: a mouth is drawn open from 0.7.
        for upper, lower in ((61, 67), (62, 66), (63, 65)):
            assert points[lower, 1] > points[upper, 1] - 0.25, (upper, lower)


# --- the seven expressions ----------------------------------------------------------------------------------------


def opening(points: npt.NDArray[np.float64]) -> float:
    return float(points[[40, 41, 46, 47], 1].mean() - points[[37, 38, 43, 44], 1].mean())


def gap(points: npt.NDArray[np.float64]) -> float:
    return float(points[66, 1] - points[62, 1])


def landmarks(expression: str, intensity: float) -> npt.NDArray[np.float64]:
    return prototype_frame(someone(), expression, intensity).landmarks


@pytest.mark.parametrize(
    ("expression", "defining"),
    [
        ("anger", {4, 7}),
        ("contempt", {14}),
        ("disgust", {9}),
        ("fear", {1, 4, 20}),
        ("happy", {12}),
        ("sadness", {1, 15}),
        ("surprise", {1, 2}),
    ],
)
def test_prototype_has_its_defining_units(expression: str, defining: set[int]) -> None:
    assert defining <= set(prototype(expression))
    for trial in range(20):
        apex = draw_apex(Draw.of(3, trial), expression, 1.0, DEFAULT_DIFFICULTY)
        assert all(max(apex[unit]) >= 0.3 for unit in defining)


def test_prototypes_move_the_drawn_landmarks() -> None:
    rest = landmarks("happy", 0.0)
    change = {name: landmarks(name, 1.0) - rest for name in CLASS_NAMES}
    assert (change["anger"][[21, 22], 1] > 1.0).all() and opening(rest + change["anger"]) < opening(rest)
    assert (change["disgust"][[50, 51, 52], 1] < -0.8).all()
    assert change["fear"][48, 0] < -1.5 and change["fear"][54, 0] > 1.5 and (change["fear"][[21, 22], 1] < 0).all()
    assert (change["happy"][[48, 54], 1] < -2.0).all() and change["happy"][48, 0] < -2.0 < 2.0 < change["happy"][54, 0]
    assert (change["sadness"][[48, 54], 1] > 1.5).all() and (change["sadness"][[21, 22], 1] < 0).all()
    assert (change["surprise"][17:27, 1] < 0.0).all() and gap(rest + change["surprise"]) > gap(rest) + 3.0
    assert change["surprise"][8, 1] > 2.5


def test_contempt_is_one_sided() -> None:
    shift = landmarks("contempt", 1.0) - landmarks("contempt", 0.0)
    assert np.abs(shift[48]).sum() > 1.0
    np.testing.assert_allclose(shift[54], 0.0, atol=0.011)
    sides = {pair.index(max(pair)) for t in range(12) for pair in [apex_of_contempt(t)[14]]}
    assert sides == {0, 1}


def apex_of_contempt(trial: int) -> Mapping[int, tuple[float, float]]:
    return draw_apex(Draw.of(trial), "contempt", 1.0, DEFAULT_DIFFICULTY)


@pytest.mark.parametrize("expression", CLASS_NAMES)
def test_expression_shows_in_the_pixels(expression: str) -> None:
    rest, half, full = (prototype_frame(someone(), expression, k).image.astype(float) for k in (0.0, 0.5, 1.0))
    assert rest.shape == (98, 128)
    assert np.abs(full - rest).max() > 40
    assert np.abs(full - rest).sum() > np.abs(half - rest).sum() > 0


def test_sequences_rise_from_neutral_to_apex() -> None:
    lengths = set()
    for sequence in draw_sequences(0, DEFAULT_DIFFICULTY):
        rise = [sequence.intensity(i) for i in range(sequence.frames)]
        assert rise[0] == 0.0 and rise[-1] == 1.0 and rise == sorted(rise)
        assert min(rise[-3:]) > 0.8
        lengths.add(sequence.frames)
    assert lengths == set(range(6, 15))


def test_landmarks_are_rounded_as_they_are_written() -> None:
    points = draw_sequences(0, DEFAULT_DIFFICULTY)[0].frame(3).landmarks
    assert points.shape == (68, 2)
    assert np.array_equal(points, np.round(points, 2))
    assert (points[:, 0] > 0).all() and (points[:, 0] < 128).all()


# --- difficulty ---------------------------------------------------------------------------------------------------


def test_difficulty_refuses_what_has_no_meaning() -> None:
    with pytest.raises(InputError, match=r"noise is -0\.1"):
        Difficulty(noise=-0.1)
    with pytest.raises(InputError, match="apex_low <= apex_high"):
        Difficulty(apex_low=0.9, apex_high=0.5)


def test_optional_units_can_be_switched_off() -> None:
    bare = dataclasses.replace(DEFAULT_DIFFICULTY, optional_aus=0.0, distractor_aus=0.0)
    for expression in CLASS_NAMES:
        required = {unit for rule in PROTOTYPES[expression] if rule.probability == 1.0 for unit in rule.units}
        assert all(set(draw_apex(Draw.of(t), expression, 1.0, bare)) <= required for t in range(10))


@pytest.mark.slow
def test_a_linear_classifier_does_not_suffice(faces: Dataset) -> None:
    assert 0.50 <= linear_baseline(faces, make_split(faces, holdout=0), range(5)) <= 0.73


# --- the crop -----------------------------------------------------------------------------------------------------


def test_crop_is_the_box_of_the_landmarks() -> None:
    image = np.zeros((98, 128), np.uint8)
    image[30:70, 50:90] = 200
    corners = np.array([[50.0, 30.0], [90.0, 70.0]])
    crop = crop_face(image, np.resize(corners, (68, 2)), 48)
    assert crop.shape == (48, 48) and crop.dtype == np.uint8
    assert crop[24, 24] == 200 and crop[0, 0] == 0 and crop[-1, -1] == 0
    assert 0.6 < (crop > 100).mean() < 0.95


def test_crop_repeats_the_edge_and_falls_back_to_the_centre() -> None:
    image = np.full((98, 128), 70, np.uint8)
    image[:, :12] = 9
    image[:, 116:] = 9
    outside = crop_face(image, np.resize(np.array([[-60.0, -10.0], [-10.0, 40.0]]), (68, 2)), 48)
    assert (outside == 9).all()
    assert (crop_face(image, None, 48) == 70).all()


# --- CK+'s layout on disk -----------------------------------------------------------------------------------------


def test_written_layout_holds_every_frame(written: tuple[Path, int]) -> None:
    directory, count = written
    sequences = draw_sequences(0, DEFAULT_DIFFICULTY)
    assert count == sum(sequence.frames for sequence in sequences)
    assert len(list(directory.rglob("*.png"))) == len(list(directory.rglob("*_landmarks.txt"))) == count
    assert len(list(directory.rglob("*_emotion.txt"))) == len(list(directory.rglob("*_facs.txt"))) == 327
    assert SYNTHETIC_CAPTION in (directory / "README.txt").read_text(encoding="utf-8")


def test_written_names_and_texts(written: tuple[Path, int]) -> None:
    directory, _ = written
    number = r"   \d\.\d{7}e[+-]\d{2}"
    for sequence in draw_sequences(0, DEFAULT_DIFFICULTY)[::29]:
        parts = Path(sequence.subject_id) / f"{sequence.number:03d}"
        names = [f"{sequence.sequence_id}_{i:08d}" for i in range(1, sequence.frames + 1)]
        images = directory / "cohn-kanade-images" / parts
        assert sorted(path.name for path in images.iterdir()) == [f"{name}.png" for name in names]
        label = (directory / "Emotion" / parts / f"{names[-1]}_emotion.txt").read_text()
        assert label == f"   {CK_NUMBERS[sequence.expression]}.0000000e+00\n"
        facs = (directory / "FACS" / parts / f"{names[-1]}_facs.txt").read_text().splitlines()
        assert all(re.fullmatch(number * 2, line) for line in facs)
        assert [round(float(line.split()[0])) for line in facs] == sorted(sequence.apex)
        assert all(1 <= float(line.split()[1]) <= 5 for line in facs)
        last = sequence.frame(sequence.frames - 1)
        with Image.open(images / f"{names[-1]}.png") as image:
            assert np.array_equal(np.asarray(image), last.image)
        text = np.loadtxt(directory / "Landmarks" / parts / f"{names[-1]}_landmarks.txt")
        assert np.array_equal(text, last.landmarks)


def test_loader_of_ckplus_gives_the_same_pixels(faces: Dataset, written: tuple[Path, int]) -> None:
    read = load_dataset(written[0])
    assert read.kind == "ck+"
    assert read.fingerprint == faces.fingerprint
    assert SYNTHETIC_CAPTION in read.caption


@pytest.fixture(scope="module")
def told() -> Dataset:
    return synthetic_faces(wanted=("targets", "landmarks"))


def test_valence_and_landmarks_leave_the_faces_as_they_are(faces: Dataset, told: Dataset) -> None:
    assert faces.targets is None and faces.landmarks is None
    assert told.fingerprint != faces.fingerprint and np.array_equal(told.images, faces.images)
    assert told.targets is not None and told.landmarks is not None and told.target_names == ("valence", "arousal")
    valence = {name: told.targets[told.labels == k, 0] for k, name in enumerate(told.class_names)}
    assert valence["happy"].min() > 0.2 > valence["surprise"].max() and valence["sadness"].max() < -0.2
    strength = told.targets[:, 1] / np.array([AFFECT[name][1] for name in told.class_names])[told.labels]
    assert np.all((strength > 0.2) & (strength <= 1))
    for name in PROTOTYPES:
        assert affect(name, prototype(name)) == pytest.approx(AFFECT[name]) and affect(name, {}) == (0, 0)
    # On the face: the mouth below the nose, the left eye's outer corner left of the right one's.
    assert np.all(told.landmarks[:, 57, 1] > told.landmarks[:, 33, 1])
    assert np.all(told.landmarks[:, 36, 0] < told.landmarks[:, 45, 0])
    assert told.landmarks.min() > 0 and told.landmarks.max() < 1


def test_loader_of_ckplus_gives_the_same_landmarks(told: Dataset, written: tuple[Path, int]) -> None:
    read = load_dataset(written[0], wanted=("landmarks",))
    assert np.array_equal(read.landmarks, told.landmarks) and read.targets is None
    assert np.array_equal(read.images, told.images) and read.warnings == ()


def test_writing_over_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=re.escape(str(tmp_path)) + ".*name a new one"):
        write_ckplus_layout(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(InputError, match="not an empty folder"):
        write_ckplus_layout(tmp_path / "mine.txt")
