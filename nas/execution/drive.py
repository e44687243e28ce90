"""Chooses who drives a search."""

from __future__ import annotations

from pathlib import Path

from nas.evaluation.job import Setup
from nas.execution.deadline import Deadline
from nas.loop import Search
from nas.run.directory import RunDirectory
from nas.settings import Workers


def drive(
    search: Search, setup: Setup, bundle: Path, pool: Workers, deadline: Deadline, directory: RunDirectory
) -> None:
    """Drives ``search`` until it is done, with Ray Tune or with processes of this machine.

    Raises:
        KeyboardInterrupt: the user stopped it; everything is written.
        EnvironmentStopError: the disk or Ray stopped it.
    """
    if pool.executor == "local":
        from nas.execution.local import run_local

        run_local(search, setup, bundle, workers=pool.workers, deadline=deadline)
    else:
        from nas.execution.tune import run_tune

        run_tune(search, setup, bundle, pool, deadline, directory)
