"""The evaluator process: ``python -m nas.evaluation.worker READ_FD WRITE_FD SCRATCH``.

It holds TensorFlow, takes one message (setup), then evaluates job after job.  Messages are JSON in length-prefixed
frames; files go through the scratch folder.  When the other end of the pipe closes, for whatever reason, it exits at
once: no evaluator outlives its owner.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import json
import os
import queue
import resource
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from nas.errors import NasError
from nas.evaluation.cores import CoreLease
from nas.evaluation.limits import FILE_BYTES
from nas.evaluation.quiet import Quiet
from nas.run.candidate import DISK_FULL, SYSTEM_ERROR, Outcome

_LEAST_DISK_BYTES: Final = 100_000
_SWEEPS: Final = 20
_FAREWELL_S: Final = 60.0


def main() -> None:
    """Serves until the pipe closes."""
    began = time.perf_counter()
    reader = Connection(int(sys.argv[1]), writable=False)
    writer = Connection(int(sys.argv[2]), readable=False)
    scratch = Path(sys.argv[3])  # known before the first message, so that it goes whenever the owner does
    inbox: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_receive, args=(reader, inbox, scratch), daemon=True).start()
    setup = inbox.get()
    _be_modest()
    lease = CoreLease(setup["setup"]["threads"])
    lease.pin()
    quiet = Quiet(lease.exclusive)
    evaluation = _prepare(setup, lease, quiet)

    def progress() -> None:
        _send(writer, {"type": "progress"})
        quiet.pause()

    evaluation.progress = progress
    start_seconds = time.perf_counter() - began
    _send(writer, {"type": "ready", "cores": lease.cores, "seconds": start_seconds})
    told: list[dict[str, Any]] = []  # the next job, where it came in the place of a decision

    def goes_on(outcome: Outcome, files: dict[str, bytes]) -> bool:
        nonlocal start_seconds
        _send(writer, {**_end("rung", outcome, files, scratch), "start_seconds": start_seconds})
        quiet.rest()
        answer = inbox.get()
        quiet.pause()
        if answer.get("go_on") is not True:
            start_seconds = 0.0  # it is in the outcome that stands
        if "job" in answer:
            told.append(answer)
        return answer.get("go_on", False) is True

    while True:
        quiet.rest()
        message = told.pop() if told else inbox.get()
        if "job" not in message:
            continue
        quiet.pause()
        reply = _serve(evaluation, message, scratch, goes_on)
        if reply is not None:
            reply["start_seconds"], start_seconds = start_seconds, 0.0
            _send(writer, reply)


def _receive(reader: Connection, inbox: queue.Queue[dict[str, Any]], scratch: Path) -> None:
    """Passes messages on; when the owner is gone, takes the scratch folder away and ends the process."""
    while True:
        try:
            inbox.put(json.loads(reader.recv_bytes()))
        except (EOFError, OSError):
            for _ in range(_SWEEPS):  # the other thread may still write there
                shutil.rmtree(scratch, ignore_errors=True)
                if not scratch.exists():
                    break
            os._exit(0)


def _send(writer: Connection, message: dict[str, Any]) -> None:
    try:
        writer.send_bytes(json.dumps(message, allow_nan=False).encode())
    except (BrokenPipeError, OSError):
        time.sleep(_FAREWELL_S)  # the other thread takes the scratch folder away, and ends the process
        os._exit(0)


def _be_modest() -> None:
    """Where memory runs out the system is to end an evaluator, not the driver; and no file may fill the disk."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    now, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    if now == resource.RLIM_INFINITY or now > FILE_BYTES:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, most))


def _prepare(message: dict[str, Any], lease: CoreLease, quiet: Quiet) -> Any:
    """Loads TensorFlow and the data."""
    from nas.evaluation.bundle import Bundle
    from nas.evaluation.job import Setup

    setup = Setup.from_json(message["setup"])
    if not setup.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(setup.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    from nas.evaluation.evaluate import Evaluation

    return Evaluation(Bundle.load(Path(message["bundle"])), setup, lease.exclusive, quiet)


def _serve(
    evaluation: Any, message: dict[str, Any], scratch: Path, goes_on: Callable[[Outcome, dict[str, bytes]], bool]
) -> dict[str, Any] | None:
    """One candidate; whatever it raises becomes its recorded failure.  None where its owner ended it."""
    import tf_keras

    from nas.evaluation.job import Job

    try:
        inherited = {}
        for fold, name in message.get("inherited", {}).items():
            inherited[int(fold)] = (scratch / name).read_bytes()
            (scratch / name).unlink()
        ended = evaluation.run(Job.from_json(message["job"]), inherited, goes_on)
        return None if ended is None else _end("done", ended[0], ended[1], scratch)
    except Exception as error:  # noqa: BLE001 - the worker boundary: recorded, and the search goes on
        with contextlib.suppress(OSError):  # the log is on the disk that may be full
            traceback.print_exc()
        return {"type": "failed", "failure": {"kind": _kind(error, scratch), "reason": _reason(error)}}
    finally:
        tf_keras.backend.clear_session()
        _give_memory_back()


def _end(kind: str, outcome: Outcome, files: dict[str, bytes], scratch: Path) -> dict[str, Any]:
    """A rung's end, or the last one's; its files go through the scratch folder."""
    for name, content in files.items():
        (scratch / name).write_bytes(content)
    return {"type": kind, "outcome": outcome.to_json(), "files": list(files)}


def _give_memory_back() -> None:
    """A model is a knot of references, and the C library keeps what was freed: without this the process grows more."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def _kind(error: Exception, scratch: Path) -> str:
    """The kind of a failure: the error's own name, unless the machine is at fault."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    # TensorFlow writes what it compiles to temporary files, and fails in strange ways where it cannot.
    with contextlib.suppress(OSError):
        if shutil.disk_usage(scratch).free < _LEAST_DISK_BYTES:
            return DISK_FULL
    if isinstance(error, OSError) and error.errno in (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return SYSTEM_ERROR
    return type(error).__name__


def _reason(error: Exception) -> str:
    """Its first line; errors that are not ours bring their name along."""
    text = (str(error).strip().splitlines() or [""])[0]
    return (text if isinstance(error, NasError) else f"{type(error).__name__}: {text}")[:500]


if __name__ == "__main__":
    main()
