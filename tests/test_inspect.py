"""``nas data inspect``: what it counts, says and draws."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lookalikes import frames, write_ck48
from PIL import Image
from typer.testing import CliRunner

from nas.cli.main import app
from nas.data.dataset import Dataset
from nas.data.inspect import examine, inspect
from nas.data.sheet import contact_sheet
from nas.data.stored import store

KEYS = {"kind", "images", "height", "width", "channels", "classes", "subjects", "sequences", "fingerprint", "warnings"}
MORE = {"parts", "targets", "landmarks", "duplicates", "near_duplicates", "label_conflicts", "leaks"}


def nas(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_everything_that_is_known_is_counted() -> None:
    data = frames(8)
    count = len(data)
    values = np.stack([np.linspace(-1, 1, count), np.zeros(count)], axis=1).astype(np.float32)
    landmarks = np.zeros((count, 68, 2), np.float32)
    data = replace(data, targets=values, target_names=("valence", "arousal"), landmarks=landmarks)
    data = replace(data, parts=np.array(["train"] * 54 + ["test"] * 18))
    found = examine(data)
    assert set(found) >= KEYS | MORE
    assert set(inspect(data)) < set(found)
    assert found["parts"] == {"test": 18, "train": 54}
    assert found["targets"]["valence"] == {"min": -1.0, "mean": pytest.approx(0, abs=1e-7), "max": 1.0}
    assert (found["landmarks"], found["soft_labels"]) == (68, False)
    assert found["duplicates"] == {"images": 0, "examples": []}
    near = found["near_duplicates"]
    assert (near["pairs"], near["images"], near["images_looked_at"], near["capped"]) == (72, 72, 72, False)
    assert found["label_conflicts"] == {"images": 0, "examples": []}
    # People are known, and the official test part holds two of them: nothing leaks.
    assert found["leaks"]["tested"] == found["leaks"]["holdout"] == 0
    assert found["leaks"]["split"].endswith("the official test part (2 subjects) set aside")
    assert found["leaks"]["refused"] is False
    assert json.loads(json.dumps(found)) == found


def test_copies_and_conflicts_are_named() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), dtype=np.uint8)
    images[30], images[31], images[7] = images[2], images[2], images[6]
    labels = np.arange(40) % 2
    names = np.array([f"row {index}" for index in range(40)])
    found = examine(Dataset(images, labels, ("a", "b"), names=names))
    assert found["duplicates"]["images"] == 3
    assert found["duplicates"]["examples"] == [["row 6", "row 7"], ["row 2", "row 30"], ["row 2", "row 31"]]
    assert found["near_duplicates"]["pairs"] == 0  # exact copies are not counted again
    assert found["label_conflicts"]["images"] == 4
    assert found["label_conflicts"]["examples"][0] == ["row 6 (a)", "row 7 (b)"]
    assert found["leaks"]["tested"] <= 5 / 32


def test_where_no_fold_can_be_made_it_is_said_why() -> None:
    data = frames(2).subset(np.arange(6))
    leaks = examine(data)["leaks"]
    assert leaks["split"] is None and "setting a share of 0.2 aside needs more" in leaks["why"]


def test_the_command_tells_and_draws(tmp_path: Path) -> None:
    nameless = write_ck48(tmp_path / "faces", frames(12), keep_names=False)
    sheet = tmp_path / "sheet.png"
    told = nas("data", "inspect", nameless, "--sheet", sheet, "--image-size", "32")
    lines = told.splitlines()
    assert lines[1] == "108 images, 32x32x1"
    assert "  anger:        36  33.3%" in lines
    assert "near copies: 108 images have one, 108 pairs" in told
    assert "of the tested images have a near copy in training" in told
    assert "a search refuses this split" in told
    with Image.open(sheet) as drawn:
        assert drawn.format == "PNG" and drawn.width > 1000 and 300 < drawn.height < 500


def test_subjects_that_are_no_people_are_doubted(tmp_path: Path) -> None:
    faces = frames(12)
    assert examine(faces)["leaks"]["doubtful"] is False
    alone = replace(faces, subjects=np.char.mod("person %d", np.arange(len(faces))), sequences=None)
    leaks = examine(alone)["leaks"]
    assert (leaks["doubtful"], leaks["refused"]) == (True, False) and leaks["tested"] > 0.5
    store(alone, tmp_path / "alone")
    assert "the ids may not be those of people" in nas("data", "inspect", tmp_path / "alone")


def test_labels_are_mapped_before(tmp_path: Path) -> None:
    root = write_ck48(tmp_path / "CK+48", frames(8), keep_names=True)
    found = json.loads(nas("data", "inspect", root, "--json", "--labels", "mood4"))
    assert found["classes"] == {"positive": 24, "negative": 24, "other": 24}
    assert found["kind"] == "ck+48" and found["leaks"]["refused"] is False
    assert found["leaks"]["split"].startswith("5 subject-independent folds over 6 subjects")


def test_a_sheet_shows_images_of_each_class_in_its_row() -> None:
    labels = np.repeat([0, 1, 2], [3, 20, 1])
    images = np.broadcast_to((60 + 60 * labels)[:, None, None, None], (24, 28, 28, 1)).astype(np.uint8)
    drawn = np.asarray(Image.open(io.BytesIO(contact_sheet(Dataset(images, labels, ("a", "b", "c"))))).convert("L"))
    for label, value, columns in ((0, 60, 3), (1, 120, 12), (2, 180, 1)):
        rows, across = np.nonzero(drawn == value)
        solid = [c for c in np.unique(across) if (across == c).sum() >= 84]
        assert len(solid) == 84 * columns, label  # each image is 84 pixels wide, none is drawn twice
        assert 50 + label * 105 <= np.median(rows) < 50 + (label + 1) * 105


@pytest.mark.parametrize("classes", [2, 60])
def test_sheets_of_odd_data_are_drawn(classes: int) -> None:
    labels = np.arange(classes)
    images = np.zeros((classes, 3, 90, 3), np.uint8)
    names = tuple(f"a class with a long name that must be cut, number {index}" for index in range(classes))
    with Image.open(io.BytesIO(contact_sheet(Dataset(images, labels, names)))) as drawn:
        assert drawn.height == 50 + 8 + 105 * min(classes, 40)
