"""Paths that a user names, and what lies in the folders behind them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from nas.errors import InputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm"})


def existing_path(source: str | Path, names: Iterable[str] = ()) -> Path:
    """The path that ``source`` names, with ``~`` expanded.

    Args:
        source: what the user gave.
        names: names that would have been accepted in place of a path; proposed when one of them is close.

    Raises:
        InputError: nothing lies there; the message names what lies near.
    """
    if not str(source).strip():
        raise InputError("the path of the data is empty: give a folder, an .npz file or the name 'synthetic'")
    path = Path(os.path.expanduser(source))
    if os.path.exists(path):
        return path
    nearest = _nearest(path, names)
    remedy = f"did you mean {nearest}?" if nearest else "give a folder of images or an .npz file that exists"
    raise InputError(f"data {str(source)!r}: no such file or folder; {remedy}")


def _nearest(path: Path, names: Iterable[str]) -> str | None:
    """What exists and resembles the missing ``path`` most: a preset's name, or a sibling of its first missing part."""
    close = difflib.get_close_matches(str(path), list(names), n=1, cutoff=0.7)
    if close:
        return close[0]
    missing = path
    while not os.path.isdir(missing.parent) and missing.parent != missing:
        missing = missing.parent
    try:
        siblings = sorted(os.listdir(missing.parent))
    except OSError:
        return None
    close = difflib.get_close_matches(missing.name, siblings, n=1)
    return str(missing.parent / close[0]) if close else None


def visible_entries(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Subfolders and files of ``folder``, each sorted by name, without hidden ones and what archivers leave.

    Raises:
        InputError: the folder cannot be listed.
    """
    folders: list[Path] = []
    files: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                (folders if entry.is_dir() else files).append(folder / entry.name)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be listed ({error.strerror}): check its permissions") from error
    return tuple(sorted(folders)), tuple(sorted(files))


def subfolders(folder: Path) -> tuple[Path, ...]:
    """The visible subfolders of ``folder``, sorted by name."""
    return visible_entries(folder)[0]


def image_files(folder: Path) -> tuple[Path, ...]:
    """The visible files of ``folder`` that have the suffix of an image, sorted by name."""
    return tuple(file for file in visible_entries(folder)[1] if file.suffix.lower() in IMAGE_SUFFIXES)
