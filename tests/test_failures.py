"""Candidates that go wrong: recorded with a reason, tried again where the machine was at fault, told to the user."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import fill
from state_machine import SPACE, Notes, machine

from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.errors import EnvironmentStopError, InputError
from nas.evaluation.bundle import Bundle
from nas.evaluation.client import EvaluatorProcess, Finished
from nas.evaluation.job import Job, Setup
from nas.evaluation.limits import STALL_S, Limits, resident_bytes
from nas.evaluation.train import Recipe
from nas.indicator import Indicator
from nas.loop import LOST, STREAK
from nas.measurement import Measurement
from nas.run.candidate import ENVIRONMENT, EVALUATOR_KILLED, HOPELESS, WORKER_LOST, Outcome, State, charged
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.space import fit_to_data


def trained(value: float) -> Outcome:
    measured = {"accuracy": Measurement(value, value - 0.1, value + 0.1, "share", 9, "made up")}
    return Outcome(State.TRAINED, (), measured, "1x1", {"train": 1.0})


def failed(kind: str) -> Outcome:
    return Outcome(State.FAILED, failure={"kind": kind, "reason": f"{kind} happened", "log": "the log's tail"})


@pytest.mark.parametrize("kind", sorted(ENVIRONMENT))
def test_what_the_environment_did_is_tried_once_more(tmp_path: Path, kind: str) -> None:
    notes = Notes()
    search = machine(tmp_path, 4, notes)
    first = search.propose()
    assert first is not None
    assert search.finish(first, failed(kind)).state is State.RUNNING
    assert search.charged == 1
    again = search.propose()
    assert again == first
    assert search.finish(again, trained(0.7)).state is State.TRAINED
    assert search.candidates[0].outcome is not None
    assert search.candidates[0].outcome.worker["attempts"] == 2
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(e["event"], e["trial"], e["failure"]) for e in events] == [
        ("retried", 0, dict(failed(kind).failure or {}))
    ]
    assert any("tried again" in n and f"{kind} happened" in n for n in notes.notes)
    second = search.propose()
    assert second is not None and second.trial == 1
    search.finish(second, failed(kind))
    assert search.propose() == second
    assert search.finish(second, failed(kind)).state is State.FAILED  # a second time is enough
    assert search.propose().trial == 2  # type: ignore[union-attr]


def test_the_last_candidate_of_a_budget_is_tried_again_too(tmp_path: Path) -> None:
    search = machine(tmp_path, 2)
    first, second = search.propose(), search.propose()
    assert first is not None and second is not None
    assert search.propose() is None and search.done  # the budget is given out
    search.finish(first, trained(0.5))
    search.finish(second, failed(EVALUATOR_KILLED))
    assert not search.done
    assert search.propose() == second
    search.finish(second, trained(0.6))
    assert search.done and search.stop_reason == "budget"
    assert [c.state for c in search.candidates if c.state is not State.REPEAT] == [State.TRAINED] * 2


def test_failures_before_the_first_success_count_the_same_in_every_session(tmp_path: Path) -> None:
    search = machine(tmp_path, 8)
    while (job := search.propose()) is not None:
        search.finish(job, failed("x"))
    assert search.charged == HOPELESS
    second = machine(tmp_path, 8)
    assert second.charged == 0
    for _ in range(3):
        job = second.propose()
        assert job is not None
        second.finish(job, trained(0.5 + job.trial / 100))
    in_flight = second.propose()
    third = machine(tmp_path, 8)  # as after a kill
    assert third.charged == 4
    assert charged(third.candidates) == 4
    assert third.propose() == in_flight
    assert third._by_id[SPACE.prototype.id] == HOPELESS  # the one that was trained stands for it
    third.finish(in_flight, trained(0.6))  # type: ignore[arg-type]
    while (job := third.propose()) is not None:
        third.finish(job, trained(0.6))
    assert sum(c.state is State.TRAINED for c in third.candidates) == 8
    assert third.charged == charged(third.candidates) == 8


def test_a_lost_candidate_changes_no_proposal(tmp_path: Path) -> None:
    """With a lag, proposals are those of an undisturbed search, whatever is put back and wherever it is killed."""

    def proposals(folder: Path, lose: set[int], kill_at: set[int]) -> list[str]:
        folder.mkdir()
        search = machine(folder, 14, lag=3)
        lost: set[int] = set()
        running: list[Job] = []
        while True:
            while len(running) < 2 and (job := search.propose()) is not None:
                running.append(job)
            if not running:
                return [c.id for c in search.candidates]
            job = running.pop(0)
            if job.trial in lose - lost:
                lost.add(job.trial)
                search.finish(job, failed(EVALUATOR_KILLED))
            else:
                search.finish(job, trained(0.5 + 0.01 * (job.trial % 7)))
            if job.trial in kill_at:
                kill_at = kill_at - {job.trial}
                running, search = [], machine(folder, 14, lag=3)

    undisturbed = proposals(tmp_path / "a", set(), set())
    assert len(undisturbed) >= 14
    assert proposals(tmp_path / "b", {2, 5, 11}, set()) == undisturbed
    assert proposals(tmp_path / "c", {1, 7}, {3, 4, 9}) == undisturbed


def test_nothing_is_put_back_after_the_end(tmp_path: Path) -> None:
    search = machine(tmp_path)
    job = search.propose()
    assert job is not None
    search.stop("time")
    search.finish(job, failed(EVALUATOR_KILLED))
    assert search.propose() is None and search.done
    assert machine(tmp_path).propose() == job  # a resume takes it up


def test_a_candidates_own_fault_is_recorded_at_once(tmp_path: Path) -> None:
    search = machine(tmp_path)
    job = search.propose()
    assert job is not None
    candidate = search.finish(job, failed("TrainingDivergedError"))
    assert candidate.state is State.FAILED
    kept = RunStudy.read(tmp_path / "study.journal")[0]
    assert kept == candidate
    assert kept.outcome is not None and kept.outcome.failure == failed("TrainingDivergedError").failure


def test_three_failures_of_one_kind_in_a_row_are_said_once(tmp_path: Path) -> None:
    notes = Notes()
    search = machine(tmp_path, 30, notes)

    def next_is(outcome: Outcome) -> None:
        job = search.propose()
        assert job is not None
        search.finish(job, outcome)

    next_is(trained(0.5))
    for kind in ("a", "a", "b", "b"):
        next_is(failed(kind))
    next_is(trained(0.6))
    next_is(failed("b"))
    assert notes.notes == []
    for _ in range(STREAK):
        next_is(failed("b"))
    assert len(notes.notes) == 1
    assert f"{STREAK} candidates in a row failed (b)" in notes.notes[0] and "nas explain" in notes.notes[0]
    assert not search.done


def test_a_machine_that_loses_everything_ends_the_search(tmp_path: Path) -> None:
    search = machine(tmp_path)
    first = search.propose()
    assert first is not None
    search.finish(first, trained(0.5))
    kinds = itertools.cycle([EVALUATOR_KILLED, EVALUATOR_KILLED, WORKER_LOST])  # whatever it calls itself
    with pytest.raises(EnvironmentStopError, match=f"{LOST} candidates in a row were lost, each tried twice"):
        while (job := search.propose()) is not None:
            search.finish(job, failed(next(kinds)))
    assert search.done
    assert sum(c.state is State.FAILED for c in search.candidates) == LOST
    again = machine(tmp_path)
    assert again.propose() is not None


@pytest.mark.parametrize(("limits", "message"), [({"time_s": 0.5}, "at least 1 s"), ({"memory_bytes": 5}, "500 MB")])
def test_limits_that_nothing_could_keep_are_refused(limits: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Limits(**limits)  # type: ignore[arg-type]


def test_limits_say_which_was_passed() -> None:
    mine = os.getpid()
    assert resident_bytes(mine) > 10_000_000
    assert resident_bytes(2**22 + 1) == 0
    assert Limits().exceeded(mine, 1e6, STALL_S - 1) is None
    assert Limits().exceeded(mine, 1e6, STALL_S + 1) == (
        "timeout",
        "no progress for 30 m 00 s; --candidate-time sets another limit",
    )
    assert Limits(time_s=90).exceeded(mine, 91, 0)[0] == "timeout"  # type: ignore[index]
    assert Limits(time_s=1e5).exceeded(mine, 9e4, STALL_S + 1) is None  # the user's word counts
    assert Limits(memory_bytes=10**15).exceeded(mine, 0, 0) is None


@pytest.fixture(scope="module")
def job_and_setup(dataset: Dataset) -> tuple[Job, Setup]:
    space = fit_to_data(SPACE, dataset.input_shape, len(dataset.class_names))
    graph = space.prototype.graph()
    return Job(0, "a" * 12, graph, (Rung(1, 1),), 0, True), Setup(graph, Indicator(), Recipe())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle.npz"
    Bundle.of(dataset, make_split(dataset)).save(path)
    return path


@pytest.fixture
def evaluator(bundle: Path, job_and_setup: tuple[Job, Setup]) -> Iterator[EvaluatorProcess]:
    process = EvaluatorProcess(bundle, job_and_setup[1])
    yield process
    process.close()


def end_of(evaluator: EvaluatorProcess, seconds: float = 120) -> Finished:
    end = time.monotonic() + seconds
    while (finished := evaluator.poll(1.0)) is None:
        assert time.monotonic() < end, "timed out"
    return finished


def pid_of(evaluator: EvaluatorProcess) -> int:
    assert evaluator._process is not None
    return evaluator._process.pid


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "kind", "environmental"),
    [(signal.SIGKILL, "evaluator killed", True), (signal.SIGSEGV, "evaluator crashed", False)],
)
def test_a_process_that_dies(
    evaluator: EvaluatorProcess, job_and_setup: tuple[Job, Setup], number: int, kind: str, environmental: bool
) -> None:
    """And the slot takes the next candidate all the same."""
    evaluator.submit(job_and_setup[0])
    assert end_of(evaluator).outcome.state is State.TRAINED
    evaluator.submit(job_and_setup[0])
    os.kill(pid_of(evaluator), number)
    outcome = end_of(evaluator).outcome
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure["kind"], outcome.environmental) == (State.FAILED, kind, environmental)
    assert f"signal {int(number)}" in outcome.failure["reason"]
    assert outcome.seconds["failed"] > 0
    evaluator.submit(job_and_setup[0])
    assert end_of(evaluator).outcome.state is State.TRAINED
    adjusted = Path(f"/proc/{pid_of(evaluator)}/oom_score_adj").read_text()
    assert int(adjusted) == 500  # where memory runs out, the system ends it and not the driver


@pytest.mark.slow
def test_a_candidate_that_hangs_or_grows_is_ended(bundle: Path, job_and_setup: tuple[Job, Setup]) -> None:
    job, setup = job_and_setup
    for limits, kind, reason in (
        (Limits(time_s=2), "timeout", "longer than the 2 s"),
        (Limits(memory_bytes=100_000_000), "out of memory", "may 100 MB"),
    ):
        evaluator = EvaluatorProcess(bundle, Setup(setup.prototype, setup.indicator, setup.recipe, limits=limits))
        evaluator.submit(job)
        pid = pid_of(evaluator)
        if kind == "timeout":
            os.kill(pid, signal.SIGSTOP)  # hangs for good
        outcome = end_of(evaluator).outcome
        assert outcome.failure is not None
        assert outcome.failure["kind"] == kind and reason in outcome.failure["reason"]
        assert not outcome.environmental
        assert not Path(f"/proc/{pid}").exists()
        evaluator.close()


class Chatty(EvaluatorProcess):
    """A process that reports progress all the time, and never ends."""

    def _spawn(self, their_read: int, their_write: int) -> subprocess.Popen[bytes]:
        code = (
            "import json, sys, time\nfrom multiprocessing.connection import Connection\n"
            f"out = Connection({their_write}, readable=False)\n"
            "while True:\n    out.send_bytes(json.dumps({'type': 'progress'}).encode())\n    time.sleep(0.02)"
        )
        return subprocess.Popen([sys.executable, "-c", code], pass_fds=(their_read, their_write))


@pytest.mark.parametrize("wait_s", [0.0, 2.0])
def test_progress_does_not_hide_a_limit(bundle: Path, job_and_setup: tuple[Job, Setup], wait_s: float) -> None:
    job, setup = job_and_setup
    evaluator = Chatty(bundle, Setup(setup.prototype, setup.indicator, setup.recipe, limits=Limits(time_s=1)))
    evaluator.submit(job)
    start = time.monotonic()
    while (finished := evaluator.poll(wait_s)) is None:
        assert time.monotonic() - start < 20
        time.sleep(0.01)
    assert finished.outcome.failure is not None and finished.outcome.failure["kind"] == "timeout"
    assert 1 <= finished.outcome.seconds["failed"] < 10
    evaluator.close()


def test_an_evaluator_that_cannot_start_leaves_nothing(
    bundle: Path, job_and_setup: tuple[Job, Setup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(EnvironmentStopError, match="no evaluator can be started"):
        EvaluatorProcess(bundle, job_and_setup[1]).submit(job_and_setup[0])
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_data_that_cannot_be_read_is_not_the_candidates_fault(tmp_path: Path, job_and_setup: tuple[Job, Setup]) -> None:
    evaluator = EvaluatorProcess(tmp_path / "gone.npz", job_and_setup[1])
    evaluator.submit(job_and_setup[0])
    outcome = end_of(evaluator).outcome
    assert outcome.failure is not None
    assert (outcome.failure["kind"], outcome.environmental) == ("system error", True)
    assert "gone.npz" in outcome.failure["log"]
    evaluator.close()


@pytest.mark.slow
def test_an_evaluator_whose_disk_is_full_says_so(
    small_disk: Path, bundle: Path, job_and_setup: tuple[Job, Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow fails in strange ways then; the failure is the machine's all the same, and the search goes on."""
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    evaluator = EvaluatorProcess(bundle, job_and_setup[1])
    evaluator.start()
    filler = fill(small_disk)
    evaluator.submit(job_and_setup[0])
    outcome = end_of(evaluator).outcome
    assert outcome.failure is not None
    assert (outcome.failure["kind"], outcome.environmental) == ("disk full", True)
    evaluator.close()
    filler.unlink()
    evaluator.submit(job_and_setup[0])
    assert end_of(evaluator).outcome.state is State.TRAINED
    evaluator.close()


