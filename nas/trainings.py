"""The trainings of finalists as a state machine, with the verbs of a search: executors drive both alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nas.certificates.certificate import sha256_of
from nas.certificates.ledger import Key, Ledger
from nas.errors import DecodeError
from nas.evaluation.bundle import Bundle
from nas.evaluation.job import Job
from nas.loop import Decision
from nas.run.candidate import Outcome, State
from nas.run.directory import RunDirectory
from nas.run.predictions import Predictions


@dataclass(frozen=True)
class Training:
    """One network on one fold with one seed; or its conversion, where the job is one.

    Attributes:
        job: for the evaluator; its ``keep`` names the file of its predictions.
        protocol: its name.
        fold: that is tested; None for the subjects set aside, and for a conversion.
    """

    job: Job
    protocol: str
    fold: int | None

    @property
    def key(self) -> Key:
        """Which certification or comparison it is for."""
        return self.job.id, self.protocol

    @property
    def file(self) -> str:
        """Name of its predictions' file."""
        if self.job.keep is None:
            raise ValueError(f"trial {self.job.trial}: a training keeps its predictions")
        return self.job.keep

    def __str__(self) -> str:
        if self.job.converts:
            return f"{self.job.id} as files"
        where = "the subjects set aside" if self.fold is None else f"fold {self.fold}"
        return f"{self.job.id} {where}, seed {self.job.seed}"


class Watcher(Protocol):
    """Follows a certification."""

    def planned(self, total: int, kept: int) -> None:
        """``total`` trainings are to be done, of which ``kept`` have been."""

    def trained(self, training: Training, seconds: float) -> None:
        """One is done."""

    def noticed(self, message: str) -> None:
        """Something that the user should know, in one sentence."""


class Unwatched:
    """A watcher that does nothing."""

    def planned(self, total: int, kept: int) -> None:
        """Nothing."""

    def trained(self, training: Training, seconds: float) -> None:
        """Nothing."""

    def noticed(self, message: str) -> None:
        """Nothing."""


def is_kept(training: Training, bundle: Bundle, directory: RunDirectory, ledger: Ledger, watcher: Watcher) -> bool:
    """Whether its predictions are there, as they were written, and of this fold; where they are damaged, says so.

    Args:
        training: whose.
        bundle: what it is trained and tested on.
        directory, ledger: where it is kept and told of.
        watcher: is told.
    """
    path = directory.model_file(training.job.id, training.file)
    if not path.exists():
        return False
    known = ledger.hashes(training.key).get(training.file)
    try:
        found = Predictions.read(path)
    except DecodeError as error:
        watcher.noticed(f"{training} is trained again: {error}")
        return False
    _, test = bundle.folds[training.fold or 0]
    told = (found.index, found.labels, found.groups)
    true = (test, bundle.labels[test], bundle.groups[test])
    fits = all(a is not None and np.array_equal(a, b) for a, b in zip(told, true, strict=True))
    if fits and known in (None, sha256_of(path)):
        return True
    watcher.noticed(f"{training} is trained again: {path.name} was changed since it was written")
    return False


class Trainings:
    """Hands out what is to be trained, and keeps its predictions.

    One that the environment lost is tried once more; where one fails for good, no more of its network is begun.

    Args:
        trainings: that are not kept yet.
        directory: of the run.
        ledger: of its events.
        watcher: is told.
    """

    def __init__(
        self, trainings: Sequence[Training], directory: RunDirectory, ledger: Ledger, watcher: Watcher
    ) -> None:
        self._of = {t.job.trial: t for t in trainings}
        self._waiting = deque(trainings)
        self._retried: set[int] = set()
        self._running: set[int] = set()
        self._directory = directory
        self._ledger = ledger
        self._watcher = watcher
        self.failures: dict[str, str] = {}  # reason, by network
        self.kinds: dict[str, str] = {}  # of failure, by network

    @property
    def done(self) -> bool:
        """Whether nothing more will be trained; one that is running may still be put back."""
        return not self._waiting and not self._running

    def stop(self, reason: str) -> None:
        """Begins nothing more; what is not done is done when the command is repeated."""
        self._waiting.clear()
        self._running.clear()

    def propose(self) -> Job | None:
        """The next training."""
        if not self._waiting:
            return None
        training = self._waiting.popleft()
        self._running.add(training.job.trial)
        return training.job

    def weights_for(self, job: Job, /) -> dict[int, bytes]:
        """Nothing: a finalist is trained from scratch."""
        return {}

    def report(self, job: Job, outcome: Outcome, /) -> Decision:
        """A training is one step."""
        return Decision.STOP

    def finish(self, job: Job, outcome: Outcome, files: Mapping[str, bytes] | None = None, /) -> None:
        """Keeps the predictions and records the training, or why there are none.

        Raises:
            EnvironmentStopError: the disk is full.
        """
        training = self._of[job.trial]
        self._running.discard(job.trial)
        if outcome.state is State.TRAINED:
            self._keep(training, outcome, files)
            return
        reason = (outcome.failure or {}).get("reason", "no reason known")
        if outcome.environmental and job.trial not in self._retried:
            self._retried.add(job.trial)
            self._waiting.append(training)
            self._watcher.noticed(f"{training} is tried again: {reason}")
            return
        failure = dict(outcome.failure or {})
        self._ledger.append(self._ledger.failed, training.key, fold=training.fold, seed=job.seed, failure=failure)
        self.failures.setdefault(job.id, f"{training}: {reason}")
        self.kinds.setdefault(job.id, str(failure.get("kind")))
        self._waiting = deque(t for t in self._waiting if t.job.id != job.id)
        self._watcher.noticed(f"{training} failed: {reason}")

    def _keep(self, training: Training, outcome: Outcome, files: Mapping[str, bytes] | None) -> None:
        if files is not None:
            self._directory.store(training.job.id, files)
        path = self._directory.model_file(training.job.id, training.file)
        if not path.is_file():
            raise DecodeError(f"{path}: gone since it was written")
        seconds = sum(outcome.seconds.values())
        self._ledger.append(
            self._ledger.trained,
            training.key,
            **{"fold": training.fold, "seed": training.job.seed, "file": training.file},
            **{"sha256": sha256_of(path), "seconds": round(seconds, 2)},
        )
        self._watcher.trained(training, seconds)
