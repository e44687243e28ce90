"""What the predictions of a certification say: accuracies with intervals, classes, and the word on each bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.errors import DecodeError
from nas.indicator import Constraint, Status
from nas.measurement import Measurement
from nas.run.predictions import Predictions
from nas.statistics.accuracy import SeedNoise, accuracy_estimate, satterthwaite
from nas.statistics.confusion import class_report, confusion_by_group, jackknife_estimates, scores
from nas.statistics.correction import corrected_confidence
from nas.statistics.estimate import Estimate

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pooled:
    """Predictions of all trainings together: every image once a seed, by networks that had not seen its subject.

    Attributes:
        index, labels, predicted, groups, trainings: of each prediction, shape (n,); ``trainings`` are seeds.
        classes: how many there are.
    """

    index: Whole
    labels: Whole
    predicted: Whole
    groups: Whole
    trainings: Whole
    classes: int

    @classmethod
    def of(cls, parts: Mapping[tuple[int | None, int], Predictions], classes: int, images: int) -> Pooled:
        """All parts, by (fold, seed).

        Args:
            parts: predictions of the test part of each fold.
            classes: how many there are.
            images: how many the folds have together.

        Raises:
            DecodeError: labels, subjects or classes that do not fit; a subject in two folds; an image that a seed did
                not test exactly once.
        """
        if not parts:
            raise DecodeError("there are no predictions")
        for part in parts.values():
            if part.labels is None or part.groups is None or part.probabilities.shape[1] != classes:
                raise DecodeError(f"predictions without labels or subjects, or not of {classes} classes")
        whole = {
            "index": np.concatenate([p.index for p in parts.values()]),
            "labels": np.concatenate([p.labels for p in parts.values() if p.labels is not None]),
            "predicted": np.concatenate([p.predicted for p in parts.values()]),
            "groups": np.concatenate([p.groups for p in parts.values() if p.groups is not None]),
            "trainings": np.concatenate([np.full(len(p.index), seed) for (_, seed), p in parts.items()]),
        }
        pooled = cls(**whole, classes=classes)
        pooled._check(images)
        folds = np.concatenate([np.full(len(p.index), -1 if fold is None else fold) for (fold, _), p in parts.items()])
        _check_apart(pooled.groups, folds)
        return pooled

    def _check(self, images: int) -> None:
        """Each seed has tested every image once, and all agree on what it shows, and of whom."""
        facts = np.unique(np.stack([self.index, self.labels, self.groups]), axis=1)
        if facts.shape[1] != len(np.unique(self.index)):
            raise DecodeError("trainings disagree about the class or the subject of an image")
        for seed in np.unique(self.trainings):
            tested = np.sort(self.index[self.trainings == seed])
            if len(tested) != images or len(np.unique(tested)) != images:
                raise DecodeError(f"seed {seed} has not tested each of the {images} images exactly once")

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """Which are right, shape (n,)."""
        right: npt.NDArray[np.bool_] = self.labels == self.predicted
        return right

    @property
    def seeds(self) -> Whole:
        """Each once."""
        each: Whole = np.unique(self.trainings)
        return each

    def estimates(self) -> dict[str, Estimate]:
        """Accuracy, balanced accuracy and macro-F1, each with its error over groups and over trainings."""
        tables = confusion_by_group(self.labels, self.predicted, self.groups, self.classes)
        # Trainings repeat the images: divided by their number, tables count no image twice.
        others = jackknife_estimates(tables / len(self.seeds))
        hit, called = np.trace(tables, axis1=-2, axis2=-1), tables.sum((-2, -1))
        counts = {"mistaken": int((hit < called).sum()), "right": int((hit > 0).sum())}
        rounds = [scores(self._table(self.trainings == s).astype(float)) for s in self.seeds]
        return {
            "accuracy": accuracy_estimate(self.hits, self.groups, self.trainings),
            **{
                name: over_trainings(replace(e, **counts), [float(r[name]) for r in rounds])
                for name, e in others.items()
            },
        }

    def recalls(self, confidence: float) -> tuple[list[float | None], list[float | None]]:
        """Ends of the interval of each class's recall; None for a class without images."""
        ends: list[tuple[float | None, float | None]] = []
        for c in range(self.classes):
            of = self.labels == c
            found = accuracy_estimate(self.hits[of], self.groups[of], self.trainings[of]) if of.any() else None
            ends.append((None, None) if found is None else (found.low(confidence), found.high(confidence)))
        low, high = zip(*ends, strict=True)
        return list(low), list(high)

    def confusion(self) -> Whole:
        """True classes down, predicted ones across, shape (classes, classes); every image counts once a training."""
        return self._table(np.ones(len(self.labels), dtype=bool))

    def _table(self, chosen: npt.NDArray[np.bool_]) -> Whole:
        labels = self.labels[chosen]
        table: Whole = confusion_by_group(labels, self.predicted[chosen], np.zeros_like(labels), self.classes)[0]
        return table


