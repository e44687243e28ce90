"""What kept predictions tell: read back in old and new form, by class, and beside other candidates."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade import bare, trained
from make_run import make_run

from nas.api import Run
from nas.cli.results import front as front_command
from nas.errors import DecodeError
from nas.indicator import Constraint, Indicator, Status
from nas.report.claims import claims, holding, put_to_the_test
from nas.report.compared import compare, explain_predictions
from nas.report.explain import explain_candidate
from nas.report.explain_text import candidate_lines
from nas.run.candidate import Candidate, State
from nas.run.directory import RunDirectory
from nas.run.predictions import PREDICTIONS, Predictions
from nas.statistics.accuracy import accuracy_estimate
from nas.statistics.paired import paired_difference

NAMES = ("anger", "joy", "surprise")
GROUPS = np.repeat(np.arange(40), 6)
LABELS = np.tile([0, 1, 2], 80)


def predictions(wrong: np.ndarray, index: np.ndarray | None = None) -> Predictions:
    """Right but for the images in ``wrong``, which are called the next class."""
    called = LABELS.copy()
    called[wrong] = (LABELS[wrong] + 1) % 3
    shares = np.full((240, 3), 0.2, np.float32)
    shares[np.arange(240), called] = 0.6
    return Predictions(np.arange(240) if index is None else index, shares, LABELS, GROUPS)


def kept(directory: RunDirectory, candidate: Candidate, content: bytes) -> Candidate:
    directory.store(candidate.id, {PREDICTIONS: content})
    return candidate


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = predictions(np.arange(0, 240, 12))
    (tmp_path / PREDICTIONS).write_bytes(written.to_bytes())
    read = Predictions.read(tmp_path / PREDICTIONS)
    for name in ("index", "probabilities", "labels", "groups"):
        assert np.array_equal(getattr(read, name), getattr(written, name))
    assert read.hits is not None
    assert read.hits.mean() == pytest.approx(1 - 20 / 240)
    assert read.probabilities.dtype == np.float32


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    new = predictions(np.arange(3))
    np.savez(tmp_path / PREDICTIONS, index=new.index, probabilities=new.probabilities)
    old = Predictions.read(tmp_path / PREDICTIONS)
    assert (old.labels, old.groups, old.hits) == (None, None, None)
    assert np.array_equal(old.predicted, new.predicted)
    assert Predictions.read(tmp_path / PREDICTIONS).to_bytes() == old.to_bytes()


def _zipped(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _plain(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


SHARES = np.full((4, 3), 1 / 3, np.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04" + bytes(50), "cannot be read"),
        (predictions(np.arange(3)).to_bytes()[:-40], "cannot be read"),
        (_plain(index=np.arange(4)), "cannot be read"),
        (_plain(index=np.arange(4), probabilities=np.array([{}], dtype=object)), "cannot be read"),
        (_plain(index=np.arange(5), probabilities=SHARES), "4 predictions for 5 images"),
        (_plain(index=np.arange(4.0), probabilities=SHARES), "index float64"),
        (_plain(index=np.arange(4), probabilities=SHARES[0]), "probabilities float32 (3,)"),
        (_plain(index=np.arange(4), probabilities=SHARES, labels=np.array([0, 1, 2, 3])), "labels outside 0..2"),
        (_plain(index=np.arange(0), probabilities=SHARES[:0]), "probabilities float32 (0, 3)"),
        (_zipped(index=np.arange(4), probabilities=SHARES), "compressed"),
    ],
)
def test_damaged_predictions_are_one_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / PREDICTIONS).write_bytes(content)
    with pytest.raises(DecodeError) as caught:
        Predictions.read(tmp_path / PREDICTIONS)
    assert message in str(caught.value)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / PREDICTIONS)
    with pytest.raises(DecodeError, match="no such file"):
        Predictions.read(tmp_path / PREDICTIONS)


def test_recall_and_confusion_of_a_trained_candidate(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    found = predictions(np.flatnonzero(LABELS == 1)[::8])  # 10 of the 80 of joy
    candidate = kept(directory, trained(1, 0.9), found.to_bytes())
    told = explain_predictions(candidate, [], directory, NAMES)
    table = told["by_class"]
    assert table["confusion"] == [[80, 0, 0], [0, 70, 10], [0, 0, 80]]
    assert (table["images"], table["recall"]) == ([80, 80, 80], [1.0, 0.875, 1.0])
    joy = LABELS == 1
    assert found.hits is not None
    recall = accuracy_estimate(found.hits[joy], GROUPS[joy])
    assert (table["recall_low"][1], table["recall_high"][1]) == (recall.low(0.95), recall.high(0.95))
    assert table["recall_low"][0] == pytest.approx(0.05 ** (1 / 40))
    explanation = explain_candidate(candidate, candidate) | told
    assert json.loads(json.dumps(explanation, allow_nan=False)) == explanation
    lines = candidate_lines(explanation)
    start = lines.index("recall by class [95% on each side], and what its images were taken for")
    assert lines[start + 1] == "  anger     100.0% of 80 [92.8%, 100.0%]"
    assert lines[start + 2].startswith("  joy       87.5% of 80 [")
    assert lines[start + 2].endswith("]: 10 surprise")


def test_a_class_without_images_has_no_recall(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    found = predictions(np.zeros(0, int))
    wider = Predictions(found.index, np.pad(found.probabilities, ((0, 0), (0, 1))), LABELS, None)
    candidate = kept(directory, trained(1, 0.9), wider.to_bytes())
    told = explain_predictions(candidate, [], directory, (*NAMES, "a very long class name that goes on and on"))
    assert told["by_class"]["recall"] == [1.0, 1.0, 1.0, None]
    assert told["by_class"]["recall_low"] == [None] * 4
    lines = candidate_lines(explain_candidate(candidate, candidate) | told)
    assert any(line.endswith("no image") for line in lines)
    assert all(len(line) <= 120 for line in lines)


def test_what_cannot_be_told_has_its_reason(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    candidate = trained(1, 0.9)
    assert "no such file" in explain_predictions(candidate, [], directory, NAMES)["by_class_missing"]
    new = predictions(np.arange(3))
    kept(directory, candidate, replace(new, labels=None, groups=None).to_bytes())
    told = explain_predictions(candidate, [], directory, NAMES)
    assert (told["by_class"], told["compared"]) == (None, [])
    assert told["by_class_missing"] == "its predictions were kept without the true classes, by an earlier version"
    lines = candidate_lines(explain_candidate(candidate, candidate) | told)
    assert f"recall by class: unknown: {told['by_class_missing']}" in lines
    kept(directory, candidate, new.to_bytes())
    told = explain_predictions(candidate, [], directory, NAMES[:2])
    assert told["by_class_missing"] == "its predictions are of 3 classes, and the run's data has 2"
    assert explain_predictions(bare(2), [], directory, NAMES) == {
        "by_class": None,
        "by_class_missing": None,
        "compared": [],
    }


def test_candidates_are_compared_on_the_images_that_they_share(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    rng = np.random.default_rng(0)
    few = rng.choice(240, 8, replace=False)
    many = np.union1d(few, rng.choice(240, 60, replace=False))
    good = kept(directory, trained(1, 0.95), predictions(few).to_bytes())
    copy = kept(directory, trained(2, 0.95), predictions(few).to_bytes())
    order = rng.permutation(240)
    p = predictions(many)
    shuffled = Predictions(np.arange(240)[order], p.probabilities[order], LABELS[order], GROUPS[order])
    worse = kept(directory, trained(3, 0.7), shuffled.to_bytes())
    apart = kept(directory, trained(4, 0.7), predictions(many, np.arange(240) + 1000).to_bytes())
    nothing = trained(5, 0.8)
    rows = {r["id"]: r for r in compare(good, [good, copy, worse, apart, nothing], directory)}
    assert set(rows) == {copy.id, worse.id}
    assert (rows[copy.id]["difference"], rows[copy.id]["indistinguishable"]) == (0, True)
    known = paired_difference(~np.isin(np.arange(240), few), ~np.isin(np.arange(240), many), GROUPS)
    row = rows[worse.id]
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((known.value, known.low, known.high))
    assert (row["images"], row["groups"], row["indistinguishable"]) == (240, 40, False)
    told = explain_predictions(good, [copy, worse], directory, NAMES)
    lines = candidate_lines(explain_candidate(good, good) | told)
    assert f"  {copy.id}: +0.0 points [+0.0, +0.0] on 240 images: cannot be told apart" in lines
    assert any(line.startswith(f"  {worse.id}: +") and line.endswith("240 images: better") for line in lines)


BOUNDS = Indicator((Constraint("params", 1e6, True), Constraint("accuracy", 0.8, False)))


def test_claims_count_how_many_were_tested(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    rng = np.random.default_rng(2)
    some = predictions(rng.choice(240, 34, replace=False))
    sure = kept(directory, trained(1, 0.86, indicator=BOUNDS), some.to_bytes())
    assert some.hits is not None
    estimate = accuracy_estimate(some.hits, GROUPS)
    assert estimate.low(0.95) >= 0.8
    (alone,) = claims(sure, BOUNDS, directory, 1, None)
    assert alone == {
        "constraint": "accuracy >= 0.8",
        "reached": estimate.confidence_above(0.8),
        "needed": pytest.approx(0.95),
        "tests": 1,
        "holds": True,
    }
    (many,) = claims(sure, BOUNDS, directory, 50, None)
    assert (many["needed"], many["tests"], many["holds"]) == (pytest.approx(0.999), 50, False)
    assert estimate.low(0.999) < 0.8
    (planned,) = claims(sure, BOUNDS, directory, 1, 50)
    assert planned == many
    (grown,) = claims(sure, BOUNDS, directory, 60, 50)
    assert grown["tests"] == 60
    lines = candidate_lines(explain_candidate(sure, sure) | {"claims": [many]})
    start = lines.index("corrected for 50 tests (Bonferroni; one training each, its luck is not counted)")
    assert lines[start + 1] == f"  accuracy >= 0.8: is not shown (p {1 - many['reached']:.2g}, at most 0.001 allowed)"


def test_which_members_hold(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    rng = np.random.default_rng(3)
    good, fair = (
        kept(directory, trained(t, a, indicator=BOUNDS), predictions(rng.choice(240, n, replace=False)).to_bytes())
        for t, a, n in ((1, 0.97, 7), (2, 0.86, 34))
    )
    unknown = trained(3, 0.95, indicator=BOUNDS)
    assert {c.status for c in (good, fair, unknown)} == {Status.MET}
    members = [good, fair, unknown, trained(4, 0.81, indicator=BOUNDS)]
    assert holding(members, BOUNDS, directory, 1, None) == [good.id, fair.id]
    assert holding(members, BOUNDS, directory, 1, 50) == [good.id]
    assert holding(members[3:], BOUNDS, directory, 1, 50) is None  # undecided
    assert holding(members[2:], BOUNDS, directory, 1, 50) is None  # no predictions were kept
    assert holding(members, Indicator((Constraint("params", 1e6, True),)), directory, 1, 50) is None
    for metric in ("balanced_accuracy", "macro_f1"):
        bound = Indicator((Constraint(metric, 0.9, False, confidence=0.9),))
        (claim,) = claims(good, bound, directory, 10, None)
        assert (claim["constraint"], claim["needed"]) == (f"{metric} >= 0.9", pytest.approx(0.99))
        assert 0.99 < claim["reached"] < 1
        assert claim["holds"]
    assert put_to_the_test([good, fair, bare(5), replace(good, repeat_of=1)]) == 2


def _with_predictions(run: Run) -> list[Candidate]:
    found = [c for c in run.candidates if c.state is State.TRAINED]
    rng = np.random.default_rng(1)
    for c in found:
        wrong = np.flatnonzero(rng.random(240) < 1 - (c.value("accuracy") or 0))
        run.directory.store(c.id, {PREDICTIONS: predictions(wrong).to_bytes()})
    return found


def test_explain_and_front_of_a_run_use_them(tmp_path: Path, npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", npz)
    assert run.alike() is None  # no predictions were kept
    found = _with_predictions(run)
    told = run.explain(found[0].id)
    (claim,) = told["claims"]
    assert (claim["constraint"], claim["tests"]) == ("accuracy >= 0.6", 9)  # the budget: only 3 were trained so far
    assert claim["needed"] == pytest.approx(1 - 0.05 / 9)
    assert told["by_class"]["classes"] == ["across", "down", "square"]
    assert {c["id"] for c in told["compared"]} == {m.id for m in run.front.members} - {found[0].id}
    best = max(run.front.members, key=lambda m: m.value("accuracy") or 0)
    same = next((m for m in run.front.members if m.id != best.id), None)
    assert same is not None, "the run's front has one member: change make_run"
    kept_bytes = run.directory.model_file(best.id, PREDICTIONS).read_bytes()
    run.directory.store(same.id, {PREDICTIONS: kept_bytes})
    assert run.alike() == ([same.id], [])
    front_command(str(run.path))
    shown = capsys.readouterr().out
    assert f"corrected for all pairs; not the luck of one training): {same.id}\n" in shown
    _corrected_and_told_apart(run, best, same, capsys)


def _corrected_and_told_apart(run: Run, best: Candidate, other: Candidate, capsys: pytest.CaptureFixture[str]) -> None:
    """A member that is met for itself alone does not hold among nine; one that is far worse can be told apart."""
    for member, wrong in ((best, np.arange(4)), (other, np.arange(90))):
        run.directory.store(member.id, {PREDICTIONS: predictions(wrong).to_bytes()})
    assert run.alike() == ([], [])
    met = [m.id for m in run.front.members if m.status is Status.MET]
    assert run.holding() == [name for name in met if name == best.id]
    run.directory.model_file(other.id, PREDICTIONS).unlink()
    capsys.readouterr()
    front_command(str(run.path))
    assert "the data cannot tell" not in capsys.readouterr().out  # nothing left to compare with
