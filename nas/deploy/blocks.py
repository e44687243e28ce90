"""Runs of one TFLite file, timed in blocks, and what of the core each block really had."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.networks.tflite import ConversionError, open_interpreter

FEWEST_RUNS: Final = 5
MOST_RUNS: Final = 2000
DISTURBED: Final = 0.05  # of a block's time off the core; a block that nobody disturbs loses 0.002
_WARM_SECONDS: Final = 0.005
_STABLE: Final = 0.02


@dataclass(frozen=True, eq=False)
class Block:
    """Runs one after another.

    Attributes:
        times_ms: of each run.
        off_core: share of the block's time in which the thread did not have the core; 0 where several threads work,
            since their waiting for each other looks the same.
    """

    times_ms: npt.NDArray[np.float64]
    off_core: float

    @property
    def median_ms(self) -> float:
        """Of the runs."""
        return float(np.median(self.times_ms))

    @property
    def disturbed(self) -> bool:
        """Whether something else had the core for part of it."""
        return self.off_core > DISTURBED


class Timer:
    """Times one file; every block has an interpreter of its own.

    Where an interpreter's memory happens to lie makes it faster or slower by a percent, for as long as it lives; so it
    is opened anew for each block, and the blocks' spread tells.

    Args:
        content: of the TFLite file.
        threads: of LiteRT.
        block_seconds: how long a block lasts, at least :data:`FEWEST_RUNS` runs.

    Raises:
        ConversionError: the file is none that LiteRT can run.
    """

    def __init__(self, content: bytes, threads: int, block_seconds: float) -> None:
        self._content, self._threads, self._seconds = content, threads, block_seconds
        self._interpreter: Any = None
        self._open()

    def _open(self) -> None:
        self._interpreter = None  # the old one's memory goes first
        self._interpreter = open_interpreter(self._content, threads=self._threads)
        for detail in self._interpreter.get_input_details():
            self._interpreter.set_tensor(detail["index"], _input(detail))

    def warm_up(self, most_seconds: float) -> None:
        """Runs until two stretches in a row take the same within 2 %, or the time is over.

        Raises:
            ConversionError: the network cannot be run.
        """
        end = time.perf_counter() + most_seconds
        try:
            last = self._stretch()
            while time.perf_counter() < end:
                now = self._stretch()
                if abs(now - last) <= _STABLE * last:
                    return
                last = now
        except (RuntimeError, ValueError) as error:
            raise ConversionError(f"LiteRT cannot run this file: {error}") from error

    def _stretch(self) -> float:
        """Median seconds of a run, over a few milliseconds of runs."""
        times: list[float] = []
        while sum(times) < _WARM_SECONDS or len(times) < 3:
            start = time.perf_counter()
            self._interpreter.invoke()
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    def keep_busy(self, seconds: float) -> int:
        """Runs for at least so long, in the interpreter that there is; how many times."""
        end, runs = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            self._interpreter.invoke()
            runs += 1
        return runs

    def block(self) -> Block:
        """One block, in a fresh and warmed interpreter."""
        self._open()
        runs = int(min(max(self._seconds / max(self._stretch(), 1e-7), FEWEST_RUNS), MOST_RUNS))
        invoke: Callable[[], None] = self._interpreter.invoke
        clock = time.perf_counter_ns
        ends = np.empty(runs + 1)
        cpu, ends[0] = time.thread_time(), clock()
        for run in range(1, runs + 1):
            invoke()
            ends[run] = clock()
        wall, cpu = (ends[-1] - ends[0]) / 1e9, time.thread_time() - cpu
        off = max(1 - cpu / wall, 0.0) if self._threads == 1 else 0.0
        return Block(np.diff(ends) / 1e6, off)


def _input(detail: dict[str, Any]) -> npt.NDArray[Any]:
    """Noise as the input's type wants it: zeros may take another path through the arithmetic (denormal numbers)."""
    rng, shape, dtype = np.random.default_rng(0), tuple(detail["shape"]), np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    if dtype.kind in "iu" and dtype.itemsize == 1:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return np.zeros(shape, dtype)
