"""Candidates put together by hand, for tests of what is shown of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nas.families.residual import ResidualArchitecture, Stage
from nas.indicator import Indicator, Step
from nas.measurement import Measurement
from nas.run.candidate import Candidate, Outcome, State

HOW = "bootstrap over 94 subjects, one-sided 0.95"


def architecture(width: int = 8) -> ResidualArchitecture:
    """A network whose number of parameters follows from ``width``."""
    return ResidualArchitecture((16, 16, 1), 3, 8, 1, (Stage(8, (8,)), Stage(16, (width,))))


def trained(
    trial: int,
    accuracy: float,
    *,
    params: int | None = None,
    latency_ms: float | None = None,
    half: float = 0.03,
    indicator: Indicator | None = None,
    **changes: Any,
) -> Candidate:
    """A trained candidate, judged by ``indicator``; ``params`` replaces the true count."""
    measured = {
        "accuracy": Measurement(accuracy, max(accuracy - half, 0), min(accuracy + half, 1), "share", 500, HOW),
        "size_bytes": Measurement.exact(4000, "bytes", "the exported float32 TFLite file"),
    }
    if latency_ms is not None:
        spread = 0.9 * latency_ms, 1.1 * latency_ms
        measured["latency_ms"] = Measurement(latency_ms, *spread, "ms", 900, "this machine, 1 thread")
    c = bare(trial, params=params)
    outcome = Outcome(State.TRAINED, (), measured, "5x8", {"start": 3.0, "convert": 1.0, "train": 9.0})
    c = replace(c, outcome=outcome)
    known = {name: m for name in ("params", "latency_ms", "accuracy") if (m := c.measurement(name)) is not None}
    verdicts = (indicator or Indicator()).judge(known, Step, 10.0)
    return replace(c, outcome=replace(outcome, verdicts=verdicts), **changes)


def bare(trial: int, *, params: int | None = None, **changes: Any) -> Candidate:
    """A candidate that nothing was found out about yet."""
    a = architecture(4 + trial)
    cost = a.cost() if params is None else replace(a.cost(), params=params)
    return replace(Candidate(trial, a.id, a.to_json(), None, (), 0, cost), **changes)
