"""The janitor's own side: a program that imports nothing of ours, and outlives its owner."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

_PATIENCE_S: Final = 5.0  # evaluators of a killed owner still write for a moment, and its locks go after its pipe
# In an option, as Ray's processes have it: a janitor of a worker has a session's folder as a plain argument.
_SESSION: Final = re.compile(r"\0--[\w-]+=[^\0]*?(session_\d{4}(?:-\d\d){2}_\d\d(?:-\d\d){2}_\d{6}_\d+)")


def main() -> None:
    """Waits for the owner's word, or its end."""
    if os.fork():
        os._exit(0)
    lock, shared = sys.argv[3], sys.argv[4:]
    folders: list[str] = []
    sessions: list[str] = []
    patience_s = _PATIENCE_S
    with open(int(sys.argv[1]), "rb") as owner:
        for line in owner:
            if not line.endswith(b"\n"):
                break  # the owner was killed while it wrote: half a path is another path
            word, text = json.loads(line)
            if word == "dismiss":
                return
            if word == "clean":
                patience_s = 0.0
            else:
                (folders if word == "remove" else sessions).append(text)
    end = time.monotonic() + patience_s
    for session in sessions:
        _end_ray(session, end)
    for path in folders:
        _remove(path, end)
    if lock:
        _remove_shared(shared, lock, end)


def _end_ray(earliest: str, end: float) -> None:
    """Kills what belongs to a Ray session that the owner has begun since ``earliest``.

    Most of it ends with the owner, but agents that are just being started first wait a minute for the rest.  Goes on
    until ``end``, since a process that has just been forked does not bear the session's name yet.
    """
    while True:
        for pid in _processes_of(earliest):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() >= end:
            return
        time.sleep(0.1)


def _processes_of(earliest: str) -> Iterator[int]:
    """Ray's, started by our user in our process namespace, where the session's number means the same."""
    namespace = os.readlink("/proc/self/ns/pid")
    owner = earliest.rpartition("_")[2]
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if os.stat(f"/proc/{name}").st_uid == os.getuid() and os.readlink(f"/proc/{name}/ns/pid") == namespace:
                with open(f"/proc/{name}/cmdline", errors="replace") as file:
                    sessions = set(_SESSION.findall(file.read()))
                # an older session of the same number is that of a process before the owner
                if any(s.rpartition("_")[2] == owner and s >= earliest for s in sessions):
                    yield int(name)


def _remove(path: str, end: float) -> None:
    shutil.rmtree(path, ignore_errors=True)
    while os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.1)
        shutil.rmtree(path, ignore_errors=True)


def _remove_shared(paths: Sequence[str], lock: str, end: float) -> None:
    """Removes what the last holder leaves behind; the lock file goes last."""
    with contextlib.suppress(FileNotFoundError), open(lock, "r+b") as file:
        while not _alone(file.fileno()):
            if time.monotonic() >= end:
                return
            time.sleep(0.1)
        if not os.path.samestat(os.stat(lock), os.fstat(file.fileno())):
            return  # another janitor has removed it and all else meanwhile, and this is a new worker's
        for path in paths:
            _remove(path, end)
            _remove_empty(os.path.dirname(path))
        os.unlink(lock)


def _alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_empty(folder: str) -> None:
    with contextlib.suppress(OSError):  # others use it
        os.rmdir(folder)


if __name__ == "__main__":
    main()
