"""Which classes are taken for which: confusion matrices, and the metrics that follow from them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.statistics.estimate import Estimate

Whole = npt.NDArray[np.int64]


def confusion_by_group(labels: Whole, predicted: Whole, groups: Whole, classes: int) -> Whole:
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
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean over no class at all is NaN, as it should be
        return {
            "accuracy": hit.sum(-1) / true.sum(-1),
            "balanced_accuracy": np.nanmean(hit / true, axis=-1),
            "macro_f1": np.nanmean(2 * hit / (true + called), axis=-1),
        }


def jackknife_estimates(tables: npt.NDArray[np.float64]) -> dict[str, Estimate]:
    """Balanced accuracy and macro-F1, with the delete-one-group jackknife's variance (Efron & Stein 1981).

    V = (G - 1) / G sum_g (s_g - mean)^2, s_g being the score without group g; G - 1 degrees of freedom.  It is at least
    the balanced accuracy's binomial one, sum_c r_c (1 - r_c) / n_c / C^2.  What faultless predictions allow to claim
    rests on the groups of the rarest class, times the number of classes, if they are fewer than all: mistakes there
    weigh the most.

    Args:
        tables: of each group, shape (G, classes, classes).
    """
    count = len(tables)
    whole = tables.sum(0)
    holding = (tables.sum(-1) > 0).sum(0)
    effective = int(min(count, holding[holding > 0].min() * (holding > 0).sum()))
    hits = np.trace(tables, axis1=-2, axis2=-1)
    mistaken, right = int((hits < tables.sum((-2, -1))).sum()), int((hits > 0).sum())
    images = whole.sum(-1)[holding > 0]
    recall = np.diagonal(whole)[holding > 0] / images
    least = float((recall * (1 - recall) / images).sum() / len(recall) ** 2)
    without = scores(whole - tables) if count > 1 else {}
    out = {}
    for name in ("balanced_accuracy", "macro_f1"):
        variance = max((count - 1) * float(np.var(without[name])), least) if count > 1 else least
        out[name] = Estimate(float(scores(whole)[name]), variance, count - 1, effective, mistaken, right)
    return out


def class_report(confusion: Whole, class_names: Sequence[str]) -> dict[str, Any]:
    """A confusion matrix as plain data.

    Returns:
        ``classes``; ``confusion``: rows are true classes, columns predicted ones, in that order; ``images`` and
        ``recall``: one entry a class, recall null where a class has no image.
    """
    images = confusion.sum(1)
    hits = np.diagonal(confusion)
    return {
        "classes": list(class_names),
        "confusion": confusion.tolist(),
        "images": images.tolist(),
        "recall": [float(h / n) if n else None for h, n in zip(hits, images, strict=True)],
    }
