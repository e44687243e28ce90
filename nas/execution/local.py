"""Drives a search with evaluator processes of this machine, without Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Final, Protocol

from nas.evaluation.client import Finished
from nas.evaluation.job import Job
from nas.execution.deadline import Deadline, climbed
from nas.execution.interrupt import Interrupt
from nas.loop import Decision
from nas.machine import Machine

_TICK_S: Final = 0.2


class Slot(Protocol):
    """A place where one candidate at a time is evaluated, such as an evaluator process."""

    @property
    def job(self) -> Job | None:
        """What it is evaluating."""

    @property
    def connection(self) -> Connection:
        """Becomes readable when there is something for :meth:`poll`."""

    def submit(self, job: Job, inherited: Mapping[int, bytes] | None = None) -> None:
        """Begins to evaluate, with a relative's weights by fold."""

    def poll(self) -> Finished | None:
        """The end of a rung or of the current job, or None while it goes on."""

    def go_on(self) -> None:
        """After a rung: on to the next."""

    def release(self) -> None:
        """After a rung: no more of it."""

    def close(self) -> None:
        """Ends it, whatever it is doing."""


def run_local(search: Machine, slots: Sequence[Slot], deadline: Deadline) -> None:
    """Proposes and evaluates until the search is done, the time is over or the user interrupts.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once everything is written and no evaluator is left.
        EnvironmentStopError: the disk or the machine stopped the search.
    """
    with Interrupt() as interrupt:
        try:
            while not deadline.expired and not interrupt.requested:
                _submit(search, slots, deadline)
                busy = [slot for slot in slots if slot.job is not None]
                if not busy:
                    break
                wait([slot.connection for slot in busy], timeout=_TICK_S)
                for slot in busy:
                    _collect(search, slot, deadline)
        finally:
            for slot in slots:
                slot.close()
        if interrupt.requested:
            search.stop("interrupted")
            raise KeyboardInterrupt
        if deadline.expired:
            search.stop("time")


def _submit(search: Machine, slots: Sequence[Slot], deadline: Deadline) -> None:
    for slot in slots:
        if slot.job is None:
            if deadline.too_late:
                search.stop("time")
            job = search.propose()
            if job is None:
                return
            deadline.begun(job.trial)
            slot.submit(job, search.weights_for(job))


def _collect(search: Machine, slot: Slot, deadline: Deadline) -> None:
    job = slot.job
    finished = slot.poll()
    if job is not None and finished is not None:
        if search.report(job, finished.outcome) is Decision.CONTINUE and not finished.last:
            slot.go_on()
            return
        slot.release()
        deadline.ended(job.trial, trained=climbed(job, finished.outcome))
        search.finish(job, finished.outcome, finished.files)
