"""Evaluators without a core of their own hold still while a latency is measured, on the whole machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from nas.evaluation.cores import SHARED, own_folder

PATIENCE_S: Final = 60.0  # for others to come to the end of an epoch
_LOOK_S: Final = 0.02


class Quiet:
    """Whose turn it is: many train at once, or one measures alone.

    Where every evaluator holds a core, each measures on its own, and nobody waits.  As soon as one has none, it may run
    on anybody's core; then who measures closes the gate, and the others stop before their next epoch until it is open
    again.  All of it is locks on files, which go with their process, however that ends; and which hold for every search
    of this user on this machine, whoever drives it.

    Args:
        exclusive: whether this process has cores of its own.
        shared: where the folder with the locks is.
    """

    def __init__(self, exclusive: bool, shared: Path = SHARED) -> None:
        self._exclusive = exclusive
        self._files: list[IO[str]] = []
        try:
            folder = own_folder(shared / f"nas-cores-{os.getuid()}")
            self._gate, self._training, self._homeless = (
                self._open(folder / f"{name}.lock") for name in ("gate", "training", "homeless")
            )
            if not exclusive:
                fcntl.flock(self._homeless, fcntl.LOCK_SH)  # nobody holds it against this for longer than a look
        except OSError:
            self.close()

    def _open(self, path: Path) -> IO[str]:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+")
        self._files.append(file)
        return file

    @staticmethod
    def _try(file: IO[str], kind: int) -> bool:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def pause(self) -> None:
        """Called before training and between two epochs: waits while another evaluator measures."""
        if not self._files:
            return
        with contextlib.suppress(OSError):
            fcntl.flock(self._training, fcntl.LOCK_UN)
            fcntl.flock(self._gate, fcntl.LOCK_SH)  # closed while somebody measures, or waits for his turn
            fcntl.flock(self._training, fcntl.LOCK_SH)
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def rest(self) -> None:
        """Called when there is nothing to do: nobody need wait for this one."""
        if self._files:
            with contextlib.suppress(OSError):
                fcntl.flock(self._training, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def alone(self, patience_s: float = PATIENCE_S) -> Iterator[bool]:
        """While entered, no evaluator trains that could do so on this one's cores; :meth:`pause` follows it.

        Args:
            patience_s: how long to wait for the others.

        Yields:
            Whether that is so; False where others did not stop in time, or locks cannot be had.
        """
        if not self._files:
            yield self._exclusive
            return
        try:
            yield self._nobody_is_homeless() or self._silenced(patience_s)
        finally:
            for file in (self._training, self._gate):
                fcntl.flock(file, fcntl.LOCK_UN)

    def _nobody_is_homeless(self) -> bool:
        """Whether every evaluator has a core of its own, this one too."""
        if not self._exclusive or not self._try(self._homeless, fcntl.LOCK_EX):
            return False
        fcntl.flock(self._homeless, fcntl.LOCK_UN)
        return True

    def _silenced(self, patience_s: float) -> bool:
        """Closes the gate, and waits until nobody trains."""
        end = time.monotonic() + patience_s
        fcntl.flock(self._training, fcntl.LOCK_UN)
        for file in (self._gate, self._training):
            while not self._try(file, fcntl.LOCK_EX):
                if time.monotonic() > end:
                    return False
                time.sleep(_LOOK_S)
        return True

    def close(self) -> None:
        """Takes no more part."""
        for file in self._files:
            file.close()
        self._files.clear()
