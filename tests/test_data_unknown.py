"""What is said of a path that no layout fits: what was looked for, and what comes nearest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nas.cli.main import app
from nas.data.layouts import FILES, FOLDERS
from nas.data.recognise import load_dataset
from nas.errors import InputError


def grow(root: Path, *names: str) -> Path:
    """Files, images among them, and folders (whose names end in a slash)."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif path.suffix in (".png", ".jpg"):
            Image.new("L", (9, 9)).save(path)
        else:
            path.write_text("train_00001.jpg 5\n")
    return root


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_dataset(path)
    return str(error.value)


def test_everything_that_was_looked_for_is_named(tmp_path: Path) -> None:
    told = refusal(grow(tmp_path, "notes.txt"))
    assert "files but no subfolder" in told
    for layout in FOLDERS:
        assert f"{layout.name} ({layout.wanted})" in told
    told = refusal(tmp_path / "notes.txt")
    assert "a .txt file cannot be read" in told
    for layout in FILES:
        assert f"{layout.name} ({layout.wanted})" in told


@pytest.mark.parametrize(
    ("names", "nearest"),
    [
        (["Image/aligned/train_00001_aligned.jpg"], "raf-db: has Image/aligned but EmoLabel/list_patition_label.txt"),
        (["basic/Image/aligned/train_00001_aligned.jpg"], "raf-db: has basic/Image/aligned but EmoLabel/"),
        (["EmoLabel/list_patition_label.txt"], "raf-db: has EmoLabel/list_patition_label.txt but Image/aligned"),
        (["train_set/images/0.jpg"], "affectnet: has train_set/images but train_set/annotations is missing"),
        (["train_set/annotations/0_exp.npy"], "affectnet: has train_set/annotations but train_set/images is missing"),
        (["train_set/annotations/", "train_set/images/0.jpg"], "affectnet: has train_set/annotations but no *_exp.npy"),
        (["S138_008_00000007.png"], "ck+48: has S138_008_00000007.png but no class folders such as anger/S138"),
        (["cohn-kanade-images/"], "ck+: has cohn-kanade-images but no folder such as cohn-kanade-images/S005/001"),
        (["images/S005/"], "ck+: has images/S005 but no sequence such as images/S005/001"),
        (["t10k-images-idx3-ubyte"], "idx: has t10k-images-idx3-ubyte but test-labels-idx1-ubyte is missing"),
        (["sets/basic/EmoLabel/list_patition_label.txt", "sets/basic/Image/aligned/", "b/"], "raf-db: give "),
        (["extended-cohn-kanade-images.zip"], "extended-cohn-kanade-images.zip is an archive: unpack it"),
    ],
)
def test_the_nearest_layout_and_what_it_lacks(tmp_path: Path, names: list[str], nearest: str) -> None:
    told = refusal(grow(tmp_path, *names))
    assert nearest in told and "looked for: " in told


def test_columns_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("path,emotion\na.png,1\n")
    assert "nearest: manifest: has the columns path, emotion but label is missing" in refusal(path)
    path.write_text("emotion,pixel\n1,2\n")
    assert "nearest: fer2013: set.csv has the column emotion but the column pixels is missing" in refusal(path)
    assert "nearest: fer2013: set.csv has the column emotion" in refusal(tmp_path)


def test_numbered_folders_of_which_some_are_missing_are_said_to_be_rafdbs_where_nothing_else_fits(
    tmp_path: Path,
) -> None:
    told = refusal(grow(tmp_path, *(f"train/{number}/" for number in range(1, 7))))
    assert "nearest: raf-db: has numbered folders but test, train/7 is missing" in told


def test_what_is_clearly_class_folders_keeps_its_short_message(tmp_path: Path) -> None:
    told = refusal(grow(tmp_path, "happy/1.png"))
    assert "only one class (subfolder 'happy')" in told and "looked for" not in told


def test_a_file_of_data_beside_others_is_pointed_at(tmp_path: Path) -> None:
    grow(tmp_path, "readme.txt")
    np.savez(tmp_path / "faces.npz", x=np.zeros((2, 9, 9), np.uint8), y=[0, 1])
    assert f"nearest: npz: give {tmp_path / 'faces.npz'}" in refusal(tmp_path)


def test_the_command_exits_with_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "inspect", str(tmp_path)])
    assert result.exit_code == 2
    assert "looked for: " in result.stderr


@pytest.mark.parametrize("name", ["faces.csv", "faces.npz", "faces"])
def test_a_file_of_no_bytes_is_called_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert refusal(tmp_path / name) == f"data {tmp_path / name}: the file is empty: copy it again"