def test_no_room_for_an_evaluator_is_an_error_of_the_environment(
    bundle: Path, job_and_setup: tuple[Job, Setup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(EnvironmentStopError, match="no evaluator can be started"):
        EvaluatorProcess(bundle, job_and_setup[1]).submit(job_and_setup[0])


@pytest.mark.slow
def test_between_two_rungs(evaluator: EvaluatorProcess, job_and_setup: tuple[Job, Setup]) -> None:
    """An evaluator that waits for a decision goes on, takes another job in its place, or is killed."""
    ladder = (Rung(1, 1), Rung(1, 3), Rung(2, 3))
    climbing = replace(job_and_setup[0], ladder=ladder)
    evaluator.submit(climbing)
    for rung in ladder[:-1]:
        between = end_of(evaluator)
        assert (between.last, between.outcome.effort, list(between.files)) == (False, str(rung), ["predictions.npz"])
        assert evaluator.job == climbing and evaluator.poll() is None  # it waits
        evaluator.go_on()
    whole = end_of(evaluator)
    assert whole.last and whole.outcome.effort == "2x3" and evaluator.job is None
    assert {"weights-fold0.npz", "weights-fold1.npz", "model.tflite"} <= set(whole.files)

    evaluator.submit(climbing)
    assert not end_of(evaluator).last
    other = replace(job_and_setup[0], trial=1, id="b" * 12)
    evaluator.submit(other)  # in the place of a decision, as where Ray stops a trial and takes the next
    assert end_of(evaluator).outcome.effort == "1x1"

    evaluator.submit(climbing)
    assert not end_of(evaluator).last
    evaluator.release()
    assert evaluator.job is None
    evaluator.submit(other)
    assert end_of(evaluator).outcome.effort == "1x1"

    evaluator.submit(climbing)
    assert not end_of(evaluator).last
    os.kill(pid_of(evaluator), signal.SIGKILL)
    lost = end_of(evaluator).outcome
    assert lost.failure is not None and lost.failure["kind"] == "evaluator killed" and lost.environmental
    evaluator.submit(other)
    assert end_of(evaluator).outcome.state is State.TRAINED
