"""Which folders hold the images of which class, and of which official part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.data.parts import part_called
from nas.data.paths import image_files, subfolders, visible_entries
from nas.errors import InputError


@dataclass(frozen=True)
class ClassFolder:
    """A folder with images of one class.

    Attributes:
        path: the folder.
        name: the class.
        part: the official part that its images belong to (``train``, ``validation``, ``test``), or None.
    """

    path: Path
    name: str
    part: str | None = None


def class_folders(root: Path) -> tuple[tuple[ClassFolder, ...], tuple[str, ...]]:
    """The folders of images under ``root`` (``happy/``, or ``train/happy/``), sorted, and what to warn about.

    Raises:
        InputError: fewer than two classes; the message says what lies there instead.
    """
    folders, files = visible_entries(root)
    if not folders and not files:
        raise InputError(f"{root}: the folder is empty; expected one subfolder of images per class")
    if not folders:
        what = "images" if image_files(root) else "files"
        raise InputError(f"{root}: {what} but no subfolder; put the images of each class into a subfolder of its name")
    divided = part_folders(root)
    classes, warnings = _in_parts(root, divided) if divided else _in_one_piece(root, folders)
    found = {folder.name for folder in classes}
    if len(found) == 1:
        raise InputError(
            f"{root}: only one class (subfolder {classes[0].name!r}) holds images; a classifier needs at least two: "
            "give the folder that holds all classes"
        )
    used = {folder.path for folder in classes} | set(divided)
    ignored = [folder.name for folder in folders if folder not in used]
    if ignored:
        warnings.append(f"subfolders without images are no classes: {', '.join(ignored)}")
    if outside := image_files(root):
        warnings.append(f"{len(outside)} images outside any class folder are left out")
    return classes, tuple(warnings)


def part_folders(root: Path) -> tuple[Path, ...]:
    """The subfolders of ``root`` that are parts of a data set (``train``, ``test`` ...); none where they are classes.

    Beside class folders, and beside others where it holds none itself, a folder ``test`` is a class.
    """
    folders = subfolders(root)
    named = tuple(folder for folder in folders if part_called(folder.name))
    others = [folder for folder in folders if folder not in named]
    if not named or any(map(image_files, others)):
        return ()
    return named if not others or any(map(_holds_classes, named)) else ()


def _holds_classes(folder: Path) -> bool:
    return any(map(image_files, subfolders(folder)))


def _in_one_piece(root: Path, folders: Sequence[Path]) -> tuple[tuple[ClassFolder, ...], list[str]]:
    classes = tuple(ClassFolder(folder, folder.name) for folder in folders if image_files(folder))
    if not classes:
        deeper = next((folder for folder in folders if _holds_classes(folder)), None)
        remedy = f"did you mean {deeper}?" if deeper else "expected one subfolder of images per class"
        raise InputError(f"{root}: no image in its {len(folders)} subfolders; {remedy}")
    return classes, []


def _in_parts(root: Path, divided: Sequence[Path]) -> tuple[tuple[ClassFolder, ...], list[str]]:
    """The class folders inside the folders ``divided``, each with its part; ``Happy`` and ``happy`` are one class."""
    spelled: dict[str, str] = {}
    classes: list[ClassFolder] = []
    warnings: list[str] = []
    for folder in divided:
        inside = [inner for inner in subfolders(folder) if image_files(inner)]
        for inner in inside:
            name = spelled.setdefault(inner.name.casefold(), inner.name)
            classes.append(ClassFolder(inner, name, part_called(folder.name)))
        if not inside:
            what = f"{len(image_files(folder))} images without a class" if image_files(folder) else "no class folder"
            warnings.append(f"the part {folder.name} is left out: {what}")
    if not classes:
        names = ", ".join(folder.name for folder in divided)
        raise InputError(
            f"{root}: its subfolders ({names}) are parts of a data set, not classes, and none holds one folder of "
            f"images per class, such as {divided[0] / 'happy'}: sort the images so"
        )
    every = sorted({folder.name for folder in classes})
    for part in dict.fromkeys(folder.part for folder in classes):
        lacking = sorted(set(every) - {folder.name for folder in classes if folder.part == part})
        if lacking:
            warnings.append(f"the part {part} has no image of {', '.join(map(repr, lacking))}")
    return tuple(classes), warnings
