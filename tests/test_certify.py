"""Certificates: what they claim, what they count, and that anybody can compute them again."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricated import Fabrication, begin, nas_
from make_run import make_run

import nas
from nas.api import Run, SearchOptions, check_certificate
from nas.certificates.certificate import UNSAID, Certificate
from nas.certificates.ledger import BEGUN, CERTIFIED, SPENT, TRAINED
from nas.certificates.protocol import CertifyProtocol, fresh_seeds
from nas.certificates.results import Pooled, gap, judged, over_trainings, scored
from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.errors import DecodeError, InputError, NotCertifiedError
from nas.evaluation.bundle import Bundle
from nas.evaluation.job import Job
from nas.evaluation.train import Recipe
from nas.indicator import Constraint, Indicator
from nas.run.candidate import EVALUATOR_KILLED, Outcome, State
from nas.run.directory import RunDirectory
from nas.run.predictions import Predictions
from nas.rung import Rung, parse_ladder
from nas.statistics.accuracy import accuracy_estimate
from nas.statistics.estimate import Estimate

SMALL = CertifyProtocol(folds=3, epochs=2, seeds=2)
PER_NETWORK = 3 * 2 + 2  # folds by seeds, and the subjects set aside once a seed
Answer = Callable[[Job, Bundle, np.ndarray], np.ndarray]


def right(job: Job, bundle: Bundle, test: np.ndarray) -> np.ndarray:
    """Every image as it is."""
    return bundle.labels[test]


def wrong(job: Job, bundle: Bundle, test: np.ndarray) -> np.ndarray:
    """Every image as the next class."""
    return (bundle.labels[test] + 1) % bundle.classes


def mostly(share: float) -> Answer:
    """About ``share`` right, other images with every seed."""

    def answer(job: Job, bundle: Bundle, test: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([job.seed, *(job.folds or ())])
        return np.where(rng.random(len(test)) < share, bundle.labels[test], (bundle.labels[test] + 1) % bundle.classes)

    return answer


class Bench:
    """Takes the place of the executors: predictions are made up, all else is real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: Answer = right
        self.before: Callable[[Job], Outcome | None] = lambda job: None
        self.trained: list[str] = []
        self.drives: list[tuple[Bundle, list[str]]] = []  # data that evaluators were given, and events until then
        monkeypatch.setattr("nas.execution.trained.drive", self._drive)

    def _drive(self, state: Any, setup: Any, path: Path, pool: Any, deadline: Any, directory: RunDirectory, *more: Any):
        bundle = Bundle.load(path)
        self.drives.append((bundle, kinds(directory)))
        while (job := state.propose()) is not None:
            bad = self.before(job)
            if bad is not None:
                state.finish(job, bad)
                continue
            assert job.keep is not None and job.folds is not None
            self.trained.append(f"{job.id}/{job.keep}")
            _, test = bundle.folds[job.folds[0]]
            shares = np.eye(bundle.classes, dtype=np.float32)[self.answer(job, bundle, test)]
            kept = Predictions(test, shares, bundle.labels[test], bundle.groups[test])
            state.finish(job, Outcome(State.TRAINED, seconds={"train": 1.0}), {job.keep: kept.to_bytes()})


def kinds(directory: RunDirectory) -> list[str]:
    return [e["event"] for e in directory.events()]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


@pytest.fixture
def run(tmp_path: Path, npz: Path) -> Run:
    return make_run(tmp_path / "run", npz)


def trained_ids(run: Run) -> list[str]:
    return [c.id for c in run.candidates if c.state is State.TRAINED]


# What a certificate claims


def test_faultless_predictions_claim_what_their_subjects_allow(run: Run, bench: Bench) -> None:
    """Sixteen subjects without a mistake: the exact binomial bound, .05^(1/16), whatever the number of images."""
    (certificate,) = run.certify("smallest", SMALL)
    value, low, high = certificate.accuracy
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(0.05 ** (1 / 16), rel=1e-9)
    result = certificate.data["result"]
    assert (result["images"], result["groups"], result["trainings"]) == (192, 16, 2)
    assert result["by_class"]["confusion"] == [[128, 0, 0], [0, 128, 0], [0, 0, 128]]  # twice 64: two seeds
    assert certificate.verdict == "met"  # accuracy >= 0.6
    assert certificate.data["not_judged"] == ["params <= 20000"]


