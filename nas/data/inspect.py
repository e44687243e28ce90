"""What a data set holds, as one JSON object."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset
from nas.data.duplicates import SIMILARITY, NearCopies, exact_pairs, near_copies
from nas.data.folds import make_split
from nas.data.leaks import leaks_of, name_of
from nas.errors import InputError

_EXAMPLES = 5


def inspect(dataset: Dataset) -> dict[str, Any]:
    """What is known without comparing images: counts are None where they are not known."""
    height, width, channels = dataset.input_shape
    return {
        "kind": dataset.kind,
        "images": len(dataset),
        "height": height,
        "width": width,
        "channels": channels,
        "classes": dataset.class_counts(),
        "subjects": _distinct(dataset.subjects),
        "sequences": _distinct(dataset.sequences),
        "fingerprint": dataset.fingerprint,
        "warnings": list(dataset.warnings),
        "parts": _counts(dataset.parts),
        "targets": _ranges(dataset),
        "landmarks": None if dataset.landmarks is None else int(dataset.landmarks.shape[1]),
        "soft_labels": dataset.soft_labels is not None,
    }


def examine(dataset: Dataset) -> dict[str, Any]:
    """What ``nas data inspect --json`` prints: :func:`inspect`, and what comparing all images shows.

    ``duplicates`` are images that agree with an earlier one in every pixel; ``near_duplicates`` are pairs that do not,
    but nearly (:func:`nas.data.duplicates.near_copies`); ``label_conflicts`` are duplicates of another class;
    ``leaks`` are near copies that the folds of a search with default options would part: ``refused`` where it would not
    use them, ``doubtful`` where they lie under different subjects, which are then hardly different people.
    """
    copies = near_copies(dataset.images)
    exact = exact_pairs(copies.same)
    conflicts = exact[dataset.labels[exact[:, 0]] != dataset.labels[exact[:, 1]]]
    near = copies.pairs[copies.same[copies.pairs[:, 0]] != copies.same[copies.pairs[:, 1]]]
    return inspect(dataset) | {
        "duplicates": {"images": len(exact), "examples": _named(dataset, exact)},
        "near_duplicates": {
            "pairs": len(near),
            "images": int(np.isin(copies.looked_at, near).sum()),
            "similarity": SIMILARITY,
            "images_looked_at": len(copies.looked_at),
            "capped": copies.capped,
            "examples": _named(dataset, near),
        },
        "label_conflicts": {
            "images": len(np.unique(conflicts)),
            "examples": [
                [f"{name_of(dataset, index)} ({dataset.class_names[dataset.labels[index]]})" for index in pair]
                for pair in conflicts[:_EXAMPLES].tolist()
            ],
        },
        "leaks": _leaks(dataset, copies),
    }


def _leaks(dataset: Dataset, copies: NearCopies) -> dict[str, Any]:
    """Of the split that a search makes by default; where it cannot be made, why."""
    try:
        split = make_split(dataset)
    except InputError as error:
        return {"split": None, "why": str(error), "refused": False, "doubtful": False}
    found = leaks_of(dataset, split, copies)
    named = split.unit == "subject"
    judged = {"refused": found.substantial and not named, "doubtful": found.substantial and named}
    return {"split": split.protocol, **found.to_json(), **judged}


def _distinct(ids: npt.NDArray[np.str_] | None) -> int | None:
    return None if ids is None else len(np.unique(ids))


def _counts(ids: npt.NDArray[np.str_] | None) -> dict[str, int] | None:
    if ids is None:
        return None
    names, counts = np.unique(ids, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _ranges(dataset: Dataset) -> dict[str, dict[str, float]] | None:
    """Least, mean and greatest value of each target."""
    if dataset.targets is None:
        return None
    columns = zip(dataset.target_names, dataset.targets.T.astype(np.float64), strict=True)
    return {
        name: {"min": float(values.min()), "mean": float(values.mean()), "max": float(values.max())}
        for name, values in columns
    }


def _named(dataset: Dataset, pairs: npt.NDArray[np.int64]) -> list[list[str]]:
    return [[name_of(dataset, index) for index in pair] for pair in pairs[:_EXAMPLES].tolist()]
