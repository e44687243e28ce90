"""An architecture under evaluation, and all that was found out about it."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from dataclasses import field as default
from types import NoneType
from typing import Any, Final

from nas.architecture import Architecture
from nas.cost import BYTES, INT8_BYTES, Cost
from nas.decoding import field, of_kind, texts
from nas.errors import DecodeError, InputError
from nas.indicator import COSTS, METRICS, PRIMARY, Status, Verdict, exact_cost, overall
from nas.measurement import Measurement, is_number
from nas.pareto import Objective
from nas.rung import Rung

# Kinds of failure whose cause lies outside the candidate; it gets a second try.
WORKER_LOST: Final = "worker lost"
EVALUATOR_KILLED: Final = "evaluator killed"
DISK_FULL: Final = "disk full"
SYSTEM_ERROR: Final = "system error"
FORETOLD: Final = "foretold_"  # before the name of a metric that a predicted device foretold
HOPELESS: Final = 5  # failures without any success, after which a search ends
ENVIRONMENT: Final = frozenset({WORKER_LOST, EVALUATOR_KILLED, DISK_FULL, SYSTEM_ERROR})
_MOST_EPOCHS: Final = 1_000_000_000
_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def _effort(text: str) -> Rung:
    try:
        return Rung.parse(text)
    except InputError as error:
        raise DecodeError(str(error)) from error


class State(enum.StrEnum):
    """How far a candidate has come."""

    RUNNING = "running"
    TRAINED = "trained"
    REJECTED = "rejected"  # a cheap constraint is violated: never trained
    FAILED = "failed"
    REPEAT = "repeat"  # an architecture that an earlier trial stands for


@dataclass(frozen=True)
class Inheritance:
    """What the weights of a candidate owe to an evaluated relative.

    Attributes:
        relative: id of its architecture.
        distance: 0..1, see :func:`nas.networks.relatives.distance`.
        epochs: that the weights taken over had been trained for, one number a fold; 0 where that fold began from
            scratch, since the relative had no weights of it.
        share: of the candidate's numbers that come from the relative.
        preserving: whether it computed, before it was trained, what the relative computes.
    """

    relative: str
    distance: float
    epochs: tuple[int, ...]
    share: float
    preserving: bool

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inheritance:
        """Reads ``asdict(inheritance)``.  Raises DecodeError on anything else."""
        epochs = field(data, "epochs", list, tuple)
        if not all(isinstance(e, int) and not isinstance(e, bool) and 0 <= e < _MOST_EPOCHS for e in epochs):
            raise DecodeError(f"epochs: {epochs!r:.80} are not whole numbers")
        distance, share = (field(data, name, int, float) for name in ("distance", "share"))
        if not (0 <= distance <= 1 and 0 <= share <= 1):
            raise DecodeError(f"distance {distance!r:.80} and share {share!r:.80} must lie in 0..1")
        return cls(field(data, "relative", str), distance, tuple(epochs), share, field(data, "preserving", bool))


@dataclass(frozen=True)
class RungResult:
    """What a candidate showed after a rung that was not its last.

    Attributes:
        rung: such as ``1x8``.
        values: of the trained metrics, by name.
        doubt: why it was to be stopped there; None where it was not.  One with a doubt that went on all the same was
            chosen by lot, to see how often doubts are right.
    """

    rung: str
    values: Mapping[str, float]
    doubt: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RungResult:
        """Reads ``asdict(result)``.  Raises DecodeError on anything else."""
        values = field(data, "values", dict)
        for name, value in values.items():
            if not is_number(value):
                raise DecodeError(f"{name}: {value!r:.80} is not a number")
        return cls(str(_effort(field(data, "rung", str))), values, field(data, "doubt", str, NoneType))


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
        inheritance: where its weights began; None for a training from scratch.
        stopped: why it was not trained to the full effort; None where it was.  It is no member of a front.
    """

    state: State
    verdicts: tuple[Verdict, ...] = ()
    measurements: Mapping[str, Measurement] = default(default_factory=dict)
    effort: str | None = None
    seconds: Mapping[str, float] = default(default_factory=dict)
    failure: Mapping[str, str] | None = None
    worker: Mapping[str, Any] = default(default_factory=dict)
    inheritance: Inheritance | None = None
    stopped: str | None = None

    def inherited_epochs(self, fold: int = 0) -> int:
        """Epochs that came with a fold's weights: those behind them, by the share of the numbers that they gave."""
        i = self.inheritance
        return 0 if i is None or fold >= len(i.epochs) else round(i.share * i.epochs[fold])

    @property
    def environmental(self) -> bool:
        """Whether it failed for a cause that lies outside the candidate."""
        return self.failure is not None and self.failure.get("kind") in ENVIRONMENT

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
            "inheritance": None if self.inheritance is None else asdict(self.inheritance),
            "stopped": self.stopped,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError on anything else."""
        state = field(data, "state", str)
        if state not in (State.TRAINED, State.REJECTED, State.FAILED):
            raise DecodeError(f"state: {state!r:.80} is no outcome")
        failure = field(data, "failure", dict, NoneType)
        if failure is not None:
            for name in ("kind", "reason"):
                field(failure, name, str)
        seconds = field(data, "seconds", dict)
        inheritance = of_kind(data.get("inheritance"), "inheritance", dict, NoneType)
        for name, value in seconds.items():
            of_kind(value, f"seconds of {name}", int, float)
        return cls(
            state=State(state),
            verdicts=tuple(Verdict.from_json(v) for v in field(data, "verdicts", list)),
            measurements={name: Measurement.from_json(m) for name, m in field(data, "measurements", dict).items()},
            effort=None if field(data, "effort", str, NoneType) is None else str(_effort(data["effort"])),
            seconds=seconds,
            failure=failure,
            worker=of_kind(data.get("worker", {}), "worker", dict),
            inheritance=None if inheritance is None else Inheritance.from_json(inheritance),
            stopped=of_kind(data.get("stopped"), "stopped", str, NoneType),
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
        cost: exact costs, in float32.
        outcome: what was found, None while it is running.
        repeat_of: the earlier trial that stands for the same architecture.
        relative: trial whose weights it is to start from; None for a training from scratch.
        rungs: what it showed on its way, its last rung left out.
        element_bytes: of one activation in the file that is judged: 4 of a float32 one, 1 of an int8 one.
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
    relative: int | None = None
    rungs: tuple[RungResult, ...] = ()
    element_bytes: int = BYTES

    @property
    def state(self) -> State:
        """How far it has come."""
        if self.repeat_of is not None:
            return State.REPEAT
        return State.RUNNING if self.outcome is None else self.outcome.state

    @property
    def charged(self) -> bool:
        """Whether it counts against the budget: repeats and what is refused unbuilt reach no evaluator."""
        if self.state is State.REJECTED:
            exact = any(v.status is Status.VIOLATED and v.metric in COSTS for v in self.verdicts)
            return not (exact or self.foretold)
        return self.state is not State.REPEAT

    @property
    def foretold(self) -> bool:
        """Whether it was rejected by what a predicted device foretold, and never built."""
        known = () if self.outcome is None else self.outcome.measurements
        return any(name.startswith(FORETOLD) for name in known)

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
            return exact_cost(self.cost, metric, self.element_bytes)
        return None if self.outcome is None else self.outcome.measurements.get(metric)

    def score(self) -> tuple[str, Measurement] | None:
        """The metric by which networks are compared where one is needed, and its measurement; None untrained.

        Accuracy; the error of those that predict numbers alone.
        """
        for name in PRIMARY:
            measured = self.measurement(name)
            if measured is not None:
                return name, measured
        return None

    @property
    def merit(self) -> float:
        """Its score as a number of which more is better; minus infinity without one."""
        found = self.score()
        if found is None:
            return float("-inf")
        name, measured = found
        return measured.value if METRICS[name].direction == "maximize" else -measured.value

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
            "relative": self.relative,
        } | ({} if self.element_bytes == BYTES else {"element_bytes": self.element_bytes})

    @classmethod
    def from_json(
        cls,
        trial: int,
        start: Mapping[str, Any],
        outcome: Mapping[str, Any] | None,
        rungs: Sequence[Mapping[str, Any]] = (),
    ) -> Candidate:
        """Reads :meth:`start_json`, an outcome and rungs back.  Raises DecodeError on anything else."""
        repeat_of = field(start, "repeat_of", int, NoneType)
        relative = of_kind(start.get("relative"), "relative", int, NoneType)
        for name, earlier in (("repeat_of", repeat_of), ("relative", relative)):
            if earlier is not None and not 0 <= earlier < trial:
                raise DecodeError(f"{name}: trial {earlier} does not come before trial {trial}")
        architecture_id = field(start, "id", str)
        if not _ID.fullmatch(architecture_id):
            raise DecodeError(f"id: {architecture_id!r:.80} is no architecture's")
        return cls(
            trial=trial,
            id=architecture_id,
            architecture=field(start, "architecture", str),
            parent=field(start, "parent", str, NoneType),
            edits=texts(start, "edits"),
            seed=field(start, "seed", int),
            cost=Cost.from_json(field(start, "cost", dict)),
            outcome=None if outcome is None else Outcome.from_json(outcome),
            repeat_of=repeat_of,
            relative=relative,
            rungs=tuple(RungResult.from_json(rung) for rung in rungs),
            element_bytes=_element_bytes(start),
        )._climbed()

    def _climbed(self) -> Candidate:
        """Without rungs of an earlier attempt that this one did not reach again."""
        if self.outcome is None or self.outcome.effort is None:
            return self
        return replace(self, rungs=below(self.rungs, self.outcome.effort))

    def network(self) -> Architecture:
        """The architecture itself.  Raises DecodeError when its family is not imported."""
        return Architecture.from_json(self.architecture)


def _element_bytes(start: Mapping[str, Any]) -> int:
    """Of the journal's entry; candidates judged in float32 name none."""
    found = of_kind(start.get("element_bytes", BYTES), "element_bytes", int)
    if found not in (BYTES, INT8_BYTES):
        raise DecodeError(f"element_bytes: {found!r:.80} is neither {BYTES} nor {INT8_BYTES}")
    return int(found)


def below(rungs: Sequence[RungResult], effort: str) -> tuple[RungResult, ...]:
    """The rungs that come before ``effort`` on a ladder, in its order."""
    before = (r for r in rungs if Rung.parse(r.rung) < Rung.parse(effort))
    return tuple(sorted(before, key=lambda r: Rung.parse(r.rung)))


def forgiven(candidates: Sequence[Candidate]) -> set[int]:
    """Trials that failed while nothing worked at all: what was wrong is mended by now, and they count no more.

    That is while nothing was ever trained, or when so many failed before the first success that a search ended over it.
    """
    first = next((c.trial for c in candidates if c.state is State.TRAINED), None)
    failed = {c.trial for c in candidates if c.state is State.FAILED and (first is None or c.trial < first)}
    return failed if first is None or len(failed) >= HOPELESS else set()


def charged(candidates: Sequence[Candidate]) -> int:
    """How many count against a budget."""
    free = forgiven(candidates)
    return sum(c.charged for c in candidates if c.trial not in free)
