"""What a linear classifier on the pixels reaches: the figure that any network must beat."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset
from nas.data.folds import Fold, Split
from nas.errors import InputError
from nas.statistics.regression import regression_scores

MAX_SIDE = 48
MAX_PIXELS = MAX_SIDE * MAX_SIDE
MAX_TRAINING_IMAGES = 4000


def linear_baseline(dataset: Dataset, split: Split, fold_indices: Sequence[int]) -> float:
    """Accuracy of shrinkage linear discriminant analysis (Ledoit & Wolf 2004), pooled over the given folds.

    Each fold is trained on its train part (at most 4,000 images, drawn with the split's seed) and scored on its test
    part. Images are box-averaged until no side exceeds 48 and no image 48·48 values, so that it takes seconds.

    Args:
        dataset: the images.
        split: made of the same data set.
        fold_indices: which folds of ``split``, at least one.

    Raises:
        InputError: no fold, a fold that is not there, or a train part with no more images than classes.
    """
    _check_folds(split, fold_indices)
    factor = _box_side(dataset.input_shape)
    right = tested = 0
    for index in fold_indices:
        fold = split.folds[index]
        right += _right(dataset, fold, factor, np.random.default_rng([split.seed, index]))
        tested += len(fold.test)
    return right / tested


def value_baseline(dataset: Dataset, split: Split, fold_indices: Sequence[int]) -> dict[str, float]:
    """``rmse``, ``ccc`` and ``pearson`` of ridge regression of the targets, averaged over them, pooled over folds.

    Trained and scored as in :func:`linear_baseline`.  The penalty of each training is the one of 10^-1 .. 10^5 with the
    least leave-one-out error (Golub, Heath & Wahba 1979), pixels less their means.

    Args:
        dataset: with targets.
        split, fold_indices: as there.

    Raises:
        InputError: no fold, a fold that is not there, or data without targets.
    """
    _check_folds(split, fold_indices)
    if dataset.targets is None:
        raise InputError(f"{dataset.caption}: it has no targets")
    from sklearn.linear_model import RidgeCV

    factor = _box_side(dataset.input_shape)
    true, predicted = [], []
    for index in fold_indices:
        fold = split.folds[index]
        train = _training_part(fold, np.random.default_rng([split.seed, index]))
        model = RidgeCV(alphas=np.logspace(-1, 5, 13))
        model.fit(_features(dataset.images[train], factor), dataset.targets[train])
        true.append(dataset.targets[fold.test])
        predicted.append(model.predict(_features(dataset.images[fold.test], factor)).reshape(true[-1].shape))
    scores = regression_scores(np.concatenate(true).astype(float), np.concatenate(predicted).astype(float))
    return {name: float(each.mean()) for name, each in scores.items()}


def _check_folds(split: Split, fold_indices: Sequence[int]) -> None:
    if len(fold_indices) == 0 or not all(0 <= index < len(split.folds) for index in fold_indices):
        raise InputError(f"folds {list(fold_indices)}: give at least one in 0..{len(split.folds) - 1}")


def _training_part(fold: Fold, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The fold's training images, or as many of them as a baseline takes."""
    train = fold.train
    return (
        train if len(train) <= MAX_TRAINING_IMAGES else np.sort(rng.choice(train, MAX_TRAINING_IMAGES, replace=False))
    )


def _right(dataset: Dataset, fold: Fold, factor: int, rng: np.random.Generator) -> int:
    """How many test images of ``fold`` are classified rightly."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    train = _training_part(fold, rng)
    labels = dataset.labels[train]
    if len(train) <= len(np.unique(labels)):
        raise InputError(f"{dataset.caption}: a linear baseline cannot be trained on {len(train)} images: give more")
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    with warnings.catch_warnings():
        # A class of one image has no covariance of its own; the pooled one is estimated from the others.
        warnings.simplefilter("ignore")
        model.fit(_features(dataset.images[train], factor), labels)
        predicted = model.predict(_features(dataset.images[fold.test], factor))
    return int(np.count_nonzero(predicted == dataset.labels[fold.test]))


def _box_side(shape: tuple[int, int, int]) -> int:
    """Side of the box over which pixels of images of ``shape`` (height, width, channels) are averaged."""
    height, width, channels = shape
    side = -(-max(height, width) // MAX_SIDE)
    while (height // side) * (width // side) * channels > MAX_PIXELS:
        side += 1
    return min(side, height, width)


def _features(images: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.float32]:
    """(n, height, width, channels) to (n, features) in 0..1; what does not fill a box at the edge is left out."""
    count, height, width, channels = images.shape
    rows, columns = height // factor, width // factor
    boxes = images[:, : rows * factor, : columns * factor].reshape(count, rows, factor, columns, factor, channels)
    averaged: npt.NDArray[np.float32] = boxes.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    return averaged / np.float32(255)
