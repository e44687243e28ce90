"""A held-out part and cross-validation folds that keep each person on one side."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset, SequenceKind
from nas.errors import InputError, NasError

Indices = npt.NDArray[np.int64]
Unit = Literal["subject", "image"] | SequenceKind
# The official part that is set aside: the first of these that there is.
_ASIDE: Final = ("test", "validation")


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold: ``train`` and ``test`` are sorted indices into the data set, shapes (m,) and (k,)."""

    train: Indices
    test: Indices


@dataclass(frozen=True, eq=False)
class Split:
    """Which images a search trains and tests on, and which it never sees.

    Attributes:
        holdout: sorted indices of the images set aside, shape (h,), maybe empty.
        folds: their test parts hold every other image exactly once.
        subject_independent: whether no person is on both sides of any fold, nor of the holdout.
        seed: what the split was drawn with.
        unit: what is kept together.
        search_groups: number of such units that are searched on.
        holdout_groups: number of such units set aside.
        official: which official part of the data is what is set aside; None where it was drawn.
        leaky: share of the tested images that have a near copy in training, where a user has allowed a substantial one
            (:func:`nas.data.leaks.guard`); None otherwise.
    """

    holdout: Indices
    folds: tuple[Fold, ...]
    subject_independent: bool
    seed: int
    unit: Unit
    search_groups: int
    holdout_groups: int
    official: str | None = None
    leaky: float | None = None

    @cached_property
    def search_indices(self) -> Indices:
        """Sorted indices of the images that are not set aside."""
        return _frozen(np.concatenate([fold.test for fold in self.folds]))

    @cached_property
    def hash(self) -> str:
        """SHA-256 (first 16 hex digits) of all indices, the seed, and the official part that is set aside."""
        official = "" if self.official is None else f";official {self.official}"
        digest = hashlib.sha256(f"seed {self.seed}{official}".encode())
        parts = [("holdout", self.holdout)]
        for fold in self.folds:
            parts += [("train", fold.train), ("test", fold.test)]
        for name, indices in parts:
            digest.update(f";{name} {len(indices)};".encode())
            digest.update(np.ascontiguousarray(indices, dtype="<i8").tobytes())
        return digest.hexdigest()[:16]

    @property
    def protocol(self) -> str:
        """How accuracy is measured, in a sentence to print beside it."""
        aside = _counted(self.holdout_groups, self.unit) if self.holdout_groups else "none"
        if self.official is not None:
            aside = f"the official {self.official} part ({aside})"
        over = _counted(self.search_groups, self.unit)
        if self.subject_independent:
            return f"{len(self.folds)} subject-independent folds over {over}; {aside} set aside"
        leaky = ""
        if self.leaky is not None:
            leaky = f"leaky split: {self.leaky:.0%} of test images have a near-copy in training; "
        told = f"{len(self.folds)} folds over {over}, not subject-independent (no subject ids)"
        return f"{leaky}{told}; {aside} set aside"

    def describe(self) -> dict[str, Any]:
        """What ``run.yaml`` records of the split."""
        return {
            "protocol": self.protocol,
            "folds": len(self.folds),
            "seed": self.seed,
            "hash": self.hash,
            "subject_independent": self.subject_independent,
            "unit": self.unit,
            "search_images": len(self.search_indices),
            "search_groups": self.search_groups,
            "holdout_images": len(self.holdout),
            "holdout_groups": self.holdout_groups,
            **{name: value for name in ("official", "leaky") if (value := getattr(self, name)) is not None},
        }


