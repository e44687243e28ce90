"""A folder that appears complete, or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nas.errors import EnvironmentStopError, InputError
from nas.run.atomic import current_umask, flush_folder, lives

_UNFINISHED: Final = re.compile(r"\..+\.(\d+)-[a-z0-9_]+\.part")  # its writer's process in the middle


def check_new(out: Path) -> None:
    """Raises InputError where something lies at ``out`` that is no empty folder."""
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: name a new one, or remove what it holds")


@contextlib.contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` to write into; it gets that name at the end, and is removed after any error or Ctrl-C.

    What processes that were killed have left beside ``out`` is removed first.

    Raises:
        InputError: something lies at ``out``.
        EnvironmentStopError: the disk is full, or the folder cannot be written.
    """
    check_new(out)
    place = out.absolute().parent
    temporary: Path | None = None
    try:
        place.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(place, out.name)
        temporary = Path(tempfile.mkdtemp(dir=place, prefix=f".{out.name}.{os.getpid()}-", suffix=".part"))
        yield temporary
        check_new(out)
        os.chmod(temporary, 0o777 & ~current_umask())
        os.replace(temporary, out)  # an empty folder may be in its place
        flush_folder(place)
    except BaseException as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        raise EnvironmentStopError(
            f"{out}: cannot be written ({error.strerror or error}), and nothing of it was kept; make room or check "
            "permissions"
        ) from error


def _remove_abandoned(place: Path, name: str) -> None:
    for path in place.iterdir():
        found = _UNFINISHED.fullmatch(path.name)
        if found and path.name.startswith(f".{name}.") and not lives(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)
