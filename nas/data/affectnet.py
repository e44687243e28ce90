"""AffectNet: eight expressions, valence, arousal and 68 landmarks of each face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset
from nas.data.table import Naming, Table, dataset_of
from nas.errors import InputError

# By their numbers, 0 to 7.
CLASS_NAMES: Final = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
NO_EXPRESSION: Final = {8: "none", 9: "uncertain", 10: "no face"}
TARGET_NAMES: Final = ("valence", "arousal")
POINTS: Final = 68
_UNKNOWN: Final = -2  # valence and arousal where they were not annotated
_NAMING: Final = Naming("affectnet", CLASS_NAMES, lambda count: f"AffectNet ({count} images, 8 classes)")


def affectnet_dataset(root: Path, found: Table, image_size: int | None) -> Dataset:
    """The data set of rows as AffectNet numbers them (Mollahosseini, Hasani, Mahoor 2017).

    Args:
        root: what the user gave.
        found: labels as in the files, -1 where unknown; targets with -2 or NaN where unknown.
        image_size: the side to which images are brought; None as in :func:`nas.data.pictures.read_pictures`.

    Raises:
        InputError: no usable label, one class only, or more than half of the images missing or unreadable.
    """
    table = _expressions(root, found)
    if table.targets is not None:
        unknown = (table.targets <= _UNKNOWN).any(axis=1, keepdims=True)
        table = replace(table, targets=np.where(unknown, np.float32(np.nan), table.targets))
    return dataset_of(root, table, _NAMING, image_size)


def _expressions(root: Path, found: Table) -> Table:
    """The rows with an expression in 0..7."""
    warnings: list[str] = []
    for number, name in NO_EXPRESSION.items():
        if count := int((found.labels == number).sum()):
            warnings.append(f"{count} images of expression {number} ({name}) are left out")
    usable = (found.labels >= 0) & (found.labels < len(CLASS_NAMES))
    odd = ~usable & ~np.isin(found.labels, list(NO_EXPRESSION))
    if odd.any():
        first = found.files[int(np.argmax(odd))]
        warnings.append(f"{int(odd.sum())} images left out: their expression is no number in 0..10 (first: {first})")
    if not usable.any():
        raise InputError(
            f"{root}: AffectNet's files, but none of {len(usable)} images has an expression in 0..7: unpack all of it"
        )
    return found.taken(np.flatnonzero(usable)).warned(*warnings)


def stacked(tables: Sequence[Table]) -> Table:
    """The rows of several parts, one after another."""
    if len(tables) == 1:
        return tables[0]

    def all_of(values: Sequence[npt.NDArray[np.float32] | None]) -> npt.NDArray[np.float32] | None:
        known = [each for each in values if each is not None]
        return np.concatenate(known) if len(known) == len(values) else None

    boxes = [table.boxes for table in tables if table.boxes is not None]
    return Table(
        files=[file for table in tables for file in table.files],
        labels=np.concatenate([table.labels for table in tables]),
        boxes=np.concatenate(boxes) if len(boxes) == len(tables) else None,
        targets=all_of([table.targets for table in tables]),
        target_names=TARGET_NAMES,
        points=all_of([table.points for table in tables]),
        parts=np.concatenate([table.parts for table in tables if table.parts is not None]),
        warnings=tuple(sentence for table in tables for sentence in table.warnings),
    )
