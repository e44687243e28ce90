"""Explanations: every number in them follows from the candidates."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from handmade import bare, trained

from nas.indicator import Constraint, Indicator, Status, Step
from nas.measurement import Measurement
from nas.report.explain import explain_candidate, summary
from nas.report.explain_text import candidate_lines, summary_lines
from nas.run.candidate import Candidate, Outcome, State

INDICATOR = Indicator(
    (
        Constraint("accuracy", 0.8, False),
        Constraint("params", 1e5, True),
        Constraint("latency_ms", 0.6, True, ratio=True),
    )
)


def _too_large(trial: int) -> Candidate:
    c = bare(trial, params=200_000, parent="abcd", edits=("widen s1 8->12",))
    known = {"params": Measurement.exact(200_000, "parameters", "counted from the graph")}
    return replace(c, outcome=Outcome(State.REJECTED, INDICATOR.judge(known, (Step.COST,), 0.0)))


def _too_slow(trial: int) -> Candidate:
    c = bare(trial, params=50_000)
    measured = {
        "size_bytes": Measurement.exact(4000, "bytes", "exported before training"),
        "latency_ms": Measurement(1.5, 1.4, 1.6, "ms", 900, "this machine"),
        "latency_ratio": Measurement(0.8, 0.75, 0.85, "ratio", 900, "this machine"),
    }
    known = {**measured, "params": Measurement.exact(50_000, "parameters", "counted from the graph")}
    verdicts = INDICATOR.judge(known, (Step.COST,), 0.0) + INDICATOR.judge(known, (Step.EXPORT, Step.LATENCY), 1.25)
    seconds = {"start": 3.0, "build": 0.25, "convert": 0.5, "measure": 0.5}
    return replace(c, outcome=Outcome(State.REJECTED, verdicts, measured, None, seconds))


def _failed(trial: int, kind: str = "evaluator died") -> Candidate:
    failure = {"kind": kind, "reason": "ended with signal 11", "log": "first\nlast line"}
    return replace(bare(trial), outcome=Outcome(State.FAILED, failure=failure))


def _good(trial: int, seconds: float = 10.0, accuracy: float = 0.9) -> Candidate:
    c = trained(trial, accuracy, params=60_000, latency_ms=0.5, indicator=INDICATOR)
    assert c.outcome is not None
    return replace(c, outcome=replace(c.outcome, seconds={"start": 3.0, "train": seconds}))


def test_rejected_by_exact_cost() -> None:
    e = explain_candidate(_too_large(3), _good(0), INDICATOR)
    assert (e["trial"], e["state"], e["status"]) == (3, "rejected", "violated")
    assert (e["parent"], e["edits"]) == ("abcd", ["widen s1 8->12"])
    assert e["why"] == "rejected before training: params <= 100000 is violated: 200000"
    assert e["costs"]["params"] == {"value": 200_000, "prototype": 60_000, "ratio": pytest.approx(10 / 3)}
    (verdict,) = e["verdicts"]
    assert (verdict["metric"], verdict["bound"], verdict["status"]) == ("params", 1e5, "violated")
    assert (verdict["low"], verdict["high"], verdict["seconds"], verdict["step"]) == (
        200_000,
        200_000,
        0.0,
        "exact costs",
    )
    assert e["not_judged"] == ["latency_ms <= 0.6 of the prototype's", "accuracy >= 0.8"]
    unmeasured = {m["metric"]: m["reason"] for m in e["not_measured"]}
    assert set(unmeasured) == {"size_bytes", "latency_ms", "accuracy", "balanced_accuracy", "macro_f1"}
    assert set(unmeasured.values()) == {"params <= 100000 was violated before"}
    assert (e["seconds"], e["seconds_total"]) == (None, None)


def test_rejected_by_measured_latency() -> None:
    e = explain_candidate(_too_slow(2), _good(0), INDICATOR)
    assert [(v["metric"], v["status"]) for v in e["verdicts"]] == [("params", "met"), ("latency_ratio", "violated")]
    ratio = e["verdicts"][1]
    assert (ratio["value"], ratio["low"], ratio["high"], ratio["bound"]) == (0.8, 0.75, 0.85, 0.6)
    assert (ratio["seconds"], ratio["step"]) == (1.25, "latency")
    assert e["not_judged"] == ["accuracy >= 0.8"]
    assert [m["metric"] for m in e["not_measured"]] == ["accuracy", "balanced_accuracy", "macro_f1"]
    assert e["measurements"]["latency_ms"]["ratio"] == pytest.approx(3.0)
    assert e["seconds_total"] == pytest.approx(4.25)


def test_failed() -> None:
    e = explain_candidate(_failed(4), _good(0), INDICATOR)
    assert e["why"] == "its evaluation failed: evaluator died: ended with signal 11"
    assert e["failure"] == {"kind": "evaluator died", "reason": "ended with signal 11", "log": "first\nlast line"}
    assert {m["reason"] for m in e["not_measured"]} == {"the evaluation failed"}
    assert e["status"] is None
    lines = candidate_lines(e)
    assert lines[-2:] == ["  first", "  last line"]
    assert "time: none recorded" in lines


def test_undecided_and_met_and_running() -> None:
    undecided = trained(1, 0.81, params=1000, indicator=INDICATOR)
    assert undecided.status is Status.UNDECIDED
    why = explain_candidate(undecided, _good(0), INDICATOR)["why"]
    assert why == "trained; undecided, since the bound lies inside the interval: accuracy >= 0.8"
    assert explain_candidate(_good(1), _good(0), INDICATOR)["why"] == "trained; every constraint is met"
    running = explain_candidate(bare(1), _good(0), INDICATOR)
    assert running["why"] == "it is being evaluated, or waits for it"
    assert running["verdicts"] == [] and running["measurements"] == {}
    repeat = explain_candidate(replace(_good(1), trial=7, repeat_of=1), _good(0))
    assert repeat["why"] == "trial 1 stands for the same architecture; its outcome holds here"
    assert repeat["not_judged"] is None


def test_summary_counts_and_saves() -> None:
    candidates = [
        _good(0, 10.0),
        _good(1, 20.0),
        _good(2, 30.0, accuracy=0.5),
        _too_large(3),
        _too_large(4),
        _too_slow(5),
        _failed(6),
        _failed(7, "TrainingDivergedError"),
        replace(_good(1, 20.0), trial=8, repeat_of=1),
        bare(9),
    ]
    s = summary(candidates, INDICATOR)
    counts = {k: s[k] for k in ("candidates", "trained", "rejected", "failed", "repeats", "running")}
    assert counts == {"candidates": 10, "trained": 3, "rejected": 3, "failed": 2, "repeats": 1, "running": 1}
    assert s["trained_by_status"] == {"met": 2, "violated": 1}
    rows = [(c["step"], c["rejected"], c["rejected_seconds"], c["refuted_after_training"]) for c in s["constraints"]]
    assert rows == [("exact costs", 2, 0.0, 0), ("latency", 1, 1.25, 0), ("training", 0, 0.0, 1)]
    assert s["failed_by_kind"] == {"evaluator died": 1, "TrainingDivergedError": 1}
    assert s["seconds_by_phase"] == {"start": 12.0, "train": 60.0, "build": 0.25, "convert": 0.5, "measure": 0.5}
    assert s["seconds_by_state"] == {"trained": 60.0, "rejected": 1.25, "failed": None}
    assert s["median_trained_seconds"] == 20.0
    assert s["seconds_saved"] == pytest.approx(20 + 20 + 18.75)
    lines = summary_lines(s)
    assert lines[0] == "10 candidates: 3 trained, 3 rejected, 2 failed, 1 repeats, 1 running"
    assert lines[-1] == "saved by rejecting early: about 59 s (a trained candidate takes 20.0 s, the median)"
    assert "  failed, evaluator died: 1" in lines


def test_savings_are_unknown_while_nothing_is_trained() -> None:
    s = summary([_too_large(1), _too_slow(2)], INDICATOR)
    assert (s["trained"], s["median_trained_seconds"], s["seconds_saved"]) == (0, None, None)
    assert summary_lines(s)[-1] == "saved by rejecting early: unknown, no candidate has been trained"
    empty = summary([], INDICATOR)
    assert (empty["candidates"], empty["seconds_saved"], empty["seconds_by_phase"]) == (0, None, {})


def test_everything_is_json() -> None:
    candidates = [_good(0), _too_large(1), _too_slow(2), _failed(3), bare(4)]
    for c in candidates:
        explanation = explain_candidate(c, candidates[0], INDICATOR)
        assert json.loads(json.dumps(explanation, allow_nan=False)) == explanation
    found = summary(candidates, INDICATOR)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_lines_name_every_verdict_with_bound_value_and_cost() -> None:
    lines = candidate_lines(explain_candidate(_too_slow(2), _good(0), INDICATOR))
    assert lines[0] == f"candidate {bare(2).id}  trial 2  rejected, violated"
    assert "  params <= 100000: met, 50,000 (free)" in lines
    assert "  latency_ratio <= 0.6: violated, 0.8 [0.75, 0.85] (known after 1.25 s)" in lines
    assert "  accuracy >= 0.8: not judged" in lines
    assert "  accuracy: latency_ratio <= 0.6 was violated before" in lines
    assert "  latency_ms: 1.5 [1.4, 1.6] ms  (3 of the prototype's)" in lines
    assert "  params: 50,000  (0.833 of the prototype's)" in lines
    assert "time: 4.25 s" in lines
    assert all(len(line) <= 120 for line in lines)
