"""Which candidates meet the bounds on accuracy when it counts that many were put to the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from nas.errors import DecodeError
from nas.indicator import METRICS, Constraint, Indicator, Status, Step
from nas.run.candidate import Candidate, State
from nas.run.directory import RunDirectory
from nas.run.predictions import PREDICTIONS, Predictions
from nas.statistics.accuracy import accuracy_estimate
from nas.statistics.confusion import confusion_by_group, jackknife_estimates
from nas.statistics.correction import corrected_confidence
from nas.statistics.estimate import Estimate
from nas.statistics.regression import REGRESSION, RegressionEstimate, regression_estimates

_MOST_CELLS: Final = 50_000_000  # of the confusion matrices of all groups


def put_to_the_test(candidates: Iterable[Candidate]) -> int:
    """How many candidates were trained, and so compared with the bounds."""
    return sum(c.state is State.TRAINED for c in candidates)


def claims(
    candidate: Candidate, indicator: Indicator, directory: RunDirectory, tested: int, planned: int | None
) -> list[dict[str, Any]]:
    """How sure it is that each least accuracy is reached, and no largest error passed, against how sure it must be.

    A verdict speaks of one candidate at the constraint's confidence; here all candidates of the run count
    (:func:`nas.statistics.correction.corrected_confidence`), and what was true yesterday may be open today.

    Returns:
        For each bound on a trained metric, lower on what is maximized and upper on an error: ``constraint`` as text,
        ``reached`` and ``needed`` one-sided confidences, ``tests`` the number that it is corrected for, ``holds``.
        Empty where no predictions with their labels were kept.
    """
    bounds = _wanted(indicator)
    if not bounds or candidate.outcome is None or candidate.outcome.state is not State.TRAINED:
        return []
    try:
        kept = Predictions.read(directory.model_file(candidate.id, PREDICTIONS))
        estimates = _estimates(kept, {c.metric for c in bounds})
    except DecodeError:
        return []
    tests = max(tested, planned or 1)
    return [_claim(c, estimates[c.metric], corrected_confidence(c.confidence, tests), tests) for c in bounds]


def _wanted(indicator: Indicator) -> list[Constraint]:
    """Bounds on trained metrics beyond which the better side lies."""
    return [c for c in indicator.at(Step.TRAINING) if c.upper is (METRICS[c.metric].direction == "minimize")]


def _claim(
    constraint: Constraint, estimate: Estimate | RegressionEstimate, needed: float, tests: int
) -> dict[str, Any]:
    limit = constraint.limit
    if isinstance(estimate, RegressionEstimate) and constraint.upper:
        reached = estimate.confidence_below(limit)
    else:
        reached = estimate.confidence_above(limit)
    return {
        "constraint": str(constraint),
        "reached": reached,
        "needed": needed,
        "tests": tests,
        "holds": reached >= needed,
    }


def _estimates(kept: Predictions, metrics: set[str]) -> Mapping[str, Estimate | RegressionEstimate]:
    numbers: dict[str, RegressionEstimate] = {}
    if not metrics.isdisjoint(REGRESSION):
        if kept.values is None or kept.targets is None or kept.groups is None:
            raise DecodeError("predictions without values or groups")
        true, values = kept.targets.astype(float), kept.values.astype(float)
        numbers = regression_estimates(true, values, kept.groups)[0]
    if metrics <= set(REGRESSION):
        return numbers
    return {**numbers, **_of_classes(kept, metrics - set(REGRESSION))}


def _of_classes(kept: Predictions, metrics: set[str]) -> dict[str, Estimate]:
    if kept.labels is None or kept.hits is None or kept.groups is None:
        raise DecodeError("predictions without labels or groups")
    if metrics <= {"accuracy"}:
        return {"accuracy": accuracy_estimate(kept.hits, kept.groups)}
    if len(np.unique(kept.groups)) * kept.probabilities.shape[1] ** 2 > _MOST_CELLS:
        raise DecodeError("too many groups and classes for intervals of balanced accuracy and macro-F1")
    tables = confusion_by_group(kept.labels, kept.predicted, kept.groups, kept.probabilities.shape[1]).astype(float)
    return {"accuracy": accuracy_estimate(kept.hits, kept.groups), **jackknife_estimates(tables)}


def holding(
    members: Iterable[Candidate], indicator: Indicator, directory: RunDirectory, tested: int, planned: int | None
) -> list[str] | None:
    """Ids of the members that are ``met`` and whose claims all hold.

    None where no ``met`` rests on an accuracy, or where no predictions were kept from which it could be said.
    """
    met = [m for m in members if m.status is Status.MET]
    if not met or not _wanted(indicator):
        return None
    found = {m.id: claims(m, indicator, directory, tested, planned) for m in met}
    if not any(found.values()):
        return None
    return [name for name, told in found.items() if told and all(c["holds"] for c in told)]
