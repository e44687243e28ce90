"""Chooses who drives a search."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nas.evaluation.job import Setup
from nas.execution.deadline import Deadline
from nas.machine import Machine, Notices
from nas.run.directory import RunDirectory
from nas.settings import Workers

# Ray reads these when it is imported.
_RAY_SETTINGS: Final = {
    "RAY_worker_niceness": "0",  # at Ray's nice 15 a busy machine takes minutes to load TensorFlow
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "600",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def foresee(pool: Workers) -> None:
    """Raises EnvironmentStopError for a cluster that is not there; takes no time, so data need not be loaded first."""
    if pool.executor == "ray" and pool.ray_address is not None:
        from nas.execution.raylet import reach

        reach(pool.ray_address)


@contextlib.contextmanager
def ready(pool: Workers, data_bytes: int) -> Iterator[None]:
    """While entered, workers as ``pool`` wants them can be had; entered before anything of a run is written.

    Raises:
        InputError: no machine could hold such a worker.
        EnvironmentStopError: Ray cannot be started or reached.
    """
    if pool.executor == "local":
        yield
        return
    for name, value in _RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
    from nas.execution.cluster import connected

    with connected(pool, data_bytes):
        yield


def drive(
    search: Machine,
    setup: Setup,
    bundle: Path,
    pool: Workers,
    deadline: Deadline,
    directory: RunDirectory,
    listener: Notices,
) -> None:
    """Drives ``search`` until it is done, with Ray Tune or with processes of this machine, inside :func:`ready`.

    Raises:
        KeyboardInterrupt: the user stopped it; everything is written.
        EnvironmentStopError: the disk or Ray stopped it.
    """
    if pool.executor == "local":
        from nas.evaluation.client import EvaluatorProcess
        from nas.execution.local import run_local

        run_local(search, [EvaluatorProcess(bundle, setup) for _ in range(pool.workers)], deadline)
    else:
        from nas.execution.driver import Driver
        from nas.execution.interrupt import Interrupt
        from nas.execution.store import open_store
        from nas.execution.tune import run_tune

        with Interrupt() as interrupt:
            driver = Driver(search, deadline, interrupt, open_store(directory), listener)
            run_tune(driver, setup, bundle, pool)
        driver.conclude()
