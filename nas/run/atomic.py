"""The one way in which files of a run are written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from nas.errors import EnvironmentStopError

_UNFINISHED: Final = re.compile(r"\..+\.(\d+)-[a-z0-9_]+\.tmp")  # its writer's process in the middle


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replaces ``path`` by ``content`` at once: a reader, or a crash, sees the old file or the new one.

    Raises:
        EnvironmentStopError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, bytes | str]) -> None:
    """Replaces files that belong together, in order: none of them is replaced before there is room for all.

    Raises:
        EnvironmentStopError: the disk is full or a folder cannot be written; the old files are untouched, and no folder
            is left that was made for the new ones.
    """
    written: dict[Path, str] = {}
    made: list[Path] = []
    current = Path()
    try:
        made += (folder for path in files for folder in path.parents if not folder.exists())  # innermost first
        for current, content in files.items():
            _stage(current, content.encode() if isinstance(content, str) else content, written)
        for current, temporary in written.items():
            os.chmod(temporary, 0o666 & ~current_umask())
            os.replace(temporary, current)
            flush_folder(current.parent)
    except BaseException as error:  # Ctrl-C, too, leaves nothing behind
        _undo(written.values(), made)
        if not isinstance(error, OSError):
            raise
        raise EnvironmentStopError(
            f"{current}: cannot be written ({error.strerror}); make room or check permissions"
        ) from error


def _undo(temporaries: Iterable[str], made: Iterable[Path]) -> None:
    """Removes what was written; what is in its place already stays, and so does the folder that holds it."""
    for path in temporaries:
        with contextlib.suppress(OSError):  # a disk that has turned read-only, or one that is in its place
            os.unlink(path)
    for folder in made:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _stage(path: Path, data: bytes, written: dict[Path, str]) -> None:
    """Writes ``data`` beside ``path`` under a temporary name, which joins ``written`` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():  # a device, which root would replace by a file
        raise OSError(errno.EINVAL, "it is there already, and no regular file")
    handle, written[path] = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{os.getpid()}-", suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Brings a folder's names to the disk: without it a power cut may take a file that was just made."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is what :func:`write_atomic` leaves when its process is killed."""
    return _UNFINISHED.fullmatch(name) is not None


def remove_unfinished(folder: Path) -> None:
    """Removes, in a folder and those below it, what killed processes left behind; living ones go on writing."""
    for path in folder.rglob(".*.tmp"):
        found = _UNFINISHED.fullmatch(path.name)
        if found and not lives(int(found[1])):
            with contextlib.suppress(OSError):
                path.unlink()


def lives(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def current_umask() -> int:
    """The permissions that new files do not get."""
    value = os.umask(0)
    os.umask(value)
    return value
