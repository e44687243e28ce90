"""Searches from end to end: real TensorFlow, real processes, real Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import optuna
import pytest
import toy_family
import yaml

import nas
from nas.api import SearchOptions
from nas.data.dataset import Dataset
from nas.errors import DecodeError, EnvironmentStopError, InputError, NothingEvaluatedError
from nas.evaluation.train import Recipe
from nas.indicator import Constraint, Indicator, Status
from nas.loop import Silent
from nas.run.candidate import Candidate, State
from nas.run.front import Front
from nas.run.predictions import PREDICTIONS, Predictions
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.statistics.accuracy import accuracy_estimate

QUICK = SearchOptions(effort=Rung(1, 2))
NO_BOUND = Indicator()


MARK = f"NAS_TEST={uuid.uuid4()}"
os.environ.update([MARK.split("=")])  # every process that these tests start inherits it


def processes(word: str) -> list[int]:
    """Living processes of these tests with ``word`` in their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if not folder.name.isdigit() or word.encode() not in (folder / "cmdline").read_bytes():
                continue
            if MARK.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


class Diary(Silent):
    def __init__(self) -> None:
        self.evaluated: list[int] = []

    def proposed(self, candidate: Candidate) -> None:
        self.evaluated.append(candidate.trial)


def quick(dataset: Dataset, out: Path, **changes: object) -> nas.Run:
    settings: dict[str, object] = {
        "space": "tiny",
        "indicator": NO_BOUND,
        "dataset": dataset,
        "budget": 4,
        "workers": 1,
        "executor": "local",
        "out": out,
        "options": QUICK,
    }
    return nas.search(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> nas.Run:
    """One finished local search, shared by the tests that only look."""
    return quick(dataset, tmp_path_factory.mktemp("runs") / "one", budget=5)


@pytest.mark.slow
def test_a_run_on_disk_is_what_the_interface_says(finished: nas.Run, dataset: Dataset) -> None:
    path = finished.path
    front = json.loads((path / "front.json").read_text())
    assert front["schema"] == 1
    assert front["status"] == "met"
    assert [o["name"] for o in front["objectives"]] == ["accuracy", "params"]
    assert front["objectives"][0]["direction"] == "maximize"
    assert front["reference_point"] == [pytest.approx(1 / 3), 2 * 5147]
    candidates = finished.candidates
    assert [c.trial for c in candidates] == list(range(len(candidates)))
    assert candidates[0].id == nas.load_space("tiny").prototype.id
    assert sum(c.state is State.TRAINED for c in candidates) == 5
    for member in front["members"]:
        candidate = candidates[member["trial"]]
        assert member["id"] == candidate.id
        assert member["params"] == candidate.network().cost().params
        assert member["accuracy_low"] <= member["accuracy"] <= member["accuracy_high"]
        assert member["latency_ms"] > 0
        model = path / "models" / member["id"]
        assert (model / "model.tflite").stat().st_size == member["size_bytes"]
        with np.load(model / "predictions.npz") as predictions:
            hit = predictions["probabilities"].argmax(1) == bundle_labels(finished, dataset)[predictions["index"]]
            assert hit.mean() == pytest.approx(member["accuracy"])
    for c in candidates[1:]:
        assert (c.parent is None and not c.edits) or 1 <= len(c.edits) <= 2  # a fresh decode has no parent
    assert (path / "fronts" / "0000.json").exists()
    assert {p.name for p in (path / "plots").iterdir()} >= {"accuracy_params.png", "accuracy_params.svg"}
    settings = yaml.safe_load((path / "run.yaml").read_text())
    assert settings["data"]["fingerprint"] == dataset.fingerprint
    assert settings["split"]["holdout_groups"] == 4


@pytest.mark.slow
def test_kept_predictions_tell_what_was_measured(finished: nas.Run) -> None:
    for member in finished.front.members:
        told = finished.explain(member.id)
        table = np.array(told["by_class"]["confusion"])
        accuracy, balanced = member.measurement("accuracy"), member.value("balanced_accuracy")
        assert accuracy is not None
        assert np.trace(table) / table.sum() == pytest.approx(accuracy.value)
        assert np.mean(told["by_class"]["recall"]) == pytest.approx(balanced)
        kept = Predictions.read(finished.directory.model_file(member.id, PREDICTIONS))
        assert kept.hits is not None
        assert kept.groups is not None
        estimate = accuracy_estimate(kept.hits, kept.groups)
        assert (accuracy.low, accuracy.high) == (estimate.low(0.95), estimate.high(0.95))
        assert len(np.unique(kept.groups)) == estimate.groups < 16  # of one fold
        assert accuracy.provenance.startswith(f"cluster-t over {estimate.groups} subjects, without the variance")
        assert {c["id"] for c in told["compared"]} == {m.id for m in finished.front.members} - {member.id}


def bundle_labels(run: nas.Run, dataset: Dataset) -> np.ndarray:
    from nas.evaluation.bundle import Bundle
    from nas.settings import materials_of

    materials = materials_of(run.settings, dataset)
    bundle = Bundle.of(dataset, materials.split)
    assert len(bundle.images) == len(dataset) - len(materials.split.holdout)
    aside = set(dataset.subjects[materials.split.holdout])  # type: ignore[index]
    assert len(aside) == 4
    for train, test in bundle.folds:
        assert not set(bundle.groups[train]) & set(bundle.groups[test])
    return bundle.labels


@pytest.mark.slow
def test_the_run_is_an_optuna_study(finished: nas.Run) -> None:
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(finished.path / "study.journal"))
    )
    study = optuna.load_study(study_name="nas", storage=storage)
    assert not [t for t in study.trials if t.state == optuna.trial.TrialState.RUNNING]
    ids = {m.id for m in finished.front.members}
    assert {t.user_attrs["candidate"]["id"] for t in study.best_trials} >= ids
    assert max(len(line) for line in (finished.path / "study.journal").read_text().splitlines()) < 10_000


