"""How long a search may go on."""

from __future__ import annotations

import statistics
import time
from typing import Final

from nas.evaluation.job import Job
from nas.run.candidate import Outcome, State

_RECENT: Final = 12


class Deadline:
    """A time budget that knows how long candidates take.

    Args:
        time_s: seconds from now; None for no limit.
    """

    def __init__(self, time_s: float | None) -> None:
        self._start = time.monotonic()
        self._time_s = time_s
        self._begun: dict[int, float] = {}
        self._durations: list[float] = []

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def expired(self) -> bool:
        """Whether the time is over: what is still running is put back."""
        return self._time_s is not None and self.elapsed_s >= self._time_s

    @property
    def too_late(self) -> bool:
        """Whether a candidate that begins now would most likely not be finished in time."""
        if self._time_s is None:
            return False
        usual = statistics.median(self._durations[-_RECENT:]) if self._durations else 0.0
        return self.elapsed_s + usual > self._time_s

    def begun(self, trial: int) -> None:
        """A candidate is on its way."""
        self._begun[trial] = time.monotonic()

    def ended(self, trial: int, *, trained: bool) -> None:
        """A candidate has its outcome; only trained ones tell how long the next may take."""
        begun = self._begun.pop(trial, None)
        if trained and begun is not None and trial != 0:  # the prototype is slower than its children
            self._durations.append(time.monotonic() - begun)


def climbed(job: Job, outcome: Outcome) -> bool:
    """Whether a job's seconds tell what a candidate takes that goes all the way."""
    return job.keep is None and outcome.state is State.TRAINED and outcome.effort == str(job.ladder[-1])
