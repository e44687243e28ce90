"""The held-out part and the folds: who is kept apart from whom."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.dataset import Dataset
from nas.data.folds import Split, make_split
from nas.deploy.held import HeldImages
from nas.errors import InputError
from nas.evaluation.bundle import Bundle

FAKE = """
import sys; sys.path.insert(0, {tests!r})
from test_data_folds import people
from nas.data.folds import make_split
print(make_split(people(40), seed=3).hash)
"""


def people(count: int, classes: int = 3, images: int = 2, seed: int = 0) -> Dataset:
    """``count`` subjects who each show every class in one sequence of ``images`` images."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(count * classes * images)
    person, label, _ = np.unravel_index(order, (count, classes, images))
    return Dataset(
        images=np.zeros((len(order), 2, 2, 1), np.uint8),
        labels=label.astype(np.int64),
        class_names=tuple("abcdefgh"[:classes]),
        subjects=np.array([f"S{number:03d}" for number in person]),
        sequences=np.array([f"S{number:03d}_{name:03d}" for number, name in zip(person, label, strict=True)]),
    )


def anonymous(data: Dataset, *, keep_sequences: bool) -> Dataset:
    sequences = data.sequences if keep_sequences else None
    return Dataset(data.images, data.labels, data.class_names, sequences=sequences)


def _assert_laws(split: Split, ids: np.ndarray, count: int) -> None:
    tested = np.concatenate([fold.test for fold in split.folds])
    assert sorted(tested) == list(split.search_indices)
    assert len(set(tested)) == len(tested)
    assert sorted([*split.holdout, *split.search_indices]) == list(range(count))
    assert not set(ids[split.holdout]) & set(ids[split.search_indices])
    for fold in split.folds:
        assert not set(ids[fold.train]) & set(ids[fold.test])
        assert sorted([*fold.train, *fold.test]) == list(split.search_indices)