def make_split(dataset: Dataset, *, folds: int = 5, holdout: float = 0.2, seed: int = 0) -> Split:
    """Set about ``holdout`` of the people aside and divide the rest into ``folds`` folds, classes balanced.

    Without subjects the sequences are kept together, without those each image stands for itself; the split then never
    calls itself subject-independent. A class without any image is passed over.  Where the data have an official test
    part, that is what is set aside, else their validation part.

    Args:
        dataset: the images.
        folds: number of folds, at least 2.
        holdout: share set aside, 0 for none, at most 0.5; of data with an official part to set aside, whether it is.
        seed: of the shuffling, in 0..2^32-1.

    Raises:
        InputError: an option out of range, a class with too few people (sequences, images) for so many folds, or an
            official part that shares people (sequences) with the others.
    """
    _check_options(folds, holdout, seed)
    unit, groups = units_of(dataset)
    everything = np.arange(len(dataset), dtype=np.int64)
    official = official_part(dataset) if holdout > 0 else None
    if official is None:
        aside = _set_aside(dataset, groups, unit, holdout, seed)
    else:
        aside = _official(dataset, groups, unit, official)
    search = np.setdiff1d(everything, aside)
    _check_enough(dataset, groups, unit, search, folds)
    parts = tuple(
        Fold(_frozen(search[train]), _frozen(search[test]))
        for train, test in _parts(dataset.labels[search], groups[search], unit, folds, seed)
    )
    split = Split(
        holdout=_frozen(aside),
        folds=parts,
        subject_independent=unit == "subject",
        seed=int(seed),
        unit=unit,
        search_groups=len(np.unique(groups[search])),
        holdout_groups=len(np.unique(groups[aside])),
        official=official,
    )
    _check_coverage(dataset, split, unit)
    _check_disjoint(split, groups, len(dataset))
    return split


def _check_options(folds: int, holdout: float, seed: int) -> None:
    if not isinstance(folds, (int, np.integer)) or isinstance(folds, bool) or folds < 2:
        raise InputError(f"folds = {folds!r}: give a whole number of at least 2")
    if not 0 <= holdout <= 0.5:
        raise InputError(f"holdout = {holdout!r}: give a share in 0..0.5 (0 sets nothing aside)")
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed!r}: give a whole number in 0..{2**32 - 1}")


def units_of(dataset: Dataset) -> tuple[Unit, Indices]:
    """What is kept together, and its number for each image, shape (n,)."""
    if dataset.subjects is not None:
        return "subject", np.unique(dataset.subjects, return_inverse=True)[1].astype(np.int64)
    if dataset.sequences is not None:
        return dataset.sequence_kind, np.unique(dataset.sequences, return_inverse=True)[1].astype(np.int64)
    return "image", np.arange(len(dataset), dtype=np.int64)


def official_part(dataset: Dataset) -> str | None:
    """The official part that is set aside unless a user wants otherwise: ``test``, else ``validation``, else None."""
    if dataset.parts is None:
        return None
    there = set(np.unique(dataset.parts).tolist())
    return next((name for name in _ASIDE if name in there and there != {name}), None)


def _official(dataset: Dataset, groups: Indices, unit: Unit, part: str) -> Indices:
    """Sorted indices of the images of an official part, shape (h,)."""
    inside = dataset.parts == part
    both = np.intersect1d(groups[inside], groups[~inside])
    if len(both):
        first = int(np.flatnonzero(inside & (groups == both[0]))[0])
        ids = dataset.sequences if dataset.subjects is None else dataset.subjects
        raise InputError(
            f"{dataset.caption}: {_counted(len(both), unit)} of the official {part} part are in its other parts too "
            f"(first: {'?' if ids is None else ids[first]}), so that they are not kept apart: use --ignore-parts"
        )
    return np.flatnonzero(inside).astype(np.int64)


def _set_aside(dataset: Dataset, groups: Indices, unit: Unit, holdout: float, seed: int) -> Indices:
    """Sorted indices of the images set aside, shape (h,)."""
    pieces = round(1 / holdout) if holdout >= 1 / len(dataset) else 0
    if pieces == 0:
        if holdout > 0:
            raise InputError(f"holdout = {holdout}: less than one of {len(dataset)} images; give more, or 0 for none")
        return np.empty(0, np.int64)
    found = len(np.unique(groups))
    largest = int(np.bincount(dataset.labels).max())
    if found <= pieces or largest < pieces:
        what = _counted(found, unit) if found <= pieces else f"{largest} images of the largest class"
        raise InputError(
            f"{dataset.caption}: {what}; setting a share of {holdout:g} aside needs more than {pieces}: "
            "use holdout=0, or give more data"
        )
    _, aside = next(_parts(dataset.labels, groups, unit, pieces, seed))
    if len(aside) == 0:
        raise InputError(
            f"{dataset.caption}: a few {unit}s hold most images, so that the part set aside is empty: use holdout=0"
        )
    return aside


