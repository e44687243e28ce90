"""Latency of a TFLite file on this machine, beside that of a reference file, with an interval and a doubt."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.deploy.blocks import Block, Timer
from nas.deploy.fingerprint import fingerprint
from nas.deploy.load import Load, idlest, load_between, read_ticks
from nas.deploy.sentinel import SENTINEL, sentinel
from nas.errors import InputError

CONFIDENCE: Final = 0.95
REPEAT: Final = 0.0075  # by which two measurements differ though the blocks of each agree
COMPANY: Final = 0.025  # the same where other cores are busy: they share caches, memory and clock with ours
_BUSY: Final = 0.2  # of another core's time, from which it counts as busy
_DISTURBED_BLOCKS: Final = 0.5
_STOLEN: Final = 0.02
_WIDE: Final = 0.15
_FEWEST: Final = 5
_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True)
class LatencyProtocol:
    """How a latency is measured.

    Attributes:
        blocks: of the file; one of the reference comes before the first, and one after each.
        block_seconds: how long one lasts, at least five runs.
        threads: of LiteRT.
        warm_seconds: how long each file may take to become steady.
        most_seconds: after this no further block is begun, once there are five.
    """

    blocks: int = 17
    block_seconds: float = 0.015
    threads: int = 1
    warm_seconds: float = 0.1
    most_seconds: float = 1.2

    def __post_init__(self) -> None:
        if not (_FEWEST <= self.blocks <= 1000 and 1 <= self.threads <= 1024):
            raise InputError(f"{self.blocks} blocks must lie in {_FEWEST}..1000, {self.threads} threads in 1..1024")
        if not all(0 < s < math.inf for s in (self.block_seconds, self.warm_seconds, self.most_seconds)):
            raise InputError("durations of blocks, warm-up and measurement must be positive numbers of seconds")


SEARCH: Final = LatencyProtocol()
THOROUGH: Final = LatencyProtocol(blocks=41, block_seconds=0.025, warm_seconds=0.5, most_seconds=5.0)


@dataclass(frozen=True)
class Latency:
    """Batch-1 latency in ms, and as a quotient to a reference's.

    The intervals are those of the median over blocks, by order statistics (95 %, no assumption on the distribution),
    widened by what measurements differ whose blocks agree.

    Attributes:
        median_ms, low_ms, high_ms: the median over the blocks' medians, and its interval.
        p90_ms: of all runs: an alarm for load, no property of the file.
        runs, blocks: how many it rests on.
        ratio, ratio_low, ratio_high: to the reference, each block against the reference's blocks before and after it.
            Load strikes both, so that the quotient repeats far better than the milliseconds.
        beside: the reference's name; empty where there was none.
        doubt: why it is not to be trusted: load that was seen; None where none was.
        device: hash of the machine's fingerprint.
        protocol: how it was measured; None where another program did.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    runs: int
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    p90_ms: float | None = None
    blocks: int = 0
    beside: str = ""
    doubt: str | None = None
    device: str = ""
    protocol: LatencyProtocol | None = None

    @property
    def threads(self) -> int:
        """That worked on it."""
        return 1 if self.protocol is None else self.protocol.threads

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure_latency(
    content: bytes, reference: bytes | None = None, protocol: LatencyProtocol = SEARCH, *, beside: str = "prototype"
) -> Latency:
    """Times ``content`` in LiteRT with XNNPACK, in blocks between blocks of a reference, on a core of its own.

    A thread that may use more cores than it needs is bound to the idlest for as long as this takes.  The caller sees to
    it that nothing else of this package runs on the same core.

    Args:
        content: of the TFLite file.
        reference: of the file beside which it is timed; the sentinel where there is none.
        protocol: how thoroughly.
        beside: the reference's name, where there is one.

    Raises:
        ConversionError: one of the files is none that LiteRT can run.
    """
    with _bound(protocol.threads) as cores:
        before = read_ticks()
        pairs, tries = _interleaved(content, sentinel() if reference is None else reference, protocol)
        load = load_between(before, read_ticks(), cores)
    own = [pair[0] for pair in pairs]
    medians = np.array([block.median_ms for block in own])
    quotients = medians / [math.sqrt(a.median_ms * b.median_ms) for _, a, b in pairs]
    allowance = COMPANY if load.elsewhere > _BUSY else REPEAT
    median, low, high = interval(medians, allowance)
    ratio, ratio_low, ratio_high = interval(quotients, allowance)
    times = np.concatenate([block.times_ms for block in own])
    return Latency(
        *(median, low, high, len(times), ratio, ratio_low, ratio_high),
        p90_ms=float(np.percentile(times, 90)),
        blocks=len(own),
        beside=SENTINEL if reference is None else beside,
        doubt=_doubt(pairs, tries, load, (ratio_high - ratio_low) / ratio),
        device=fingerprint(protocol.threads).hash,
        protocol=protocol,
    )


