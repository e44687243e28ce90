"""The front, kept up one candidate at a time, is the one that the definition gives."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nas.cost import Cost
from nas.indicator import Status, Verdict
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.run.candidate import Candidate, Outcome, State
from nas.run.front import front_of

OBJECTIVES = objectives_of(["accuracy", "params"])
POINT = (0.0, 10.0)


def candidate(trial: int, accuracy: int, params: int, latency: int, state: State) -> Candidate:
    """Accuracy in tenths; latency beyond 4 ms is violated, of 4 ms undecided."""
    status = Status.VIOLATED if latency > 4 else (Status.UNDECIDED if latency == 4 else Status.MET)
    verdict = Verdict("latency_ms", float(latency), 4.0, "max", status, 0.0)
    measured = {"accuracy": Measurement(accuracy / 10, accuracy / 10, accuracy / 10, "share", 1, "made up")}
    outcome = Outcome(state, (verdict,), measured if state is State.TRAINED else {})
    return Candidate(trial, f"{trial:012d}", "{}", None, (), 0, Cost(params, 1, 1, 1), outcome)


rows = st.tuples(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 8), st.sampled_from([State.TRAINED] * 4 + [State.REJECTED])
)


@given(st.lists(rows, max_size=25), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_the_front_by_definition(table: list[tuple[int, int, int, State]], order: object) -> None:
    all_of_them = [candidate(i, *row) for i, row in enumerate(table)]
    trained = [c for c in all_of_them if c.state is State.TRAINED]
    allowed = [c for c in trained if c.status is not Status.VIOLATED]
    least = min((c.violation for c in trained), default=0.0)
    pool = allowed or [c for c in trained if c.violation == least]

    def key(c: Candidate) -> tuple[float, float]:
        return (-(c.value("accuracy") or 0), c.cost.params)

    def beaten(c: Candidate) -> bool:
        better = [d for d in pool if all(a <= b for a, b in zip(key(d), key(c), strict=True)) and key(d) != key(c)]
        return bool(better) or any(key(d) == key(c) and d.trial < c.trial for d in pool)

    expected = sorted((c for c in pool if not beaten(c)), key=key)
    shuffled = list(all_of_them)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    front = front_of(shuffled, OBJECTIVES, POINT)
    assert list(front.members) == expected
    assert front == front_of(all_of_them, OBJECTIVES, POINT)
    status = "nearest" if not allowed else ("met" if any(m.status is Status.MET for m in expected) else "undecided")
    assert front.status == status
    cells = {
        (a, p)
        for c in (expected if allowed else [])
        for a in range(round(key(c)[0] * -10))
        for p in range(c.cost.params, 10)
    }
    assert abs(front.hypervolume - len(cells) / 10) < 1e-9
