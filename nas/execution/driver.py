"""What Tune's plug-ins share: the search, its jobs and its end."""

from __future__ import annotations

import json
from typing import Any

import ray

from nas.errors import NasError
from nas.evaluation.job import Job
from nas.execution.deadline import Deadline, climbed
from nas.execution.interrupt import Interrupt
from nas.execution.patience import PATIENCE_S, Patience
from nas.loop import Decision
from nas.machine import Machine, Notices
from nas.run.candidate import Outcome


class Driver:
    """Passes between Tune and the search.  Tune pickles its plug-ins; this is left out, since nobody reads that back.

    Args:
        search: proposes, and records.
        deadline, interrupt: when everything stops.
        store: where jobs wait for a worker.
        listener: follows the search.
    """

    def __init__(self, search: Machine, deadline: Deadline, interrupt: Interrupt, store: Any, listener: Notices):
        self.search = search
        self.store = store
        self.jobs: dict[str, Job] = {}
        self.error: NasError | None = None
        self._deadline = deadline
        self._interrupt = interrupt
        self._listener = listener
        self._patience = Patience(PATIENCE_S)
        self._ending: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_nothing, ())

    @property
    def over(self) -> bool:
        """Whether everything stops now."""
        return self.error is not None or self._deadline.expired or self._interrupt.requested

    def propose(self, tune_id: str) -> Job | None:
        """The next job, sent to the store for the worker that will take it."""
        if self.over:
            return None
        if self._deadline.too_late:
            self.search.stop("time")
        try:
            job = self.search.propose()
        except NasError as error:
            self.error = error
            return None
        if job is not None:
            self.jobs[tune_id] = job
            ray.get(self.store.put_job.remote(job.trial, json.dumps(job.to_json())))
        return job

    def report(self, tune_id: str, outcome: Outcome) -> Decision:
        """What follows a finished rung; after STOP, :meth:`finish` is to be told of the same outcome."""
        job = self.jobs.get(tune_id)
        if job is None or self.error is not None:
            return Decision.CONTINUE
        try:
            decision = self.search.report(job, outcome)
        except NasError as error:
            self.error = error
            return Decision.CONTINUE
        if decision is Decision.STOP:
            self._ending.add(tune_id)
        return decision

    def finish_ended(self, tune_id: str, outcome: Outcome) -> None:
        """Records the outcome of a job that :meth:`report` ended; what was stopped between two rungs is put back."""
        if tune_id in self._ending:
            self._ending.discard(tune_id)
            self.finish(tune_id, outcome)

    def started(self, tune_id: str) -> None:
        """A worker has the job."""
        self._patience.started(tune_id)
        job = self.jobs.get(tune_id)
        if job is not None:
            self._deadline.begun(job.trial)

    def finish(self, tune_id: str, outcome: Outcome) -> None:
        """Records a job's end."""
        job = self.jobs.pop(tune_id, None)
        if job is None or self.error is not None:
            return
        self._deadline.ended(job.trial, trained=climbed(job, outcome))
        try:
            self.search.finish(job, outcome)
        except NasError as error:
            self.error = error

    def ended(self, tune_id: str) -> None:
        """A worker is done with a job, or lost."""
        self._patience.ended(tune_id)

    def watch(self) -> None:
        """Says so when the cluster has no room for any worker of ours."""
        if self.jobs and self._patience.runs_out():
            free, there = ray.available_resources(), ray.cluster_resources()
            share = ", ".join(f"{free.get(n, 0):g} of {there[n]:g} {n}s" for n in ("CPU", "GPU") if n in there)
            self._listener.noticed(f"no worker for {PATIENCE_S:g} s: {share or 'no CPU'} of the cluster free; waiting")

    def conclude(self) -> None:
        """Raises what ended the search before its time.

        Raises:
            KeyboardInterrupt: the user.
            NasError: the disk, or Ray.
        """
        if self.error is not None:
            raise self.error
        if self._interrupt.requested:
            self.search.stop("interrupted")
            raise KeyboardInterrupt
        if self._deadline.expired:
            self.search.stop("time")


def _nothing() -> None:
    return None
