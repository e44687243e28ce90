"""A list of image files with what is known of each, and the data set that it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.parts import parts_of
from nas.data.pictures import names_of, read_pictures

_PER_ROW: Final = ("labels", "boxes", "targets", "points", "subjects", "sequences", "parts")


@dataclass(frozen=True, eq=False)
class Table:
    """n image files and what is known of them.

    Attributes:
        files: the n files.
        labels: int64, shape (n,).
        boxes: int64, shape (n, 4): left, top, width, height in pixels of what is cut out; None takes all whole.
        targets: float32, shape (n, k), NaN where unknown; None where there are none.
        target_names: one name a column of ``targets``.
        points: float32, shape (n, points, 2), landmarks (x, y) in pixels of the file, NaN where unknown; or None.
        subjects: shape (n,), or None.
        sequences: shape (n,), or None.
        parts: shape (n,), or None.
        warnings: what was left out so far.
    """

    files: Sequence[Path]
    labels: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64] | None = None
    targets: npt.NDArray[np.float32] | None = None
    target_names: tuple[str, ...] = ()
    points: npt.NDArray[np.float32] | None = None
    subjects: npt.NDArray[np.str_] | None = None
    sequences: npt.NDArray[np.str_] | None = None
    parts: npt.NDArray[np.str_] | None = None
    warnings: tuple[str, ...] = field(default=())

    def taken(self, rows: npt.NDArray[np.int64]) -> Table:
        """The rows at ``rows``, shape (m,), ascending; itself where these are all."""
        if len(rows) == len(self.files):
            return self
        found: dict[str, Any] = {
            name: None if (values := getattr(self, name)) is None else values[rows] for name in _PER_ROW
        }
        return replace(self, files=[self.files[int(row)] for row in rows], **found)

    def warned(self, *sentences: str) -> Table:
        """With these warnings besides."""
        return replace(self, warnings=self.warnings + sentences)


@dataclass(frozen=True)
class Naming:
    """How a data set is called: its kind, its classes, and its caption given the number of images."""

    kind: str
    class_names: tuple[str, ...]
    caption: Callable[[int], str]


def dataset_of(root: Path, table: Table, naming: Naming, image_size: int | None) -> Dataset:
    """Reads the images of ``table``.

    Images without targets or landmarks are left out where most have them; where most have none, they are not used.

    Raises:
        InputError: one class only, or more than half of the images missing or unreadable.
    """
    table = _with_all(_with_all(table, "targets"), "points")
    pictures = read_pictures(root, table.files, image_size, boxes=table.boxes)
    table = table.taken(pictures.kept)
    names = naming.class_names
    return Dataset(
        images=pictures.images,
        labels=table.labels,
        class_names=names,
        subjects=table.subjects,
        sequences=table.sequences,
        kind=naming.kind,
        caption=naming.caption(len(table.files)),
        warnings=(
            *table.warnings,
            *pictures.warnings,
            *coverage_warnings(table.labels, names, table.subjects, table.sequences),
        ),
        targets=table.targets,
        target_names=table.target_names,
        landmarks=None if table.points is None else _shares(table.points, pictures.boxes),
        parts=None if table.parts is None else parts_of(table.parts),
        names=names_of(root, table.files),
    )


def _with_all(table: Table, what: str) -> Table:
    """``table`` without the rows that lack ``what`` (``targets``, ``points``), or without ``what``."""
    values = getattr(table, what)
    if values is None:
        return table
    known = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    lacking = int((~known).sum())
    called = "landmarks" if what == "points" else f"targets ({', '.join(table.target_names)})"
    if 2 * lacking > len(known):
        without = replace(table, points=None) if what == "points" else replace(table, targets=None, target_names=())
        return without.warned(f"{lacking} of {len(known)} images have no {called}: they are not used")
    if lacking:
        first = table.files[int(np.argmin(known))]
        table = table.warned(f"{lacking} images without {called} are left out (first: {first})")
    return table.taken(np.flatnonzero(known))


def _shares(points: npt.NDArray[np.float32], boxes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Landmarks as shares of width and height of what is shown: 0 is its left or top edge, 1 the opposite one."""
    low = boxes[:, np.newaxis, :2].astype(np.float32)
    shares = np.subtract(points, low, dtype=np.float32)
    shares /= boxes[:, np.newaxis, 2:].astype(np.float32)
    return shares