@pytest.mark.slow
def test_what_is_derived_can_be_rebuilt(finished: nas.Run) -> None:
    before = (finished.path / "front.json").read_text()
    for name in ("front.json", "front.csv", "plots/accuracy_params.png"):
        (finished.path / name).unlink()
    finished.rebuild()
    assert (finished.path / "front.json").read_text() == before
    assert (finished.path / "front.csv").read_text().count("\n") == 1 + len(finished.front.members)
    assert (finished.path / "plots" / "accuracy_params.png").exists()


@pytest.mark.slow
def test_local_search_repeats_itself_for_the_same_seed(tmp_path: Path, dataset: Dataset) -> None:
    runs = [quick(dataset, tmp_path / f"r{i}", budget=6, workers=2, seed=3) for i in range(2)]
    proposals = [[(c.id, c.parent, c.edits) for c in run.candidates] for run in runs]
    assert proposals[0] == proposals[1]
    accuracies = [[c.value("accuracy") for c in run.candidates] for run in runs]
    assert accuracies[0] == accuracies[1]


@pytest.mark.slow
def test_resume_repeats_nothing_and_finishes_what_was_in_flight(tmp_path: Path, npz: Path) -> None:
    """A real SIGKILL of the driver in the middle of a search."""
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "nas.cli.main", "search", "--space", "tiny", "--data", str(npz), "--out", str(out)]
    command += ["--constraints", "none", "--effort", "1x2", "--budget", "6", "--executor", "local"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (out / "fronts" / "0001.json").exists() or count_trained(out) >= 2, 120)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for(lambda: not processes("nas.evaluation.worker"), 30)
    before = {c.trial: c for c in RunStudy.read(out / "study.journal")}
    done = {n for n, c in before.items() if c.outcome is not None}
    assert done
    diary = Diary()
    run = nas.open_run(out).resume(workers=1, listener=diary)
    after = {c.trial: c for c in run.candidates}
    assert all(after[n] == before[n] for n in done)
    assert not done & set(diary.evaluated)
    assert sum(c.charged for c in after.values()) == 6
    assert all(c.state is not State.RUNNING for c in after.values())
    with pytest.raises(InputError, match="budget of 6 candidates is used"):
        run.resume()
    assert sum(c.charged for c in run.resume(budget=1).candidates) == 7


def wait_for(condition: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "timed out"
        time.sleep(0.1)


def count_trained(out: Path) -> int:
    try:
        return sum(c.state is State.TRAINED for c in RunStudy.read(out / "study.journal"))
    except DecodeError:
        return 0


@pytest.mark.slow
def test_ray_drives_the_same_search_and_leaves_no_process(tmp_path: Path, dataset: Dataset) -> None:
    run = quick(dataset, tmp_path / "ray", executor="ray", workers=2, budget=5)
    assert sum(c.state is State.TRAINED for c in run.candidates) == 5
    assert all((run.path / "models" / m.id / "weights-fold0.npz").exists() for m in run.front.members)
    wait_for(lambda: not processes("raylet") and not processes("nas.evaluation.worker"), 30)
    more = run.resume(budget=2, dataset=dataset)
    assert sum(c.charged for c in more.candidates) == 7


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["local", "ray"])
def test_ctrl_c_once_writes_everything_and_says_how_to_go_on(tmp_path: Path, npz: Path, executor: str) -> None:
    out = tmp_path / "interrupted"
    command = [sys.executable, "-m", "nas.cli.main", "search", "--space", "tiny", "--data", str(npz), "--out", str(out)]
    command += ["--constraints", "none", "--effort", "1x2", "--budget", "500", "--executor", executor]
    driver = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(lambda: count_trained(out) >= 1, 120)
    os.killpg(driver.pid, signal.SIGINT)
    _, errors = driver.communicate(timeout=90)
    assert driver.returncode == 130
    assert f"nas resume {out}" in errors
    assert "Traceback" not in errors
    assert json.loads((out / "front.json").read_text())["members"]
    wait_for(lambda: not processes("nas.evaluation.worker") and not processes("raylet"), 30)


