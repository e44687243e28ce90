"""An architecture under evaluation, and all that was found out about it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nas.architecture import Architecture
from nas.cost import Cost
from nas.indicator import COSTS, Status, Verdict, exact_cost, overall
from nas.measurement import Measurement
from nas.pareto import Objective


class State(enum.StrEnum):
    """How far a candidate has come."""

    RUNNING = "running"
    TRAINED = "trained"
    REJECTED = "rejected"  # a cheap constraint is violated: never trained
    FAILED = "failed"
    REPEAT = "repeat"  # an architecture that an earlier trial stands for


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found.

    Attributes:
        state: trained, rejected or failed.
        verdicts: in the order of the indicator; of constraints whose metric was never known there is none.
        measurements: by metric name; only what was measured.
        effort: such as ``1x8``, absent when nothing was trained.
        seconds: where the time went, by phase.
        failure: for a failed candidate its ``kind``, ``reason`` and the ``log`` tail.
        worker: what is worth knowing of the process that evaluated it.
    """

    state: State
    verdicts: tuple[Verdict, ...] = ()
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    effort: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    failure: Mapping[str, str] | None = None
    worker: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {
            "state": self.state.value,
            "verdicts": [v.to_json() for v in self.verdicts],
            "measurements": {name: m.to_json() for name, m in self.measurements.items()},
            "effort": self.effort,
            "seconds": {name: round(s, 4) for name, s in self.seconds.items()},
            "failure": None if self.failure is None else dict(self.failure),
            "worker": dict(self.worker),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Reads what :meth:`to_json` wrote."""
        return cls(
            state=State(data["state"]),
            verdicts=tuple(Verdict.from_json(v) for v in data["verdicts"]),
            measurements={name: Measurement.from_json(m) for name, m in data["measurements"].items()},
            effort=data["effort"],
            seconds=data["seconds"],
            failure=data["failure"],
            worker=data.get("worker", {}),
        )


@dataclass(frozen=True)
class Candidate:
    """One trial of a run.

    Attributes:
        trial: its number in the study; 0 is the prototype.
        id: of the architecture.
        architecture: its canonical JSON.
        parent: id of the architecture that it is a child of, where the sampler works with edits.
        edits: from the parent, as text.
        seed: of initial weights, order of images and augmentation.
        cost: exact costs.
        outcome: what was found, None while it is running.
        repeat_of: the earlier trial that stands for the same architecture.
    """

    trial: int
    id: str
    architecture: str
    parent: str | None
    edits: tuple[str, ...]
    seed: int
    cost: Cost
    outcome: Outcome | None = None
    repeat_of: int | None = None

    @property
    def state(self) -> State:
        """How far it has come."""
        if self.repeat_of is not None:
            return State.REPEAT
        return State.RUNNING if self.outcome is None else self.outcome.state

    @property
    def charged(self) -> bool:
        """Whether it counts against the budget: repeats and what exact costs refuse reach no evaluator."""
        if self.state is State.REJECTED:
            return not any(v.status is Status.VIOLATED and v.metric in COSTS for v in self.verdicts)
        return self.state is not State.REPEAT

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """Verdicts so far."""
        return () if self.outcome is None else self.outcome.verdicts

    @property
    def status(self) -> Status:
        """The indicator's word."""
        return overall(self.verdicts)

    @property
    def violation(self) -> float:
        """Largest relative violation, 0 when every value is within its bound."""
        return max((max(v.violation, 0.0) for v in self.verdicts), default=0.0)

    def value(self, metric: str) -> float | None:
        """The value of a metric, exact or measured; None where it is not known."""
        measured = self.measurement(metric)
        return None if measured is None else measured.value

    def measurement(self, metric: str) -> Measurement | None:
        """The measurement of a metric; exact costs count as measured."""
        if metric in COSTS:
            return exact_cost(self.cost, metric)
        return None if self.outcome is None else self.outcome.measurements.get(metric)

    def values(self, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
        """The objectives' values, or None while one is unknown."""
        found = [self.value(o.name) for o in objectives]
        return None if any(v is None for v in found) else tuple(v for v in found if v is not None)

    def start_json(self) -> dict[str, Any]:
        """What is known when it is proposed, for the journal."""
        return {
            "id": self.id,
            "architecture": self.architecture,
            "parent": self.parent,
            "edits": list(self.edits),
            "seed": self.seed,
            "cost": asdict(self.cost),
            "repeat_of": self.repeat_of,
        }

    @classmethod
    def from_json(cls, trial: int, start: Mapping[str, Any], outcome: Mapping[str, Any] | None) -> Candidate:
        """Reads :meth:`start_json` and an outcome back."""
        return cls(
            trial=trial,
            id=start["id"],
            architecture=start["architecture"],
            parent=start["parent"],
            edits=tuple(start["edits"]),
            seed=start["seed"],
            cost=Cost(**start["cost"]),
            outcome=None if outcome is None else Outcome.from_json(outcome),
            repeat_of=start["repeat_of"],
        )

    def network(self) -> Architecture:
        """The architecture itself.  Raises DecodeError when its family is not imported."""
        return Architecture.from_json(self.architecture)


def charged(candidates: Iterable[Candidate]) -> int:
    """How many count against a budget; failures do not as long as nothing was ever trained (see the loop)."""
    own = [c for c in candidates if c.charged]
    hopeful = any(c.state is State.TRAINED for c in own)
    return sum(hopeful or c.state is not State.FAILED for c in own)
