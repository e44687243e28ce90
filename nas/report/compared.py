"""What the kept predictions of a trained candidate tell: of each class, and beside the members of the front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from nas.errors import DecodeError
from nas.run.candidate import Candidate, State
from nas.run.directory import RunDirectory
from nas.run.predictions import PREDICTIONS, Predictions
from nas.statistics.accuracy import accuracy_estimate
from nas.statistics.confusion import class_report, confusion_by_group
from nas.statistics.paired import paired_difference

CONFIDENCE: Final = 0.95


def explain_predictions(
    candidate: Candidate, members: Iterable[Candidate], directory: RunDirectory, class_names: Sequence[str]
) -> dict[str, Any]:
    """Recall of each class and the confusion matrix, and the accuracy beside that of the front's ``members``.

    Returns:
        ``by_class``: what :func:`nas.statistics.confusion.class_report` gives, with ``recall_low`` and ``recall_high``
        at a one-sided ``confidence``, null where they are not known; null for a candidate without such predictions, and
        then, for a trained one, ``by_class_missing`` says why.  ``compared``: as :func:`compare` gives it.
    """
    found: dict[str, Any] = {"by_class": None, "by_class_missing": None, "compared": []}
    if candidate.outcome is None or candidate.outcome.state is not State.TRAINED:
        return found
    try:
        kept = _predictions(candidate, directory)
        if not kept.probabilities.shape[1]:  # it predicts numbers alone
            return found | {"compared": compare(candidate, members, directory)}
        found["by_class"] = by_class(kept, class_names)
    except DecodeError as error:
        return found | {"by_class_missing": str(error)}
    return found | {"compared": compare(candidate, members, directory)}


def by_class(predictions: Predictions, class_names: Sequence[str]) -> dict[str, Any]:
    """A class report with intervals over subjects.  Raises DecodeError where it cannot be had."""
    labels, hits, groups = predictions.labels, predictions.hits, predictions.groups
    if labels is None or hits is None:
        raise DecodeError("its predictions were kept without the true classes, by an earlier version")
    classes = predictions.probabilities.shape[1]
    if classes != len(class_names):
        raise DecodeError(f"its predictions are of {classes} classes, and the run's data has {len(class_names)}")
    report = class_report(
        confusion_by_group(labels, predictions.predicted, np.zeros_like(labels), classes)[0], class_names
    )
    ends: list[tuple[float | None, float | None]] = []
    for c in range(classes):
        chosen = labels == c
        if groups is None or not chosen.any():
            ends.append((None, None))
            continue
        recall = accuracy_estimate(hits[chosen], groups[chosen])
        ends.append((recall.low(CONFIDENCE), recall.high(CONFIDENCE)))
    low, high = zip(*ends, strict=True)
    return report | {"recall_low": list(low), "recall_high": list(high), "confidence": CONFIDENCE}


def compare(
    candidate: Candidate, others: Iterable[Candidate], directory: RunDirectory, confidence: float = CONFIDENCE
) -> list[dict[str, Any]]:
    """The accuracy of a candidate less that of each other one, on the images that both were tested on.

    Returns:
        For each other candidate whose predictions were kept and share images: ``id``, ``difference``, ``low``, ``high``
        (two-sided ``confidence``, paired by subject, each pair for itself), ``images``, ``groups``, and
        ``indistinguishable``: whether the interval contains 0.  It is about these trainings: the luck of each is not in
        it.
    """
    try:
        first = _predictions(candidate, directory)
    except DecodeError:
        return []
    rows = []
    for other in others:
        if other.id == candidate.id:
            continue
        try:
            row = _pair(first, _predictions(other, directory), confidence)
        except DecodeError:  # it says so in its own explanation
            continue
        if row is not None:
            rows.append({"id": other.id, **row})
    return rows


def alike(members: Sequence[Candidate], directory: RunDirectory) -> tuple[list[str], list[str]] | None:
    """Which members the data cannot tell from the most accurate one, and which cannot be compared with it.

    Each difference at :data:`CONFIDENCE`, corrected for the number of pairs of members (Bonferroni), because the most
    accurate one was picked among them.  It is about these trainings.

    Returns:
        Ids of both; None where there is one member, or the most accurate one's predictions cannot be compared.
    """
    best = max(members, key=lambda m: m.merit, default=None)
    if best is None or len(members) < 2:
        return None
    pairs = len(members) * (len(members) - 1) / 2
    rows = {row["id"]: row for row in compare(best, members, directory, 1 - (1 - CONFIDENCE) / pairs)}
    if not rows:
        return None
    same = [m.id for m in members if m.id in rows and rows[m.id]["indistinguishable"]]
    return same, [m.id for m in members if m.id not in rows and m.id != best.id]


def _pair(first: Predictions, second: Predictions, confidence: float) -> dict[str, Any] | None:
    _, here, there = np.intersect1d(first.index, second.index, return_indices=True)
    if first.hits is None or second.hits is None or first.groups is None or not len(here):
        return None
    found = paired_difference(first.hits[here], second.hits[there], first.groups[here], confidence=confidence)
    return {
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "images": found.images,
        "groups": found.groups,
        "indistinguishable": found.indistinguishable,
    }


def _predictions(candidate: Candidate, directory: RunDirectory) -> Predictions:
    return Predictions.read(directory.model_file(candidate.id, PREDICTIONS))
