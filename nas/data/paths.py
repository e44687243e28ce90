"""Paths that a user names, and what lies in the folders behind them."""

from __future__ import annotations

import difflib
import os
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

from nas.errors import InputError

MAX_TEXT_BYTES: Final = 100_000  # of a label's or a landmarks' file: some dozen times what CK+ has
_NO_TEXT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
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
    if not is_text(str(source)):
        raise InputError(
            f"data {str(source)!r}: the name holds line ends, control characters or bytes that are no text, and it is "
            "shown beside every figure: rename it"
        )
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
    folders, files = _visible_names(folder)
    return tuple(folder / name for name in folders), tuple(folder / name for name in files)


def _visible_names(folder: Path) -> tuple[list[str], list[str]]:
    """Names of subfolders and of files, sorted."""
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                (folders if _leads_to_folder(entry) else files).append(entry.name)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be listed ({error.strerror}): check its permissions") from error
    return sorted(folders), sorted(files)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: no folder, and what reads it as a file says so
        return False


def is_text(name: str) -> bool:
    """Whether a name has neither line ends nor control characters, nor bytes that are no UTF-8."""
    return name.isprintable() or not any(unicodedata.category(c) in _NO_TEXT for c in name)


def open_file(path: Path) -> BinaryIO:
    """Opens a regular file for reading; a pipe or a device, which might never end, is an OSError instead."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(handle, "rb")


def small_text(path: Path) -> str:
    """The text of a small file; bytes that are not ASCII become replacement characters.

    Raises:
        OSError: it cannot be read.
        ValueError: it is much larger than files of its kind are.
    """
    with open_file(path) as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError(f"{path}: more than {MAX_TEXT_BYTES} bytes")
    return content.decode("ascii", "replace")


def identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from all others, whatever links lead to it.  Raises InputError where it cannot be reached."""
    try:
        found = os.stat(folder)
    except OSError as error:
        raise InputError(
            f"folder {folder} cannot be reached ({error.strerror}): check links and permissions"
        ) from error
    return found.st_dev, found.st_ino


def subfolders(folder: Path) -> tuple[Path, ...]:
    """The visible subfolders of ``folder``, sorted by name."""
    return tuple(folder / name for name in _visible_names(folder)[0])


def image_files(folder: Path) -> tuple[Path, ...]:
    """The visible files of ``folder`` that have the suffix of an image, sorted by name."""
    names = _visible_names(folder)[1]
    return tuple(folder / name for name in names if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES)
