"""One driver a run: a lock that goes with its process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from nas.errors import EnvironmentStopError


def utc_now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the file ``path``, made where there is none, and writes there who holds it.

    Raises:
        EnvironmentStopError: another process holds it; names that one.
    """
    with _held(path) as file:
        with contextlib.suppress(OSError):  # on a full disk the lock holds without a name
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}, since {utc_now()}\n".encode())
        yield


def _held(path: Path) -> IO[bytes]:
    """The file, locked; and not one that another process has just removed."""
    while True:
        file = _opened(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            with file:
                raise _refused(path, file, error) from error
        if is_at(path, file):
            return file
        file.close()


def is_at(path: Path, file: IO[Any]) -> bool:
    """Whether an open file still stands at ``path``: a lock on one that its last holder removed locks nobody out."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("a+b", buffering=0)
    except OSError as error:
        raise EnvironmentStopError(
            f"{path}: cannot be opened ({error.strerror}), and whoever drives a run writes to it; check its owner and "
            "permissions, or go on in a copy of your own"
        ) from error


def _refused(path: Path, file: IO[bytes], error: OSError) -> EnvironmentStopError:
    if not isinstance(error, BlockingIOError):
        return EnvironmentStopError(f"{path}: cannot be locked ({error.strerror}); choose another disk")
    file.seek(0)
    holder = file.read(1000).decode(errors="replace").strip() or "another process"
    return EnvironmentStopError(f"{path.parent} is being driven by {holder}; wait for it or stop it")
