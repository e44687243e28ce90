"""Tells a user who waits for a busy cluster that he does."""

from __future__ import annotations

import time
from typing import Final

PATIENCE_S: Final = 30.0


class Patience:
    """Notices, once a wait, that no worker has had a candidate for a while.

    Args:
        patience_s: how long a while is.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._at_work: set[str] = set()
        self._since: float | None = time.monotonic()

    def started(self, worker: str) -> None:
        """A worker has a candidate."""
        self._at_work.add(worker)
        self._since = None

    def ended(self, worker: str) -> None:
        """It has none any more."""
        self._at_work.discard(worker)
        if not self._at_work and self._since is None:
            self._since = time.monotonic()

    def runs_out(self) -> bool:
        """True once a wait, when it has been too long."""
        if self._since is None or time.monotonic() - self._since < self._patience_s:
            return False
        self._since = None
        return True
