"""Members of the front are trained again from scratch now and then, to see what inherited weights make of a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import stdtrit  # type: ignore[import-untyped]

from nas.indicator import METRICS, PRIMARY
from nas.measurement import is_number
from nas.run.candidate import Candidate, Outcome, State
from nas.run.directory import RunDirectory

EVERY: Final = 10  # evaluated candidates
SCRATCH: Final = "predictions-scratch.npz"  # file of such a training
_EVENT: Final = "rescored"


class Rescoring:
    """Which members were trained again.

    Args:
        directory: of the run, whose events tell.
        seed: of the choice among members.
    """

    def __init__(self, directory: RunDirectory, seed: int) -> None:
        self._directory = directory
        self._seed = seed
        events = directory.events(_EVENT)
        self._begun = {str(event.get("id")) for event in events}
        done = [event["charged"] for event in events if isinstance(event.get("charged"), int)]
        self._next = EVERY * (max(done, default=0) // EVERY + 1)

    def due(self, members: Sequence[Candidate], charged: int) -> Candidate | None:
        """A member to train again now, drawn among those with inherited epochs; None while it is not time or none has.

        Args:
            members: of the front.
            charged: candidates evaluated so far.
        """
        if charged < self._next:
            return None
        heirs = [m for m in members if m.outcome is not None and m.outcome.inherited_epochs()]
        heirs = sorted((m for m in heirs if m.id not in self._begun), key=lambda m: m.trial)
        if not heirs:
            return None
        rng = np.random.default_rng([self._seed, EVERY, self._next])
        chosen = heirs[int(rng.integers(len(heirs)))]
        self._begun.add(chosen.id)
        self._next = EVERY * (charged // EVERY + 1)
        return chosen

    def record(self, member: Candidate, outcome: Outcome, charged: int) -> None:
        """Appends what a member showed from scratch; one that the environment lost may be drawn again.

        Args:
            member, outcome: which one, and what came of it.
            charged: candidates evaluated so far.
        """
        if outcome.environmental:
            self._begun.discard(member.id)
            return
        trained = outcome.state is State.TRAINED
        metric = next((name for name in PRIMARY if name in outcome.measurements), PRIMARY[0])
        self._directory.append_event(
            _EVENT,
            id=member.id,
            trial=member.trial,
            charged=charged,
            effort=outcome.effort,
            inherited_epochs=0 if member.outcome is None else member.outcome.inherited_epochs(),
            metric=metric,
            **{metric: member.value(metric)},
            from_scratch=outcome.measurements[metric].value if trained else None,
            failure=None if outcome.failure is None else dict(outcome.failure),
        )


@dataclass(frozen=True)
class Drift:
    """How much more inherited scores say than trainings from scratch, over the members that were trained again.

    Attributes:
        members: how many.
        metric: the score: accuracy, or the error of networks that predict numbers alone.
        mean: inherited minus from scratch.
        low, high: its 95 % interval (Student's t over members); None for fewer than two.
    """

    members: int
    mean: float
    low: float | None
    high: float | None
    metric: str = "accuracy"

    def __str__(self) -> str:
        networks = "1 member" if self.members == 1 else f"{self.members} members"
        ends = [] if self.low is None or self.high is None else [self.low, self.high]
        if METRICS[self.metric].unit == "share":
            (mean, *between), what = (f"{100 * v:+.1f}" for v in (self.mean, *ends)), "points"
        else:
            (mean, *between), what = (f"{v:+.3f}" for v in (self.mean, *ends)), self.metric
        interval = f" [{', '.join(between)}]" if between else ""
        return (
            f"trained again from scratch: {networks}; inherited weights had scored {mean} {what}"
            f"{interval} against that, the luck by which they became members included"
        )


def drift(events: Sequence[dict[str, Any]]) -> Drift | None:
    """The drift that a run's events tell of; None where no member was trained again."""
    metric = next((m for e in events if (m := e.get("metric")) in PRIMARY), PRIMARY[0])  # older runs name none
    pairs = [(e.get(metric), e.get("from_scratch")) for e in events]
    found = np.array([[a, b] for a, b in pairs if is_number(a) and is_number(b)], dtype=float).reshape(-1, 2)
    differences = found[:, 0] - found[:, 1]
    n = len(differences)
    if not n:
        return None
    mean = float(differences.mean())
    if n == 1:
        return Drift(1, mean, None, None, metric)
    half = float(stdtrit(n - 1, 0.975) * differences.std(ddof=1) / np.sqrt(n))
    return Drift(n, mean, mean - half, mean + half, metric)


def drift_of(directory: RunDirectory) -> Drift | None:
    """The drift of a run."""
    return drift(directory.events(_EVENT))
