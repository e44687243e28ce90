"""Rejects candidates whose latency is certainly beyond its bound, before they are built; never accepts one.

One in :data:`LOT` that should be rejected is measured all the same, so that a run can say how often that is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from nas.devices.predicted import PredictedDevice
from nas.errors import InputError
from nas.graph import Graph
from nas.indicator import LATENCY_RATIO, METRICS, Indicator, Status, Step, Verdict
from nas.measurement import Measurement
from nas.run.candidate import FORETOLD, Candidate
from nas.run.provenance import machine

LOT: Final = 20
EVENT: Final = "foretold"  # of a candidate that was to be rejected, and is measured by lot


@dataclass(frozen=True)
class Foreseen:
    """Why a candidate need not be built.

    Attributes:
        verdicts: those of latency bounds that are certainly violated.
        measurements: what was foretold, by names that begin with :data:`FORETOLD`.
        reason: in one sentence.
    """

    verdicts: tuple[Verdict, ...]
    measurements: dict[str, Measurement]
    reason: str


@dataclass(frozen=True)
class Foresight:
    """The rule of one search.

    Attributes:
        device: foretells latency on the machine that measures candidates.
        indicator: of the search; its upper bounds on latency count.
        prototype: to whose latency some bounds refer.
        seed: of the lot.
    """

    device: PredictedDevice
    indicator: Indicator
    prototype: Graph
    seed: int

    def refuse(self, graph: Graph) -> Foreseen | None:
        """What is certainly violated: the lower end of the prediction is above the bound; None where nothing is."""
        foretold = self._foretold(graph)
        verdicts = self.indicator.judge(foretold, (Step.LATENCY,), 0.0)
        certain = tuple(v for v in verdicts if v.status is Status.VIOLATED and v.side == "max")
        if not certain:
            return None
        reasons = [
            f"{v.metric} would be {foretold[v.metric].low:.4g} at least, and {v.bound:.4g} is allowed" for v in certain
        ]
        named = {FORETOLD + v.metric: foretold[v.metric] for v in certain}
        return Foreseen(certain, named, "foretold: " + "; ".join(reasons))

    def drawn(self, trial: int) -> bool:
        """Whether the lot falls on a trial: it is measured in spite of what is foretold."""
        return bool(np.random.default_rng([self.seed, trial, LOT, 1]).integers(LOT) == 0)

    def _foretold(self, graph: Graph) -> dict[str, Measurement]:
        own, other = self.device.predict(graph), self.device.predict(self.prototype)
        # The lower end is over the prototype's upper one, and the upper end over its lower one: wider than need be,
        # since the errors of two networks on one device have much in common.
        quotient = replace(
            own, value=own.value / other.value, low=own.low / other.high, high=own.high / other.low, unit="ratio"
        )
        return {"latency_ms": own, LATENCY_RATIO: quotient}


def tally(events: Sequence[Mapping[str, Any]], candidates: Sequence[Candidate]) -> dict[str, int]:
    """How many a predicted device rejected, and how often that would have been wrong among those measured by lot.

    Args:
        events: the run's, of kind :data:`EVENT`.
        candidates: of the run.

    Returns:
        ``rejected``; ``drawn``: to be rejected, and measured since the lot fell on them; ``wrongly_foretold``: of
        those, how many violate no bound on latency.
    """
    trials = {event.get("trial") for event in events}
    drawn = [c for c in candidates if c.trial in trials and _measured(c)]
    return {
        "rejected": sum(c.foretold and c.repeat_of is None for c in candidates),
        "drawn": len(drawn),
        "wrongly_foretold": sum(not any(_too_slow(v) for v in c.verdicts) for c in drawn),
    }


def _measured(candidate: Candidate) -> bool:
    return candidate.outcome is not None and "latency_ms" in candidate.outcome.measurements


def _too_slow(verdict: Verdict) -> bool:
    latency = verdict.metric == LATENCY_RATIO or METRICS[verdict.metric].step is Step.LATENCY
    return latency and verdict.side == "max" and verdict.status is Status.VIOLATED


def check_useful(device: PredictedDevice, indicator: Indicator) -> None:
    """Raises InputError where there is nothing that the device could reject, or where it is another machine's."""
    if not any(c.upper for c in indicator.at(Step.LATENCY)):
        raise InputError(
            "a predicted device rejects by the bound on latency, and the constraints have none; add one, such as "
            "{metric: latency_ms, max: 10 ms}"
        )
    here, there = machine()["processor"], device.source.get("processor")
    if here != there:
        raise InputError(
            f"the predicted device was fitted to measurements on {there!r}, and this search measures on {here!r}: its "
            "bounds would be compared with another machine's times; fit one here (nas device fit --run RUN)"
        )


def foresight_of(device: PredictedDevice | None, indicator: Indicator, prototype: Graph, seed: int) -> Foresight | None:
    """The rule of a search; None where it has no predicted device, or goes on where that was not measured."""
    if device is None:
        return None
    if device.source.get("processor") != machine()["processor"]:
        logging.getLogger(__name__).warning("the predicted device is of another machine: nothing is rejected by it")
        return None
    return Foresight(device, indicator, prototype, seed)