@settings(max_examples=40, deadline=None)
@given(
    owners=st.lists(st.tuples(st.integers(0, 24), st.integers(0, 2)), min_size=40, max_size=160),
    folds=st.integers(2, 5),
    holdout=st.sampled_from([0.0, 0.1, 0.2, 0.34, 0.5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_people_are_on_one_side(owners: list[tuple[int, int]], folds: int, holdout: float, seed: int) -> None:
    labels = np.array([label for _, label in owners], np.int64)
    subjects = np.array([f"p{person}" for person, _ in owners])
    if len(np.unique(labels)) < 2:
        return
    data = Dataset(np.zeros((len(labels), 2, 2, 1), np.uint8), labels, ("a", "b", "c"), subjects=subjects)
    try:
        split = make_split(data, folds=folds, holdout=holdout, seed=seed)
    except InputError:
        return
    assert split.subject_independent
    assert len(split.folds) == folds
    _assert_laws(split, subjects, len(labels))
    for fold in split.folds:
        assert set(labels[fold.train]) == set(labels)


def test_about_a_fifth_of_the_people_is_set_aside_with_all_classes() -> None:
    data = people(118, classes=7, images=3)
    assert data.subjects is not None
    split = make_split(data)
    _assert_laws(split, data.subjects, len(data))
    aside = len(np.unique(data.subjects[split.holdout]))
    assert aside in (23, 24)
    assert set(data.labels[split.holdout]) == set(range(7))
    assert split.protocol == f"5 subject-independent folds over {118 - aside} subjects; {aside} subjects set aside"
    assert split.describe() == {
        "protocol": split.protocol,
        "folds": 5,
        "seed": 0,
        "hash": split.hash,
        "subject_independent": True,
        "unit": "subject",
        "search_images": len(data) - len(split.holdout),
        "search_groups": 118 - aside,
        "holdout_images": len(split.holdout),
        "holdout_groups": aside,
    }
    json.dumps(split.describe())


def test_without_a_holdout_everything_is_searched_on() -> None:
    data = people(10)
    split = make_split(data, holdout=0)
    assert len(split.holdout) == 0
    assert list(split.search_indices) == list(range(len(data)))
    assert split.protocol == "5 subject-independent folds over 10 subjects; none set aside"


@pytest.mark.parametrize(("keep_sequences", "unit"), [(True, "sequence"), (False, "image")])
def test_without_subjects_nothing_is_called_subject_independent(keep_sequences: bool, unit: str) -> None:
    data = anonymous(people(20), keep_sequences=keep_sequences)
    split = make_split(data)
    assert not split.subject_independent
    assert split.unit == unit
    assert split.describe()["subject_independent"] is False
    assert "not subject-independent (no subject ids)" in split.protocol
    assert f"{unit}s" in split.protocol
    ids = data.sequences if data.sequences is not None else np.arange(len(data))
    _assert_laws(split, ids, len(data))


def test_the_hash_tells_splits_apart_and_is_the_same_elsewhere() -> None:
    data = people(40)
    hashes = [make_split(data, seed=seed).hash for seed in range(5)]
    assert len(set(hashes)) == 5
    assert make_split(data, folds=4, seed=3).hash != hashes[3]
    assert make_split(data, holdout=0.25, seed=3).hash != hashes[3]
    assert make_split(people(40), seed=3).hash == hashes[3]
    script = FAKE.format(tests=__file__.rsplit("/", 1)[0])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hashes[3]]


def test_indices_cannot_be_written_to() -> None:
    split = make_split(people(10))
    for indices in (split.holdout, split.search_indices, split.folds[0].train, split.folds[0].test):
        assert indices.dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            indices[0] = 1


def test_too_few_people_of_a_class_says_how_many() -> None:
    data = people(12)
    assert data.subjects is not None
    rare = np.flatnonzero((data.labels != 2) | np.isin(data.subjects, ["S000", "S001", "S002"]))
    with pytest.raises(InputError, match="class 'c' has 3 subjects, fewer than the 5 folds: use folds=3"):
        make_split(data.subset(rare), holdout=0)
    with pytest.raises(InputError, match=r"class 'c' has \d subjects? outside the part set aside, fewer than the 5"):
        make_split(data.subset(rare))
    assert len(make_split(data.subset(rare), folds=3, holdout=0).folds) == 3


def test_too_few_people_or_images_to_set_any_aside() -> None:
    with pytest.raises(InputError, match=r"5 subjects; setting a share of 0\.2 aside needs more than 5: use holdout=0"):
        make_split(people(5))
    few = anonymous(people(2, classes=2, images=2), keep_sequences=False)
    with pytest.raises(InputError, match=r"4 images of the largest class; setting a share of 0\.2 aside"):
        make_split(few)
    with pytest.raises(InputError, match="has 4 images, fewer than the 5 folds"):
        make_split(few, holdout=0)
    with pytest.raises(InputError, match="less than one of 8 images"):
        make_split(few, holdout=0.01)


def test_one_person_with_most_images_of_a_class_is_refused_or_covered() -> None:
    subjects = np.array([f"p{index % 6}" for index in range(60)])
    labels = np.where(subjects == "p0", 1, 0).astype(np.int64)
    data = Dataset(np.zeros((60, 2, 2, 1), np.uint8), labels, ("a", "b"), subjects=subjects)
    with pytest.raises(InputError, match="class 'b' has 1 subject, fewer than the 2 folds: leave this class out"):
        make_split(data, folds=2, holdout=0)


def test_a_class_without_images_is_passed_over_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    data = people(12)
    data = Dataset(data.images, data.labels, (*data.class_names, "never"), subjects=data.subjects)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = make_split(data)
    assert len(split.folds) == 5
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds = 1: give a whole number of at least 2"),
        ({"folds": 2.5}, "folds = 2.5"),
        ({"holdout": -0.1}, "holdout = -0.1: give a share in 0..0.5"),
        ({"holdout": 0.6}, "holdout = 0.6"),
        ({"holdout": float("nan")}, "holdout = nan"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_split(people(10), **options)


def parted(names: str, data: Dataset) -> Dataset:
    """Whole people to the parts that ``names`` gives, in turn: t train, v validation, e test."""
    called = {"t": "train", "v": "validation", "e": "test"}
    person = np.unique(data.subjects, return_inverse=True)[1]
    return replace(data, parts=np.array([called[names[p % len(names)]] for p in person]))


@pytest.mark.parametrize(("names", "aside"), [("ttte", "test"), ("ttve", "test"), ("tttv", "validation")])
def test_the_official_part_is_what_is_set_aside(names: str, aside: str) -> None:
    data = parted(names, people(40))
    split = make_split(data, seed=3)
    assert data.parts is not None
    np.testing.assert_array_equal(split.holdout, np.flatnonzero(data.parts == aside))
    _assert_laws(split, np.unique(data.subjects, return_inverse=True)[1], len(data))
    assert split.protocol == (
        f"5 subject-independent folds over 30 subjects; the official {aside} part (10 subjects) set aside"
    )
    assert split.describe()["official"] == aside
    drawn = make_split(replace(data, parts=None), seed=3)
    assert drawn.hash == make_split(people(40), seed=3).hash != split.hash
    assert make_split(parted("t", people(40)), seed=3).hash == drawn.hash  # one part is no part to set aside
    assert "official" not in drawn.describe()
    assert len(make_split(data, holdout=0).holdout) == 0


def test_the_part_is_in_the_hash() -> None:
    data = parted("ttte", people(40))
    other = replace(data, parts=np.where(data.parts == "test", "validation", data.parts))
    one, two = make_split(data), make_split(other)
    np.testing.assert_array_equal(one.holdout, two.holdout)
    assert one.hash != two.hash


def test_an_official_part_that_shares_people_is_refused() -> None:
    data = people(20)
    mixed = replace(data, parts=np.array(["train", "test"] * (len(data) // 2)))
    with pytest.raises(InputError, match=r"18 subjects of the official test part are in .*\(first: S"):
        make_split(mixed)
    assert make_split(replace(mixed, subjects=None, sequences=None)).official == "test"


def test_a_large_set_is_split_in_a_second() -> None:
    rng = np.random.default_rng(0)
    count = 35_887
    data = Dataset(np.zeros((count, 1, 1, 1), np.uint8), rng.integers(0, 7, count), tuple("abcdefg"))
    make_split(data.subset(np.arange(200)))  # the import is not counted
    begin = time.process_time()
    split = make_split(data)
    assert time.process_time() - begin < 1
    assert abs(len(split.search_indices) - 0.8 * count) < 10


def test_int8_is_calibrated_on_training_images_alone() -> None:
    """Each image holds its own number: what calibrates is of the fold's training part, and of no one who is tested."""
    data = people(20)
    numbered = np.arange(len(data), dtype=np.uint8)[:, None, None, None]
    data = replace(data, images=np.broadcast_to(numbered, (len(data), 2, 2, 1)).copy())
    split = make_split(data)
    held = HeldImages.of_data(data, split)
    assert data.subjects is not None
    calibrating, tested = held.spread()[:, 0, 0, 0], held.test[:, 0, 0, 0]
    assert set(calibrating) <= set(split.folds[0].train.tolist()) and len(calibrating) > 50
    assert set(tested) == set(split.folds[0].test.tolist())
    others = set(data.subjects[tested]) | set(data.subjects[split.holdout])
    assert not set(data.subjects[calibrating]) & others
    bundle = Bundle.of(data, split)  # what evaluators have: fold k calibrates on its own training part
    for fold, (train, test) in zip(split.folds, bundle.folds, strict=True):
        mine = HeldImages.of_fold(bundle.images, bundle.labels, (train, test))
        assert set(mine.spread()[:, 0, 0, 0]) <= set(fold.train.tolist())
