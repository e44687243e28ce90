"""Metrics of out-of-fold predictions, with intervals over subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nas.measurement import Measurement
from nas.statistics.accuracy import SeedNoise, accuracy_estimate
from nas.statistics.confusion import confusion_by_group, jackknife_estimates
from nas.statistics.estimate import Estimate
from nas.statistics.regression import regression_estimates


def measure_predictions(
    labels: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    *,
    classes: int,
    confidence: float,
    group_kind: str,
    elsewhere: SeedNoise | None = None,
) -> Mapping[str, Measurement]:
    """Each metric with an interval over groups, ``confidence`` on each side: Student's t on the logit.

    Accuracy has the linearised cluster variance (:func:`nas.statistics.accuracy.accuracy_estimate`), balanced accuracy
    and macro-F1 the jackknife's (:func:`nas.statistics.confusion.jackknife_estimates`).  In the simulation of
    ``benchmarks/honesty.py`` accuracy's covers what it says where trainings have no luck of their own, and a percentile
    bootstrap less.  The variance between training seeds is in the accuracy's interval where ``elsewhere`` gives it, and
    the provenance says which.

    Args:
        labels, predicted: classes, shape (n,).
        groups: the images that belong together (one subject's), shape (n,).
        classes: number of classes.
        confidence: one-sided.
        group_kind: such as ``subjects``.
        elsewhere: variance between trainings of one network, measured on others of the run.
    """
    tables = confusion_by_group(labels, predicted, groups, classes).astype(float)
    over = f"over {len(tables)} {group_kind}"
    seeds = "without the variance between trainings (no repeats)"
    told = seeds if elsewhere is None else f"with the variance between trainings of other networks ({elsewhere.df} df)"
    accuracy = accuracy_estimate(labels == predicted, groups, elsewhere=elsewhere)
    others = jackknife_estimates(tables)
    return {
        "accuracy": _measured(accuracy, confidence, len(labels), f"cluster-t {over}, {told}"),
        **{name: _measured(e, confidence, len(labels), f"jackknife-t {over}, {seeds}") for name, e in others.items()},
    }


def _measured(estimate: Estimate, confidence: float, images: int, how: str) -> Measurement:
    low, high = estimate.low(confidence), estimate.high(confidence)
    return Measurement(estimate.value, low, high, "share", images, f"{how}, one-sided {confidence:g}")


def measure_values(
    true: npt.NDArray[np.float32],
    predicted: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int64],
    *,
    names: Sequence[str],
    confidence: float,
    group_kind: str,
) -> Mapping[str, Measurement]:
    """``rmse``, ``ccc`` and ``pearson`` averaged over the targets, and of each target such as ``rmse_valence``.

    Each has the jackknife's interval over groups (:mod:`nas.statistics.regression`), ``confidence`` on each side; the
    luck of training is not in it.  With one group alone nothing is known of others, and the value is in doubt.

    Args:
        true, predicted: the targets, shape (n, k).
        groups: the images that belong together (one subject's), shape (n,).
        names: of the targets.
        confidence: one-sided.
        group_kind: such as ``subjects``.
    """
    whole, *each = regression_estimates(true.astype(float), predicted.astype(float), groups)
    df = whole["rmse"].df
    over = f"jackknife-t over {df + 1} {group_kind}, without the variance between trainings (no repeats)"
    how = f"{over}, one-sided {confidence:g}"
    doubt = None if df else f"one of {group_kind} alone says nothing of others"
    of_all = f"mean over {', '.join(names)}, " if len(names) > 1 else ""
    named = [(name, of_all, e) for name, e in whole.items()]
    named += [(f"{name}_{of}", "", e) for of, found in zip(names, each, strict=True) for name, e in found.items()]
    return {
        name: Measurement(e.value, e.low(confidence), e.high(confidence), "", len(true), before + how, doubt)
        for name, before, e in named
    }
