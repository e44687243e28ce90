"""The owner's side of an evaluator process: start it, send jobs, replace it when it has served or dies."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from nas.errors import EnvironmentStopError
from nas.evaluation.job import Job, Setup
from nas.run.candidate import EVALUATOR_KILLED, SYSTEM_ERROR, Outcome, State

SERVES: Final = 20  # candidates; memory of a TensorFlow process grows by some 25 MB with each
_LOG_TAIL: Final = 2000
_WATCH_S: Final = 0.5  # how often the limits are looked at
_ENDED_FROM_OUTSIDE: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """A rung's end, or an evaluation's: the outcome, and the files to keep.

    Attributes:
        last: whether the evaluation is over; else the evaluator waits for :meth:`EvaluatorProcess.go_on`, or for
            another job.
    """

    outcome: Outcome
    files: Mapping[str, bytes] = field(default_factory=dict)
    last: bool = True


class EvaluatorProcess:
    """One evaluator slot: a process that holds TensorFlow, started when first needed and replaced when spent.

    Args:
        bundle: path of the data, on this machine.
        setup: what all candidates share.
    """

    def __init__(self, bundle: Path, setup: Setup) -> None:
        self._bundle = bundle
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None
        self._served = 0
        self._job: Job | None = None
        self._ready = False
        self._waiting = False  # for what its owner decides after a rung
        self._begun = 0.0
        self._last_sign = 0.0

    @property
    def job(self) -> Job | None:
        """What it is evaluating."""
        return self._job

    @property
    def connection(self) -> Connection:
        """Becomes readable when there is something for :meth:`poll`."""
        return self._reader

    def start(self) -> None:
        """Starts the process; it loads TensorFlow while the owner goes on.

        Raises:
            EnvironmentStopError: the machine has no room for it.
        """
        try:
            self._start()
        except OSError as error:
            raise EnvironmentStopError(
                f"{tempfile.gettempdir()}: no evaluator can be started ({error.strerror}); make room, or set TMPDIR"
            ) from error

    def _start(self) -> None:
        with contextlib.ExitStack() as undo:
            self._scratch = Path(tempfile.mkdtemp(prefix="nas-evaluator-"))
            undo.callback(shutil.rmtree, self._scratch, ignore_errors=True)
            their_read, our_write = _pipe(undo)
            our_read, their_write = _pipe(undo)
            self._process = self._spawn(their_read, their_write)
            undo.pop_all()
        os.close(their_read)
        os.close(their_write)
        self._reader, self._writer = Connection(our_read, writable=False), Connection(our_write, readable=False)
        self._served = 0
        self._ready = False
        self._send({"setup": self._setup.to_json(), "bundle": str(self._bundle)})

    def _spawn(self, their_read: int, their_write: int) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "TMPDIR": str(self._scratch),  # what TensorFlow leaves there, when its process is ended, goes with it
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(
                ":"
            ),
        }
        with (self._scratch / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "nas.evaluation.worker", str(their_read), str(their_write), str(self._scratch)],
                pass_fds=(their_read, their_write),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # the user's Ctrl-C is for the driver, which then ends the evaluators itself
            )

    def submit(self, job: Job, inherited: Mapping[int, bytes] | None = None) -> None:
        """Begins to evaluate ``job``; a spent process is replaced first.

        Args:
            job: the candidate.
            inherited: weights of its relative as files, by fold.

        Raises:
            EnvironmentStopError: there is no room for the process, or for the weights.
        """
        if self._served >= SERVES:
            self.close()
        if self._process is None:
            self.start()
        names = {fold: f"inherited-fold{fold}.npz" for fold in inherited or {}}
        try:
            for fold, name in names.items():
                (self._scratch / name).write_bytes((inherited or {})[fold])
        except OSError as error:
            raise EnvironmentStopError(
                f"{self._scratch}: cannot hold the weights to start from ({error.strerror}); make room, or set TMPDIR"
            ) from error
        self._job = job
        self._waiting = False
        self._served += 1
        self._begun = self._last_sign = time.monotonic()
        self._send({"job": job.to_json(), "inherited": names})

    def go_on(self) -> None:
        """Lets the candidate climb the next rung."""
        self._waiting = False
        self._last_sign = time.monotonic()
        self._send({"go_on": True})

    def release(self) -> None:
        """Ends a candidate that waits after a rung; the process takes the next one."""
        if self._waiting:
            self._job, self._waiting = None, False
            self._send({"go_on": False})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._writer.send_bytes(json.dumps(message).encode())
        except (BrokenPipeError, OSError):
            _log.debug("the evaluator is gone; poll() reports it")

    def poll(self, timeout_s: float = 0.0) -> Finished | None:
        """The end of the current job, or None while it goes on; never raises for what the evaluator did."""
        end = time.monotonic() + timeout_s
        while self._job is not None:
            left = max(end - time.monotonic(), 0.0)
            finished = None
            try:
                if self._reader.poll(min(left, _WATCH_S)):
                    finished = self._received(json.loads(self._reader.recv_bytes()))
            except (EOFError, OSError):
                return self._died()
            if self._job is not None and finished is None:  # also while it reports progress
                finished = self._overrun()
            if finished is not None or (time.monotonic() >= end and not self._reader.poll()):
                return finished
        return None

    def _received(self, message: Mapping[str, Any]) -> Finished | None:
        """A sign of life, or the end of the job."""
        self._last_sign = time.monotonic()
        self._ready = True
        if message["type"] not in ("done", "failed", "rung"):
            return None
        last = message["type"] != "rung"
        self._waiting = not last
        if last:
            self._job = None
        if message["type"] == "failed":
            return self._failure(**message["failure"])
        outcome = Outcome.from_json(message["outcome"])
        seconds = {"start": message["start_seconds"], **outcome.seconds}
        try:
            files = {name: (self._scratch / name).read_bytes() for name in message["files"]}
            for name in files:
                (self._scratch / name).unlink()
        except OSError as error:
            self.release()
            return self._failure(SYSTEM_ERROR, f"the candidate's files cannot be read ({error.strerror})")
        return Finished(replace(outcome, seconds=seconds), files, last)

    def _overrun(self) -> Finished | None:
        """Ends a candidate that has passed a limit; one that waits for a decision uses nothing up."""
        assert self._process is not None
        if self._waiting:
            return None
        now = time.monotonic()
        passed = self._setup.limits.exceeded(self._process.pid, now - self._begun, now - self._last_sign)
        if passed is None:
            return None
        finished = self._failure(*passed)
        self.close()
        return finished

    def _died(self) -> Finished:
        """The process is gone in the middle of a candidate."""
        assert self._process is not None
        code = self._process.wait()
        outside = -code in _ENDED_FROM_OUTSIDE
        # One that ends while it loads TensorFlow and the data has not looked at the candidate yet.
        kind = EVALUATOR_KILLED if outside else ("evaluator crashed" if self._ready else SYSTEM_ERROR)
        cause = f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
        hint = "; out of memory?" if code == -signal.SIGKILL else ""
        finished = self._failure(kind, f"the evaluator process ended with {cause}{hint}")
        self.close()
        return finished

    def _failure(self, kind: str, reason: str) -> Finished:
        seconds = {"failed": time.monotonic() - self._begun}
        failure = {"kind": kind, "reason": reason, "log": self._log_tail()}
        return Finished(Outcome(State.FAILED, seconds=seconds, failure=failure))

    def _log_tail(self) -> str:
        try:
            with (self._scratch / "log.txt").open("rb") as log:
                log.seek(max(log.seek(0, os.SEEK_END) - _LOG_TAIL, 0))
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._reader.close()
        self._writer.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._process = None
        self._job = None
        self._waiting = False


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe that ``undo`` closes."""
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends
