"""Why a candidate is where it is, and where the candidates of a run fell: plain data, fit for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, Final

from nas.indicator import COSTS, LATENCY_RATIO, METRICS, Indicator, Status, Step, Verdict, exact_costs
from nas.run.candidate import Candidate, State
from nas.run.judged import not_judged
from nas.task import Task

_SIGNED: Final = tuple(m.name for m in METRICS.values() if m.least < 0)
START: Final = "start"  # the phase in which an evaluator process starts: no candidate's own cost
STEP_NAMES: Final[Mapping[Step, str]] = {
    Step.COST: "exact costs",
    Step.EXPORT: "exported size",
    Step.LATENCY: "latency",
    Step.TRAINING: "training",
}


def explain_candidate(
    candidate: Candidate, prototype: Candidate, indicator: Indicator | None = None, task: Task | None = None
) -> dict[str, Any]:
    """All that is known of one candidate and how it came to be known.

    Args:
        candidate: of whom.
        prototype: trial 0, beside which costs and measurements are shown.
        indicator: the run's; with it, the constraints that were never judged are named as well.
        task: the run's, whose metrics might have been measured; classification by default.

    Returns:
        ``id, trial, state, status, repeat_of, parent, edits, seed, effort, why`` (a sentence);
        ``costs`` and ``measurements``: ``{metric: {"value", ..., "prototype", "ratio"}}``; ``element_bytes`` of an
        activation in the file that is judged (4 in float32, 1 in int8); ``verdicts``, each with
        metric, value, low, high, bound, side, status, step and seconds; ``not_measured``: ``[{"metric", "reason"}]``;
        ``not_judged``: constraints as text, null without an indicator; ``failure``: kind, reason and log, or null;
        ``rungs``: what it showed before its last one; ``stopped``: why it was not trained to the full effort, or null;
        ``inheritance``: where its weights began, null for a training from scratch;
        ``seconds`` by phase and ``seconds_total``, null where no time was recorded.
    """
    outcome = candidate.outcome
    seconds = None if outcome is None or not outcome.seconds else dict(outcome.seconds)
    known = exact_costs(candidate.cost, candidate.element_bytes)
    return {
        "id": candidate.id,
        "trial": candidate.trial,
        "state": candidate.state.value,
        "status": candidate.status.value if candidate.verdicts else None,
        "why": _why(candidate),
        "repeat_of": candidate.repeat_of,
        "parent": candidate.parent,
        "edits": list(candidate.edits),
        "seed": candidate.seed,
        "effort": None if outcome is None else outcome.effort,
        "rungs": [asdict(rung) for rung in candidate.rungs],
        "stopped": None if outcome is None else outcome.stopped,
        "inheritance": None if outcome is None or outcome.inheritance is None else asdict(outcome.inheritance),
        "costs": {name: _beside(known[name].value, prototype.value(name)) for name in COSTS},
        "element_bytes": candidate.element_bytes,
        "measurements": _measurements(candidate, prototype),
        "verdicts": [_verdict(candidate, v) for v in candidate.verdicts],
        "not_measured": _not_measured(candidate, task or Task()),
        "not_judged": None if indicator is None else not_judged(candidate, indicator),
        "failure": None if outcome is None or outcome.failure is None else dict(outcome.failure),
        "seconds": seconds,
        "seconds_total": None if seconds is None else sum(seconds.values()),
    }


def _beside(value: float, prototype: float | None, *, signed: bool = False) -> dict[str, float | None]:
    """Of a ``signed`` value, such as a correlation, a quotient says nothing."""
    if signed:
        return {"value": value, "prototype": prototype, "ratio": None}
    return {"value": value, "prototype": prototype, "ratio": value / prototype if prototype else None}


def _measurements(candidate: Candidate, prototype: Candidate) -> dict[str, dict[str, Any]]:
    if candidate.outcome is None:
        return {}
    return {
        name: {**m.to_json(), **_beside(m.value, prototype.value(name), signed=name.startswith(_SIGNED))}
        for name, m in candidate.outcome.measurements.items()
    }


def _verdict(candidate: Candidate, v: Verdict) -> dict[str, Any]:
    m = candidate.measurement(v.metric)
    low, high = (None, None) if m is None else (m.low, m.high)
    return {**v.to_json(), "low": low, "high": high, "step": STEP_NAMES[step_of(v)]}


def step_of(verdict: Verdict) -> Step:
    """The step at which a verdict's metric becomes known."""
    return Step.LATENCY if verdict.metric == LATENCY_RATIO else METRICS[verdict.metric].step


