"""Cores that evaluators hold for themselves, so that a latency is never measured beside another's training."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO


class CoreLease:
    """Exclusive hold of some of this process' cores, among all evaluators of this user on this machine.

    A lease is a lock on a file, so it ends with the process, however that ends.
    """

    def __init__(self, count: int) -> None:
        self._files: list[IO[str]] = []
        self.cores: list[int] = []
        folder = Path(tempfile.gettempdir()) / f"nas-cores-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for core in sorted(os.sched_getaffinity(0)):
            if len(self.cores) < count:
                self._try(folder / f"{core}.lock", core)
        if len(self.cores) < count:
            self.release()

    def _try(self, path: Path, core: int) -> None:
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
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
