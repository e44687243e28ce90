"""Images listed in a csv file: path, label, and what else is known of each.

Columns, in any order, named in the first line (case does not matter; comma, semicolon or tab between):

==================  ====================================================================================================
``path``            the image file, absolute or from the folder of the csv
``label``           the class, as text
``subject``         the person; names that differ only by case or blanks are one person
``sequence``        the video or burst that the image is of; never cut by a fold
``part``, ``split``  ``train``, ``validation`` or ``test``, in the usual spellings
``valence``         a number to predict beside the class, and so ``arousal``
``target:NAME``     likewise, under any name
``landmarks``       x and y of each point in pixels of the file, ``x;y;x;y;...``, as many in each row
==================  ====================================================================================================

All but the first two are optional.  CAFE (LoBue and Thrasher 2015: 1,192 photographs of 154 children, for which no
public pattern of file names exists) is read this way: write ``path,label,subject``, one row a photograph, one subject a
child.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.data.captions import SYNTHETIC_CAPTION, is_synthetic
from nas.data.csvfile import csv_columns, csv_rows, number_in, numbers_in
from nas.data.dataset import Dataset
from nas.data.parts import part_called
from nas.data.paths import visible_entries
from nas.data.subjects import one_spelling
from nas.data.table import Naming, Table, dataset_of
from nas.errors import InputError

NEEDED: Final = ("path", "label")
_PARTS: Final = ("part", "split")
_TARGETS: Final = ("valence", "arousal")
_PREFIX: Final = "target:"
_KNOWN: Final = frozenset((*NEEDED, *_PARTS, *_TARGETS, "subject", "sequence", "landmarks"))
_MAX_CLASSES: Final = 1000
_MAX_POINTS: Final = 1000
_SHOWN: Final = 12


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest, by its columns."""
    return set(NEEDED) <= set(csv_columns(path))


def manifest_in(root: Path) -> Path | None:
    """The manifest of a folder: ``manifest.csv``, or else the only csv file in it with the columns of one."""
    found = [file for file in visible_entries(root)[1] if is_manifest(file)]
    named = [file for file in found if file.name.lower() == "manifest.csv"]
    return named[0] if named else found[0] if len(found) == 1 else None


def nearly_manifest(path: Path) -> str | None:
    """What a csv file has and lacks of a manifest's columns; None where it is none."""
    columns = csv_columns(path)
    lacking = [name for name in NEEDED if name not in columns]
    if len(lacking) != 1:
        return None
    return f"has the columns {', '.join(columns[:_SHOWN])} but {lacking[0]} is missing"


def load_manifest(path: Path, image_size: int | None = None) -> Dataset:
    """The images that a manifest lists; classes are sorted by name, or by number where all are numbers.

    Args:
        path: the csv file, or the folder that holds it.
        image_size: the side to which images are brought; None as in :func:`nas.data.pictures.read_pictures`.

    Raises:
        InputError: no csv text, no row that can be used, one class only, or more than half of the images missing.
    """
    file = path if path.is_file() else manifest_in(path)
    if file is None:
        raise InputError(f"{path}: no csv file with the columns path and label")
    columns = csv_columns(file)
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise InputError(f"{file}: the column {', '.join(repeated)} is there more than once: keep one")
    values, warnings = _columns(file, columns)
    classes = _class_names(file, values["label"])
    number = {name: index for index, name in enumerate(classes)}
    parts, part_warnings = _parts(values)
    warnings += _alike(classes)
    points, point_warnings = _points(values)
    names = tuple(name for name in columns if _is_target(name))
    table = Table(
        files=[file.parent / name for name in values["path"]],
        labels=np.array([number[label] for label in values["label"]], np.int64),
        targets=np.array([list(map(number_in, values[name])) for name in names], np.float32).T if names else None,
        target_names=tuple(name.removeprefix(_PREFIX) for name in names),
        points=points,
        subjects=np.array(values["subject"]) if "subject" in values else None,
        sequences=np.array(values["sequence"]) if "sequence" in values else None,
        parts=parts,
        warnings=(*warnings, *part_warnings, *point_warnings),
    )
    drawn = is_synthetic(file.parent)
    naming = Naming("manifest", classes, lambda n: SYNTHETIC_CAPTION if drawn else f"{file.name} ({n} images)")
    return dataset_of(file.parent, _with_sequences(_with_subjects(table)), naming, image_size)


