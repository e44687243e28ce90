"""Images listed in a csv file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.coverage import NO_SUBJECTS
from nas.data.recognise import load_dataset
from nas.data.subjects import one_spelling
from nas.errors import InputError


def pictures(root: Path, count: int = 6) -> None:
    """Images 0.png, 1.png ... of 20×10 pixels, whose value is their number."""
    (root / "faces").mkdir(parents=True)
    for number in range(count):
        Image.new("L", (20, 10), number).save(root / "faces" / f"{number}.png")


def write(root: Path, text: str, name: str = "set.csv") -> Path:
    (root / name).write_text(text)
    return root / name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    pictures(tmp_path)
    return tmp_path


CAFE = """path,label,subject
faces/0.png,happy,F-AA-01
faces/1.png,sad,F-AA-01
faces/2.png,happy,M-LA-02
faces/3.png,"sad",M-LA-02
faces/4.png,angry,F-EA-03
faces/5.png,angry,M-LA-02
"""


@pytest.mark.parametrize("given", ["cafe.csv", "."])
def test_cafe_as_a_manifest(root: Path, given: str) -> None:
    write(root, CAFE, "cafe.csv")
    data = load_dataset(root / given)
    assert (data.kind, data.caption, data.images.shape) == ("manifest", "cafe.csv (6 images)", (6, 10, 20, 1))
    assert data.class_names == ("angry", "happy", "sad")
    assert list(data.labels) == [1, 2, 1, 2, 0, 0]
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 2, 3, 4, 5]
    assert data.subjects is not None
    assert list(data.subjects) == ["F-AA-01", "F-AA-01", "M-LA-02", "M-LA-02", "F-EA-03", "M-LA-02"]
    assert data.names is not None and data.names[4] == "faces/4.png"
    assert data.warnings == ()


def test_every_column_that_may_be_there(root: Path) -> None:
    absolute = root / "faces/3.png"
    text = (
        "\ufeffSplit;Label;path;target:Pain;valence;SUBJECT;sequence;landmarks;age\r\n"
        "Training;10;faces/0.png;0.5;-1;a;1;0;0;20;10;\r\n"
    )
    header, first = text.split("\r\n")[:2]
    marks = '"2;1 10;5"'
    rows = [
        f"Training;10;faces/0.png;0.5;-1;a;1;{marks};7",
        f"val;9;faces/1.png;1.5;0;b;1;{marks};7",
        f"testing;9;{absolute};2.5;1;b;;{marks};7",
    ]
    assert first
    data = load_dataset(write(root, "\r\n".join([header, *rows]) + "\r\n"))
    assert data.class_names == ("9", "10") and list(data.labels) == [1, 0, 0]
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 3]
    assert data.target_names == ("pain", "valence") and data.targets is not None
    assert data.targets.tolist() == [[0.5, -1], [1.5, 0], [2.5, 1]]
    assert data.landmarks is not None
    np.testing.assert_allclose(data.landmarks[2], [(0.1, 0.1), (0.5, 0.5)])
    assert data.parts is not None and list(data.parts) == ["train", "validation", "test"]
    assert data.sequences is not None and list(data.sequences) == ["a/1", "b/1", "b/row 2"]
    assert any(line.startswith("columns ignored: age") for line in data.warnings)


def test_a_person_spelled_in_several_ways_is_one(root: Path) -> None:
    text = CAFE.replace("F-AA-01\nfaces/1", "f-aa-01 \nfaces/1").replace("F-EA-03", "M-LA-2")
    data = load_dataset(write(root, text))
    assert data.subjects is not None and list(data.subjects[:2]) == ["f-aa-01"] * 2
    assert len(set(data.subjects)) == 3
    told = "\n".join(data.warnings)
    assert "1 subjects are spelled in several ways and taken as one each: 'F-AA-01', 'f-aa-01'" in told
    assert "subjects that differ only by zeros are taken as different people: 'M-LA-02', 'M-LA-2'" in told


def test_one_spelling_of_subjects() -> None:
    names, warnings = one_spelling(np.array(["S01", "s01 ", "S 01", "S1", "T01"]))
    assert list(names) == ["S01", "S01", "S01", "S1", "T01"]
    assert len(warnings) == 2 and "'S 01', 'S01', 's01 '" in warnings[0] and "'S01', 'S1'" in warnings[1]
    assert one_spelling(np.array(["a", "b"]))[1] == ()
    assert one_spelling(np.array(["S010", "S100", "S011", "S101"]))[1] == ()  # only leading zeros are like none


def test_damaged_rows_are_counted_and_the_rest_loads(root: Path) -> None:
    (root / "faces/2.png").unlink()
    whole = (root / "faces/3.png").read_bytes()
    (root / "faces/3.png").write_bytes(whole[: len(whole) // 2])
    text = CAFE + "faces/0.png,sad,M-LA-02\n,sad,M-LA-02\nfaces/9.png\n\n"
    data = load_dataset(write(root, text))
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 4, 5]
    told = "\n".join(data.warnings)
    assert "2 rows without path or label, or cut short, are left out (first: line 9)" in told
    assert "1 rows that name an image once more are left out (first: line 8)" in told
    assert "1 image files cannot be read" in told and "3.png" in told
    assert "1 image files are not there" in told and "2.png" in told


def test_an_image_under_two_spellings_of_its_path_is_one(root: Path) -> None:
    data = load_dataset(write(root, CAFE + "./faces/0.png,sad,F-AA-01\nfaces//1.png,sad,F-AA-01\nfaces\\2.png,sad,x\n"))
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 2, 3, 4, 5]
    assert "3 rows that name an image once more are left out (first: line 8)" in data.warnings


def test_paths_that_windows_has_written_are_found(root: Path) -> None:
    data = load_dataset(write(root, CAFE.replace("faces/", "faces\\")))
    assert list(data.images[:, 0, 0, 0]) == [0, 1, 2, 3, 4, 5]


def test_labels_that_differ_by_case_are_two_classes_and_it_is_said(root: Path) -> None:
    data = load_dataset(write(root, CAFE.replace("0.png,happy", "0.png,Happy")))
    assert data.class_names == ("Happy", "angry", "happy", "sad")
    assert any("differ only by case" in line and "'Happy' and 'happy'" in line for line in data.warnings)
    assert not any("differ only by case" in line for line in load_dataset(write(root, CAFE)).warnings)


def test_rows_without_subject_or_target_are_left_out_where_most_have_one(root: Path) -> None:
    text = "path,label,subject,valence\n" + "".join(
        f"faces/{n}.png,{'ab'[n % 2]},{'' if n == 1 else f's{n}'},{'' if n == 2 else n / 10}\n" for n in range(6)
    )
    data = load_dataset(write(root, text))
    assert list(data.images[:, 0, 0, 0]) == [0, 3, 4, 5]
    assert data.targets is not None and data.targets.shape == (4, 1)
    assert any(line.startswith("1 rows without a subject are left out") for line in data.warnings)
    assert any(line.startswith("1 images without targets (valence) are left out") for line in data.warnings)
    few = text.replace(",s2,", ",,").replace(",s3,", ",,").replace(",s4,", ",,")
    data = load_dataset(write(root, few))
    assert data.subjects is None and NO_SUBJECTS in data.warnings
    assert "4 of 6 rows name no subject: subjects are not used" in data.warnings


def test_parts_that_are_no_parts_are_not_used(root: Path) -> None:
    text = CAFE.replace("subject", "part").replace("F-AA-01", "train").replace("M-LA-02", "test")
    data = load_dataset(write(root, text))
    assert data.parts is None
    assert any(
        "the column part is not used: 1 rows name none of" in line and "'F-EA-03'" in line for line in data.warnings
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n", "no row below the names of its columns"),
        ("path,label\nfaces/0.png\nfaces/1.png\nfaces/2.png,a\n", r"2 of 3 rows .*first: line 2"),
        ("path,label,label\nfaces/0.png,a,b\n", "the column label is there more than once"),
        ("path,label\nfaces/0.png,a\nfaces/1.png,a\n", "only one class"),
        ("path,label\n" + "".join(f"{n}.png,{n}\n" for n in range(1001)), "1001 different labels.*target:NAME"),
        ("path,label\nno/0.png,a\nno/1.png,b\n", r"none of its 2 image files is there.*first: .*no/0\.png"),
        ("path,label\nfaces/0.png,a\nno/1.png,b\nno/2.png,b\n", "2 of its 3 image files are not there"),
    ],
)
def test_what_cannot_be_used_is_named(root: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(write(root, text))


def test_bytes_that_are_no_text(root: Path) -> None:
    (root / "set.csv").write_bytes(b"path,label\nfaces/0.png,\xff\xfe\n")
    with pytest.raises(InputError, match="not comma-separated UTF-8 text"):
        load_dataset(root / "set.csv")
