"""Metrics of out-of-fold predictions, with intervals by resampling subjects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.measurement import Measurement

RESAMPLES: Final = 2000


def confusion_by_group(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.int64]:
    """One confusion matrix (true, predicted) a group: shape (groups, classes, classes)."""
    _, code = np.unique(groups, return_inverse=True)
    count = int(code.max()) + 1
    flat = (code * classes + labels) * classes + predicted
    return np.bincount(flat, minlength=count * classes * classes).reshape(count, classes, classes).astype(np.int64)


def scores(confusion: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """Accuracy, balanced accuracy and macro-F1 of confusion matrices (..., classes, classes).

    Balanced accuracy and macro-F1 average over the classes that occur (for F1: among labels or predictions), as
    scikit-learn does.
    """
    true, called = confusion.sum(-1), confusion.sum(-2)
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hit / true
        f1 = 2 * hit / (true + called)
    return {
        "accuracy": hit.sum(-1) / true.sum(-1),
        "balanced_accuracy": np.nanmean(recall, axis=-1),
        "macro_f1": np.nanmean(f1, axis=-1),
    }


def measure_predictions(
    labels: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    *,
    classes: int,
    confidence: float,
    group_kind: str,
) -> Mapping[str, Measurement]:
    """Each metric with a percentile-bootstrap interval over groups (Efron 1979), ``confidence`` on each side.

    One draw takes as many groups as there are, with replacement, so that images of one subject stay together.  A
    bootstrap of faultless (or hopeless) predictions has no width; there, the exact one-sided binomial bound over groups
    stands in.  The variance between training seeds is not in this interval.
    """
    tables = confusion_by_group(labels, predicted, groups, classes).astype(float)
    n = len(tables)
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    resampled = scores(np.tensordot(draws, tables, axes=1))
    exact = (1 - confidence) ** (1 / n)
    out = {}
    for name, value in scores(tables.sum(0)).items():
        low, high = np.quantile(resampled[name], [1 - confidence, confidence])
        low, high = min(low, value), max(high, value)
        if value == 1:
            low = min(low, exact)
        if value == 0:
            high = max(high, 1 - exact)
        note = f"bootstrap over {n} {group_kind}, one-sided {confidence:g}"
        out[name] = Measurement(float(value), float(low), float(high), "share", len(labels), note)
    return out
