"""AffectNet with its annotations in ``training.csv`` and ``validation.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from nas.data.affectnet import NO_EXPRESSION, POINTS, TARGET_NAMES, affectnet_dataset, stacked
from nas.data.csvfile import csv_columns, csv_rows, number_in, numbers_in
from nas.data.dataset import Dataset
from nas.data.parts import part_called
from nas.data.paths import identity, subfolders, visible_entries
from nas.data.table import Table
from nas.errors import InputError

_PATH: Final = "subdirectory_filepath"
_BOX: Final = ("face_x", "face_y", "face_width", "face_height")
_NO_POINTS: Final = np.full(2 * POINTS, np.nan, np.float32)
_TRIED: Final = 20
_DEPTH: Final = 3
_MAX_FOLDERS: Final = 1000


def is_affectnet_list(path: Path) -> bool:
    """Whether a file is one of AffectNet's lists, by its columns."""
    return {_PATH, "expression"} <= set(csv_columns(path))


def looks_like_affectnet_csv(root: Path) -> bool:
    """Whether ``training.csv`` or ``validation.csv`` of AffectNet lies in ``root`` or a folder in it."""
    return bool(_lists(root))


def load_affectnet_csv(root: Path, image_size: int | None = None) -> Dataset:
    """AffectNet by its lists: faces cut out of the photographs, 8 classes, parts train and validation.

    Args:
        root: a list, or the folder that holds lists and photographs.
        image_size: the side to which images are brought; None as in :func:`nas.data.pictures.read_pictures`.

    Raises:
        InputError: no usable label, the photographs are not found, or more than half of them are unreadable.
    """
    if root.is_dir():
        return affectnet_dataset(root, stacked([_table(root, part, file) for file, part in _lists(root)]), image_size)
    part = part_called(root.stem) or "train"
    return affectnet_dataset(root.parent, _table(root.parent, part, root), image_size)


def _lists(root: Path) -> list[tuple[Path, str]]:
    """The lists under ``root`` that are named for a part, and the part of each; the training images first."""
    found: dict[str, Path] = {}
    for folder in (root, *subfolders(root)):
        for file in visible_entries(folder)[1]:
            part = part_called(file.stem) if file.suffix.lower() == ".csv" else None
            if part and part not in found and is_affectnet_list(file):
                found[part] = file
    return [(file, part) for part, file in sorted(found.items())]


def _table(root: Path, part: str, path: Path) -> Table:
    columns = csv_columns(path)
    boxed = set(_BOX) <= set(columns)
    names: list[str] = []
    labels: list[int] = []
    boxes: list[list[float]] = []
    targets: list[list[float]] = []
    points: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
    damaged = 0
    for _, row in csv_rows(path):
        if row is None or not row[_PATH]:
            damaged += 1
            continue
        label = number_in(row["expression"])
        names.append(row[_PATH].replace("\\", "/"))
        labels.append(int(label) if np.isfinite(label) and label == int(label) else -1)
        targets.append([number_in(row.get(name, "")) for name in TARGET_NAMES])
        boxes.append([number_in(row[name]) for name in _BOX] if boxed else [0.0] * len(_BOX))
        used = labels[-1] not in NO_EXPRESSION  # a third of all rows, left out later
        points.append(numbers_in(row.get("facial_landmarks", ""), 2 * POINTS) if used else _NO_POINTS)
    if not names:
        raise InputError(f"{path}: no row that names an image; unpack it again")
    folder = _image_folder(root, names)
    return Table(
        files=[folder / name for name in names],
        labels=np.array(labels, np.int64),
        boxes=np.nan_to_num(np.array(boxes)).clip(-1e6, 1e6).round().astype(np.int64) if boxed else None,
        targets=np.array(targets, np.float32) if set(TARGET_NAMES) <= set(columns) else None,
        target_names=TARGET_NAMES,
        points=np.stack(points).reshape(len(points), POINTS, 2) if "facial_landmarks" in columns else None,
        parts=np.full(len(names), part),
        warnings=(f"{damaged} rows of {path.name} left out: they name no image or are cut short",) if damaged else (),
    )


def _image_folder(root: Path, names: Sequence[str]) -> Path:
    """The folder in or beside which the lists lie, under which most of the first files that they name are found."""
    tried = [names[index] for index in np.linspace(0, len(names) - 1, _TRIED).astype(int)]
    best, most = root, 0
    for folder in _folders(root):
        found = sum((folder / name).is_file() for name in tried)
        if found > most:
            best, most = folder, found
        if most == len(tried):
            break
    if not most:
        raise InputError(
            f"{root}: none of the images that its lists name is there (first: {names[0]}): unpack "
            "Manually_Annotated_Images beside the lists"
        )
    return best


def _folders(root: Path) -> Iterator[Path]:
    """``root`` and the folders in it, three levels deep, then so the folder that holds it."""
    seen: set[tuple[int, int]] = set()
    for base in (root, root.resolve().parent):
        level = [base]
        for _ in range(_DEPTH):
            fresh = [folder for folder in level if identity(folder) not in seen]
            seen.update(map(identity, fresh))
            yield from fresh
            level = [inner for folder in fresh for inner in _inside(folder)]
            if len(seen) > _MAX_FOLDERS:
                return


def _inside(folder: Path) -> list[Path]:
    """Its subfolders but the thousand numbered ones, which hold the photographs and no folder."""
    try:
        return [inner for inner in subfolders(folder) if not inner.name.isdigit()]
    except InputError:  # beside the data may lie what cannot be listed
        return []
