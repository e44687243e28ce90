"""Drives a search with Ray Tune.

Tune's Searcher calls ``propose``, its Scheduler ``report``, its Callback ``finish``; the study remembers.  Tune's own
state goes to a temporary folder that nobody reads back: a resumed search reads the study and starts a new Tuner.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from nas.errors import EnvironmentStopError
from nas.evaluation.job import Setup
from nas.execution.cluster import short
from nas.execution.driver import Driver
from nas.execution.janitor import Janitor
from nas.execution.trainable import CandidateTrainable, Posting
from nas.loop import Decision
from nas.run.candidate import WORKER_LOST, Outcome, State
from nas.settings import Workers


def run_tune(driver: Driver, setup: Setup, bundle: Path, pool: Workers) -> None:
    """Proposes and evaluates on Ray until the driver is over, or nothing is left to do.

    Raises:
        EnvironmentStopError: Ray stopped the search, or there is no room for what Tune writes.
    """
    posting = Posting(uuid.uuid4().hex[:12], setup.to_json(), str(bundle))
    with _storage(posting.token) as (storage, janitor):
        finisher = _Finisher(driver, janitor)
        try:
            _tuner(driver, finisher, posting, pool, storage).fit()
        except (ray.exceptions.RayError, tune.TuneError) as error:
            if driver.error is None:
                raise EnvironmentStopError(
                    f"Ray stopped the search ({short(str(error))}); go on with nas resume"
                ) from error
        finally:
            finisher.clear()


@contextlib.contextmanager
def _storage(token: str) -> Iterator[tuple[Path, Janitor]]:
    """A folder for Tune while entered, and who removes it should this process be killed."""
    folder = Path(tempfile.gettempdir()) / f"nas-tune-{token}"
    with contextlib.ExitStack() as stack:
        try:
            janitor = Janitor([folder])  # before there is anything to remove
            stack.callback(janitor.dismiss)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise EnvironmentStopError(
                f"{folder}: Ray cannot write there ({error.strerror or error}); make room, or set TMPDIR"
            ) from error
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder, janitor


def _tuner(driver: Driver, finisher: _Finisher, posting: Posting, pool: Workers, storage: Path) -> tune.Tuner:
    data = np.fromfile(posting.bundle, np.uint8)  # an array, since workers of a node then share its memory
    trainable = tune.with_parameters(CandidateTrainable, posting=posting.to_json(), data=data, store=driver.store)
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": pool.cpus, "gpu": pool.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=_Proposer(driver),
            scheduler=_Reporter(driver),
            num_samples=10_000_000,  # Tune's -1 would end at its first None; ours ends the search itself
            max_concurrent_trials=pool.workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=posting.experiment,
            storage_path=str(storage),
            callbacks=[finisher],
            stop=_Stopper(driver),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )


class _Proposer(Searcher):  # type: ignore[misc]
    """Tune asks for a trial: propose."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(metric="trial", mode="max")
        self._driver = driver

    def suggest(self, trial_id: str) -> Any:
        """The number of a trial; its job waits in the store."""
        job = self._driver.propose(trial_id)
        if job is not None:
            return {"trial": job.trial}
        driver = self._driver
        return Searcher.FINISHED if driver.over or (driver.search.done and not driver.jobs) else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The callback records it."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the study is the state."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: resume reads the study."""


class _Reporter(FIFOScheduler):  # type: ignore[misc]
    """Tune has a result: report, and stop or go on."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE while a rung is being trained, then what the search decides."""
        if result.get("stopped"):
            self._driver.error = EnvironmentStopError(str(result["stopped"]))
        if not result.get("outcome"):
            return str(TrialScheduler.CONTINUE)
        decision = self._driver.report(trial.trial_id, Outcome.from_json(json.loads(result["outcome"])))
        return str(TrialScheduler.STOP if decision is Decision.STOP else TrialScheduler.CONTINUE)


class _Finisher(tune.Callback):  # type: ignore[misc]
    """Tune has started or ended a trial: finish."""

    def __init__(self, driver: Driver, janitor: Janitor) -> None:
        self._driver = driver
        self._janitor = janitor
        self._folder: Path | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (tune.Callback, ())  # nobody reads it back

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has it."""
        self._driver.started(trial.trial_id)
        if self._folder is None:
            self._folder = Path(trial.local_experiment_path).parent
            self._janitor.watch(self._folder)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Records the outcome that the last result carries; a trial stopped before it has none, and is put back."""
        self._driver.ended(trial.trial_id)
        text = (trial.last_result or {}).get("outcome")
        if text:
            self._driver.finish_ended(trial.trial_id, Outcome.from_json(json.loads(text)))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The Ray worker itself was lost."""
        self._driver.ended(trial.trial_id)
        if not self._driver.over:
            reason = "the Ray worker ended before the candidate was evaluated"
            failure = {"kind": WORKER_LOST, "reason": reason, "log": _error_of(trial)[-2000:]}
            self._driver.finish(trial.trial_id, Outcome(State.FAILED, failure=failure))

    def clear(self) -> None:
        """Removes what Tune leaves on the driver's node."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another search began in the same second
                self._folder.parent.rmdir()


def _error_of(trial: Any) -> str:
    """What Tune wrote of a trial's end; its own function looks where the file will be later."""
    path = trial.error_file
    return Path(path).read_text(errors="replace") if path and Path(path).is_file() else ""


class _Stopper(tune.Stopper):  # type: ignore[misc]
    """Ends the experiment when the time is over, the user interrupts or the disk is full."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether everything stops now."""
        self._driver.watch()
        return self._driver.over
