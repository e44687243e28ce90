"""Drives a search with evaluator processes of this machine, without Ray."""

from __future__ import annotations

from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

from nas.evaluation.client import EvaluatorProcess
from nas.evaluation.job import Setup
from nas.execution.deadline import Deadline
from nas.execution.interrupt import Interrupt
from nas.loop import Search
from nas.run.candidate import State

_TICK_S: Final = 0.2


def run_local(search: Search, setup: Setup, bundle: Path, *, workers: int, deadline: Deadline) -> None:
    """Proposes and evaluates until the search is done, the time is over or the user interrupts.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once everything is written and no evaluator is left.
    """
    evaluators = [EvaluatorProcess(bundle, setup) for _ in range(workers)]
    with Interrupt() as interrupt:
        try:
            while not deadline.expired and not interrupt.requested:
                _submit(search, evaluators, deadline)
                busy = [e for e in evaluators if e.job is not None]
                if not busy:
                    break
                wait([e.connection for e in busy], timeout=_TICK_S)
                for evaluator in busy:
                    _collect(search, evaluator, deadline)
        finally:
            for evaluator in evaluators:
                evaluator.close()
        if interrupt.requested:
            search.stop("interrupted")
            raise KeyboardInterrupt
        if deadline.expired:
            search.stop("time")


def _submit(search: Search, evaluators: list[EvaluatorProcess], deadline: Deadline) -> None:
    for evaluator in evaluators:
        if evaluator.job is None:
            if deadline.too_late:
                search.stop("time")
            job = search.propose()
            if job is None:
                return
            deadline.begun(job.trial)
            evaluator.submit(job)


def _collect(search: Search, evaluator: EvaluatorProcess, deadline: Deadline) -> None:
    job = evaluator.job
    finished = evaluator.poll()
    if job is not None and finished is not None:
        search.report(job, job.rung)
        deadline.ended(job.trial, trained=finished.outcome.state is State.TRAINED)
        search.finish(job, finished.outcome, finished.files)