def _parts(labels: Indices, groups: Indices, unit: Unit, pieces: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """(train, test) positions of each of ``pieces`` stratified parts."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    splitter = StratifiedKFold if unit == "image" else StratifiedGroupKFold
    with warnings.catch_warnings():
        # Classes rarer than the number of parts are judged by _check_enough, with a remedy.
        warnings.simplefilter("ignore")
        parts = list(splitter(pieces, shuffle=True, random_state=int(seed)).split(labels, labels, groups))
    for train, test in parts:
        yield np.sort(train).astype(np.int64), np.sort(test).astype(np.int64)


def _check_enough(dataset: Dataset, groups: Indices, unit: Unit, search: Indices, folds: int) -> None:
    """Each class that has images must have as many groups as folds, outside the part set aside."""
    where = "" if len(search) == len(dataset) else " outside the part set aside"
    counts = {}
    for index in np.unique(dataset.labels):
        counts[dataset.class_names[index]] = len(np.unique(groups[search[dataset.labels[search] == index]]))
    rarest = min(counts, key=lambda name: counts[name])
    if counts[rarest] >= folds:
        return
    fewer = f"use folds={counts[rarest]}, " if counts[rarest] >= 2 else ""
    smaller = "a smaller holdout, " if where else ""
    raise InputError(
        f"{dataset.caption}: class {rarest!r} has {_counted(counts[rarest], unit)}{where}, fewer than the "
        f"{folds} folds: {fewer}{smaller}leave this class out, or give more data"
    )


def _check_coverage(dataset: Dataset, split: Split, unit: Unit) -> None:
    """No fold may be empty, and each must train on every class that has images."""
    present = np.unique(dataset.labels)
    for number, fold in enumerate(split.folds):
        if len(fold.test) == 0:
            raise InputError(
                f"{dataset.caption}: fold {number} tests on nothing, since few {unit}s hold most images: use fewer "
                f"folds than {len(split.folds)}, or another seed"
            )
        lacking = np.setdiff1d(present, dataset.labels[fold.train])
        if len(lacking):
            names = ", ".join(dataset.class_names[index] for index in lacking)
            raise InputError(
                f"{dataset.caption}: fold {number} would train without any image of {names}: use another seed or "
                "number of folds, or give more data of that class"
            )


def _check_disjoint(split: Split, groups: Indices, count: int) -> None:
    """The promises of :class:`Split`, checked and not assumed."""
    aside, search = set(groups[split.holdout]), set(groups[split.search_indices])
    if aside & search:
        raise NasError(f"split: {len(aside & search)} {split.unit}s are set aside and searched on; please report this")
    for number, fold in enumerate(split.folds):
        both = set(groups[fold.train]) & set(groups[fold.test])
        if both:
            raise NasError(
                f"split: fold {number} trains and tests on {len(both)} same {split.unit}s; please report this"
            )
        if not np.array_equal(np.union1d(fold.train, fold.test), split.search_indices):
            raise NasError(f"split: fold {number} does not hold what is searched on; please report this")
    if not np.array_equal(np.union1d(split.holdout, split.search_indices), np.arange(count)):
        raise NasError("split: an image is neither set aside nor searched on; please report this")


def _frozen(indices: Indices) -> Indices:
    """``indices`` sorted, as a copy that cannot be written to."""
    result = np.sort(indices).astype(np.int64)
    result.setflags(write=False)
    return result


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
