"""The journal: what we write is what Optuna reads, and the other way round."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nas.errors import DecodeError, EnvironmentStopError
from nas.run.journal import Contents, JournalWriter, parsed_distributions, read_journal, repair_tail

DISTRIBUTIONS = {
    "width": IntDistribution(4, 64, step=4),
    "link": CategoricalDistribution([False, True]),
    "kind": CategoricalDistribution(["a", None, 3]),
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
}
TRIALS = [
    ({"width": 8, "link": True, "kind": None, "rate": 0.01}, TrialState.COMPLETE, [0.9, 1000.0]),
    ({"width": 64, "link": False, "kind": 3, "rate": 0.1}, TrialState.PRUNED, None),
    ({"width": 4, "link": True, "kind": "a", "rate": 0.0001}, TrialState.FAIL, None),
    ({"width": 12, "link": False, "kind": "a", "rate": 0.0002}, TrialState.RUNNING, None),
]


def written(path: Path) -> None:
    writer = JournalWriter(path)
    writer.create_study("nas", ["maximize", "minimize"])
    for number, (params, state, values) in enumerate(TRIALS):
        writer.create_trial(0, params, DISTRIBUTIONS, {"note": number}, {"mark": [number]})
        if state is not TrialState.RUNNING:
            writer.finish_trial(number, {"end": {"at": number}}, {"constraints:x": -0.5}, state, values)


def storage(path: Path) -> optuna.storages.JournalStorage:
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))


def values(contents: Contents) -> list[object]:
    rows: list[object] = []
    for e in contents.entries:
        known = parsed_distributions(e.distributions, {})
        params = {name: known[name].to_external_repr(v) for name, v in e.params.items()}
        rows.append((params, known, e.state, e.user_attrs, e.system_attrs))
    return rows


def test_optuna_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    written(path)
    study = optuna.load_study(study_name="nas", storage=storage(path))
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [(t.params, t.state, t.values) for t in study.trials] == TRIALS
    assert study.trials[0].distributions == DISTRIBUTIONS
    assert [t.user_attrs for t in study.trials] == [
        {"note": n} | ({"end": {"at": n}} if n < 3 else {}) for n in range(4)
    ]
    assert study.trials[0].constraints == {"x": -0.5}
    assert study.best_trials[0].number == 0
    assert study.trials[0].datetime_complete is not None
    assert study.trials[0].datetime_start <= study.trials[0].datetime_complete  # type: ignore[operator]


def test_the_same_is_read_from_our_records_and_from_optunas(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    written(ours)
    study = optuna.create_study(study_name="nas", storage=storage(theirs), directions=["maximize", "minimize"])
    for number, (params, state, result) in enumerate(TRIALS):
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=DISTRIBUTIONS,
            user_attrs={"note": number},
            system_attrs={"mark": [number]},
        )
        study.add_trial(template)
        if state is not TrialState.RUNNING:
            study._storage.set_trial_user_attr(number, "end", {"at": number})
            study._storage.set_trial_system_attr(number, "constraints:x", -0.5)
            study._storage.set_trial_state_values(number, state, result)
    assert values(read_journal(ours, "nas")) == values(read_journal(theirs, "nas"))
    assert read_journal(theirs, "nas").directions == ("maximize", "minimize")
    # Field for field the records are Optuna's own, but for who wrote them and when.
    for a, b in zip(ours.read_text().splitlines(), theirs.read_text().splitlines(), strict=True):
        mine, other = json.loads(a), json.loads(b)
        for name in ("worker_id", "datetime_start", "datetime_complete"):
            assert (name in mine) == (name in other)
            mine.pop(name, None), other.pop(name, None)
        assert mine == other


def test_what_others_note_beside_us_does_no_harm(tmp_path: Path) -> None:
    """The dashboard's notes, another study in the file, and late writes to finished trials."""
    path = tmp_path / "study.journal"
    written(path)
    other = optuna.create_study(study_name="other", storage=storage(path))
    other.add_trial(optuna.trial.create_trial(value=1.0))
    study = optuna.load_study(study_name="nas", storage=storage(path))
    study.set_user_attr("note", "seen")
    study._storage.set_trial_system_attr(3, "dashboard:note", "look here")
    contents = read_journal(path, "nas")
    assert (len(contents.entries), contents.trials) == (4, 5)
    assert contents.entries[3].system_attrs["dashboard:note"] == "look here"
    JournalWriter(path).create_trial(0, TRIALS[0][0], DISTRIBUTIONS, {}, {})
    assert read_journal(path, "nas").entries[4].trial_id == 5
    assert len(optuna.load_study(study_name="nas", storage=storage(path)).trials) == 5


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:20] + b"\n", *lines[3:]]))
    with pytest.raises(DecodeError, match=r"line 3 is not a record"):
        read_journal(path, "nas")
    path.write_bytes(b"".join([*lines[:2], b"[1, 2]\n", *lines[3:]]))
    with pytest.raises(DecodeError, match=r"line 3 is not a record"):
        read_journal(path, "nas")


def test_half_an_end_is_none(tmp_path: Path) -> None:
    """A trial's end is several lines; cut between them, or within one, it is still running and can be ended again."""
    path = tmp_path / "study.journal"
    writer = JournalWriter(path)
    writer.create_study("nas", ["maximize"])
    writer.create_trial(0, TRIALS[0][0], DISTRIBUTIONS, {}, {})
    begun = path.stat().st_size
    writer.finish_trial(0, {"end": 1}, {"constraints:x": 0.0}, TrialState.COMPLETE, [0.5])
    whole = path.read_bytes()
    for cut in range(begun, len(whole)):
        path.write_bytes(whole[:cut])
        repair_tail(path)
        assert read_journal(path, "nas").entries[0].state is TrialState.RUNNING
        JournalWriter(path).finish_trial(0, {"end": 2}, {}, TrialState.COMPLETE, [0.6])
        entry = read_journal(path, "nas").entries[0]
        assert (entry.state, entry.user_attrs["end"]) == (TrialState.COMPLETE, 2)


def test_a_write_that_fails_leaves_no_trace(small_disk: Path) -> None:
    from conftest import fill

    path = small_disk / "study.journal"
    written(path)
    filler = fill(small_disk)
    before = path.read_bytes()
    with pytest.raises(EnvironmentStopError, match="No space left"):
        for _ in range(20):
            JournalWriter(path).create_trial(0, TRIALS[0][0], DISTRIBUTIONS, {"long": "x" * 5000}, {})
    assert path.read_bytes().startswith(before)
    assert path.read_bytes().endswith(b"\n")
    filler.unlink()
    JournalWriter(path).create_trial(0, TRIALS[0][0], DISTRIBUTIONS, {"after": True}, {})
    assert read_journal(path, "nas").entries[-1].user_attrs == {"after": True}


def test_an_empty_journal_is_a_run_that_was_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.touch()
    assert read_journal(path, "nas").entries == []
    path.write_text('{"op_code":0,"worker_id":"x","stu')
    assert read_journal(path, "nas").entries == []
