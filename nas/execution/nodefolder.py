"""A folder of one node that the workers of one search share there."""

from __future__ import annotations

import fcntl
import os
import tempfile
import uuid
from pathlib import Path
from typing import IO, Any

from nas.execution.janitor import Janitor
from nas.run.lock import is_at


class NodeFolder:
    """Holds a worker's scratch files, and one copy of the data for all workers of the node.

    What is a worker's own goes with that worker, the rest with the last of them, also when they are killed.

    Args:
        token: names the search, so that several of them on one node do not meet.
        tune_folder: what Tune writes on this node for the search; removed with the rest.

    Attributes:
        path: the folder.
        scratch: this worker's part of it.
    """

    def __init__(self, token: str, tune_folder: Path) -> None:
        self.path = Path(tempfile.gettempdir()) / f"nas-node-{token}-{os.getuid()}"
        self.scratch = self.path / f"worker-{uuid.uuid4().hex[:12]}"
        lock = self.path.with_suffix(".lock")
        self._janitor = Janitor([self.scratch], [tune_folder, self.path], lock)  # before there is anything to remove
        self._lock = _held(lock)
        self.path.mkdir(mode=0o700, exist_ok=True)
        self.scratch.mkdir(mode=0o700)

    def copy(self, content: Any) -> Path:
        """The data as a file: written by the first worker that asks, found by the others.

        Args:
            content: bytes, or a uint8 array.
        """
        path = self.path / "bundle.npz"
        with (self.path / "copy.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                unfinished = path.with_suffix(".part")
                unfinished.write_bytes(memoryview(content))
                unfinished.rename(path)
        return path

    def leave(self) -> None:
        """Takes away what is this worker's, and everything when no other worker is here."""
        self._lock.close()
        self._janitor.clean()


def _held(path: Path) -> IO[str]:
    """A shared lock on ``path``, and not on a file that its last holder has just removed."""
    while True:
        file = path.open("a")
        fcntl.flock(file, fcntl.LOCK_SH)
        if is_at(path, file):
            return file
        file.close()
