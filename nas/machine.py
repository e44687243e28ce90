"""What an executor needs of whatever it drives: a search, or the trainings of finalists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from nas.evaluation.job import Job
from nas.loop import Decision
from nas.run.candidate import Outcome


class Machine(Protocol):
    """A state machine of evaluations: ``propose() -> job``, ``report(job, ...) -> decision``, ``finish(job, ...)``."""

    @property
    def done(self) -> bool:
        """Whether nothing more will be evaluated; some may still be running."""

    def stop(self, reason: str) -> None:
        """Begins nothing more."""

    def propose(self) -> Job | None:
        """The next job; None when there is none now."""

    def weights_for(self, job: Job, /) -> dict[int, bytes]:
        """What the job's relative hands down, by fold."""

    def report(self, job: Job, outcome: Outcome, /) -> Decision:
        """What follows a finished rung."""

    def finish(self, job: Job, outcome: Outcome, files: Mapping[str, bytes] | None = None, /) -> object:
        """Records what an evaluator found; ``files`` is None where they have been written already."""


class Notices(Protocol):
    """Is told what the user should know."""

    def noticed(self, message: str) -> None:
        """In one sentence."""
