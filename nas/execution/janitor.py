"""Removes folders, and what a Ray of one's own leaves running, when their owner is gone, however it ended.

A process beside the owner waits for the end of a pipe.  It runs ``janitor_process.py`` by its path, with the standard
library alone, so that it is small and quick to start.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Final

_PROCESS: Final = Path(__file__).with_name("janitor_process.py")
_PATIENCE_S: Final = 5.0


class Janitor:
    """The owner's side.

    Args:
        own: folders that are removed when this process ends; they need not be there yet.
        shared: folders that are removed then by the last one who holds ``lock``.
        lock: a file that every owner of ``shared`` holds a shared ``flock`` on.

    Raises:
        OSError: there is no room for another process.
    """

    def __init__(self, own: Sequence[Path] = (), shared: Sequence[Path] = (), lock: Path | None = None) -> None:
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            read, self._owner = _pipe(theirs, ours)
            self._done, write = _pipe(ours, theirs)
            pipes = (read.fileno(), write.fileno())
            arguments = [*map(str, pipes), str(lock or ""), *map(str, shared)]
            with subprocess.Popen(
                [sys.executable, "-I", "-S", str(_PROCESS), *arguments],
                pass_fds=pipes,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            ):
                pass  # it forks and ends at once: Ray kills the children of a worker that it ends, and this one stays
            ours.pop_all()
        for path in own:
            self.watch(path)

    def watch(self, folder: Path) -> None:
        """Removes one folder more."""
        self._say("remove", str(folder))

    def watch_ray(self) -> None:
        """Ends what is left then of a Ray that this process starts from now on."""
        now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
        self._say("end", f"session_{now}_{os.getpid()}")  # as Ray names its sessions

    def clean(self) -> None:
        """Removes now what was to be removed at the end; the caller has given its lock back."""
        self._leave("clean")

    def dismiss(self) -> None:
        """Removes nothing: the owner does it itself."""
        self._leave("dismiss")

    def _leave(self, word: str) -> None:
        if self._owner.closed:
            return
        self._say(word, "")
        self._owner.close()
        ended = select.poll()
        ended.register(self._done, select.POLLIN)  # its end closes the other side
        ended.poll(_PATIENCE_S * 1000)
        self._done.close()

    def _say(self, word: str, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it was killed: nothing is removed
            self._owner.write(json.dumps([word, text]).encode() + b"\n")


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """Both ends of a pipe; each is closed by its stack."""
    read, write = os.pipe()
    return reader.enter_context(open(read, "rb", buffering=0)), writer.enter_context(open(write, "wb", buffering=0))
