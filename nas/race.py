"""Whether a candidate goes on after a rung: one rule, for every executor.

What a candidate will show at full effort is foretold from those that went all the way, by the regression of their last
score on that of the same rung (least squares; shares as logits, an error as minus its logarithm, an agreement as
Fisher's z, so that more is better everywhere).  The upper end of its prediction interval (Student's t) is the
candidate's *optimism*.  Regression, and not the mean gain: those that went all the way were chosen by their score at
the rung, and so gained less than others will.  A candidate ends where even its optimism is below the indicator's floor
(while what it has shown refutes it already), or where a member of the front that costs no more, and that the indicator
does not refute, is better.  Nothing ends before enough others have been all the way; one in :data:`LOT` that should end
goes on all the same, so that a run can say how often the rule errs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.special import stdtrit  # type: ignore[import-untyped]

from nas.indicator import METRICS, Indicator, Metric, Status, Step
from nas.pareto import Objective
from nas.run.candidate import Candidate, Outcome

LOT: Final = 20
CONFIDENCE: Final = 0.95  # one-sided, of an optimism
_LEAST: Final = 5  # candidates that went all the way, before anything is foretold
_STEADIEST: Final = 0.1  # standard deviation on the logit, below which no handful of candidates is believed


@dataclass(frozen=True)
class Seen:
    """What a decision rests on.

    Attributes:
        finished: candidates with an outcome.
        members: those of the front.
    """

    finished: Sequence[Candidate]
    members: Sequence[Candidate]


@dataclass(frozen=True)
class Race:
    """The rule of one search.

    Attributes:
        objectives, indicator: of the search.
        seed: of the lot.
    """

    objectives: tuple[Objective, ...]
    indicator: Indicator
    seed: int

    def doubt(self, candidate: Candidate, shown: Outcome, seen: Seen) -> str | None:
        """Why the candidate should end after the rung that ``shown`` tells of; None where it goes on."""
        hopes = {name: _optimism(name, shown, seen.finished) for name in trained_values(shown)}
        if not all(map(math.isfinite, hopes.values())):
            return None
        return self._refuted(shown, hopes) or self._dominated(candidate, shown, hopes, seen.members)

    def drawn(self, trial: int) -> bool:
        """Whether the lot falls on a trial: it goes on in spite of a doubt."""
        return bool(np.random.default_rng([self.seed, trial, LOT]).integers(LOT) == 0)

    def _refuted(self, shown: Outcome, hopes: Mapping[str, float]) -> str | None:
        for verdict in shown.verdicts:
            if verdict.status is not Status.VIOLATED or verdict.metric not in hopes:
                continue
            metric, hope = METRICS[verdict.metric], hopes[verdict.metric]
            least = metric.direction == "maximize"
            if verdict.side == ("min" if least else "max") and _worse(metric, hope, verdict.bound):
                told = metric.text(hope), metric.text(verdict.bound)
                return f"refuted: {verdict.metric} would be {told[0]} at best, and {told[1]} is wanted"
        return None

    def _dominated(
        self, candidate: Candidate, shown: Outcome, hopes: Mapping[str, float], members: Iterable[Candidate]
    ) -> str | None:
        tried = replace(candidate, outcome=shown)
        if not any(o.name in hopes for o in self.objectives):
            return None
        for member in members:
            if member.status is Status.VIOLATED or member.id == candidate.id:
                continue
            if all(_no_better(o, tried, hopes, member) for o in self.objectives):
                told = ", ".join(
                    f"{o.name} {METRICS[o.name].text(hopes[o.name])} at best against {METRICS[o.name].text(theirs)}"
                    for o in self.objectives
                    if o.name in hopes and (theirs := member.value(o.name)) is not None
                )
                return f"dominated by {member.id}: {told}"
        return None


def _no_better(objective: Objective, tried: Candidate, hopes: Mapping[str, float], member: Candidate) -> bool:
    """Whether a candidate will be no better than a member of the front in one objective, at its best."""
    theirs = member.value(objective.name)
    if theirs is None:
        return False
    if objective.name in hopes:
        return not _worse(METRICS[objective.name], theirs, hopes[objective.name])
    own = tried.measurement(objective.name)
    if own is None:
        return False
    return theirs <= own.low if objective.direction == "minimize" else theirs >= own.high


def trained_values(outcome: Outcome) -> dict[str, float]:
    """The metrics that training decides, by name."""
    return {
        name: m.value
        for name, m in outcome.measurements.items()
        if name in METRICS and METRICS[name].step is Step.TRAINING
    }


def _optimism(name: str, shown: Outcome, finished: Iterable[Candidate]) -> float:
    """The best that a metric can be expected to become at full effort; infinite while too few have been there."""
    now, metric = shown.measurements[name], METRICS[name]
    edge = 1.0 / (2 * now.n + 2)  # as many images cannot tell shares that are nearer to 0 or 1
    pairs = [(_merit(metric, rung, edge), _merit(metric, last, edge)) for rung, last in _climbs(name, shown, finished)]
    if len(pairs) < _LEAST:
        return math.inf
    x, y = np.array(pairs).T
    at, n = _merit(metric, now.value, edge), len(x)
    spread = float(((x - x.mean()) ** 2).sum())
    if spread < _STEADIEST**2:
        return math.inf
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    rest = y - y.mean() - slope * (x - x.mean())
    error = max(math.sqrt(float((rest**2).sum()) / (n - 2)), _STEADIEST)
    error *= math.sqrt(1 + 1 / n + (at - float(x.mean())) ** 2 / spread)
    most = float(y.mean()) + slope * (at - float(x.mean())) + float(stdtrit(n - 2, CONFIDENCE)) * error
    best = _of_merit(metric, most)
    return now.value if _worse(metric, best, now.value) else best


def _worse(metric: Metric, value: float, other: float) -> bool:
    return value < other if metric.direction == "maximize" else value > other


def _merit(metric: Metric, value: float, edge: float) -> float:
    """A value on a scale without ends on which more is better."""
    if metric.direction == "minimize":
        return -math.log(max(value, edge))
    return _logit(value, edge) if metric.unit == "share" else math.atanh(min(max(value, edge - 1), 1 - edge))


def _of_merit(metric: Metric, merit: float) -> float:
    """The value that has this merit."""
    if metric.direction == "minimize":
        return math.exp(-merit)
    return 1.0 / (1.0 + math.exp(-merit)) if metric.unit == "share" else math.tanh(merit)


def _climbs(name: str, shown: Outcome, finished: Iterable[Candidate]) -> Sequence[tuple[float, float]]:
    """(at this rung, at the last one) of others; of those that began alike, where there are enough."""
    alike, all_of_them = [], []
    for candidate in finished:
        last = candidate.value(name)
        outcome = candidate.outcome
        if outcome is None or outcome.stopped is not None or last is None or candidate.repeat_of is not None:
            continue
        for rung in candidate.rungs:
            if rung.rung == shown.effort and name in rung.values:
                all_of_them.append((rung.values[name], last))
                if (outcome.inheritance is None) == (shown.inheritance is None):
                    alike.append(all_of_them[-1])
    return alike if len(alike) >= _LEAST else all_of_them


def _logit(share: float, edge: float) -> float:
    inside = min(max(share, edge), 1.0 - edge)
    return math.log(inside / (1.0 - inside))
