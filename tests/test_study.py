from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from nas.errors import DecodeError, EnvironmentStopError
from nas.indicator import Indicator, Status, Verdict
from nas.loop import HOPELESS, Plan, Search
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.run.atomic import write_atomic
from nas.run.candidate import Outcome, State
from nas.run.directory import RunDirectory
from nas.run.study import RunStudy, repair_tail
from nas.rung import Rung
from nas.space import load_space
from nas.synthesis.evolution import EvolutionSampler
from nas.synthesis.samplers import make_sampler

OBJECTIVES = objectives_of(["accuracy", "params"])
SPACE = load_space("tiny")


def accuracy(value: float) -> Outcome:
    measured = {"accuracy": Measurement(value, value - 0.1, value + 0.1, "share", 9, "made up")}
    return Outcome(State.TRAINED, (), measured, "1x1", {"train": 1.0})


def open_search(folder: Path, lag: int | None = None, budget: int = 6) -> Search:
    plan = Plan(SPACE, Indicator(), OBJECTIVES, (0.1, 20_000.0), (Rung(1, 1),), 0, budget, lag)
    study = RunStudy(folder / "study.journal", OBJECTIVES, EvolutionSampler(SPACE, seed=0))
    return Search(plan, study, RunDirectory(folder))


def test_the_state_machine_without_executor(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    first, second = search.propose(), search.propose()
    assert first is not None and second is not None
    assert (first.trial, first.reference, first.id) == (0, True, SPACE.prototype.id)
    assert second.reference is False
    search.finish(second, accuracy(0.6))
    search.finish(first, accuracy(0.7))
    again = open_search(tmp_path)  # as after a kill: nothing in flight, both finished
    assert [c.value("accuracy") for c in again.candidates] == [0.7, 0.6]
    assert again.front == search.front
    third = again.propose()
    assert third is not None
    killed = open_search(tmp_path)
    requeued = killed.propose()
    assert requeued == third  # what was in flight comes first
    killed.finish(requeued, Outcome(State.FAILED, failure={"kind": "x", "reason": "y", "log": ""}))
    assert killed.candidates[third.trial].state is State.FAILED
    while (job := killed.propose()) is not None:
        killed.finish(job, accuracy(0.5))
    assert killed.done and killed.stop_reason == "budget"
    assert killed.charged == 6


def test_failures_are_tried_again_when_nothing_ever_worked(tmp_path: Path) -> None:
    search = open_search(tmp_path, budget=20)
    ids = []
    while (job := search.propose()) is not None:
        ids.append(job.id)
        search.finish(job, Outcome(State.FAILED, failure={"kind": "x", "reason": "y", "log": ""}))
    assert len(ids) == HOPELESS
    assert search.stop_reason is not None and "none could be evaluated" in search.stop_reason
    again = open_search(tmp_path, budget=20)
    assert again.charged == 0
    first = again.propose()
    assert first is not None
    assert (first.id, first.reference, first.trial) == (ids[0], True, HOPELESS)
    again.finish(first, accuracy(0.7))
    assert again.front.members[0].id == ids[0]


def test_samplers_go_on_where_they_were(tmp_path: Path) -> None:
    """NSGA-II's generations and its random state outlive a resume."""

    def session(trials: int) -> Search:
        plan = Plan(load_space("emotionnet-nano"), Indicator(), OBJECTIVES, (0.1, 1e6), (Rung(1, 1),), 0, trials)
        past = len(RunStudy.read(tmp_path / "study.journal")) if (tmp_path / "study.journal").exists() else 0
        sampler = make_sampler("nsga2", plan.space, 0, past=past)
        search = Search(plan, RunStudy(tmp_path / "study.journal", OBJECTIVES, sampler), RunDirectory(tmp_path))
        while (job := search.propose()) is not None:
            search.finish(job, accuracy(0.5 + job.trial / 1000))
        return search

    session(55)
    search = session(75)
    assert search.charged == 75
    assert len(search.candidates) <= 85  # crossover repeats a few; a random state that starts again, dozens
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    )
    trials = optuna.load_study(study_name="nas", storage=storage).trials
    generations = [value for t in trials for key, value in t.system_attrs.items() if key.endswith("generation")]
    assert len(generations) >= 75 and {generations[0], generations[-1]} == {0, 1}


