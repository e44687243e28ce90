"""Copies and near copies, and splits that part them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from lookalikes import frames, write_ck48
from typer.testing import CliRunner

from nas import api
from nas.cli.main import app
from nas.data import duplicates
from nas.data.dataset import Dataset
from nas.data.duplicates import exact_pairs, features, near_copies, pixel_groups
from nas.data.folds import make_split
from nas.data.leaks import SUBSTANTIAL, group_near_copies, guard, leaks_of
from nas.data.preparation import Preparation
from nas.data.recognise import load_dataset
from nas.errors import InputError
from nas.evaluation.bundle import Bundle
from nas.settings import recorded_data


def anonymous(data: Dataset) -> Dataset:
    return replace(data, subjects=None, sequences=None)


def brute(images: np.ndarray, similarity: float) -> set[tuple[int, int]]:
    vectors = features(images, np.arange(len(images)))
    close = np.argwhere(np.triu(vectors @ vectors.T, 1) >= similarity)
    return {(int(i), int(j)) for i, j in close}


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.sampled_from([8, 16, 21, 48]), st.sampled_from([1, 3]), st.integers(0, 10**6))
def test_the_shortlist_misses_nothing(count: int, side: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 256, (max(1, count // 4), side, side, channels))
    noise = rng.normal(0, rng.choice([5.0, 20.0, 60.0]), (count, side, side, channels))
    images = np.clip(few[rng.integers(0, len(few), count)] + noise, 0, 255).astype(np.uint8)
    found = near_copies(images, similarity=0.9)
    assert {(int(i), int(j)) for i, j in found.pairs} == brute(images, 0.9)
    assert not found.capped and not found.sampled


def test_exact_copies_are_found_by_pixels_alone() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 1), dtype=np.uint8)
    images[4], images[5], images[3] = images[1], images[1], 7  # one image without contrast, like nothing else
    groups = pixel_groups(images)
    assert exact_pairs(groups).tolist() == [[1, 4], [1, 5]]
    assert near_copies(images).pairs.tolist() == [[1, 4], [1, 5]]


def test_brightness_and_contrast_do_not_hide_a_copy() -> None:
    face = frames(1).images[:1]
    darker = (face * 0.6 + 10).astype(np.uint8)
    assert near_copies(np.concatenate([face, darker])).pairs.tolist() == [[0, 1]]
    assert near_copies(np.concatenate([face, face[:, :, ::-1]])).pairs.tolist() == []


def test_frames_of_a_sequence_are_found_and_other_people_are_not() -> None:
    data = frames(30)
    found = near_copies(data.images).pairs
    assert data.sequences is not None and data.subjects is not None
    same = data.sequences[found[:, 0]] == data.sequences[found[:, 1]]
    assert same.all() and len(found) == 30 * 3 * 3  # every pair of three frames of 90 sequences, and no other


def test_groups_are_the_sequences() -> None:
    data = frames(10)
    groups = near_copies(data.images).groups()
    assert data.sequences is not None
    assert len(np.unique(groups)) == 30
    assert len({(g, s) for g, s in zip(groups.tolist(), data.sequences.tolist(), strict=True)}) == 30


@pytest.mark.parametrize("at_once", [37, 20_000])
def test_of_a_large_set_some_images_are_compared_with_all(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_OTHERS", at_once)
    data = frames(40)
    found = near_copies(data.images, max_all=100, max_looked_at=60)
    assert found.sampled and len(found.looked_at) == 60
    whole = {tuple(pair) for pair in near_copies(data.images).pairs.tolist()}
    drawn = set(found.looked_at.tolist())
    assert list(map(tuple, found.pairs.tolist())) == sorted((i, j) for i, j in whole if i in drawn or j in drawn)


def test_too_many_pairs_are_given_up_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 50)
    data = frames(2, per_sequence=20)
    found = near_copies(data.images)
    assert found.capped and len(found.pairs) == 50
    with pytest.raises(InputError, match="nearly all images are near copies"):
        group_near_copies(data)


def test_a_split_by_chance_is_refused_by_name() -> None:
    data = anonymous(frames(20))
    split = make_split(data, seed=1)
    with pytest.raises(InputError) as refused:
        guard(data, split, allow=False)
    told = str(refused.value)
    found = leaks_of(data, split)
    assert told.startswith("frames made by the tests: random split refused, as of CK+48 without its subjects: ")
    assert f"{found.worst:.0%} of test images have a near-copy in" in told
    first = " ~ ".join(found.examples[0])
    assert f"first: {first}" in told and first.count("/S") == 2
    assert "csv manifest" in told and "--allow-leaks" in told and "--group duplicates" in told
    assert guard(data, split, allow=True) == found.worst


def test_leaks_are_counted_as_they_lie() -> None:
    data = anonymous(frames(20))
    split = make_split(data, seed=1)
    assert data.names is not None
    sequence = np.array([name.rsplit("_", 1)[0] for name in data.names])
    tested = met = 0
    for fold in split.folds:
        tested += len(fold.test)
        met += int(np.isin(sequence[fold.test], sequence[fold.train]).sum())
    aside = np.isin(sequence[split.holdout], sequence[split.search_indices]).mean()
    found = leaks_of(data, split)
    assert (found.tested, found.holdout) == (met / tested, pytest.approx(aside))
    assert found.tested > 0.75 and found.looked_at == 180


def test_a_copy_of_a_copy_leaks_too() -> None:
    """b is near a; a's exact copy is in another fold: b then leaks though it is compared with a alone."""
    data = frames(20, per_sequence=2)
    images = np.concatenate([data.images, data.images[:1]])  # the last is a copy of image 0, whose neighbour is 1
    labels = np.concatenate([data.labels, data.labels[:1]])
    whole = Dataset(images, labels, data.class_names)
    split = make_split(whole, folds=2, holdout=0)
    first = np.array([0, 1, *range(2, 60)])
    second = np.setdiff1d(np.arange(len(images)), first)
    test = [first, second]
    folds = tuple(replace(fold, train=np.sort(test[1 - k]), test=test[k]) for k, fold in enumerate(split.folds))
    found = leaks_of(whole, replace(split, folds=folds))
    assert found.pairs == 1 and found.examples == (("image 0", "image 120"),)
    assert found.tested == 3 / len(images)  # 0 and 1 have image 120 in training, 120 has both


