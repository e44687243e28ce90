"""Classes renamed, merged and left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from make_run import make_run
from typer.testing import CliRunner

from nas.cli.main import app
from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.data.labels import LabelMap, load_label_map, relabelled
from nas.data.preparation import Preparation
from nas.data.recognise import load_dataset
from nas.errors import DecodeError, InputError
from nas.settings import Settings, recorded_data

EIGHT = ("anger", "contempt", "disgust", "fear", "happy", "neutral", "sadness", "surprise")
SPELLINGS = (
    EIGHT,
    ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),  # FER2013
    ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),  # FERPlus
    ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),  # RAF-DB
    ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"),  # AffectNet
    ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"),  # folders
)


def ramp(names: tuple[str, ...], each: int = 2) -> Dataset:
    """``each`` images of every class, whose pixels are the class's number."""
    labels = np.repeat(np.arange(len(names)), each)
    images = np.broadcast_to(labels[:, None, None, None], (len(labels), 4, 4, 1)).astype(np.uint8)
    return Dataset(images, labels, names, subjects=np.char.mod("s%d", np.arange(len(labels))), caption="a ramp")


@pytest.mark.parametrize("names", SPELLINGS)
def test_four_moods_of_every_spelling(names: tuple[str, ...]) -> None:
    data = relabelled(ramp(names), load_label_map("mood4"))
    assert data.class_names == ("positive", "negative", "neutral", "other")
    good = {"happy", "happiness"}
    moods = {name: "positive" if name.lower() in good else "negative" for name in names}
    moods |= {name: "neutral" for name in names if name.lower() == "neutral"}
    moods |= {name: "other" for name in names if name.lower() == "surprise"}
    for image, label in zip(data.images, data.labels, strict=True):
        assert data.class_names[label] == moods[names[image[0, 0, 0]]]
    assert len(data) == 2 * len(names)


def test_seven_drops_contempt_and_its_images() -> None:
    whole = ramp(EIGHT)
    data = relabelled(whole, load_label_map("seven"))
    assert data.class_names == ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    assert data.images[:, 0, 0, 0].tolist() == [0, 0, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 6, 6, 4, 4, 5, 5]
    assert data.subjects is not None and whole.subjects is not None
    assert data.subjects.tolist() == [s for s in whole.subjects.tolist() if s not in ("s2", "s3")]
    assert "2 images of classes that the label map drops are left out" in data.warnings
    assert data.caption == "a ramp, as 7 classes (anger, disgust, fear, happiness, sadness, surprise, neutral)"
    assert data.fingerprint != whole.fingerprint


def test_soft_labels_are_added_up_and_sum_to_one() -> None:
    soft = np.array([[0.5, 0.2, 0.3, 0.0], [0.0, 1.0, 0.0, 0.0], [0.1, 0.4, 0.2, 0.3]], np.float32)
    data = Dataset(np.zeros((3, 4, 4, 1), np.uint8), np.array([0, 2, 3]), ("a", "b", "c", "d"), soft_labels=soft)
    mapped = relabelled(data, LabelMap(classes={"x": ["c", "a"], "y": ["d"]}, drop=["b"]))
    assert mapped.labels.tolist() == [0, 0, 1]
    assert mapped.soft_labels is not None and mapped.soft_labels.dtype == np.float32
    # The second image has votes for what is dropped alone: its label remains.
    np.testing.assert_allclose(mapped.soft_labels, [[1, 0], [1, 0], [0.5, 0.5]], atol=1e-6)


def test_a_class_that_is_not_named_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match=r"class 'bored' is not in the label map, which knows happiness, happy, joy"):
        relabelled(ramp((*EIGHT, "bored")), load_label_map("mood4"))
    classes = {"good": ["happy"], "bad": ["sadness"]}
    dropped = relabelled(ramp(EIGHT), LabelMap(classes=classes, rest="drop"))
    assert dropped.class_names == ("good", "bad") and len(dropped) == 4
    rest = relabelled(ramp(EIGHT), LabelMap(classes=classes, rest="other"))
    assert rest.class_names == ("good", "bad", "other") and rest.class_counts()["other"] == 12
    joined = relabelled(ramp(EIGHT), LabelMap(classes=classes, rest="bad"))
    assert joined.class_counts() == {"good": 2, "bad": 14}