def _check_apart(groups: Whole, folds: Whole) -> None:
    pairs = np.unique(np.stack([groups, folds]), axis=1)
    if pairs.shape[1] != len(np.unique(groups)):
        raise DecodeError("a subject is tested in two folds: it was trained on in one of them")


def over_trainings(estimate: Estimate, values: Sequence[float]) -> Estimate:
    """``estimate`` with the luck of trainings added, from the score of each; as it is where there is one."""
    if len(values) < 2:
        return estimate
    noise = SeedNoise(float(np.var(values, ddof=1)), len(values) - 1)
    luck = noise.variance / len(values)
    return replace(estimate, luck=luck, df=satterthwaite(estimate.variance, estimate.df, luck, noise))


def scored(pooled: Pooled, class_names: Sequence[str], confidence: float) -> dict[str, Any]:
    """Accuracies with intervals, and which classes are taken for which, as plain data.

    Args:
        pooled: the predictions.
        class_names: in the order of the labels.
        confidence: one-sided, of each end of every interval.
    """
    ends = {name: _interval(e, confidence) for name, e in pooled.estimates().items()}
    low, high = pooled.recalls(confidence)
    by_seed = [float(pooled.hits[pooled.trainings == s].mean()) for s in pooled.seeds]
    return {
        "images": len(np.unique(pooled.index)),
        "groups": len(np.unique(pooled.groups)),
        "trainings": len(pooled.seeds),
        "confidence": confidence,
        **ends,
        "accuracy_by_seed": by_seed,
        "accuracy_sd_between_seeds": float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None,
        "by_class": {**class_report(pooled.confusion(), class_names), "recall_low": low, "recall_high": high},
    }


def gap(aside: Pooled, folds: Pooled, confidence: float) -> dict[str, Any]:
    """Accuracy on the subjects set aside less the cross-validated one, with an interval, as plain data.

    They are other people, so that both errors count: the distances of the ends are roots of sums of squares (MOVER,
    Zou & Donner 2008).

    Returns:
        ``value, low, high`` (each end one-sided ``confidence``) and ``indistinguishable``: whether 0 lies between them.
    """
    a, f = aside.estimates()["accuracy"], folds.estimates()["accuracy"]
    value = a.value - f.value
    low = value - math.hypot(a.value - a.low(confidence), f.high(confidence) - f.value)
    high = value + math.hypot(a.high(confidence) - a.value, f.value - f.low(confidence))
    return {"value": value, "low": low, "high": high, "indistinguishable": low <= 0 <= high}


def _interval(estimate: Estimate, confidence: float) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low(confidence), "high": estimate.high(confidence)}


def judged(pooled: Pooled, constraints: Sequence[Constraint], tests: int, counted: int) -> list[dict[str, Any]]:
    """The word on each bound, at its one-sided confidence, corrected for ``tests`` (Bonferroni).

    Args:
        pooled: the predictions.
        constraints: bounds on accuracy, balanced accuracy or macro-F1.
        tests: networks that were put to certification in the run so far.
        counted: networks that the search judged on these subjects, for ``status_if_all_counted``.
    """
    estimates = pooled.estimates()
    told = []
    for c in constraints:
        e = estimates[c.metric]
        above = e.confidence_above(c.limit)
        needed, most = (corrected_confidence(c.confidence, n) for n in (tests, max(tests, counted)))
        told.append(
            {
                "constraint": str(c),
                "status": word(c, e, needed).value,
                "needed": needed,
                "reached": 1 - above if c.upper else above,
                "needed_if_all_counted": most,
                "status_if_all_counted": word(c, e, most).value,
            }
        )
    return told


def word(constraint: Constraint, estimate: Estimate, confidence: float) -> Status:
    """Met or violated where the whole interval is, at this one-sided confidence; else undecided."""
    low, high = estimate.low(confidence), estimate.high(confidence)
    return constraint.judge(Measurement(estimate.value, low, high, "share", 1, "certified"), 0.0).status
