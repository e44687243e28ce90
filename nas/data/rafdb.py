"""RAF-DB, the basic emotions: a list of labels beside the images, or one numbered folder a class."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np

from nas.data.dataset import Dataset
from nas.data.parts import part_called
from nas.data.paths import image_files, open_file, subfolders, visible_entries
from nas.data.table import Naming, Table, dataset_of
from nas.errors import InputError

# By their numbers, 1 to 7.
CLASS_NAMES: Final = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
_NAMING: Final = Naming("raf-db", CLASS_NAMES, lambda count: f"RAF-DB, basic emotions ({count} images)")
_NUMBERS: Final = frozenset(str(number + 1) for number in range(len(CLASS_NAMES)))
_LIST: Final = re.compile(r"list_pa(?:r?ti)tion_label\.txt", re.IGNORECASE)
_LINE: Final = re.compile(r"(\S+)\s+(-?\d+)")
_MAX_LIST_BYTES: Final = 10_000_000  # fifteen times what the 15,339 lines have
_WHERE: Final = "EmoLabel/list_patition_label.txt"


def looks_like_rafdb(root: Path) -> bool:
    """Whether a list of labels and images lie in ``root`` or ``basic``, or ``1``..``7`` in ``train`` and ``test``."""
    return _numbered(root) is not None or _listed(root) is not None


def nearly_rafdb(root: Path) -> str | None:
    """What RAF-DB has and ``root`` lacks; None where it does not resemble RAF-DB."""
    for base in _bases(root):
        images, labels = _image_folder(base), _label_list(base)
        if images is not None and labels is None:
            return f"has {images.relative_to(root)} but {_WHERE} is missing"
        if images is None and labels is not None:
            return f"has {labels.relative_to(root)} but Image/aligned is missing"
    for base in (root, *subfolders(root)[:1]):
        parts = [folder for folder in subfolders(base) if folder.name in ("train", "test")]
        found = [{inside.name for inside in subfolders(folder)} for folder in parts]
        if found and all(names and names <= _NUMBERS for names in found):
            lacking = sorted({"train", "test"} - {folder.name for folder in parts})
            lacking += [
                f"{p.name}/{n}" for p, names in zip(parts, found, strict=True) for n in sorted(_NUMBERS - names)
            ]
            return f"has numbered folders but {', '.join(lacking)} is missing"
    return None


def load_rafdb(root: Path, image_size: int | None = None) -> Dataset:
    """The basic part of RAF-DB (Li, Deng, Du 2017), 7 classes under RAF-DB's own numbers 1..7, parts train and test.

    Raises:
        InputError: no usable label, one class only, or more than half of the images missing or unreadable.
    """
    listed = _listed(root)
    found = _from_list(root, listed) if listed is not None else _from_folders(root)
    if not found.files:
        raise InputError(f"{root}: RAF-DB's folders, but no image with a label in 1..7: unpack all of it")
    return dataset_of(root, found, _NAMING, image_size)


def _bases(root: Path) -> tuple[Path, ...]:
    return (root, *(folder for folder in subfolders(root) if folder.name.lower() == "basic"))


def _listed(root: Path) -> tuple[Path, Path] | None:
    """The list of labels and the folder of images that ``root`` or its ``basic`` holds."""
    for base in _bases(root):
        labels, images = _label_list(base), _image_folder(base)
        if labels is not None and images is not None:
            return labels, images
    return None


def _label_list(base: Path) -> Path | None:
    for folder in (base / "EmoLabel", base):
        if folder.is_dir():
            for file in visible_entries(folder)[1]:
                if _LIST.fullmatch(file.name):
                    return file
    return None


def _image_folder(base: Path) -> Path | None:
    folders = (base / "Image" / "aligned", base / "Image" / "original")
    return next((folder for folder in folders if folder.is_dir()), None)


def _from_list(root: Path, listed: tuple[Path, Path]) -> Table:
    label_file, folder = listed
    aligned = folder.name == "aligned"
    files: list[Path] = []
    numbers: list[int] = []
    parts: list[str] = []
    odd: list[str] = []
    for line in _lines(label_file):
        match = _LINE.fullmatch(line)
        part = match and part_called(match[1].split("_")[0])
        if match is None or not part or match[2] not in _NUMBERS or "/" in match[1]:
            odd.append(line)
            continue
        stem, _, suffix = match[1].rpartition(".")
        files.append(folder / (f"{stem}_aligned.{suffix}" if aligned else match[1]))
        numbers.append(int(match[2]) - 1)
        parts.append(part)
    if 2 * len(odd) > len(odd) + len(files):
        raise InputError(
            f"{label_file}: {len(odd)} of {len(odd) + len(files)} lines are not like 'train_00001.jpg 5' with a number "
            f"in 1..7 (first: {odd[0]!r}): unpack it again"
        )
    warnings = [f"{len(odd)} labels left out: not like 'train_00001.jpg 5' (first: {odd[0]!r})"] if odd else []
    if not aligned:
        warnings.append(f"{folder}: whole photographs, not cut to the face; Image/aligned holds the faces")
    unlisted = len(set(image_files(folder)) - set(files))
    if unlisted:
        warnings.append(f"{unlisted} images of {folder.relative_to(root)} have no usable label and are left out")
    return Table(files, np.array(numbers, np.int64), parts=np.array(parts), warnings=tuple(warnings))


def _lines(path: Path) -> list[str]:
    try:
        with open_file(path) as file:
            content = file.read(_MAX_LIST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check its permissions") from error
    if len(content) > _MAX_LIST_BYTES:
        raise InputError(f"{path}: more than {_MAX_LIST_BYTES} bytes, which RAF-DB's list of labels never has")
    lines = content.decode("utf-8-sig", "replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _numbered(root: Path) -> Path | None:
    """The folder whose ``train`` and ``test`` hold exactly the folders ``1``..``7``: ``root`` or its ``DATASET``."""
    for base in (root, root / "DATASET"):
        parts = {folder.name for folder in subfolders(base)} if base.is_dir() else set()
        if {"train", "test"} <= parts and all(
            {folder.name for folder in subfolders(base / part)} == _NUMBERS for part in ("train", "test")
        ):
            return base
    return None


def _from_folders(root: Path) -> Table:
    base = _numbered(root) or root
    files: list[Path] = []
    numbers: list[int] = []
    parts: list[str] = []
    for part in ("train", "test"):
        for index in range(len(CLASS_NAMES)):
            inside = image_files(base / part / str(index + 1))
            files += inside
            numbers += [index] * len(inside)
            parts += [part] * len(inside)
    return Table(files, np.array(numbers, np.int64), parts=np.array(parts))