def test_the_claim_is_weaker_the_more_were_put_to_the_test(run: Run, bench: Bench) -> None:
    ids = trained_ids(run)
    together = run.certify(ids, SMALL)
    assert [c.id for c in together] == ids
    for certificate in together:
        assert certificate.accuracy[1] == pytest.approx((0.05 / len(ids)) ** (1 / 16), rel=1e-9)
        (bound,) = certificate.data["bounds"]
        assert bound["needed"] == pytest.approx(1 - 0.05 / len(ids))
        assert certificate.data["selection"]["tests"] == [[i, "3x2x2"] for i in ids]
        assert check_certificate(certificate.path) == []


@pytest.mark.parametrize(("answer", "verdict"), [(right, "met"), (mostly(0.62), "undecided"), (wrong, "violated")])
def test_verdicts(run: Run, bench: Bench, answer: Answer, verdict: str) -> None:
    bench.answer = answer
    (certificate,) = run.certify("knee", SMALL)
    assert certificate.verdict == verdict
    _, low, high = certificate.accuracy
    assert {"met": low >= 0.6, "violated": high < 0.6, "undecided": low < 0.6 <= high}[verdict]


def test_subjects_and_seeds_are_both_in_the_interval(run: Run, bench: Bench) -> None:
    """Against the estimate of the stored files, read by hand; without the seeds it would be narrower."""
    bench.answer = mostly(0.8)
    (certificate,) = run.certify("knee", CertifyProtocol(3, 2, 3))
    hit, groups, seeds = [], [], []
    for f in certificate.data["files"]:
        with np.load(certificate.path.parent / f["path"]) as kept:
            hit.append(kept["probabilities"].argmax(1) == kept["labels"])
            groups.append(kept["groups"])
            seeds.append(np.full(len(kept["index"]), f["seed"]))
    hits, ids, trainings = np.concatenate(hit), np.concatenate(groups), np.concatenate(seeds)
    estimate = accuracy_estimate(hits, ids, trainings)
    by_seed = [hits[trainings == s].mean() for s in np.unique(trainings)]
    assert estimate.luck == pytest.approx(np.var(by_seed, ddof=1) / 3)
    assert certificate.accuracy == pytest.approx((hits.mean(), estimate.low(0.95), estimate.high(0.95)))
    assert certificate.data["result"]["accuracy_by_seed"] == pytest.approx(by_seed)
    alone = accuracy_estimate(hits, ids)
    assert estimate.low(0.95) < alone.low(0.95)
    assert certificate.data["bounds"][0]["reached"] == pytest.approx(estimate.confidence_above(0.6))


def test_one_seed_says_that_its_luck_is_not_counted(run: Run, bench: Bench) -> None:
    (certificate,) = run.certify("knee", CertifyProtocol(3, 2, 1))
    assert certificate.data["result"]["accuracy_sd_between_seeds"] is None
    text = certificate.path.with_suffix(".md").read_text()
    assert "nothing shows the luck of the training" in text
    assert "REDUCED protocol" in text
    assert "REDUCED" not in " ".join(full_statements(certificate))


def full_statements(certificate: Certificate) -> list[str]:
    """What the same certificate would say of the full protocol."""
    from nas.certificates.statements import statements

    full = CertifyProtocol()
    assert not full.reduced and full.file_name == "certificate.json"
    return statements({**certificate.data, "reduced": full.reduced})


def test_luck_of_trainings_joins_the_other_scores() -> None:
    plain = Estimate(0.8, 0.0004, 15, 16, 9, 16)
    assert over_trainings(plain, [0.8]) == plain
    joined = over_trainings(plain, [0.78, 0.80, 0.82])
    assert joined.luck == pytest.approx(0.0004 / 3)
    total = 0.0004 + 0.0004 / 3
    assert joined.df == pytest.approx(total**2 / (0.0004**2 / 15 + (0.0004 / 3) ** 2 / 2))
    assert joined.low(0.95) < plain.low(0.95)


