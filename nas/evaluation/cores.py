"""Cores that evaluators hold for themselves, so that a latency is never measured beside another's training."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import IO, Final

SHARED: Final = Path("/tmp")  # the same place whatever TMPDIR says: cores are the machine's


class CoreLease:
    """Exclusive hold of some of this process' cores, among all evaluators of this user on this machine.

    A lease is a lock on a file, so it ends with the process, however that ends.  Where such files cannot be had, or
    are not ours, there is no lease, and latencies are recorded as not measured on an exclusive core.

    Args:
        count: how many cores.
        shared: where the folder with the locks is.
    """

    def __init__(self, count: int, shared: Path = SHARED) -> None:
        self._files: list[IO[str]] = []
        self.cores: list[int] = []
        try:
            folder = own_folder(shared / f"nas-cores-{os.getuid()}")
            for core in sorted(os.sched_getaffinity(0)):
                if len(self.cores) < count:
                    self._try(folder / f"{core}.lock", core)
        except OSError:
            self.release()
        if len(self.cores) < count:
            self.release()

    def _try(self, path: Path, core: int) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        file = os.fdopen(descriptor, "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
        else:
            self._files.append(file)
            self.cores.append(core)

    @property
    def exclusive(self) -> bool:
        """Whether the wanted number of cores could be had; without, the process stays where the scheduler puts it."""
        return bool(self.cores)

    def pin(self) -> None:
        """Binds this process, and the threads that it starts from now on, to its cores."""
        if self.cores:
            os.sched_setaffinity(0, self.cores)

    def release(self) -> None:
        """Gives the cores back."""
        for file in self._files:
            file.close()
        self._files.clear()
        self.cores.clear()


def own_folder(path: Path) -> Path:
    """Makes the folder of the locks.

    Raises:
        OSError: another user has put something there, or it cannot be made.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise
    return path
