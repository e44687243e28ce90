"""Finalists are timed again when the search is over, and no evaluator of this user trains on their core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from nas.deploy.fingerprint import fingerprint
from nas.deploy.latency import THOROUGH, Latency, LatencyProtocol, measure_latency
from nas.errors import InputError
from nas.evaluation.cores import CoreLease
from nas.evaluation.quiet import PATIENCE_S, Quiet
from nas.indicator import LATENCY_RATIO
from nas.networks.tflite import ConversionError
from nas.run.candidate import Candidate
from nas.run.directory import RunDirectory
from nas.run.remeasured import EVENT, Remeasured, remeasured_in
from nas.silence import without_stderr

AFTER_SEARCH: Final = LatencyProtocol(blocks=21, warm_seconds=0.2, most_seconds=1.5)
AFTER_SEARCH_S: Final = 10.0  # for all members together: a search of five minutes stays one
_SHARED: Final = "no core could be had that other evaluators leave alone"


def measured_alone(
    content: bytes,
    reference: bytes | None = None,
    protocol: LatencyProtocol = THOROUGH,
    *,
    patience_s: float = PATIENCE_S,
) -> tuple[Latency, str | None]:
    """A latency on a core that no evaluator of this user uses meanwhile, and what speaks against it.

    Args:
        content, reference, protocol: see :func:`nas.deploy.latency.measure_latency`.
        patience_s: how long to wait for evaluators to stop, where none of the cores is free of them.

    Raises:
        ConversionError: LiteRT cannot run one of the files.
    """
    before, lease = os.sched_getaffinity(0), CoreLease(protocol.threads)
    quiet = Quiet(lease.exclusive)
    try:
        lease.pin()
        with quiet.alone(patience_s) as alone:
            latency = measure_latency(content, reference, protocol)
    finally:
        os.sched_setaffinity(0, before)
        quiet.close()
        lease.release()
    return latency, "; ".join(d for d in (latency.doubt, None if alone else _SHARED) if d) or None


def remeasure(
    directory: RunDirectory,
    members: Sequence[Candidate],
    prototype: Candidate,
    protocol: LatencyProtocol = THOROUGH,
    *,
    file: str,
    told: Callable[[Remeasured], None] = lambda one: None,
    most_s: float = float("inf"),
) -> list[Remeasured]:
    """Times the exported files of candidates again, and records each as an event.

    Args:
        directory: of the run.
        members: whose files.
        prototype: beside whose file, where it was kept; else beside the sentinel.
        protocol: how thoroughly.
        file: name of the file by which the search judged them.
        told: follows it.
        most_s: seconds after which no further one is begun.

    Raises:
        InputError: a file is missing or damaged.
        EnvironmentStopError: the disk is full.
    """
    reference = _content(directory.model_file(prototype.id, file))
    end, found = time.monotonic() + most_s, []
    for member in members:
        if time.monotonic() >= end:
            break
        path = directory.model_file(member.id, file)
        content = _content(path)
        if content is None:
            raise InputError(f"{path}: not kept; only members of the current front and the prototype keep their file")
        try:
            latency, doubt = measured_alone(content, reference, protocol, patience_s=min(PATIENCE_S, most_s / 5))
        except ConversionError as error:
            raise InputError(f"{path}: {error}") from error
        found.append(_recorded(member, latency, doubt))
        directory.append_event(EVENT, **found[-1].to_json())
        told(found[-1])
    return found


def remeasure_after_search(
    directory: RunDirectory, members: Sequence[Candidate], prototype: Candidate, file: str
) -> list[str]:
    """Times the members of a front that were not timed again on this machine, within :data:`AFTER_SEARCH_S` seconds.

    What cannot be measured is no reason for a search to fail: it stays as the search measured it.

    Returns:
        What the user should know, one sentence each.
    """
    known, device = remeasured_in(directory), fingerprint().hash
    due = [m for m in members if m.value("latency_ms") is not None and directory.model_file(m.id, file).is_file()]
    due = [m for m in due if m.id not in known or known[m.id].device != device]
    try:
        with without_stderr():  # LiteRT writes there, in the midst of a live view
            found = remeasure(directory, due, prototype, AFTER_SEARCH, file=file, most_s=AFTER_SEARCH_S)
    except InputError as error:
        return [f"not measured again: {error}"]
    return [f"measured again: {one}" for one in found if one.differs]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _recorded(member: Candidate, now: Latency, doubt: str | None) -> Remeasured:
    """Beside what the search measured."""
    there = None if member.outcome is None else member.outcome.worker.get("device")
    then = member.value(LATENCY_RATIO if now.beside == "prototype" else "latency_ms")
    value = now.ratio if now.beside == "prototype" else now.median_ms
    comparable = then is not None and value is not None and there in (None, now.device)
    assert now.ratio is not None and now.ratio_low is not None and now.ratio_high is not None and now.p90_ms is not None
    return Remeasured(
        *(member.id, member.trial, now.median_ms, now.low_ms, now.high_ms, now.p90_ms),
        *(now.ratio, now.ratio_low, now.ratio_high, now.beside),
        doubt=doubt,
        device=now.device,
        change=value / then - 1 if comparable and value is not None and then else None,
    )
