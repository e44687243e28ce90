"""The Pareto front of a run, and the files that hold it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from nas.cost import Cost
from nas.indicator import Indicator, Status, exact_costs
from nas.pareto import Objective, as_losses, hypervolume, non_dominated
from nas.run.candidate import Candidate, State

SCHEMA: Final = 1
FrontStatus = Literal["met", "undecided", "nearest"]
_COLUMNS: Final = (
    *("id", "trial", "status", "accuracy", "accuracy_low", "accuracy_high", "params", "macs", "latency_ms"),
    *(
        "latency_ratio",
        "size_bytes",
        "peak_activation_bytes",
        "balanced_accuracy",
        "macro_f1",
        "parent",
        "edits",
        "effort",
    ),
)


@dataclass(frozen=True)
class Front:
    """The non-dominated candidates that are not refuted; where there are none, those nearest to the indicator.

    Attributes:
        status: ``met`` when a member meets every constraint, ``undecided`` when none does but some are not refuted,
            ``nearest`` when every trained candidate is refuted: the members then violate the indicator.
        members: by the first objective, best first.
        reference_point: one value an objective, fixed when the run starts.
        hypervolume: dominated by the members, bounded by the reference point; 0 for ``nearest``.
    """

    status: FrontStatus
    objectives: tuple[Objective, ...]
    reference_point: tuple[float, ...]
    members: tuple[Candidate, ...]
    hypervolume: float

    def headline(self) -> str:
        """One sentence on what this front is."""
        n = len(self.members)
        if not self.members:
            return "no candidate has been trained yet: the front is empty"
        if self.status == "nearest":
            return f"NO candidate meets the indicator; nearest to it (smallest largest violation): {_networks(n)}"
        met = sum(m.status is Status.MET for m in self.members)
        if met == n:
            return f"front of {_networks(n)}, meeting the indicator"
        return (
            f"front of {_networks(n)}: {met} meeting the indicator, {n - met} undecided (a bound inside the interval)"
        )

    def to_json(self) -> dict[str, Any]:
        """The contents of front.json."""
        return {
            "schema": SCHEMA,
            "status": self.status,
            "objectives": [{"name": o.name, "direction": o.direction} for o in self.objectives],
            "reference_point": list(self.reference_point),
            "hypervolume": self.hypervolume,
            "members": [member_json(m) for m in self.members],
        }

    def to_csv(self) -> str:
        """The members as a table; absent values are empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for member in self.members:
            writer.writerow(member_json(member) | {"edits": "; ".join(member.edits)})
        return text.getvalue()


def member_json(c: Candidate) -> dict[str, Any]:
    """One member of front.json; what was not measured is null."""
    accuracy = c.measurement("accuracy")
    return {
        "id": c.id,
        "trial": c.trial,
        "status": c.status.value,
        "accuracy": None if accuracy is None else accuracy.value,
        "accuracy_low": None if accuracy is None else accuracy.low,
        "accuracy_high": None if accuracy is None else accuracy.high,
        "params": c.cost.params,
        "macs": c.cost.macs,
        "latency_ms": c.value("latency_ms"),
        "latency_ratio": c.value("latency_ratio"),
        "size_bytes": _whole(c.value("size_bytes")),
        "peak_activation_bytes": c.cost.peak_activation_bytes,
        "balanced_accuracy": c.value("balanced_accuracy"),
        "macro_f1": c.value("macro_f1"),
        "parent": c.parent,
        "edits": list(c.edits),
        "effort": None if c.outcome is None else c.outcome.effort,
    }


def _networks(n: int) -> str:
    return "1 network" if n == 1 else f"{n} networks"


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def front_of(
    candidates: Sequence[Candidate], objectives: tuple[Objective, ...], reference_point: tuple[float, ...]
) -> Front:
    """The front of what has been trained so far."""
    known = [(c, v) for c in candidates if c.state is State.TRAINED and (v := c.values(objectives)) is not None]
    allowed = [(c, v) for c, v in known if c.status is not Status.VIOLATED]
    status: FrontStatus = "nearest"
    if allowed:
        chosen = allowed
    else:
        least = min((c.violation for c, _ in known), default=0.0)
        chosen = [(c, v) for c, v in known if c.violation <= least]
    if not chosen:
        return Front(status, objectives, reference_point, (), 0.0)
    losses = as_losses(np.array([v for _, v in chosen], dtype=float), objectives)
    keep = non_dominated(losses)
    order = sorted(np.flatnonzero(keep), key=lambda i: (*losses[i], chosen[i][0].trial))
    members = tuple(chosen[i][0] for i in order)
    volume = 0.0
    if allowed:
        status = "met" if any(m.status is Status.MET for m in members) else "undecided"
        volume = hypervolume(losses, as_losses(np.array([reference_point], dtype=float), objectives)[0])
    return Front(status, objectives, reference_point, members, volume)


def reference_point_of(
    prototype: Cost, objectives: Sequence[Objective], indicator: Indicator, classes: int
) -> tuple[float, ...]:
    """Chance for the accuracies; for a cost its bound, else twice the prototype's value.

    The point is fixed before anything is measured.  So for a file's size its weights and 50 kB stand in, and for
    latency a machine of 10^9 multiply-accumulates a second.
    """
    known = {name: m.value for name, m in exact_costs(prototype).items()}
    known |= {"size_bytes": prototype.weight_bytes + 50_000.0, "latency_ms": prototype.macs / 1e6}
    bounds = {c.metric: c.limit for c in indicator.constraints if c.upper and not c.ratio}
    point = []
    for objective in objectives:
        if objective.direction == "maximize":
            point.append(1.0 / classes)
        elif objective.name in bounds:
            point.append(bounds[objective.name])
        else:
            point.append(2.0 * known[objective.name])
    return tuple(point)
