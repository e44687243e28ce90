"""Beside the driver: hands jobs out, takes files in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.run.directory import RunDirectory


class Store:
    """A Ray actor on the driver's node.  Workers need no view of the run directory."""

    def __init__(self, path: str) -> None:
        self._directory = RunDirectory(Path(path))
        self._jobs: dict[int, str] = {}

    def put_job(self, trial: int, job: str) -> None:
        """Keeps a job until a worker takes it."""
        self._jobs[trial] = job

    def take_job(self, trial: int) -> tuple[str, dict[int, bytes]]:
        """The job of a trial, and the weights that its relative hands down, by fold."""
        text = self._jobs.pop(trial)
        relative = json.loads(text)["relative"]
        if relative is None:
            return text, {}
        return text, self._directory.weights(relative["id"], range(len(relative["epochs"])))

    def put_files(self, job: str, files: dict[str, bytes]) -> None:
        """Writes a candidate's files to the run directory."""
        self._directory.store(json.loads(job)["id"], files)


def open_store(directory: RunDirectory) -> Any:
    """A store for this search; without a name, so that those of other searches are others."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Store).options(num_cpus=0, scheduling_strategy=here).remote(str(directory.path.resolve()))
