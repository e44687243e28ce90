"""The Pareto front of a run, and the files that hold it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from nas.cost import Cost
from nas.indicator import METRICS, Indicator, Status
from nas.pareto import Objective, ParetoArchive, as_losses, hypervolume
from nas.run.candidate import Candidate, State
from nas.run.remeasured import Remeasured, remeasured_fields

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
        *("rmse", "rmse_low", "rmse_high", "ccc", "pearson"),
        "parent",
        "edits",
        "effort",
    ),
    *remeasured_fields(None),
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

    def to_json(
        self,
        remeasured: Mapping[str, Remeasured] | None = None,
        variants: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    ) -> dict[str, Any]:
        """The contents of front.json.

        Args:
            remeasured: latencies that were measured again, by id.
            variants: rows of compressed variants by the member's id, see :mod:`nas.run.variants`.
        """
        again, rows = remeasured or {}, variants or {}
        return {
            "schema": SCHEMA,
            "status": self.status,
            "objectives": [{"name": o.name, "direction": o.direction} for o in self.objectives],
            "reference_point": list(self.reference_point),
            "hypervolume": self.hypervolume,
            "members": [
                member_json(m) | remeasured_fields(again.get(m.id)) | {"variants": list(rows.get(m.id, ()))}
                for m in self.members
            ],
        }

    def to_csv(self, remeasured: Mapping[str, Remeasured] | None = None) -> str:
        """The members as a table; absent values are empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for member in self.members:
            again = remeasured_fields((remeasured or {}).get(member.id))
            writer.writerow(member_json(member) | again | {"edits": "; ".join(member.edits)})
        return text.getvalue()


def member_json(c: Candidate) -> dict[str, Any]:
    """One member of front.json; what was not measured is null."""
    accuracy, rmse = c.measurement("accuracy"), c.measurement("rmse")
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
        "peak_activation_bytes": _whole(c.value("peak_activation_bytes")),
        "balanced_accuracy": c.value("balanced_accuracy"),
        "macro_f1": c.value("macro_f1"),
        "rmse": None if rmse is None else rmse.value,
        "rmse_low": None if rmse is None else rmse.low,
        "rmse_high": None if rmse is None else rmse.high,
        "ccc": c.value("ccc"),
        "pearson": c.value("pearson"),
        "parent": c.parent,
        "edits": list(c.edits),
        "effort": None if c.outcome is None else c.outcome.effort,
    }


def _networks(n: int) -> str:
    return "1 network" if n == 1 else f"{n} networks"


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


class FrontArchive:
    """The front of all candidates shown to it, kept up one candidate at a time.

    Args:
        objectives, reference_point: of the front.
    """

    def __init__(self, objectives: tuple[Objective, ...], reference_point: tuple[float, ...]) -> None:
        self._objectives = objectives
        self._reference_point = reference_point
        self._allowed: ParetoArchive[Candidate] = ParetoArchive()
        self._nearest: ParetoArchive[Candidate] = ParetoArchive()
        self._least = float("inf")  # violation of the nearest
        self._front = Front("nearest", objectives, reference_point, (), 0.0)

    @property
    def front(self) -> Front:
        """As of now."""
        return self._front

    def add(self, candidate: Candidate) -> bool:
        """Takes a candidate in; whether the front is another one now.  What was stopped on its way is no member."""
        whole = candidate.outcome is not None and candidate.outcome.stopped is None
        values = candidate.values(self._objectives) if candidate.state is State.TRAINED and whole else None
        if values is None:
            return False
        losses = self._losses(values)
        if candidate.status is not Status.VIOLATED:
            changed = self._allowed.insert(losses, candidate.trial, candidate)
        elif self._allowed or candidate.violation > self._least:
            changed = False
        else:
            if candidate.violation < self._least:
                self._least = candidate.violation
                self._nearest = ParetoArchive()
            changed = self._nearest.insert(losses, candidate.trial, candidate)
        if changed:
            self._front = self._made()
        return changed

    def _losses(self, values: Sequence[float]) -> tuple[float, ...]:
        return tuple(as_losses(np.array([values], dtype=float), self._objectives)[0].tolist())

    def _made(self) -> Front:
        placed = (self._allowed or self._nearest).by_losses()
        members = tuple(p.item for p in placed)
        status: FrontStatus = "nearest"
        volume = 0.0
        if self._allowed:
            status = "met" if any(m.status is Status.MET for m in members) else "undecided"
            reference = np.array(self._losses(self._reference_point))
            volume = hypervolume(np.array([p.losses for p in placed]), reference)
        return Front(status, self._objectives, self._reference_point, members, volume)


def front_of(
    candidates: Iterable[Candidate], objectives: tuple[Objective, ...], reference_point: tuple[float, ...]
) -> Front:
    """The front of what has been trained so far."""
    archive = FrontArchive(objectives, reference_point)
    for candidate in candidates:
        archive.add(candidate)
    return archive.front


def reference_point_of(
    prototype: Cost,
    objectives: Sequence[Objective],
    indicator: Indicator,
    classes: int,
    deviation: float | None = None,
) -> tuple[float, ...]:
    """What is known without looking at an image: chance for the accuracies, no agreement for concordance, and so on.

    The error of always answering the mean for ``rmse``; for a cost its bound, else twice the prototype's value.  The
    point is fixed before anything is measured.  So for a file's size its weights and 50 kB stand in, and for latency a
    machine of 10^9 multiply-accumulates a second.

    Args:
        prototype, objectives, indicator: of the search.
        classes: that the data have.
        deviation: standard deviation of the targets, averaged over them; None where there are none.
    """
    known = {name: m.value for name, m in indicator.known(prototype).items()}
    known |= {"size_bytes": prototype.weight_bytes + 50_000.0, "latency_ms": prototype.macs / 1e6}
    bounds = {c.metric: c.limit for c in indicator.constraints if c.upper and not c.ratio}
    point = []
    for objective in objectives:
        if objective.direction == "maximize":
            point.append(1.0 / classes if METRICS[objective.name].unit == "share" else 0.0)
        elif METRICS[objective.name].task == "regression":
            if not deviation:
                raise ValueError(f"{objective.name}: the targets' standard deviation must be above 0")
            point.append(deviation)
        elif objective.name in bounds:
            point.append(bounds[objective.name])
        else:
            point.append(2.0 * known[objective.name])
    return tuple(point)