def test_a_lag_waits_for_what_a_proposal_rests_on(tmp_path: Path) -> None:
    search = open_search(tmp_path, lag=2)
    jobs = [search.propose(), search.propose()]
    assert all(jobs)
    assert search.propose() is None  # trial 2 rests on trial 0
    assert not search.done
    search.finish(jobs[1], accuracy(0.5))  # type: ignore[arg-type]
    assert search.propose() is None
    search.finish(jobs[0], accuracy(0.5))  # type: ignore[arg-type]
    assert search.propose() is not None


def test_a_repeat_takes_the_recorded_result_and_costs_nothing(tmp_path: Path) -> None:
    """A space of one architecture: every further proposal repeats the prototype."""
    text = (Path(__file__).parents[1] / "search_spaces" / "tiny.yaml").read_text()
    lines = []
    for line in text.splitlines():
        for name in ("4, high: 8", "8, high: 16", "4, high: 16", "1, high: 2"):
            if f"low: {name}" in line:
                prototype = line.split("prototype: ")[1].split(",")[0]
                line = line.replace(f"low: {name}", f"low: {prototype}, high: {prototype}")
        lines.append(line.replace("choices: [1, 2]", "choices: [1]").replace("links: true", "links: false"))
    path = tmp_path / "one.yaml"
    path.write_text("\n".join(lines))
    space = load_space(path)
    plan = Plan(space, Indicator(), OBJECTIVES, (0.1, 20_000.0), (Rung(1, 1),), 0, 6)
    study = RunStudy(tmp_path / "study.journal", OBJECTIVES, EvolutionSampler(space, seed=0))
    search = Search(plan, study, RunDirectory(tmp_path))
    job = search.propose()
    assert job is not None
    search.finish(job, accuracy(0.8))
    assert search.propose() is None
    assert search.stop_reason is not None and "exhausted" in search.stop_reason
    repeats = [c for c in search.candidates if c.state is State.REPEAT]
    assert repeats and search.charged == 1
    assert all(c.repeat_of == 0 and c.value("accuracy") == 0.8 for c in repeats)


@pytest.mark.parametrize("cut", [1, 2, 7, 40, 300])
def test_a_torn_last_line_is_cut_off_and_kept(tmp_path: Path, cut: int) -> None:
    search = open_search(tmp_path)
    job = search.propose()
    assert job is not None
    search.finish(job, accuracy(0.7))
    search.propose()
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    last = whole[whole.rfind(b"\n", 0, len(whole) - 1) + 1 :]
    journal.write_bytes(whole[: -min(cut, len(last) - 1)])
    torn = journal.read_bytes()
    assert RunStudy.read(journal)[0].value("accuracy") == 0.7  # reading changes nothing
    assert journal.read_bytes() == torn
    again = open_search(tmp_path)
    assert again.candidates[0].value("accuracy") == 0.7
    assert again.propose() is not None
    aside = list(tmp_path.glob("study.journal.torn-*"))
    assert len(aside) == 1
    assert last.startswith(aside[0].read_bytes())


def test_nothing_is_repaired_that_is_whole(tmp_path: Path) -> None:
    assert repair_tail(tmp_path / "none") is None
    open_search(tmp_path).propose()
    assert repair_tail(tmp_path / "study.journal") is None


def test_other_journals_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="run directory"):
        RunStudy.read(tmp_path / "missing")
    path = tmp_path / "study.journal"
    path.write_text('{"op_code": 0, "worker_id": "x", "study_name": "other", "directions": [1]}\n')
    with pytest.raises(DecodeError, match="no study named"):
        RunStudy.read(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with pytest.raises(EnvironmentStopError):
        write_atomic(path / "below-a-file", "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_outcomes_round_trip() -> None:
    verdict = Verdict("params", 9.0, 8.0, "max", Status.VIOLATED, 0.0)
    outcome = Outcome(State.REJECTED, (verdict,), {}, None, {"build": 0.25}, None, {"exclusive_core": True})
    assert Outcome.from_json(outcome.to_json()) == outcome
    assert verdict.violation == pytest.approx(1 / 8)
