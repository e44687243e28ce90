"""A Ray worker: owns an evaluator process."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import ray
from ray import tune

from nas.errors import EnvironmentStopError
from nas.evaluation.client import EvaluatorProcess
from nas.evaluation.job import Job, Setup
from nas.execution.nodefolder import NodeFolder
from nas.run.candidate import SYSTEM_ERROR, Outcome, State

HEARTBEAT_S: Final = 2.0  # how long a worker is out of reach of a stop


@dataclass(frozen=True)
class Posting:
    """What a worker is told once.

    Attributes:
        token: of the search.
        setup: as JSON.
        bundle: path of the data where the driver runs.
    """

    token: str
    setup: Mapping[str, Any]
    bundle: str

    def to_json(self) -> dict[str, Any]:
        """Plain data, for ``Posting(**data)``."""
        return asdict(self)

    @property
    def experiment(self) -> str:
        """The name under which Tune knows the search."""
        return f"nas-{self.token}"


class CandidateTrainable(tune.Trainable):  # type: ignore[misc]
    """Holds no TensorFlow: passes a job to its evaluator process, and the files that come back to the store."""

    def setup(self, config: dict[str, Any], posting: Any = None, data: Any = None, store: Any = None) -> None:
        """Finds the data, written once a node where the driver's file is out of sight, and makes an evaluator slot."""
        told = Posting(**posting)
        tunes = next(folder for folder in Path(self.logdir).parents if folder.name == told.experiment)
        self._folder = NodeFolder(told.token, tunes)
        tempfile.tempdir = str(self._folder.scratch)  # what an evaluator that is killed leaves there is swept as well
        bundle = Path(told.bundle)
        if not bundle.exists():
            bundle = self._folder.copy(data)
        self._store = store
        self._evaluator = EvaluatorProcess(bundle, Setup.from_json(told.setup))
        self._where = {"node": ray.get_runtime_context().get_node_id(), "host": socket.gethostname()}
        self._job_text = ""
        self._submitted: int | None = None
        self._between_rungs = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The same evaluator takes the next candidate."""
        self._submitted = None
        self._between_rungs = False
        return True

    def step(self) -> dict[str, Any]:
        """The outcome, or after a heartbeat without one an empty result."""
        trial = int(self.config["trial"])
        if self._submitted != trial:
            self._job_text, inherited = ray.get(self._store.take_job.remote(trial))
            try:
                self._evaluator.submit(Job.from_json(json.loads(self._job_text)), inherited)
            except EnvironmentStopError as error:  # this node has no room; another may have
                failure = {"kind": SYSTEM_ERROR, "reason": str(error), "log": ""}
                return self._result(trial, Outcome(State.FAILED, failure=failure))
            self._submitted = trial
        elif self._between_rungs:
            self._evaluator.go_on()
        self._between_rungs = False
        finished = self._evaluator.poll(HEARTBEAT_S)
        if finished is None:
            return {"trial": trial, "outcome": "", "stopped": ""}
        if finished.files:
            try:
                ray.get(self._store.put_files.remote(self._job_text, dict(finished.files)))
            except EnvironmentStopError as error:  # the driver's disk is full: this candidate is put back
                return {"trial": trial, "outcome": "", "stopped": str(error.args[0]) if error.args else str(error)}
        self._between_rungs = not finished.last
        return self._result(trial, finished.outcome)

    def _result(self, trial: int, outcome: Outcome) -> dict[str, Any]:
        outcome = replace(outcome, worker={**outcome.worker, **self._where})
        return {"trial": trial, "outcome": json.dumps(outcome.to_json()), "stopped": ""}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing to save: Tune asks when it stops a trial, but the store has the files already."""
        return {}

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Never called: there are no retries by Tune."""

    def cleanup(self) -> None:
        """Ends the evaluator; the last worker of a node takes its copy of the data away."""
        self._evaluator.close()
        self._folder.leave()