def parts(seeds: int = 2) -> dict[tuple[int | None, int], Predictions]:
    """Two folds of four subjects with two images each."""
    found: dict[tuple[int | None, int], Predictions] = {}
    for seed in range(seeds):
        for fold in range(2):
            index = np.arange(4) + 4 * fold
            labels = index % 2
            shares = np.eye(2, dtype=np.float32)[np.where(index == seed, 1 - labels, labels)]
            found[fold, seed] = Predictions(index, shares, labels, index // 2)
    return found


def test_scores_of_predictions_made_by_hand() -> None:
    """Of 16 predictions two are wrong: image 0 (class 0) with seed 0, image 1 (class 1) with seed 1."""
    found = scored(Pooled.of(parts(), 2, 8), ["a", "b"], 0.95)
    assert found["accuracy"]["value"] == pytest.approx(14 / 16)
    assert found["balanced_accuracy"]["value"] == pytest.approx(14 / 16)
    assert found["macro_f1"]["value"] == pytest.approx(14 / 16)
    assert found["by_class"]["confusion"] == [[7, 1], [1, 7]]
    assert found["by_class"]["recall"] == [7 / 8, 7 / 8]
    assert found["accuracy_by_seed"] == [7 / 8, 7 / 8]
    assert found["accuracy_sd_between_seeds"] == 0.0
    (upper, lower) = judged(
        Pooled.of(parts(), 2, 8), [Constraint("accuracy", 0.9, True), Constraint("accuracy", 0.1, False)], 2, 40
    )
    assert upper["needed"] == pytest.approx(0.975) and lower["needed_if_all_counted"] == pytest.approx(1 - 0.05 / 40)
    # One subject of four makes the mistakes: what may be claimed is what four subjects allow.
    assert found["accuracy"]["low"] <= 0.05 ** (1 / 4) + 1e-12


def test_repeats_of_an_image_are_no_new_images() -> None:
    """Ten trainings that agree leave the intervals of balanced accuracy as they are with two."""
    few, many = ({k: p for k, p in parts(2).items() if k[1] == 0} for _ in range(2))
    many |= {(fold, seed): p for (fold, _), p in few.items() for seed in range(1, 10)}
    one = scored(Pooled.of(few, 2, 8), ["a", "b"], 0.95)
    ten = scored(Pooled.of(many, 2, 8), ["a", "b"], 0.95)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert ten[name] == pytest.approx(one[name])


def test_the_check_on_others_counts_both_errors() -> None:
    """All right on one side, one subject of four wrong on the other: by hand, and whether 0 lies inside."""
    folds, aside = Pooled.of(parts(1), 2, 8), Pooled.of({(None, 0): parts(1)[1, 0]}, 2, 4)
    found = gap(aside, folds, 0.95)
    assert found["value"] == pytest.approx(1 - 7 / 8)
    a, f = aside.estimates()["accuracy"], folds.estimates()["accuracy"]
    assert found["low"] == pytest.approx(1 / 8 - math.sqrt((1 - 0.05 ** (1 / 2)) ** 2 + (f.high(0.95) - 7 / 8) ** 2))
    assert found["high"] == pytest.approx(1 / 8 + math.sqrt((a.high(0.95) - 1) ** 2 + (7 / 8 - f.low(0.95)) ** 2))
    assert found["indistinguishable"]
    wrong_ = {k: changed(p, probabilities=p.probabilities[:, ::-1].copy()) for k, p in parts(1).items()}
    far = gap(Pooled.of(wrong_, 2, 8), folds, 0.55)
    assert far["value"] == pytest.approx(-0.75) and not far["indistinguishable"]


def changed(p: Predictions, **arrays: np.ndarray) -> Predictions:
    return Predictions(**{**{n: getattr(p, n) for n in ("index", "probabilities", "labels", "groups")}, **arrays})


def test_predictions_that_cannot_be_out_of_fold_are_refused() -> None:
    good = parts()
    for what, (key, arrays) in {
        "two folds": ((1, 0), {"groups": np.array([0, 0, 3, 3])}),
        "class or the subject": ((0, 1), {"labels": np.array([1, 0, 1, 1])}),
        "exactly once": ((1, 1), {"index": np.array([0, 5, 6, 7])}),
    }.items():
        both = {(key[0], s): changed(good[key[0], s], **arrays) for s in (0, 1)} if what == "two folds" else {}
        bad = good | (both or {key: changed(good[key], **arrays)})
        with pytest.raises(DecodeError, match=f"{what}|class or the subject"):
            Pooled.of(bad, 2, 8)
    with pytest.raises(DecodeError, match="exactly once"):
        Pooled.of({k: v for k, v in good.items() if k != (1, 1)}, 2, 8)


# Which subjects, which seeds, and how often


def test_no_subject_is_trained_and_tested_on(run: Run, bench: Bench, dataset: Dataset) -> None:
    run.certify("knee", SMALL)
    (cross, _), (aside, _) = bench.drives
    searched = make_split(dataset, folds=5, holdout=0.2, seed=0)
    assert len(cross.folds) == 3
    for train, test in cross.folds:
        assert not set(cross.groups[train]) & set(cross.groups[test])
    assert sorted(np.concatenate([test for _, test in cross.folds])) == list(range(192))
    assert np.array_equal(cross.images, dataset.images[np.sort(searched.search_indices)])
    ((train, test),) = aside.folds
    assert np.array_equal(aside.images[test], dataset.images[searched.holdout])
    assert len(train) == 192 and not set(aside.groups[train]) & set(aside.groups[test])


def test_the_subjects_set_aside_are_looked_at_once_and_after_the_verdict(run: Run, bench: Bench) -> None:
    (first,) = run.certify("knee", SMALL)
    (_, before), (_, then) = bench.drives
    assert CERTIFIED not in before and SPENT not in before
    assert then[-2:] == [CERTIFIED, SPENT]
    assert len(bench.trained) == PER_NETWORK == kinds(run.directory).count(TRAINED)
    assert first.data["holdout"] == {"images": 48, "groups": 4, "looked_before": 0}
    assert first.data["holdout_result"]["images"] == 48
    content, events = first.path.read_bytes(), len(kinds(run.directory))
    (again,) = run.certify("knee", SMALL)
    assert again.data == first.data and first.path.read_bytes() == content
    assert len(bench.trained) == PER_NETWORK and len(kinds(run.directory)) == events
    other = next(i for i in trained_ids(run) if i != first.id)
    (second,) = run.certify(other, SMALL)
    assert second.data["holdout"]["looked_before"] == 1
    assert "they had been looked at once before" in second.path.with_suffix(".md").read_text()
    spent = [e["id"] for e in run.directory.events() if e["event"] == SPENT]
    assert spent == [first.id, other]


def test_a_later_certification_counts_the_earlier_ones(run: Run, bench: Bench) -> None:
    """One after the other is as many tests as both together; what was issued before stays true to its time."""
    ids = trained_ids(run)
    (first,) = run.certify(ids[0], SMALL)
    (second,) = run.certify(ids[1], SMALL)
    assert first.data["bounds"][0]["needed"] == pytest.approx(0.95)
    assert second.data["bounds"][0]["needed"] == pytest.approx(0.975)
    assert check_certificate(first.path) == check_certificate(second.path) == []
    (anew,) = run.certify(ids[0], SMALL)
    assert anew.data["bounds"][0]["needed"] == pytest.approx(0.975)
    assert check_certificate(anew.path) == []
    assert len(bench.trained) == 2 * PER_NETWORK


def test_the_papers_protocol_spends_the_hold_out_and_says_so(run: Run, bench: Bench) -> None:
    (certificate,) = run.certify("knee", CertifyProtocol(3, 2, 1, everyone=True))
    ((bundle, before),) = bench.drives  # there is no second one
    assert len(bundle.images) == 240
    assert before[-1] == SPENT
    assert certificate.data["holdout_result"] is None and certificate.data["holdout_files"] == []
    text = certificate.path.with_suffix(".md").read_text()
    assert "16 of them influenced the selection" in text and "the hold-out is spent" in text
    assert certificate.path.name == "certificate-paper-3x2x1.json"
    assert check_certificate(certificate.path) == []
    (plain,) = run.certify("knee", SMALL)
    assert plain.data["holdout"]["looked_before"] == 1


def test_a_job_says_which_folds_and_what_is_kept(run: Run) -> None:
    graph = run.candidates[0].network().graph()
    for job in (
        Job(3, "abc", graph, (Rung(1, 9),), 7, True, None, (4,), SMALL.predictions_name(4, 7)),
        Job(3, "abc", graph, parse_ladder("1x2,1x9"), 7, False, links=(("a", "b"),)),
    ):
        assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_seeds_are_none_of_the_search(run: Run, bench: Bench) -> None:
    used = {1_000_003, 1_000_005}
    assert fresh_seeds(0, used, 3) == (1_000_004, 1_000_006, 1_000_007)
    assert len(set(fresh_seeds(2**32 - 1, set(), 9))) == 9 and max(fresh_seeds(2**32 - 1, set(), 9)) < 2**32
    (certificate,) = run.certify("knee", SMALL)
    seeds = certificate.data["protocol"]["seeds"]
    assert len(seeds) == 2 and not set(seeds) & {c.seed for c in run.candidates}


def test_what_earlier_recipes_do_not_say_is_what_was_done_then() -> None:
    first = {"batch", "augmentation", "learning_rate", "label_smoothing", "weight_decay", "schedule"}
    assert {name: value for name, value in asdict(Recipe()).items() if name not in first} == UNSAID


def test_without_subjects_bounds_or_anyone_set_aside(
    made_up: Fabrication, bench: Bench, tmp_path: Path, dataset: Dataset
) -> None:
    np.savez(tmp_path / "plain.npz", x=dataset.images, y=dataset.labels)
    assert begin(tmp_path / "run", tmp_path / "plain.npz", "--holdout", 0, budget=2).exit_code == 0
    run = nas.open_run(tmp_path / "run")
    bench.answer = mostly(0.9)
    (certificate,) = run.certify("all", SMALL)[:1]
    assert certificate.verdict == "no bound on accuracy" and certificate.data["bounds"] == []
    assert certificate.data["holdout"] is None and certificate.data["holdout_result"] is None
    result = certificate.data["result"]
    assert (result["images"], result["groups"], certificate.data["data"]["groups"]) == (240, 240, "images")
    told = " ".join(certificate.data["statements"])
    assert "not subject-independent" in told and "set no images aside: there is no check on others" in told
    assert check_certificate(certificate.path) == []
    assert SPENT not in kinds(run.directory)
    (paper,) = run.certify(certificate.id, CertifyProtocol(3, 2, 2, everyone=True))
    assert "all of these images influenced the selection" in " ".join(paper.data["statements"])
    assert check_certificate(paper.path) == []


# Going on


class Stop(Exception):
    """Something ends the process."""


def test_it_goes_on_where_it_was(run: Run, bench: Bench) -> None:
    def stop(job: Job) -> None:
        if len(bench.trained) == 4:
            raise KeyboardInterrupt

    bench.before = stop
    with pytest.raises(KeyboardInterrupt):
        run.certify("knee", SMALL)
    assert CERTIFIED not in kinds(run.directory)
    bench.before = lambda job: None
    (certificate,) = run.certify("knee", SMALL)
    assert len(bench.trained) == len(set(bench.trained)) == PER_NETWORK
    assert kinds(run.directory).count(BEGUN) == 1
    assert check_certificate(certificate.path) == []


def test_a_stop_between_verdict_and_check_does_not_look_twice(run: Run, bench: Bench) -> None:
    bench.before = lambda job: (_ for _ in ()).throw(Stop) if job.keep and "holdout" in job.keep else None
    with pytest.raises(Stop):
        run.certify("knee", SMALL)
    path = next(run.directory.models.glob("*/certificate-3x2x2.json"))
    pending = Certificate.read(path)
    assert pending.verdict == "met" and pending.data["holdout_result"] is None
    assert check_certificate(path) == []
    assert "their check is to follow" in path.with_suffix(".md").read_text()
    bench.before = lambda job: None
    (certificate,) = run.certify("knee", SMALL)
    assert kinds(run.directory).count(SPENT) == 1
    assert certificate.data["holdout"]["looked_before"] == 0
    assert certificate.data["result"] == pending.data["result"]
    assert len(bench.trained) == PER_NETWORK


def test_predictions_that_were_changed_are_made_again(run: Run, bench: Bench) -> None:
    (certificate,) = run.certify("knee", SMALL)
    folder = certificate.path.parent
    damaged, swapped = (folder / f["path"] for f in certificate.data["files"][:2])
    damaged.write_bytes(damaged.read_bytes()[:-100])
    kept = Predictions.read(swapped)
    swapped.write_bytes(changed(kept, probabilities=np.roll(kept.probabilities, 1, axis=1)).to_bytes())
    assert len(check_certificate(certificate.path)) >= 2
    bench.trained.clear()
    (again,) = run.certify("knee", SMALL)
    assert sorted(bench.trained) == sorted(f"{certificate.id}/{p.name}" for p in (damaged, swapped))
    assert again.data["result"] == certificate.data["result"]
    assert check_certificate(again.path) == []


def test_a_failure_leaves_the_others_their_certificates(run: Run, bench: Bench) -> None:
    bad, *good = trained_ids(run)
    failed = Outcome(State.FAILED, failure={"kind": "diverged", "reason": "the loss became nan", "log": ""})
    bench.before = lambda job: failed if job.id == bad and job.folds == (1,) else None
    with pytest.raises(NotCertifiedError, match=f"{bad} fold 1, seed 1000003: the loss became nan") as caught:
        run.certify([bad, *good], SMALL)
    assert caught.value.exit_code == 3
    assert [c.id for c in run.certificates if isinstance(c, Certificate)] == sorted(good)
    assert bench.trained.count(f"{bad}/{SMALL.predictions_name(0, 1_000_003)}") == 1
    assert f"{bad}/{SMALL.predictions_name(0, 1_000_004)}" not in bench.trained  # no more of it was begun
    bench.before = lambda job: None
    assert run.certify(bad, SMALL)[0].verdict == "met"


def test_what_the_environment_lost_is_tried_again(run: Run, bench: Bench) -> None:
    lost = {1_000_003: Outcome(State.FAILED, failure={"kind": EVALUATOR_KILLED, "reason": "signal 9", "log": ""})}
    bench.before = lambda job: lost.pop(job.seed, None)
    (certificate,) = run.certify("knee", SMALL)
    assert not lost and certificate.verdict == "met"
    assert len(bench.trained) == PER_NETWORK


# The check


def edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> list[str]:
    """What the check says of a certificate after an edit; the file is then as before."""
    before = path.read_bytes()
    data = json.loads(before)
    edit(data)
    path.write_text(json.dumps(data, indent=1))
    try:
        return check_certificate(path)
    finally:
        path.write_bytes(before)


def put(*keys: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        place: Any = data
        for key in keys[:-1]:
            place = place[key]
        assert place[keys[-1]] != value
        place[keys[-1]] = value

    return edit


EDITS = {
    "result.accuracy.low": put("result", "accuracy", "low", value=0.93),
    "result.balanced_accuracy.value": put("result", "balanced_accuracy", "value", value=0.5),
    "result.by_class.confusion[0][1]": put("result", "by_class", "confusion", 0, 1, value=7),
    "result.images": put("result", "images", value=981),
    "costs.params": put("costs", "params", value=5148),
    "bounds[0].status": put("bounds", 0, "status", value="violated"),
    "verdict": put("verdict", value="undecided"),
    "constraints": put("constraints", 0, "limit", value=0.5),
    "protocol": put("protocol", "epochs", value=200),
    "bounds[0].needed_if_all_counted": put("selection", "judged", value=1),
    "selection.tests": put("selection", "tests", value=[["x", "3x2x2"], ["y", "3x2x2"]]),
    "holdout.looked_before": put("holdout", "looked_before", value=3),
    "holdout_result.accuracy.value": put("holdout_result", "accuracy", "value", value=0.1),
    "data.fingerprint": put("data", "fingerprint", value="0" * 16),
    "recipe": put("recipe", "learning_rate", value=0.1),
    "id": put("id", value="0123456789ab"),
    "seal": put("versions", "numpy", value="1.0"),
    "statements[0]": put("statements", 0, value="Full protocol."),
    "SHA-256": put("files", 0, "sha256", value="0" * 64),
}


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory, npz: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(patch)
        bench.answer = mostly(0.8)
        run = make_run(tmp_path_factory.mktemp("certified") / "run", npz)
        return run.certify("knee", SMALL)[0].path


@pytest.mark.parametrize("what", EDITS)
def test_the_check_finds_what_was_changed(issued: Path, what: str) -> None:
    assert check_certificate(issued) == []
    found = edited(issued, EDITS[what])
    assert any(what in line for line in found), found
    assert any(line.startswith("seal: something was changed") for line in found)


def test_the_check_finds_numbers_also_where_the_seal_was_made_anew(issued: Path) -> None:
    from nas.certificates.certificate import seal_of

    def edit(data: dict[str, Any]) -> None:
        data["versions"]["numpy"] = "1.0"
        data["seal"] = seal_of(data)

    assert any("events.jsonl recorded" in line for line in edited(issued, edit))


def test_the_check_computes_out_of_the_run_too(issued: Path, tmp_path: Path) -> None:
    """A copy of the folder is enough for every number; the run's own records are then not at hand."""
    folder = tmp_path / issued.parent.name
    folder.mkdir()
    for file in issued.parent.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    copy = folder / issued.name
    assert check_certificate(copy) == []
    assert any("result.accuracy.low" in line for line in edited(copy, EDITS["result.accuracy.low"]))
    name = json.loads(copy.read_text())["files"][3]["path"]
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert any(f"{name}: SHA-256" in line for line in check_certificate(copy))
    (folder / name).unlink()
    assert any(f"{name}: missing" in line for line in check_certificate(copy))
    (folder / name).write_bytes(content)
    renamed = folder.rename(tmp_path / "0123456789ab")
    assert any("0123456789ab" in line for line in check_certificate(renamed / issued.name))
    (renamed / issued.name).rename(renamed / "certificate.json")
    assert any(line.startswith("protocol") for line in check_certificate(renamed / "certificate.json"))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema": 1}', '{"schema": 99}', "\x00"])
def test_what_is_no_certificate(tmp_path: Path, content: str) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(content)
    with pytest.raises(DecodeError, match="no certificate"):
        check_certificate(path)
    with pytest.raises(DecodeError, match="no such file"):
        check_certificate(tmp_path / "nothing.json")
    with pytest.raises(DecodeError, match="no such file"):
        check_certificate(tmp_path)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(DecodeError, match="no such file"):
        check_certificate(tmp_path / "pipe.json")


def test_a_certificate_with_anything_taken_out_is_answered(issued: Path) -> None:
    """No traceback, whichever field is missing or of another kind."""
    for name in json.loads(issued.read_text()):
        for value in (None, "text", [], {}, 7):
            try:
                found = edited(issued, lambda data, name=name, value=value: data.update({name: value}))  # type: ignore[misc]
            except DecodeError:
                continue
            assert found or value is None, (name, value)


# The command line


def test_the_command_certifies_checks_and_is_seen(run: Run, bench: Bench) -> None:
    result = nas_("certify", run.path, "smallest", "--folds", 3, "--epochs", 2, "--seeds", 2)
    assert result.exit_code == 0, result.output
    path = next(run.directory.models.glob("*/certificate-3x2x2.json"))
    certificate = Certificate.read(path)
    assert "8 trainings, of which 0 are done already" in result.output
    assert f"{certificate.id} met: accuracy 100.0%" in result.output
    assert "reduced protocol 3x2x2" in result.output
    checked = nas_("certify", "--check", path)
    assert checked.exit_code == 0 and "agrees" in checked.output
    assert f"certified: {certificate.line}" in nas_("front", run.path).output
    assert certificate.line in nas_("explain", run.path, certificate.id).output
    path.write_text(path.read_text().replace('"params": ', '"params": 1'))
    refused = nas_("certify", "--check", path)
    assert refused.exit_code == 2 and "differs: costs.params" in refused.output
    listed = json.loads(nas_("certify", run.path, certificate.id, "--quick", "--epochs", 2, "--json").stdout)
    assert [c["protocol"]["name"] for c in listed] == ["3x2x1"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RUN", "nobody"], "nobody"),
        (["RUN", "#2"], "not trained"),
        (["RUN"], "at least one network"),
        ([], "give a run"),
        (["/nowhere", "knee"], "no such run"),
        (["RUN", "knee", "--folds", "17"], "16 subjects"),
        (["RUN", "knee", "--folds", "1"], "folds 1"),
        (["RUN", "knee", "--epochs", "0"], "epochs 0"),
        (["RUN", "knee", "--seeds", "1000"], "seeds 1000"),
        (["RUN", "knee", "--data", "/nowhere"], "/nowhere"),
        (["RUN", "knee", "--workers", "0"], "workers 0"),
        (["RUN", "--check", "x.json"], "goes alone"),
        (["--check", "x.json"], "x.json"),
    ],
)
def test_what_cannot_be_certified(run: Run, bench: Bench, arguments: list[str], words: str) -> None:
    failed = next(c.id for c in run.candidates if c.state is State.FAILED)
    places = {"RUN": str(run.path), "#2": failed}
    result = nas_("certify", *(places.get(a, a) for a in arguments))
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert bench.trained == [] and BEGUN not in kinds(run.directory)


def test_ctrl_c_says_how_to_go_on(run: Run, bench: Bench) -> None:
    bench.before = lambda job: (_ for _ in ()).throw(KeyboardInterrupt)
    result = nas_("certify", run.path, "knee", "--quick", "--paper-protocol", "--workers", 3)
    assert result.exit_code == 130
    assert f"nas certify {run.path} knee --folds 3 --epochs 20 --seeds 1 --paper-protocol --workers 3" in result.output


def test_a_run_without_a_front(run: Run, bench: Bench) -> None:
    with pytest.raises(InputError, match="name a network"):
        run.certify([], SMALL)


# Real trainings


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, npz: Path) -> Run:
    return nas.search(
        space="tiny",
        indicator=Indicator((Constraint("accuracy", 0.5, False),)),
        dataset=npz,
        budget=2,
        workers=1,
        executor="local",
        out=tmp_path_factory.mktemp("searched") / "run",
        options=SearchOptions(effort=Rung(1, 2)),
    )


