"""The one way in which files of a run are written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nas.errors import EnvironmentStopError


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replaces ``path`` by ``content`` at once: a reader, or a crash, sees the old file or the new one.

    Raises:
        EnvironmentStopError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise EnvironmentStopError(
            f"{path}: cannot be written ({error.strerror}); make room or check permissions"
        ) from error


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