def refusal(candidate: Candidate) -> Verdict | None:
    """The violated verdict, None where there is none."""
    return next((v for v in candidate.verdicts if v.status is Status.VIOLATED), None)


def bound_text(v: Verdict | Mapping[str, Any]) -> str:
    """A verdict's constraint, such as ``params <= 1000000``."""
    data = v.to_json() if isinstance(v, Verdict) else v
    return f"{data['metric']} {'<=' if data['side'] == 'max' else '>='} {data['bound']:.10g}"


def _why(c: Candidate) -> str:
    """One sentence."""
    refused = refusal(c)
    if c.repeat_of is not None:
        return f"trial {c.repeat_of} stands for the same architecture; its outcome holds here"
    if c.outcome is None:
        return "it is being evaluated, or waits for it"
    if c.state is State.FAILED:
        failure = c.outcome.failure or {}
        return (
            f"its evaluation failed: {failure.get('kind', 'unknown kind')}: {failure.get('reason', 'no reason known')}"
        )
    if c.outcome.stopped is not None:
        return f"stopped after {c.outcome.effort}: {c.outcome.stopped}"
    if refused is not None:
        reason = f"{bound_text(refused)} is violated: {refused.value:.6g}"
        if c.foretold:
            return f"rejected before it was built: {reason}, foretold and not measured"
        return f"rejected before training: {reason}" if c.state is State.REJECTED else f"trained, but {reason}"
    if c.status is Status.UNDECIDED:
        open_ = ", ".join(bound_text(v) for v in c.verdicts if v.status is Status.UNDECIDED)
        return f"trained; undecided, since the bound lies inside the interval: {open_}"
    return "trained; every constraint is met" if c.verdicts else "trained; no constraint was set"


def _not_measured(c: Candidate, task: Task) -> list[dict[str, str]]:
    """Metrics without a value, and why."""
    refused = refusal(c)
    if c.outcome is None:
        reason = "not evaluated yet"
    elif c.outcome.state is State.FAILED:
        reason = "the evaluation failed"
    elif refused is not None:
        reason = f"{bound_text(refused)} was violated before"
    else:
        reason = "not part of this evaluation"
    return [{"metric": name, "reason": reason} for name in task.metrics if c.measurement(name) is None]