Pair = tuple[Block, Block, Block]  # of the file, of the reference before it and after it


def _interleaved(content: bytes, reference: bytes, protocol: LatencyProtocol) -> tuple[list[Pair], int]:
    """Blocks of the file between blocks of the reference, and how many were tried.

    One that something else disturbed on its core is timed again, twice as many in all at most: what is left out is
    decided by who had the core, not by how long the runs took.
    """
    candidate = Timer(content, protocol.threads, protocol.block_seconds)
    beside = Timer(reference, protocol.threads, protocol.block_seconds)
    end = time.monotonic() + protocol.most_seconds
    for timer in (beside, candidate):
        timer.warm_up(protocol.warm_seconds)
    quiet: list[Pair] = []
    disturbed: list[Pair] = []
    last = beside.block()
    while len(quiet) < protocol.blocks and len(quiet) + len(disturbed) < 2 * protocol.blocks:
        pair = candidate.block(), last, beside.block()
        last = pair[2]
        (disturbed if any(block.disturbed for block in pair) else quiet).append(pair)
        if time.monotonic() > end and len(quiet) + len(disturbed) >= _FEWEST:
            break
    disturbed.sort(key=lambda pair: max(block.off_core for block in pair))
    missing = protocol.blocks - len(quiet) if len(quiet) < _FEWEST else 0
    return quiet + disturbed[:missing], len(quiet) + len(disturbed)


def interval(values: npt.NDArray[np.float64], allowance: float) -> tuple[float, float, float]:
    """The median of ``values``, and where the true median lies.

    By order statistics: the k-th smallest and largest value enclose it with probability 1 - 2 P(Binomial(n, 1/2) < k),
    whatever the distribution; k is the largest for which that is at least 95 %, and 1 where there are fewer than 6
    values.  Both ends are moved outwards by the share ``allowance``, for what no block of one measurement can show.
    """
    ordered, n = np.sort(values), len(values)
    tails = np.cumsum([math.comb(n, i) / 2**n for i in range(n)])
    k = max(int(np.searchsorted(tails, (1 - CONFIDENCE) / 2, side="right")), 1)
    low, high = ordered[k - 1], ordered[n - k]
    return float(np.median(ordered)), float(low * (1 - allowance)), float(high * (1 + allowance))


def _doubt(pairs: Sequence[Pair], tries: int, load: Load, width: float) -> str | None:
    """What speaks against a measurement; None where nothing does."""
    kept = sum(any(block.disturbed for block in pair) for pair in pairs)
    disturbed = tries - len(pairs) + kept
    reasons = []
    if kept or disturbed > _DISTURBED_BLOCKS * tries:
        reasons.append(f"something else had the core in {disturbed} of {tries} blocks, {kept} of them counted")
    if load.stolen > _STOLEN and load.stolen * load.ticks >= 2:
        reasons.append(f"the hypervisor took {load.stolen:.0%} of the core")
    if width > _WIDE:
        reasons.append(f"the blocks do not agree: the interval of the quotient is {width:.0%} wide")
    return "; ".join(reasons) or None


@contextlib.contextmanager
def _bound(threads: int) -> Iterator[set[int]]:
    """Binds this thread, and those that it starts, to ``threads`` cores while entered; to those that it has already."""
    before = os.sched_getaffinity(0)
    if len(before) <= threads:
        yield before
        return
    look = read_ticks()
    time.sleep(_LOOK_SECONDS)
    cores = set(idlest(look, read_ticks(), threads))
    os.sched_setaffinity(0, cores)
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, before)
