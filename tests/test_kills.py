"""Processes killed at any moment, journals cut anywhere: nothing finished is lost, or evaluated again."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import optuna
import pytest
from fabricated import outcome
from state_machine import Notes, machine

from nas.loop import Search
from nas.run.candidate import State
from nas.run.study import RunStudy

KILLS = int(os.environ.get("NAS_KILLS", "1"))


def load_benchmark() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "kills.py"
    spec = importlib.util.spec_from_file_location("kills", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kills"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


kills = load_benchmark()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("target", "executor"), [("driver", "local"), ("evaluator", "local"), ("ray-worker", "ray")])
def test_what_is_killed_loses_nothing(target: str, executor: str) -> None:
    assert kills.disturb(target, executor, KILLS, seed=1) == []


@pytest.mark.parametrize("last", ["a proposal", "an outcome"])
def test_a_journal_cut_at_any_byte_of_its_last_write(tmp_path: Path, last: str) -> None:
    search = machine(tmp_path, 5)
    journal = tmp_path / "study.journal"
    job = search.propose()
    assert job is not None
    search.finish(job, outcome(job))
    if last == "an outcome":
        job = search.propose()
        before = journal.stat().st_size
        assert job is not None
        search.finish(job, outcome(job))
    else:
        before = journal.stat().st_size
        search.propose()
    whole = journal.read_bytes()
    for cut in range(before, len(whole)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "study.journal").write_bytes(whole[:cut])
        search = open_cut(folder, whole[:cut])
        if cut % 100 == before % 100 or cut == len(whole) - 1:
            go_on(search, folder / "study.journal")


def open_cut(folder: Path, content: bytes) -> Search:
    """Looks, then resumes: every candidate is there, and what was torn is kept and told of."""
    journal = folder / "study.journal"
    ledger = kills.Ledger.of(journal)
    seen = RunStudy.read(journal)
    assert journal.read_bytes() == content  # looking changes nothing
    notes, began = Notes(), time.perf_counter()
    search = machine(folder, 5, notes)
    assert time.perf_counter() - began < 5
    assert search.candidates == seen
    assert [c.trial for c in seen if c.outcome is not None] == sorted(ledger.outcomes)
    assert [c.trial for c in seen if c.outcome is None] == sorted(ledger.running)
    torn = content[content.rfind(b"\n") + 1 :]
    assert [p.read_bytes() for p in folder.glob("*.torn-*")] == ([torn] if torn else [])
    assert len([note for note in notes.notes if "torn" in note]) == bool(torn)
    return search


def go_on(search: Search, journal: Path) -> None:
    """To the end of the budget: what was in flight is evaluated again, and nothing finished is."""
    ledger, evaluated = kills.Ledger.of(journal), []
    while (job := search.propose()) is not None:
        evaluated.append(job.trial)
        search.finish(job, outcome(job))
    assert not set(evaluated) & set(ledger.outcomes)
    assert set(ledger.running) <= set(evaluated)
    after = kills.Ledger.of(journal)
    assert ledger.outcomes.items() <= after.outcomes.items()
    assert not after.running and not after.twice
    assert search.charged == 5


def test_optuna_opens_what_was_cut_and_repaired(tmp_path: Path) -> None:
    search = machine(tmp_path, 5)
    job = search.propose()
    assert job is not None
    search.finish(job, outcome(job))
    journal = tmp_path / "study.journal"
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size - 9)
    machine(tmp_path, 5).propose()
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    states = [t.state.name for t in optuna.load_study(study_name="nas", storage=storage).trials]
    assert states == ["RUNNING"]


def test_a_large_run_opens_at_once(tmp_path: Path) -> None:
    """Two thousand candidates and a torn line."""
    journal = tmp_path / "study.journal"
    search = machine(tmp_path, 5)
    job = search.propose()
    assert job is not None
    search.finish(job, outcome(job))
    head, *trial = journal.read_bytes().splitlines(keepends=True)
    with journal.open("wb") as file:
        file.write(head)
        for number in range(2000):
            file.writelines(line.replace(b'"trial_id":0', b'"trial_id":%d' % number) for line in trial)
        file.write(trial[0][:-40])
    began = time.perf_counter()
    again = machine(tmp_path, 5)
    assert time.perf_counter() - began < 5
    assert sum(c.state is State.TRAINED for c in again.candidates) == 2000