def _columns(file: Path, columns: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The values of each column, of the rows that can be used, and what to warn about."""
    values: dict[str, list[str]] = {name: [] for name in columns}
    seen: set[str] = set()
    damaged, repeated = [], []
    for line, row in csv_rows(file):
        if row is None or not row["path"] or not row["label"] or "\0" in row["path"]:
            damaged.append(line)
            continue
        row["path"] = _plain(file.parent, row["path"])
        if row["path"] in seen:  # in two folds it would be trained on and tested
            repeated.append(line)
        else:
            seen.add(row["path"])
            for name, value in row.items():
                values[name].append(value)
    count = len(values["path"])
    if not count and not damaged:
        raise InputError(f"{file}: no row below the names of its columns: one row an image is needed")
    if 2 * len(damaged) > len(damaged) + count:
        raise InputError(
            f"{file}: {len(damaged)} of {len(damaged) + count} rows have no path, no label or another number of values "
            f"than the first line (first: line {damaged[0]}): one row an image is needed"
        )
    counted = ((damaged, "without path or label, or cut short,"), (repeated, "that name an image once more"))
    warnings = [f"{len(them)} rows {what} are left out (first: line {them[0]})" for them, what in counted if them]
    ignored = [name for name in columns if name not in _KNOWN and not _is_target(name)]
    if ignored:
        warnings.append(f"columns ignored: {', '.join(ignored)} (read are {', '.join(sorted(_KNOWN))}, {_PREFIX}NAME)")
    return values, warnings


def _plain(folder: Path, path: str) -> str:
    """One spelling of ``./a.png`` and ``a.png``; of paths that Windows has written, too, where no file is called so."""
    if "\\" in path and not os.path.lexists(folder / path):
        path = path.replace("\\", "/")
    if ".." in path or not ("./" in path or "//" in path):  # after a link, .. leads elsewhere than its text says
        return path
    return os.path.normpath(path)


def _class_names(file: Path, labels: Sequence[str]) -> tuple[str, ...]:
    names = sorted(set(labels))
    if len(names) > _MAX_CLASSES:
        raise InputError(
            f"{file}: {len(names)} different labels, more than {_MAX_CLASSES}: if they are numbers to predict, name "
            f"their column {_PREFIX}NAME and give a label besides"
        )
    if all(name.isascii() and name.isdecimal() for name in names):
        names.sort(key=lambda name: (int(name), name))
    return tuple(names)


def _alike(classes: Sequence[str]) -> list[str]:
    """What to warn about where classes are told apart by case alone."""
    spelled: dict[str, list[str]] = {}
    for name in classes:
        spelled.setdefault(name.casefold(), []).append(name)
    doubtful = [" and ".join(map(repr, names)) for names in spelled.values() if len(names) > 1]
    return [f"labels that differ only by case are taken as different classes: {'; '.join(doubtful)}"] * bool(doubtful)


def _is_target(name: str) -> bool:
    return name in _TARGETS or (name.startswith(_PREFIX) and len(name) > len(_PREFIX))


def _parts(values: Mapping[str, Sequence[str]]) -> tuple[npt.NDArray[np.str_] | None, tuple[str, ...]]:
    column = next((name for name in _PARTS if name in values), None)
    if column is None:
        return None, ()
    parts = [part_called(name) for name in values[column]]
    if None in parts:
        odd = values[column][parts.index(None)]
        return None, (
            f"the column {column} is not used: {parts.count(None)} rows name none of train, validation, test "
            f"(first: {odd!r})",
        )
    return np.array(parts), ()


def _points(values: Mapping[str, Sequence[str]]) -> tuple[npt.NDArray[np.float32] | None, tuple[str, ...]]:
    """Landmarks, shape (n, points, 2), in pixels, as many as most rows have; NaN where a row has another number."""
    texts = values.get("landmarks", ())
    counts = Counter(len(text.replace(";", " ").split()) for text in texts if text)
    if not counts:
        return None, ()
    numbers = counts.most_common(1)[0][0]
    if numbers % 2 or numbers > 2 * _MAX_POINTS:
        return None, (
            f"the column landmarks is not used: {numbers} numbers a row, not x and y of at most {_MAX_POINTS} points",
        )
    return np.stack([numbers_in(text, numbers) for text in texts]).reshape(len(texts), numbers // 2, 2), ()


def _with_subjects(table: Table) -> Table:
    """Without the rows whose person is unknown, since no fold could keep them apart; each person under one name."""
    if table.subjects is None:
        return table
    known = table.subjects != ""
    lacking = int((~known).sum())
    if 2 * lacking > len(known):
        without = replace(table, subjects=None)
        return without.warned(f"{lacking} of {len(known)} rows name no subject: subjects are not used")
    if lacking:
        table = table.taken(np.flatnonzero(known)).warned(f"{lacking} rows without a subject are left out")
    subjects, warnings = one_spelling(np.array(table.subjects))
    return replace(table, subjects=subjects).warned(*warnings)


def _with_sequences(table: Table) -> Table:
    """A row without a sequence is one of its own; sequences of two people under one number are two."""
    if table.sequences is None:
        return table
    alone = (name or f"row {index}" for index, name in enumerate(table.sequences))
    if table.subjects is None:
        return replace(table, sequences=np.array(list(alone)))
    whose = zip(table.subjects, alone, strict=True)
    return replace(table, sequences=np.array([f"{subject}/{name}" for subject, name in whose]))
