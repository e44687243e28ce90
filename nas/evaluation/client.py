"""The owner's side of an evaluator process: start it, send jobs, replace it when it has served or dies."""

from __future__ import annotations

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

from nas.evaluation.job import Job, Setup
from nas.run.candidate import Outcome, State

SERVES: Final = 20  # candidates; memory of a TensorFlow process grows by some 25 MB with each
_LOG_TAIL: Final = 2000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """An evaluation's end: the outcome, and the files to keep."""

    outcome: Outcome
    files: Mapping[str, bytes] = field(default_factory=dict)


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

    @property
    def job(self) -> Job | None:
        """What it is evaluating."""
        return self._job

    @property
    def connection(self) -> Connection:
        """Becomes readable when there is something for :meth:`poll`."""
        return self._reader

    def start(self) -> None:
        """Starts the process; it loads TensorFlow while the owner goes on."""
        self._scratch = Path(tempfile.mkdtemp(prefix="nas-evaluator-"))
        their_read, our_write = os.pipe()
        our_read, their_write = os.pipe()
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(
                ":"
            ),
        }
        with (self._scratch / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nas.evaluation.worker", str(their_read), str(their_write)],
                pass_fds=(their_read, their_write),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # the user's Ctrl-C is for the driver, which then ends the evaluators itself
            )
        os.close(their_read)
        os.close(their_write)
        self._reader, self._writer = Connection(our_read, writable=False), Connection(our_write, readable=False)
        self._served = 0
        self._send({"setup": self._setup.to_json(), "bundle": str(self._bundle), "scratch": str(self._scratch)})

    def submit(self, job: Job) -> None:
        """Begins to evaluate ``job``; a spent process is replaced first."""
        if self._served >= SERVES:
            self.close()
        if self._process is None:
            self.start()
        self._job = job
        self._served += 1
        self._send({"job": job.to_json()})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._writer.send_bytes(json.dumps(message).encode())
        except (BrokenPipeError, OSError):
            _log.debug("the evaluator is gone; poll() reports it")

    def poll(self, timeout_s: float = 0.0) -> Finished | None:
        """The end of the current job, or None while it goes on; never raises for what the evaluator did."""
        end = time.monotonic() + timeout_s
        while self._job is not None:
            try:
                if not self._reader.poll(max(end - time.monotonic(), 0.0)):
                    return None
                message = json.loads(self._reader.recv_bytes())
            except (EOFError, OSError):
                return self._died()
            if message["type"] in ("done", "failed"):
                return self._finished(message)
        return None

    def _finished(self, message: Mapping[str, Any]) -> Finished:
        self._job = None
        if message["type"] == "failed":
            return self._failure(**message["failure"])
        outcome = Outcome.from_json(message["outcome"])
        seconds = {"start": message["start_seconds"], **outcome.seconds}
        files = {}
        for name in message["files"]:
            files[name] = (self._scratch / name).read_bytes()
            (self._scratch / name).unlink()
        return Finished(replace(outcome, seconds=seconds), files)

    def _died(self) -> Finished:
        """The process is gone in the middle of a candidate."""
        assert self._process is not None
        code = self._process.wait()
        cause = f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
        finished = self._failure("evaluator died", f"the evaluator process ended with {cause}")
        self._job = None
        self.close()
        return finished

    def _failure(self, kind: str, reason: str) -> Finished:
        log = (self._scratch / "log.txt").read_bytes()[-_LOG_TAIL:].decode(errors="replace")
        return Finished(Outcome(State.FAILED, failure={"kind": kind, "reason": reason, "log": log}))

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