def summary(candidates: Sequence[Candidate], indicator: Indicator) -> dict[str, Any]:
    """How many candidates there are, where they fell, and what that cost and saved.

    Returns:
        ``candidates, trained, rejected, failed, repeats, running``: counts; ``trained_by_status``;
        ``constraints``: one entry a constraint in the order of evaluation, with its step, how many candidates it
        rejected before training and how many trained ones it refuted; ``failed_by_kind``;
        ``stopped_at``: how many ended after which rung; ``lot``: how many were trained on in spite of a doubt, and how
        many of them the doubt was wrong;
        ``seconds_by_phase`` and ``seconds_by_state`` (null where nothing was recorded: failed evaluations record no
        time); ``median_trained_seconds`` and ``seconds_saved``: both null while nothing is trained.  Saved is an
        estimate: the median trained candidate's seconds less what was spent, summed over the rejected ones.  The
        start of evaluator processes counts in ``seconds_by_phase`` alone.
    """
    states = Counter(c.state for c in candidates)
    own = [c for c in candidates if c.state is not State.REPEAT]
    trained = [spent(c) for c in own if c.state is State.TRAINED and c.outcome and c.outcome.seconds]
    usual = median(trained) if trained else None
    rejected = [c for c in own if c.state is State.REJECTED]
    failures = [c.outcome.failure for c in own if c.state is State.FAILED and c.outcome and c.outcome.failure]
    return {
        "candidates": len(candidates),
        "trained": states[State.TRAINED],
        "rejected": states[State.REJECTED],
        "failed": states[State.FAILED],
        "repeats": states[State.REPEAT],
        "running": states[State.RUNNING],
        "stopped_at": dict(Counter(str(c.outcome.effort) for c in own if c.outcome and c.outcome.stopped)),
        "lot": _lot(own),
        "trained_by_status": dict(Counter(c.status.value for c in own if c.state is State.TRAINED)),
        "constraints": [_fallen(own, k.measured, k.upper, str(k), k.step) for k in indicator.constraints],
        "failed_by_kind": dict(Counter(f.get("kind", "unknown") for f in failures)),
        "seconds_by_phase": _by_phase(own),
        "seconds_by_state": {s.value: _sum(own, s) for s in (State.TRAINED, State.REJECTED, State.FAILED)},
        "median_trained_seconds": usual,
        "seconds_saved": None if usual is None else sum(usual - spent(c) for c in rejected),
    }


def _fallen(own: Sequence[Candidate], metric: str, upper: bool, text: str, step: Step) -> dict[str, Any]:
    side = "max" if upper else "min"
    fell = [c for c in own if (v := refusal(c)) is not None and (v.metric, v.side) == (metric, side)]
    rejected = [c for c in fell if c.state is State.REJECTED]
    return {
        "constraint": text,
        "step": STEP_NAMES[step],
        "rejected": len(rejected),
        "rejected_seconds": sum(spent(c) for c in rejected),
        "refuted_after_training": len(fell) - len(rejected),
    }


def _lot(own: Sequence[Candidate]) -> dict[str, int]:
    """Of those that should have been stopped and went on by lot: how many, and for how many that was right.

    A doubt was wrong where the candidate, trained to the end, is more accurate than the member that was to dominate it
    (predicts numbers with less error), or is not refuted though it was to be.
    """
    by_id = {c.id: c for c in reversed(own)}
    ended = [c for c in own if c.state is State.TRAINED and c.outcome is not None and c.outcome.stopped is None]
    doubts = [(c, rung.doubt) for c in ended for rung in c.rungs if rung.doubt is not None]
    wrong = {c.id for c, doubt in doubts if _was_wrong(doubt, c, by_id)}
    return {"drawn": len({c.id for c, _ in doubts}), "wrongly_doubted": len(wrong)}


def _was_wrong(doubt: str, candidate: Candidate, by_id: Mapping[str, Candidate]) -> bool:
    if not doubt.startswith("dominated by "):
        return candidate.status is not Status.VIOLATED
    member = by_id.get(doubt.removeprefix("dominated by ").partition(":")[0])
    return member is not None and candidate.merit > member.merit


def spent(c: Candidate) -> float:
    """Seconds that a candidate's own evaluation took; 0 where none was needed or recorded."""
    return 0.0 if c.outcome is None else sum(s for phase, s in c.outcome.seconds.items() if phase != START)


def _by_phase(own: Iterable[Candidate]) -> dict[str, float]:
    total: dict[str, float] = {}
    for c in own:
        for phase, seconds in ({} if c.outcome is None else c.outcome.seconds).items():
            total[phase] = total.get(phase, 0.0) + seconds
    return total


def _sum(own: Iterable[Candidate], state: State) -> float | None:
    """Null where candidates of that state recorded no time, 0 where there are none."""
    there = [c for c in own if c.state is state]
    costly = [c for c in there if c.charged]
    if costly and not any(c.outcome and c.outcome.seconds for c in costly):
        return None
    return sum(spent(c) for c in there)
