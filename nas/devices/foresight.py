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
from nas.indicator import LATENCY_RATIO, Constraint, Indicator, Status, Step, Verdict
from nas.measurement import Measurement, is_number
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

    @property
    def bounds(self) -> dict[str, float]:
        """The least that is allowed of what is violated, by metric."""
        found: dict[str, float] = {}
        for v in self.verdicts:
            found[v.metric] = min(v.bound, found.get(v.metric, v.bound))
        return found


@dataclass(frozen=True)
class Foresight:
    """The rule of one search.

    Attributes:
        device: foretells latency on the machine that measures candidates.
        indicator: of the search; its upper bounds on latency count.
        prototype: to whose latency some bounds refer.
        seed: of the lot.
        here: whether it is this machine, so that measuring by lot can tell how often it errs.
    """

    device: PredictedDevice
    indicator: Indicator
    prototype: Graph
    seed: int
    here: bool = True

    def refuse(self, graph: Graph) -> Foreseen | None:
        """What is certainly violated: the lower end of the prediction is above the bound; None where nothing is."""
        foretold = self._foretold(graph)
        certain = tuple(
            Verdict(c.measured, foretold[c.measured].value, c.limit, "max", Status.VIOLATED, 0.0)
            for c in self.indicator.at(Step.LATENCY)
            if c.upper and c.measured in foretold and foretold[c.measured].low > c.limit
        )
        if not certain:
            return None
        reasons = [
            f"{v.metric} would be {foretold[v.metric].low:.4g} at least, and {v.bound:.4g} is allowed" for v in certain
        ]
        named = {FORETOLD + v.metric: foretold[v.metric] for v in certain}
        return Foreseen(certain, named, "foretold: " + "; ".join(reasons))

    def drawn(self, trial: int) -> bool:
        """Whether the lot falls on a trial: it is measured in spite of what is foretold."""
        return self.here and bool(np.random.default_rng([self.seed, trial, LOT, 1]).integers(LOT) == 0)

    def _foretold(self, graph: Graph) -> dict[str, Measurement]:
        own, other = self.device.predict(graph), self.device.predict(self.prototype)
        if other.low <= 0:  # the fit knows nothing of what the prototype is made of
            return {"latency_ms": own}
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
        those, how many keep the bounds that they were to be beyond, by the value measured.
    """
    bounds = {e["trial"]: e.get("bounds") for e in events if isinstance(e.get("trial"), int)}
    drawn = [(c, b) for c in candidates if isinstance(b := bounds.get(c.trial), dict) and _measured(c)]
    return {
        "rejected": sum(c.foretold and c.repeat_of is None for c in candidates),
        "drawn": len(drawn),
        "wrongly_foretold": sum(all(_within(c.value(name), bound) for name, bound in b.items()) for c, b in drawn),
    }


def _measured(candidate: Candidate) -> bool:
    return candidate.outcome is not None and "latency_ms" in candidate.outcome.measurements


def _within(value: float | None, bound: object) -> bool:
    return value is not None and is_number(bound) and bool(value <= bound)  # type: ignore[operator]


def bounds_of(indicator: Indicator, bound_ms: float | None) -> Indicator:
    """What a predicted device rejects by: a bound of its own where one is given, else the search's."""
    return indicator if bound_ms is None else Indicator((Constraint("latency_ms", bound_ms, True),))


def check_useful(device: PredictedDevice | None, indicator: Indicator, bound_ms: float | None, file: str) -> None:
    """Looks at what a search is told to reject by.

    Args:
        device: the predicted one; None where there is none.
        indicator: of the search.
        bound_ms: what candidates may take on the device; None where the indicator says.
        file: what is judged of them, such as ``float32 TFLite file``.

    Raises:
        InputError: there is nothing that the device could reject by; the indicator's bounds, which hold on this
            machine, would be compared with what is foretold of another; or it foretells other files.
    """
    if device is None and bound_ms is not None:
        raise InputError(
            f"a bound of {bound_ms:g} ms on a predicted device, and no device: give --predicted-device FILE"
        )
    if bound_ms is not None and not bound_ms > 0:
        raise InputError(f"a bound of {bound_ms:g} ms on the predicted device can never be met; give a number above 0")
    if device is not None and device.file != file:
        raise InputError(
            f"the predicted device foretells the {device.file}, and this search judges the {file}: fit one to a run "
            "that judges the same (nas device fit --run RUN)"
        )
    if device is None or bound_ms is not None:
        return
    if not any(c.upper for c in indicator.at(Step.LATENCY)):
        raise InputError(
            "a predicted device rejects by a bound on latency, and the constraints have none; add one, such as "
            "{metric: latency_ms, max: 10 ms}, or give --predicted-bound"
        )
    if not _here(device):
        raise InputError(
            f"the predicted device was fitted to measurements on {device.source.get('processor')!r}, and the bound on "
            f"latency of the constraints holds on this machine ({machine()['processor']!r}): say with "
            "--predicted-bound what a network may take there, or fit a device here (nas device fit --run RUN)"
        )


def foresight_of(
    device: PredictedDevice, indicator: Indicator, bound_ms: float | None, prototype: Graph, seed: int
) -> Foresight | None:
    """The rule of a search; None where it goes on on a machine that is not the one foretold."""
    if bound_ms is None and not _here(device):
        logging.getLogger(__name__).warning("the predicted device is of another machine: nothing is rejected by it")
        return None
    return Foresight(device, bounds_of(indicator, bound_ms), prototype, seed, _here(device))


def _here(device: PredictedDevice) -> bool:
    return bool(device.source.get("processor") == machine()["processor"])
