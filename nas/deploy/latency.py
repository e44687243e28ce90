"""Latency of a TFLite file on this machine, beside that of a reference file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nas.networks.tflite import open_interpreter

BLOCKS: Final = 5
BLOCK_SECONDS: Final = 0.04
WARM_UP: Final = 5


@dataclass(frozen=True)
class Latency:
    """Single-thread, batch-1 latency in ms: the median over all runs, and the range of the blocks' medians.

    ``ratio`` is the same for the quotient to the reference, each block against the reference's block beside it: load
    from elsewhere strikes both, so the quotient repeats far better than the milliseconds.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    runs: int
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


def measure_latency(content: bytes, reference: bytes | None = None) -> Latency:
    """Times ``content`` in a warmed, single-thread LiteRT interpreter, in blocks interleaved with ``reference``.

    The caller sees to it that nothing else of this search runs on the same core.
    """
    candidate = _Timer(content)
    beside = None if reference is None else _Timer(reference)
    medians, ratios, runs = [], [], []
    for _ in range(BLOCKS):
        times = candidate.block()
        runs.extend(times)
        medians.append(float(np.median(times)))
        if beside is not None:
            ratios.append(medians[-1] / float(np.median(beside.block())))
    quotient = (float(np.median(ratios)), min(ratios), max(ratios)) if ratios else (None, None, None)
    return Latency(float(np.median(runs)), min(medians), max(medians), len(runs), *quotient)


class _Timer:
    """One interpreter and how many runs fill a block."""

    def __init__(self, content: bytes) -> None:
        self._interpreter: Any = open_interpreter(content)
        detail = self._interpreter.get_input_details()[0]
        self._interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        warm = [self._run() for _ in range(WARM_UP)]
        self._runs = int(min(max(BLOCK_SECONDS * 1000 / max(min(warm), 1e-3), 5), 200))

    def _run(self) -> float:
        start = time.perf_counter()
        self._interpreter.invoke()
        return (time.perf_counter() - start) * 1000

    def block(self) -> list[float]:
        """Milliseconds of each run of one block."""
        return [self._run() for _ in range(self._runs)]