@pytest.mark.slow
def test_a_refused_candidate_is_recorded_and_never_trained(tmp_path: Path, dataset: Dataset) -> None:
    """The prototype violates both bounds, and is trained all the same: others are compared with it."""
    bounds = Indicator((Constraint("params", 4_000, True), Constraint("latency_ms", 0.6, True, ratio=True)))
    run = quick(dataset, tmp_path / "bounds", indicator=bounds, budget=6)
    candidates = run.candidates
    assert candidates[0].state is State.TRAINED
    assert candidates[0].status is Status.VIOLATED
    refused = [c for c in candidates[1:] if c.status is Status.VIOLATED and c.state is not State.REPEAT]
    assert refused
    for c in refused:
        assert c.state is State.REJECTED
        assert c.outcome is not None
        assert c.outcome.effort is None
        assert c.value("accuracy") is None
        last = c.verdicts[-1]
        assert last.violation > 0
        if last.metric == "params":
            assert (last.value, last.bound, last.seconds) == (c.cost.params, 4000, 0.0)
            assert not c.charged
        else:
            assert last.seconds > 0
    told = run.explain(refused[0].id)
    assert json.dumps(told)
    assert json.dumps(run.explain())
    assert all(m.status is not Status.VIOLATED for m in run.front.members) or run.front.status == "nearest"


@pytest.mark.slow
def test_a_second_family_runs_through_everything(tmp_path: Path, dataset: Dataset) -> None:
    run = quick(dataset, tmp_path / "toy", space=toy_family.space, budget=3)
    assert sum(c.state is State.TRAINED for c in run.candidates) == 3
    best = run.front.members[0]
    assert isinstance(best.network(), toy_family.ChainArchitecture)
    assert (run.path / "models" / best.id / "model.tflite").exists()
    with pytest.raises(InputError, match="pass it again"):
        run.resume(budget=1, dataset=dataset)
    assert sum(c.charged for c in run.resume(budget=1, dataset=dataset, space=toy_family.space).candidates) == 4


@pytest.mark.slow
def test_a_crashing_candidate_is_a_recorded_failure(tmp_path: Path, dataset: Dataset) -> None:
    """The evaluator is killed in the middle of a candidate; the search goes on with a new one."""

    class Killer(Silent):
        killed = False

        def proposed(self, candidate: Candidate) -> None:
            if candidate.trial == 1 and not self.killed:
                self.killed = True
                for pid in processes("nas.evaluation.worker"):
                    os.kill(pid, signal.SIGSEGV)

    run = quick(dataset, tmp_path / "crash", budget=3, listener=Killer())
    failed = [c for c in run.candidates if c.state is State.FAILED]
    assert len(failed) == 1
    assert failed[0].outcome is not None
    assert failed[0].outcome.failure is not None
    assert "signal 11" in failed[0].outcome.failure["reason"]
    assert sum(c.state is State.TRAINED for c in run.candidates) == 2


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_a_recorded_failure(tmp_path: Path, dataset: Dataset) -> None:
    options = SearchOptions(effort=Rung(1, 2), recipe=Recipe(learning_rate=1e30))
    with pytest.raises(NothingEvaluatedError, match="the loss became"):
        quick(dataset, tmp_path / "nan", budget=2, options=options)
    run = nas.open_run(tmp_path / "nan")
    assert [c.state for c in run.candidates] == [State.FAILED, State.FAILED]
    failure = run.candidates[0].outcome.failure  # type: ignore[union-attr]
    assert failure is not None and failure["kind"] == "TrainingDivergedError" and "epoch" in failure["reason"]
    assert json.loads((run.path / "front.json").read_text())["members"] == []


@pytest.mark.slow
def test_one_driver_a_run(finished: nas.Run, dataset: Dataset) -> None:
    with finished.directory.locked(), pytest.raises(EnvironmentStopError, match=f"process {os.getpid()}"):
        nas.open_run(finished.path).resume(budget=1, dataset=dataset)


@pytest.mark.slow
def test_other_data_is_refused_on_resume(finished: nas.Run, dataset: Dataset) -> None:
    other = dataset.subset(np.arange(len(dataset) - 1))
    with pytest.raises(InputError, match="fingerprint"):
        finished.resume(budget=1, dataset=other)


def test_an_unknown_front_is_empty_not_invented() -> None:
    from nas.pareto import objectives_of
    from nas.run.front import front_of

    front = front_of([], objectives_of(["accuracy", "params"]), (0.1, 100.0))
    assert front == Front("nearest", objectives_of(["accuracy", "params"]), (0.1, 100.0), (), 0.0)
    assert "empty" in front.headline()
