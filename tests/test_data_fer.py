"""FER2013 as csv and as folders, ckextended.csv, and FERPlus' votes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facefiles import (
    VOTES_HEADER,
    face,
    pixel_lines,
    pixel_text,
    votes_line,
    write_pixel_csv,
)
from PIL import Image

from nas.data.coverage import NO_SUBJECTS
from nas.data.recognise import load_dataset
from nas.errors import InputError

# Each emotion of the numbering twice, and all three parts.
FER = [(number, "Training") for number in (6, 5, 4, 3, 2, 1, 0)]
FER += [(number, ("PublicTest", "PrivateTest")[number % 2]) for number in range(7)]
FER_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CK = [(number, "Training") for number in range(8)] + [(7, "PublicTest"), (6, "PrivateTest")]


def _lines(path: Path, lines: list[str], end: str = "\n", start: bytes = b"") -> Path:
    path.write_bytes(start + (end.join(lines) + end).encode())
    return path


def test_fer2013_has_seven_classes_parts_and_its_pixels(tmp_path: Path) -> None:
    data = load_dataset(write_pixel_csv(tmp_path / "fer2013.csv", FER))
    assert (data.kind, data.images.shape, data.class_names) == ("fer2013", (14, 48, 48, 1), FER_NAMES)
    assert data.labels.dtype == np.int64 and list(data.labels) == [6, 5, 4, 3, 2, 1, 0, 0, 1, 2, 3, 4, 5, 6]
    assert data.class_names[data.labels[0]] == "neutral" and data.class_names[data.labels[3]] == "happy"
    assert data.parts is not None
    assert list(data.parts) == ["train"] * 7 + ["validation", "test"] * 3 + ["validation"]
    for index in (0, 13):
        np.testing.assert_array_equal(data.images[index, :, :, 0], face(index))
    assert data.names is not None and (data.names[0], data.names[13]) == ("row 1", "row 14")
    assert data.warnings == (NO_SUBJECTS,)
    assert data.caption == "FER2013 (fer2013.csv, 14 images)"
    assert data.subjects is None and data.sequences is None


def test_ckextended_has_an_eighth_class_and_says_that_subjects_are_unknown(tmp_path: Path) -> None:
    data = load_dataset(write_pixel_csv(tmp_path / "ckextended.csv", CK))
    assert (data.kind, len(data)) == ("ckextended", 10)
    assert data.class_names == ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
    assert [data.class_names[label] for label in data.labels[:8]] == list(data.class_names)
    assert data.class_counts()["contempt"] == 2 and data.class_counts()["neutral"] == 2
    assert data.parts is not None and list(data.parts[-3:]) == ["train", "validation", "test"]
    np.testing.assert_array_equal(data.images[9, :, :, 0], face(9))
    assert "subjects unknown" in data.caption
    assert any("no subject-independent split is possible" in line for line in data.warnings)


def test_the_folder_that_holds_the_csv_may_be_given(tmp_path: Path) -> None:
    write_pixel_csv(tmp_path / "archive/fer2013/fer2013.csv", FER)
    (tmp_path / "archive/fer2013/README").write_text("made up")
    (tmp_path / "archive/.DS_Store").write_bytes(b"\0")
    for given in ("archive", "archive/fer2013", "."):
        assert (load_dataset(tmp_path / given).kind, len(load_dataset(tmp_path / given))) == ("fer2013", 14)
    (tmp_path / "archive/fer2013/train.csv").write_text("emotion,pixels\n")
    assert len(load_dataset(tmp_path)) == 14
    write_pixel_csv(tmp_path / "archive/fer2013/ckextended.csv", CK)
    with pytest.raises(InputError, match=r"several files .*ckextended\.csv, fer2013\.csv, train\.csv.*give one"):
        load_dataset(tmp_path)


def test_columns_in_any_order_quoted_and_with_blanks(tmp_path: Path) -> None:
    # As in icml_face_data.csv.
    lines = ["emotion, Usage, pixels", *(f'{e},{usage},"{pixel_text(face(n))}"' for n, (e, usage) in enumerate(FER))]
    data = load_dataset(_lines(tmp_path / "icml_face_data.csv", lines))
    assert (data.kind, len(data), list(data.labels[:3])) == ("fer2013", 14, [6, 5, 4])
    assert data.parts is not None and data.parts[8] == "test"
    np.testing.assert_array_equal(data.images[8, :, :, 0], face(8))


def test_byte_order_mark_other_line_ends_and_blank_lines_change_nothing(tmp_path: Path) -> None:
    plain = load_dataset(write_pixel_csv(tmp_path / "fer2013.csv", FER))
    lines = pixel_lines(FER)
    spaced = ["", "emotion,pixels,Usage", "", *lines[:5], "", "   ", *lines[5:], "", ""]
    odd = load_dataset(_lines(tmp_path / "fer2013.csv", spaced, end="\r\n", start=b"\xef\xbb\xbf"))
    assert odd.fingerprint == plain.fingerprint
    assert odd.names is not None and odd.names[13] == "row 14" and odd.warnings == (NO_SUBJECTS,)
    (tmp_path / "fer2013.csv").write_bytes((tmp_path / "fer2013.csv").read_bytes().rstrip())
    assert len(load_dataset(tmp_path / "fer2013.csv")) == 14


def test_without_usage_there_are_no_parts(tmp_path: Path) -> None:
    lines = ["emotion,pixels", *(line.rpartition(",")[0] for line in pixel_lines(FER))]
    data = load_dataset(_lines(tmp_path / "fer2013.csv", lines))
    assert data.parts is None and len(data) == 14
    assert any("no column Usage" in line for line in data.warnings)
    only = load_dataset(write_pixel_csv(tmp_path / "fer2013.csv", [(n, "Training") for n in range(7)]))
    assert only.parts is None and only.warnings[-1] == NO_SUBJECTS


def test_the_format_under_another_name(tmp_path: Path) -> None:
    ck = load_dataset(write_pixel_csv(tmp_path / "faces.csv", CK))
    assert ck.kind == "ckextended" and ck.class_counts()["contempt"] == 2
    assert any("read as ckextended.csv, since 2 rows are of emotion 7" in line for line in ck.warnings)
    fer = load_dataset(write_pixel_csv(tmp_path / "faces.csv", FER))
    assert fer.kind == "fer2013"
    assert any("name the file ckextended.csv if it is a part of that" in line for line in fer.warnings)
    np.testing.assert_array_equal(fer.labels, [number for number, _ in FER])
    assert load_dataset(write_pixel_csv(tmp_path / "CK+.csv", FER)).kind == "ckextended"
    assert load_dataset(write_pixel_csv(tmp_path / "FER2013 (1).csv", FER)).warnings == (NO_SUBJECTS,)


def test_a_long_file_with_contempt_is_neither(tmp_path: Path) -> None:
    text = pixel_text(np.zeros((48, 48), int))
    lines = [f"{n % 8},{text},Training" for n in range(3008)]
    path = _lines(tmp_path / "fer2013_plus.csv", ["emotion,pixels,Usage", *lines])
    with pytest.raises(InputError, match=r"376 of 3008 rows are of emotion 7.*fer2013new\.csv"):
        load_dataset(path)


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        ("3,1 2 3,Training", "3 pixels instead of 2304"),
        ("3,,Training", "0 pixels instead of 2304"),
        (f"3,{pixel_text(face(0))} 7,Training", "2305 pixels instead of 2304"),
        (f"3,{'256 ' * 2304},Training", "a pixel of 256, outside 0..255"),
        (f"3,{'99999999999999999999 ' * 2304},Training", "outside 0..255"),
        (f"3,{'-1 ' * 2304},Training", "something else than whole numbers of at least 0"),
        (f"3,{'1.5 ' * 2304},Training", "something else than whole numbers"),
        (f"9,{pixel_text(face(0))},Training", "emotion 9 is none of FER2013's 0..6"),
        (f"7,{pixel_text(face(0))},Training", "emotion 7 is none of FER2013's 0..6"),
        (f"happy,{pixel_text(face(0))},Training", "emotion 'happy' is no whole number"),
        (f"3,{pixel_text(face(0))},Elsewhere", "Usage 'Elsewhere' is none of Training, PublicTest, PrivateTest"),
        (f"3,{pixel_text(face(0))}", "2 columns instead of 3"),
        (f"3,{'1 ' * 200_000},Training", "columns instead of 3"),
    ],
)
def test_a_damaged_row_is_left_out_and_named(tmp_path: Path, damaged: str, why: str) -> None:
    lines = pixel_lines(FER)
    path = _lines(tmp_path / "fer2013.csv", ["emotion,pixels,Usage", *lines[:4], damaged, *lines[4:], damaged])
    data = load_dataset(path)
    np.testing.assert_array_equal(data.labels, [number for number, _ in FER])
    np.testing.assert_array_equal(data.images[4, :, :, 0], face(4))
    assert data.names is not None and (data.names[3], data.names[4]) == ("row 4", "row 6")
    assert data.warnings[0].startswith("2 rows cannot be used and are left out (first: row 5: ")
    assert why in data.warnings[0]
    _lines(path, ["emotion,pixels,Usage", *lines, *([damaged] * 15)])
    with pytest.raises(InputError, match=r"15 of its 29 rows cannot be used \(first: row 15: "):
        load_dataset(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\r\n", "the file is empty"),
        (b"emotion,pixels,Usage\n", "no image at all"),
        (b"emotion,Usage\n0,Training\n", r"no column 'pixels' in its first line \(emotion,Usage\)"),
        (b"pixels\n1 2 3\n", r"no column 'emotion' in its first line"),
        (b"emotion;pixels;Usage\n", "separated by commas"),
        ("emotion,pixels,Usage\n".encode("utf-16"), "no column 'emotion' nor 'pixels'"),
    ],
)
def test_a_file_without_rows_or_columns_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "fer2013.csv").write_bytes(content)
    for given in (tmp_path, tmp_path / "fer2013.csv"):
        with pytest.raises(InputError, match=message):
            load_dataset(given)


def test_other_csv_files_are_not_taken_for_faces(tmp_path: Path) -> None:
    (tmp_path / "iris.csv").write_text("length,width\n1,2\n")
    with pytest.raises(InputError, match=r"a \.csv file cannot be read; looked for: .*fer2013\.csv"):
        load_dataset(tmp_path / "iris.csv")


def test_the_image_size_is_kept_to(tmp_path: Path) -> None:
    data = load_dataset(write_pixel_csv(tmp_path / "fer2013.csv", FER), image_size=24)
    assert data.images.shape == (14, 24, 24, 1) and list(data.labels[:2]) == [6, 5]


# FERPlus

BALLOTS = (
    # votes, the label that they give (None: left out)
    ({"neutral": 10}, "neutral"),
    ({"contempt": 6, "neutral": 4}, "contempt"),
    ({"anger": 4, "disgust": 1, "fear": 1, "sadness": 1, "unknown": 3}, "anger"),  # 4 of 7, single votes not counted
    ({"happiness": 5, "surprise": 5}, None),  # a tie
    ({"fear": 5, "surprise": 3, "sadness": 2}, None),  # half is no majority
    ({"unknown": 6, "fear": 4}, None),
    ({"NF": 10}, None),
    ({"disgust": 7, "NF": 3}, "disgust"),
    ({name: 1 for name in VOTES_HEADER.split(",")[2:]}, None),  # single votes alone
    ({"surprise": 9, "fear": 1}, "surprise"),
)
PLUS_NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


def _ferplus(root: Path, usages: list[str] | None = None) -> Path:
    """Both files, with a row 5 of ten votes for happiness whose image has no name."""
    of = usages or ["Training"] * 4 + ["PublicTest"] * 3 + ["PrivateTest"] * 4
    votes = [dict(ballot) for ballot, _ in BALLOTS]
    votes.insert(4, {"happiness": 10})
    names = ["" if n == 4 else f"fer{n:07d}.png" for n in range(11)]
    rows = [votes_line(usage, name, ballot) for usage, name, ballot in zip(of, names, votes, strict=True)]
    _lines(root / "fer2013new.csv", [VOTES_HEADER, *rows])
    write_pixel_csv(root / "fer2013.csv", [(3 + (n == 10), usage) for n, usage in enumerate(of)])
    return root


@pytest.mark.parametrize("given", [".", "fer2013new.csv"])
def test_ferplus_takes_the_majority_and_keeps_the_votes(tmp_path: Path, given: str) -> None:
    data = load_dataset(_ferplus(tmp_path) / given)
    assert (data.kind, data.class_names, data.images.shape) == ("ferplus", PLUS_NAMES, (5, 48, 48, 1))
    wanted = [label for _, label in BALLOTS if label]
    assert [data.class_names[label] for label in data.labels] == wanted
    assert wanted == ["neutral", "contempt", "anger", "disgust", "surprise"]
    assert data.names is not None and list(data.names) == ["row 1", "row 2", "row 3", "row 9", "row 11"]
    for index, row in enumerate((0, 1, 2, 8, 10)):
        np.testing.assert_array_equal(data.images[index, :, :, 0], face(row))
    assert data.parts is not None and list(data.parts) == ["train"] * 3 + ["test"] * 2
    assert data.soft_labels is not None and data.soft_labels.dtype == np.float32
    shares = [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [0.4, 0, 0, 0, 0, 0, 0, 0.6],
        [0, 0, 0, 1 / 7, 4 / 7, 1 / 7, 1 / 7, 0],
        [0, 0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0.9, 0, 0, 0, 0.1, 0],
    ]
    np.testing.assert_allclose(data.soft_labels, shares, atol=1e-7)
    assert data.warnings[:2] == (
        "1 images without a name left out, as FERPlus does",
        "5 images without a majority for one of the eight classes left out, as FERPlus does",
    )
    assert load_dataset(tmp_path / "fer2013.csv").class_counts()["happy"] == 10


def test_ferplus_joined_to_other_rows_is_refused(tmp_path: Path) -> None:
    _ferplus(tmp_path)
    lines = (tmp_path / "fer2013.csv").read_text().splitlines()
    _lines(tmp_path / "fer2013.csv", [*lines[:4], *lines[5:]])
    with pytest.raises(InputError, match=r"row 4 is of the part train, but row 4 of fer2013\.csv of validation"):
        load_dataset(tmp_path)
    _lines(tmp_path / "fer2013.csv", lines[:-1])
    with pytest.raises(InputError, match=r"11 rows, but fer2013\.csv has 10; fer2013\.csv has no row 11"):
        load_dataset(tmp_path)
    _lines(tmp_path / "fer2013.csv", [*lines, lines[-1]])
    with pytest.raises(InputError, match=r"11 rows, but fer2013\.csv has 12; fer2013new\.csv has no row 12"):
        load_dataset(tmp_path)
    (tmp_path / "fer2013.csv").unlink()
    with pytest.raises(InputError, match=r"votes without images; put fer2013\.csv .*found there: none"):
        load_dataset(tmp_path)


def test_damaged_rows_of_ferplus_are_left_out_of_both_files(tmp_path: Path) -> None:
    _ferplus(tmp_path)
    votes = (tmp_path / "fer2013new.csv").read_text().splitlines()
    votes[1] = votes[1].replace(",10,", ",ten,")
    _lines(tmp_path / "fer2013new.csv", ["", *votes], end="\r\n", start=b"\xef\xbb\xbf")
    faces = (tmp_path / "fer2013.csv").read_text().splitlines()
    faces[3] = "3,1 2 3,Training"
    _lines(tmp_path / "fer2013.csv", faces)
    data = load_dataset(tmp_path)
    assert data.names is not None and list(data.names) == ["row 2", "row 9", "row 11"]
    np.testing.assert_array_equal(data.images[1, :, :, 0], face(8))
    told = " ".join(data.warnings)
    assert "first: row 1: votes that are no whole numbers" in told and "first: row 3: 3 pixels" in told
    _lines(tmp_path / "fer2013new.csv", [votes[0], *("x" for _ in votes[1:])])
    with pytest.raises(InputError, match="11 of its 11 rows cannot be used"):
        load_dataset(tmp_path)
    _lines(tmp_path / "fer2013new.csv", [votes[0].replace("contempt", "scorn"), *votes[1:]])
    with pytest.raises(InputError, match="no column 'contempt' in its first line"):
        load_dataset(tmp_path)


# Folders


def _save(path: Path, value: int, side: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side), value, np.uint8)).save(path)


@pytest.fixture
def fer_folders(tmp_path: Path) -> Path:
    """Two images of each class for training and one for testing, of grey 20·class, one more in each."""
    root = tmp_path / "archive"
    for number, name in enumerate(FER_NAMES):
        _save(root / "train" / name / f"Training_{10118481 + number}.jpg", 20 * number)
        _save(root / "train" / name / f"Training_{9 + number}.jpg", 20 * number + 1)
        kind = "PublicTest" if number % 2 else "PrivateTest"
        _save(root / "test" / name / f"{kind}_{number + 1}.jpg", 20 * number + 2)
    (root / "train/angry/.DS_Store").write_bytes(b"\0")
    return root


def test_fer_folders_are_numbered_as_the_csv(fer_folders: Path) -> None:
    data = load_dataset(fer_folders.parent)
    assert (data.kind, data.class_names, data.images.shape) == ("fer2013", FER_NAMES, (21, 48, 48, 1))
    np.testing.assert_array_equal(data.images[:, 0, 0, 0] // 20, data.labels)
    assert set(data.class_counts().values()) == {3}
    assert data.parts is not None and data.names is not None
    assert list(data.parts).count("train") == 14 and list(data.parts).count("test") == 7
    for name, part, label in zip(data.names, data.parts, data.labels, strict=True):
        assert str(name).startswith(f"{part}/{FER_NAMES[label]}/")
    assert data.warnings == (NO_SUBJECTS,)
    train = load_dataset(fer_folders / "train")
    assert (train.kind, train.class_names, len(train)) == ("fer2013", FER_NAMES, 14)
    assert train.parts is None and list(train.labels).count(6) == 2


def test_a_class_that_the_test_part_lacks_is_warned_of(fer_folders: Path) -> None:
    (fer_folders / "test/disgust").rename(fer_folders / "test/Happy")
    (fer_folders / "train/sad").rename(fer_folders / "train/SAD")
    data = load_dataset(fer_folders)
    assert data.class_counts() == {**dict.fromkeys(FER_NAMES, 3), "disgust": 2, "happy": 4}
    assert data.warnings == ("the part test has no image of 'disgust'", NO_SUBJECTS)
