"""Drives a search with Ray Tune: the only module that imports Ray.

Tune's Searcher calls ``propose``, its Scheduler ``report``, its Callback ``finish``; the study remembers.  Tune's own
state goes to a temporary folder that nobody reads back: a resumed search reads the study and starts a new Tuner.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

# Before Ray is imported: it reads these once.
_ENVIRONMENT: Final = {
    "RAY_worker_niceness": "0",  # at Ray's nice 15 a busy machine takes minutes to load TensorFlow
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "600",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

from nas.errors import EnvironmentStopError, InputError, NasError  # noqa: E402
from nas.evaluation.client import EvaluatorProcess  # noqa: E402
from nas.evaluation.job import Job, Setup  # noqa: E402
from nas.execution.deadline import Deadline  # noqa: E402
from nas.execution.interrupt import Interrupt  # noqa: E402
from nas.loop import Decision, Search  # noqa: E402
from nas.run.candidate import Outcome, State  # noqa: E402
from nas.run.directory import RunDirectory  # noqa: E402
from nas.settings import Workers  # noqa: E402

HEARTBEAT_S: Final = 2.0  # how long a worker is out of reach of a stop
_MB: Final = 1_000_000


def run_tune(
    search: Search, setup: Setup, bundle: Path, pool: Workers, deadline: Deadline, directory: RunDirectory
) -> None:
    """Proposes and evaluates on Ray until the search is done, the time is over or the user interrupts.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once everything is written and no worker of this search is left.
        EnvironmentStopError: Ray or the disk stopped the search.
    """
    with Interrupt() as interrupt, tempfile.TemporaryDirectory(prefix="nas-tune-") as storage:
        with _ray(pool, bundle.stat().st_size):
            driver = _Driver(search, deadline, interrupt, _store(directory))
            _fit(driver, setup, bundle, pool, storage)
        if driver.error is not None:
            raise driver.error
        if interrupt.requested:
            search.stop("interrupted")
            raise KeyboardInterrupt
        if deadline.expired:
            search.stop("time")


@contextlib.contextmanager
def _ray(pool: Workers, data_bytes: int) -> Iterator[None]:
    """A Ray of our own on this machine, or the user's cluster; nothing of ours is left afterwards."""
    for name in ("ray", "ray.tune", "ray.air", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is recorded with its candidate
    warnings.filterwarnings("ignore", module="ray")
    options: dict[str, Any] = {"address": pool.ray_address}
    if pool.ray_address is None:
        cpus = max(len(os.sched_getaffinity(0)), math.ceil(pool.workers * pool.cpus))
        options = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        options["object_store_memory"] = max(200 * _MB, 4 * data_bytes)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise EnvironmentStopError(
            f"Ray cannot be started or reached ({error}); check --ray-address, or use --executor local"
        ) from error
    try:
        _check_resources(pool)
        yield
    finally:
        ray.shutdown()


def _check_resources(pool: Workers) -> None:
    """Raises InputError where no node could ever hold one worker: Ray would wait for it for ever."""
    for name, wanted, option in (("GPU", pool.gpus, "--gpus-per-worker"), ("CPU", pool.cpus, "--cpus-per-worker")):
        largest = max((node["Resources"].get(name, 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        if wanted > largest:
            raise InputError(f"{wanted:g} {name}s a worker, but no node has more than {largest:g}; lower {option}")


def _fit(driver: _Driver, setup: Setup, bundle: Path, pool: Workers, storage: str) -> None:
    trainable = tune.with_parameters(
        CandidateTrainable,
        setup_json=setup.to_json(),
        bundle_path=str(bundle),
        bundle_bytes=bundle.read_bytes(),
        store=driver.store,
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": pool.cpus, "gpu": pool.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=_Proposer(driver),
            scheduler=_Reporter(driver),
            num_samples=10_000_000,  # Tune's -1 would end at its first None; ours ends the search itself
            max_concurrent_trials=pool.workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="nas",
            storage_path=storage,
            callbacks=[_Finisher(driver)],
            stop=_Stopper(driver),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except (ray.exceptions.RayError, tune.TuneError) as error:
        if driver.error is None:
            raise EnvironmentStopError(f"Ray stopped the search ({error}); go on with nas resume") from error


class _Driver:
    """What Tune's four plug-ins share.  Tune pickles its plug-ins; this is left out, since nobody reads that back."""

    def __init__(self, search: Search, deadline: Deadline, interrupt: Interrupt, store: Any) -> None:
        self.search = search
        self.deadline = deadline
        self.interrupt = interrupt
        self.store = store
        self.jobs: dict[str, Job] = {}
        self.error: NasError | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_nothing, ())

    @property
    def over(self) -> bool:
        """Whether everything stops now."""
        return self.error is not None or self.deadline.expired or self.interrupt.requested

    def propose(self, tune_id: str) -> Job | None:
        """The next job, sent to the store for the worker that will take it."""
        if self.over:
            return None
        if self.deadline.too_late:
            self.search.stop("time")
        try:
            job = self.search.propose()
        except NasError as error:
            self.error = error
            return None
        if job is not None:
            self.jobs[tune_id] = job
            self.deadline.begun(job.trial)
            ray.get(self.store.put_job.remote(job.trial, json.dumps(job.to_json())))
        return job

    def finish(self, tune_id: str, outcome: Outcome) -> None:
        """Records a job's end."""
        job = self.jobs.pop(tune_id, None)
        if job is None or self.error is not None:
            return
        self.deadline.ended(job.trial, trained=outcome.state is State.TRAINED)
        try:
            self.search.finish(job, outcome)
        except NasError as error:
            self.error = error


def _nothing() -> None:
    return None


class _Proposer(Searcher):  # type: ignore[misc]
    """Tune asks for a trial: propose."""

    def __init__(self, driver: _Driver) -> None:
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

    def __init__(self, driver: _Driver) -> None:
        super().__init__()
        self._driver = driver

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE while a rung is being trained, then what the search decides."""
        if result.get("stopped"):
            self._driver.error = EnvironmentStopError(str(result["stopped"]))
        job = self._driver.jobs.get(trial.trial_id)
        if job is None or not result.get("outcome"):
            return str(TrialScheduler.CONTINUE)
        decision = self._driver.search.report(job, job.rung)
        return str(TrialScheduler.STOP if decision is Decision.STOP else TrialScheduler.CONTINUE)


class _Finisher(tune.Callback):  # type: ignore[misc]
    """Tune has ended a trial: finish."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Records the outcome that the last result carries; a trial stopped before it has none, and is put back."""
        text = (trial.last_result or {}).get("outcome")
        if text:
            self._driver.finish(trial.trial_id, Outcome.from_json(json.loads(text)))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The Ray worker itself was lost."""
        if not self._driver.over:
            reason = "the Ray worker ended before the candidate was evaluated"
            failure = {"kind": "worker lost", "reason": reason, "log": str(trial.get_error() or "")[-2000:]}
            self._driver.finish(trial.trial_id, Outcome(State.FAILED, failure=failure))


class _Stopper(tune.Stopper):  # type: ignore[misc]
    """Ends the experiment when the time is over, the user interrupts or the disk is full."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether everything stops now."""
        return self._driver.over


class Store:
    """Sits beside the driver: hands jobs out, takes files in.  Workers need no view of the run directory."""

    def __init__(self, path: str) -> None:
        self._directory = RunDirectory(Path(path))
        self._jobs: dict[int, str] = {}

    def put_job(self, trial: int, job: str) -> None:
        """Keeps a job until a worker takes it."""
        self._jobs[trial] = job

    def take_job(self, trial: int) -> str:
        """The job of a trial."""
        return self._jobs.pop(trial)

    def put_files(self, job: str, files: dict[str, bytes]) -> None:
        """Writes a candidate's files to the run directory."""
        self._directory.store(json.loads(job)["id"], files)


def _store(directory: RunDirectory) -> Any:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Store).options(num_cpus=0, scheduling_strategy=here).remote(str(directory.path.resolve()))


class CandidateTrainable(tune.Trainable):  # type: ignore[misc]
    """Holds no TensorFlow: owns an evaluator process, and passes a job to it and its files to the store."""

    def setup(
        self,
        config: dict[str, Any],
        setup_json: Any = None,
        bundle_path: str = "",
        bundle_bytes: Any = None,
        store: Any = None,
    ) -> None:
        """Finds the data (written once a node where the driver's file is out of sight) and makes an evaluator slot."""
        self._store = store
        path = Path(bundle_path)
        self._lease = None
        if not path.exists():
            self._lease = NodeCopy(path, bundle_bytes)
            path = self._lease.path
        self._evaluator = EvaluatorProcess(path, Setup.from_json(setup_json))
        self._job_text = ""
        self._submitted: int | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The same evaluator takes the next candidate."""
        self._submitted = None
        return True

    def step(self) -> dict[str, Any]:
        """The outcome, or after a heartbeat without one an empty result."""
        trial = int(self.config["trial"])
        if self._submitted != trial:
            self._job_text = ray.get(self._store.take_job.remote(trial))
            self._evaluator.submit(Job.from_json(json.loads(self._job_text)))
            self._submitted = trial
        finished = self._evaluator.poll(HEARTBEAT_S)
        if finished is None:
            return {"trial": trial, "outcome": "", "stopped": ""}
        outcome = finished.outcome
        if finished.files:
            try:
                ray.get(self._store.put_files.remote(self._job_text, dict(finished.files)))
            except EnvironmentStopError as error:  # the driver's disk is full: this candidate is put back
                return {"trial": trial, "outcome": "", "stopped": str(error.args[0]) if error.args else str(error)}
        return {"trial": trial, "outcome": json.dumps(outcome.to_json()), "stopped": ""}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing to save: Tune asks when it stops a trial, but the store has the files already."""
        return {}

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Never called: there are no retries by Tune."""

    def cleanup(self) -> None:
        """Ends the evaluator; the last worker of a node takes its copy of the data away."""
        self._evaluator.close()
        if self._lease is not None:
            self._lease.release()


class NodeCopy:
    """The data as a file of a node that does not see the driver's; shared by the workers there, gone with the last.

    Args:
        name: the driver's path, whose folder names the search.
        content: of the file.
    """

    def __init__(self, name: Path, content: bytes) -> None:
        self.path = Path(tempfile.gettempdir()) / f"{name.parent.name}-{os.getuid()}.npz"
        self._lock = self.path.with_suffix(".lock").open("a")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if not self.path.exists():
            self.path.write_bytes(content)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def release(self) -> None:
        """Removes the file when no other worker holds it."""
        with self._lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".lock").unlink(missing_ok=True)