def test_known_people_pass_and_so_do_groups_of_near_copies() -> None:
    data = frames(20)
    assert guard(data, make_split(data), allow=False) is None
    grouped = Preparation(grouping="duplicates").prepared(anonymous(data))
    split = make_split(grouped)
    assert guard(grouped, split, allow=False) is None
    assert leaks_of(grouped, split).worst == 0
    assert split.unit == "near-duplicate group" and not split.subject_independent
    assert split.protocol.startswith("5 folds over 48 near-duplicate groups, not subject-independent (no subject ids)")
    assert "12 near-duplicate groups set aside" in split.protocol
    assert Bundle.of(grouped, split).group_kind == "near-duplicate groups"


def test_groups_of_near_copies_never_cut_a_known_sequence() -> None:
    """Two sequences are joined by a near copy; one has frames that look like nothing else."""
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), dtype=np.uint8)
    images[5] = images[1]
    sequences = np.array(list("aabbccdd"))
    data = Dataset(images, np.arange(8) % 2, ("x", "y"), sequences=sequences)
    groups = group_near_copies(data)
    assert len(np.unique(groups)) == 3
    assert len(set(groups[[0, 1, 4, 5]])) == len(set(groups[2:4])) == len(set(groups[6:])) == 1


def test_a_share_below_the_bound_is_let_through() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 16, 16, 1), dtype=np.uint8)
    images[1], images[3] = images[0], images[2]
    data = Dataset(images, np.arange(200) % 2, ("a", "b"))
    split = make_split(data, folds=5, holdout=0)
    assert 0 <= leaks_of(data, split).worst <= 0.02 < SUBSTANTIAL
    assert guard(data, split, allow=False) is None


def test_sequences_that_repeat_each_other_are_refused() -> None:
    """Numbers of sequences that tell nothing, as of a set that was copied three times over."""
    data = replace(frames(20), subjects=None, sequences=np.array([f"q{i // 2}" for i in range(180)]))
    with pytest.raises(InputError, match="random split refused"):
        guard(data, make_split(data), allow=False)


def search(data: Path, out: Path, *more: str) -> tuple[int, str]:
    arguments = ["search", "--space", "tiny", "--constraints", "none", "--data", str(data), "--executor", "local"]
    arguments += ["--workers", "1", "--budget", "1", "--effort", "1x1", "--sampler", "random", "--out", str(out), *more]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_ck48_without_its_names_is_refused_and_with_them_passes(tmp_path: Path) -> None:
    nameless = write_ck48(tmp_path / "nameless", frames(12), keep_names=False)
    code, told = search(nameless, tmp_path / "run")
    assert code == 2 and "random split refused, as of CK+48 without its subjects" in " ".join(told.split())
    assert not (tmp_path / "run").exists()
    named = load_dataset(write_ck48(tmp_path / "named", frames(12), keep_names=True))
    assert named.kind == "ck+48"
    split = make_split(named)
    assert split.subject_independent and guard(named, split, allow=False) is None


@pytest.mark.slow
def test_what_was_allowed_is_called_leaky_everywhere(tmp_path: Path) -> None:
    nameless = write_ck48(tmp_path / "nameless", frames(12), keep_names=False)
    code, told = search(nameless, tmp_path / "run", "--allow-leaks", "--image-size", "16")
    assert code == 0, told
    recorded = yaml.safe_load((tmp_path / "run/run.yaml").read_text())
    assert recorded["settings"]["preparation"]["allow_leaks"] is True
    share = recorded["settings"]["preparation"]["leaky"]
    assert share == recorded["split"]["leaky"] > 0.7
    words = f"leaky split: {share:.0%} of test images have a near-copy in training"
    run = api.open_run(tmp_path / "run")
    assert words in run.caption
    front = CliRunner().invoke(app, ["front", str(tmp_path / "run")]).output
    assert words in " ".join(front.split())
    card = next(path for path in run.export(formats=["keras"]) if path.name == "card.md")
    assert words in " ".join(card.read_text().split())
    assert recorded_data(run.settings)[1].leaky == share