def test_classes_without_images_are_left_out_and_said() -> None:
    data = relabelled(ramp(("happy", "sad", "neutral")), load_label_map("mood4"))
    assert data.class_names == ("positive", "negative", "neutral")
    assert "the label map's classes other have no image here and are left out" in data.warnings
    with pytest.raises(InputError, match="leaves negative of its classes"):
        relabelled(ramp(("angry", "sad")), load_label_map("mood4"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("classes: {a: [x], b: [X]}", "'x' becomes 'a' and 'b'"),
        ("classes: {a: [x]}", "at least 2 items"),
        ("classes: {a: [x], b: []}", "classes.b"),
        ("classes: {a: [x], b: [1]}", "classes.b.0"),
        ("classes: {a: [x], b: [y]}\nforget: [z]", ":2: forget: unknown key"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        load_label_map(path)
    assert str(refused.value).startswith(f"{path}:") and fault in str(refused.value)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no preset of label maps \(mood4, seven\); did you mean 'mood4'"):
        load_label_map("mood")


def test_the_maps_are_listed_and_shown() -> None:
    told = CliRunner().invoke(app, ["labels"]).output
    assert "mood4: positive, negative, neutral, other" in told and "without contempt" in told
    shown = CliRunner().invoke(app, ["labels", "show", "mood4"]).output
    assert yaml.safe_load(shown)["classes"]["neutral"] == ["neutral"]


def test_a_map_is_recorded_whole(tmp_path: Path) -> None:
    made = Preparation(labels=load_label_map("seven"), ignore_parts=True, allow_leaks=True, leaky=0.5)
    text = yaml.safe_dump(made.to_json())
    assert Preparation.from_json(yaml.safe_load(text)) == made
    assert Preparation.from_json({}) == Preparation()
    for damaged in ({"labels": {"classes": {}}}, {"grouping": "x"}, {"leaky": "much"}, {"allow_leaks": 1}):
        with pytest.raises(DecodeError):
            Preparation.from_json(damaged)
    assert "preparation" in Settings.__dataclass_fields__


def test_a_run_is_gone_on_with_the_map_that_it_was_begun_with(tmp_path: Path, npz: Path) -> None:
    run = make_run(tmp_path / "run", npz)
    made = Preparation(labels=LabelMap(classes={"bar": ["across", "down"], "block": ["square"]}))
    data = made.prepared(load_dataset(npz))
    split = make_split(data)
    before = replace(run.settings, preparation=made, data_fingerprint=data.fingerprint, split_hash=split.hash)
    settings = Settings.from_json(yaml.safe_load(yaml.safe_dump(before.to_json())))
    assert settings.preparation == made
    again, folds = recorded_data(settings)
    assert again.class_names == ("bar", "block") and again.class_counts() == {"bar": 160, "block": 80}
    assert folds.hash == split.hash
    with pytest.raises(InputError, match="results on other data cannot be mixed"):
        recorded_data(replace(settings, preparation=Preparation()))
    old = {name: value for name, value in before.to_json().items() if name != "preparation"}
    assert Settings.from_json(old).preparation == Preparation()  # runs of before have none


def test_official_parts_are_put_together_when_asked() -> None:
    data = replace(ramp(EIGHT), parts=np.array(["train", "test"] * 8))
    assert Preparation().prepared(data) is data
    assert Preparation(ignore_parts=True).prepared(data).parts is None


def test_a_class_that_is_dropped_and_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("classes: {good: [happy], bad: [sad]}\ndrop: [Happy]\n")
    with pytest.raises(InputError, match="'Happy' is dropped, and becomes a class; keep one"):
        load_label_map(tmp_path / "map.yaml")


@pytest.mark.parametrize("word", ["drop", "Drop", " DROP "])
def test_the_rest_is_dropped_however_the_word_is_spelled(word: str) -> None:
    data = relabelled(ramp(EIGHT), LabelMap(classes={"good": ["happy"], "bad": ["sadness"]}, drop=[], rest=word))
    assert data.class_names == ("good", "bad") and len(data) == 4