def trained_pairs(run: Run, protocol: str) -> list[tuple[int | None, int]]:
    """(fold, seed) of each training that was recorded."""
    events = [e for e in run.directory.events() if e["event"] == TRAINED and e["protocol"] == protocol]
    return [(e["fold"], e["seed"]) for e in events]


@pytest.mark.slow
def test_from_a_search_to_a_certificate_that_can_be_checked(searched: Run, dataset: Dataset) -> None:
    protocol = CertifyProtocol(2, 6, 2)
    (certificate,) = searched.certify(searched.candidates[0].id, protocol)
    assert check_certificate(certificate.path) == []
    assert len(trained_pairs(searched, "2x6x2")) == 6
    split = make_split(dataset, folds=2, holdout=0.2, seed=0)
    assert certificate.data["split"]["hash"] == split.hash
    search = np.sort(split.search_indices)
    hits = []
    for f in certificate.data["files"]:
        kept = Predictions.read(certificate.path.parent / f["path"])
        assert np.array_equal(search[kept.index], split.folds[f["fold"]].test)
        assert np.array_equal(kept.labels, dataset.labels[search[kept.index]])  # type: ignore[arg-type]
        assert kept.hits is not None
        hits.append(kept.hits)
    value = certificate.accuracy[0]
    assert value == pytest.approx(np.concatenate(hits).mean())
    assert value > 0.5  # three classes: a third by chance
    first, second = (Predictions.read(certificate.path.parent / certificate.data["files"][k]["path"]) for k in (0, 2))
    assert np.array_equal(first.index, second.index)  # the same fold with another seed: another training
    assert np.abs(first.probabilities - second.probabilities).max() > 1e-3
    assert math.isfinite(certificate.data["holdout_result"]["accuracy"]["low"])
    weights = list(certificate.path.parent.glob("weights-*"))
    assert [w.name for w in weights] == ["weights-fold0.npz"]  # the search's own, as they were


