"""Whether a candidate goes on after a rung: one rule, for every executor.

What a candidate will show at full effort is foretold from what others gained between the same rung and theirs: the
difference of the logits has a prediction interval (Student's t), and its upper end is the candidate's *optimism*.  A
candidate ends where even that is below the indicator's floor (while what it has shown refutes it already), or where a
member of the front that costs no more is better.  Nothing ends before enough others have been all the way; one in
:data:`LOT` that should end goes on all the same, so that a run can say how often the rule errs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtrit  # type: ignore[import-untyped]

from nas.indicator import METRICS, Indicator, Status, Step
from nas.pareto import Objective
from nas.run.candidate import Candidate, Outcome

LOT: Final = 20
CONFIDENCE: Final = 0.95  # one-sided, of an optimism
_LEAST: Final = 4  # candidates that went all the way, before anything is foretold
_STEADIEST: Final = 0.1  # standard deviation of a gain on the logit, below which no handful of candidates is believed
_EDGE: Final = 0.005  # shares nearer to 0 or 1 count as this near


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
        values = trained_values(shown)
        hopes = {name: _optimism(name, value, shown, seen.finished) for name, value in values.items()}
        return self._refuted(shown, hopes) or self._dominated(candidate, shown, hopes, seen.members)

    def drawn(self, trial: int) -> bool:
        """Whether the lot falls on a trial: it goes on in spite of a doubt."""
        return bool(np.random.default_rng([self.seed, trial, LOT]).integers(LOT) == 0)

    def _refuted(self, shown: Outcome, hopes: Mapping[str, float]) -> str | None:
        for verdict in shown.verdicts:
            hope = hopes.get(verdict.metric, math.inf)
            if verdict.status is Status.VIOLATED and verdict.side == "min" and hope < verdict.bound:
                return f"refuted: {verdict.metric} would be {hope:.1%} at best, and {verdict.bound:.1%} is wanted"
        return None

    def _dominated(
        self, candidate: Candidate, shown: Outcome, hopes: Mapping[str, float], members: Iterable[Candidate]
    ) -> str | None:
        tried = Candidate(**{**vars(candidate), "outcome": shown})
        for member in members:
            if member.id != candidate.id and all(_no_better(o, tried, hopes, member) for o in self.objectives):
                told = ", ".join(
                    f"{o.name} {hopes[o.name]:.1%} at best against {member.value(o.name):.1%}"
                    for o in self.objectives
                    if o.name in hopes
                )
                return f"dominated by {member.id}: {told}"
        return None


def _no_better(objective: Objective, tried: Candidate, hopes: Mapping[str, float], member: Candidate) -> bool:
    """Whether a candidate will be no better than a member of the front in one objective, at its best."""
    theirs = member.value(objective.name)
    if theirs is None:
        return False
    if objective.name in hopes:
        return hopes[objective.name] <= theirs
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


def _optimism(name: str, value: float, shown: Outcome, finished: Iterable[Candidate]) -> float:
    """Upper end of what ``value`` will have become at full effort; infinite while too few have been there."""
    gains = list(_gains(name, shown, finished))
    n = len(gains)
    if n < _LEAST:
        return math.inf
    spread = max(float(np.std(gains, ddof=1)), _STEADIEST) * math.sqrt(1 + 1 / n)
    most = _logit(value) + float(np.mean(gains)) + float(stdtrit(n - 1, CONFIDENCE)) * spread
    return 1.0 / (1.0 + math.exp(-most))


def _gains(name: str, shown: Outcome, finished: Iterable[Candidate]) -> Iterable[float]:
    """What others gained from this rung to their last, on the logit; those that began alike, where there are enough."""
    alike, all_of_them = [], []
    for candidate in finished:
        final = candidate.value(name)
        outcome = candidate.outcome
        if outcome is None or outcome.stopped is not None or final is None or candidate.repeat_of is not None:
            continue
        for rung in candidate.rungs:
            if rung.rung == shown.effort and name in rung.values:
                gain = _logit(final) - _logit(rung.values[name])
                all_of_them.append(gain)
                if (outcome.inheritance is None) == (shown.inheritance is None):
                    alike.append(gain)
    return alike if len(alike) >= _LEAST else all_of_them


def _logit(share: float) -> float:
    inside = min(max(share, _EDGE), 1.0 - _EDGE)
    return math.log(inside / (1.0 - inside))
