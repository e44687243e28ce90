"""Drives the trainings of a certification or a comparison: all from scratch, by one recipe."""

from __future__ import annotations

from nas.evaluation.bundle import Bundle
from nas.evaluation.job import Setup
from nas.evaluation.limits import Limits
from nas.evaluation.train import Recipe
from nas.execution.bundled import bundled
from nas.execution.deadline import Deadline
from nas.execution.drive import drive
from nas.graph import Graph
from nas.run.directory import RunDirectory
from nas.settings import Settings, Workers
from nas.trainings import Trainings, Watcher


def setup_of(prototype: Graph, settings: Settings, recipe: Recipe, pool: Workers) -> Setup:
    """What the trainings share: the search's indicator, memory and judged file; a candidate's time is for a search.

    Args:
        prototype: of the search.
        settings: of the search.
        recipe: of these trainings.
        pool: where they run.
    """
    limits = Limits(None, settings.limits.memory_bytes)
    threads, gpus = max(int(pool.cpus), 1), pool.gpus > 0
    return Setup(prototype, settings.indicator, recipe, threads, gpus, limits, settings.quantized)


def train(state: Trainings, setup: Setup, bundle: Bundle, pool: Workers, store: RunDirectory, watcher: Watcher) -> None:
    """Drives ``state`` until it is done, inside :func:`nas.execution.drive.ready`; failures are left in it.

    Args:
        state: the trainings.
        setup: what they share.
        bundle: the data, with the folds.
        pool: where.
        store: what is trained goes there.
        watcher: is told.

    Raises:
        KeyboardInterrupt: the user stopped it; everything is written.
        EnvironmentStopError: the disk or Ray stopped it.
    """
    with bundled(bundle) as path:
        drive(state, setup, path, pool, Deadline(None), store, watcher)