def start(run: Run, *options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nas.cli.main", "certify", str(run.path), "knee", *map(str, options)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(run: Run, protocol: str, number: int, process: subprocess.Popen[str]) -> list[tuple[int | None, int]]:
    """Until so many trainings were recorded."""
    end = time.monotonic() + 240
    while len(found := trained_pairs(run, protocol)) < number:
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.05)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sigkill_in_the_middle_trains_only_what_is_missing(searched: Run) -> None:
    options = ("--folds", 3, "--epochs", 3, "--seeds", 2, "--executor", "local", "--workers", 1)
    process = start(searched, *options)
    wait_for(searched, "3x3x2", 2, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = trained_pairs(searched, "3x3x2")
    assert 2 <= len(before) < 8
    kept = {p.name: p.stat().st_mtime_ns for p in searched.directory.models.glob("*/certified-3x3x2-*.npz")}
    again = start(searched, *options)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert f"8 trainings, of which {len(kept)} are done already" in out
    after = trained_pairs(searched, "3x3x2")
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) and 8 - len(after) <= len(kept) - len(before)  # killed before its event
    for path in searched.directory.models.glob("*/certified-3x3x2-*.npz"):
        assert path.stat().st_mtime_ns == kept.get(path.name, path.stat().st_mtime_ns)
    (certificate,) = (c for c in searched.certificates if isinstance(c, Certificate) and "3x3x2" in c.path.name)
    assert check_certificate(certificate.path) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_for_real(searched: Run) -> None:
    process = start(searched, "--folds", 2, "--epochs", 2, "--seeds", 3, "--executor", "local", "--workers", 1)
    wait_for(searched, "2x2x3", 1, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Go on with:  nas certify" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_ray_the_same_trainings_give_the_same_predictions(searched: Run, tmp_path: Path) -> None:
    protocol = CertifyProtocol(2, 2, 1)
    chosen = searched.candidates[0].id
    (local,) = searched.certify(chosen, protocol)
    files = [(local.path.parent / f["path"]).read_bytes() for f in (*local.data["files"], *local.data["holdout_files"])]
    for f in (*local.data["files"], *local.data["holdout_files"]):
        (local.path.parent / f["path"]).unlink()
    (on_ray,) = searched.certify(chosen, protocol, executor="ray", workers=2)
    assert trained_pairs(searched, "2x2x1").count((None, 1_000_003)) == 2
    for content, f in zip(files, (*on_ray.data["files"], *on_ray.data["holdout_files"]), strict=True):
        path = on_ray.path.parent / f["path"]
        kept = Predictions.read(path)
        (tmp_path / "local.npz").write_bytes(content)
        assert np.allclose(kept.probabilities, Predictions.read(tmp_path / "local.npz").probabilities, atol=1e-4)
    assert check_certificate(on_ray.path) == []
