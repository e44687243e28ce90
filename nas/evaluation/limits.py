"""What one candidate may use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nas.errors import InputError
from nas.units import format_duration

STALL_S: Final = 1800.0  # without a sign of life; an epoch of 300,000 images on one core takes less
FILE_BYTES: Final = 1 << 32  # the largest file that an evaluator may write, its log included


@dataclass(frozen=True)
class Limits:
    """Beyond these a candidate is ended, and recorded as failed.

    Attributes:
        time_s: seconds that it may take, the start of its process included.  None sets no limit to the whole, but ends
            it after :data:`STALL_S` seconds without progress (an epoch, a conversion, a measurement).
        memory_bytes: resident memory of the process that evaluates it; None for no limit.
    """

    time_s: float | None = None
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.time_s is not None and not 1 <= self.time_s < 1e9:
            raise InputError(f"{self.time_s} s a candidate; allow at least 1 s")
        if self.memory_bytes is not None and self.memory_bytes < 100_000_000:
            raise InputError(f"{self.memory_bytes} bytes a candidate; TensorFlow alone takes some 500 MB: allow more")

    def exceeded(self, pid: int, running_s: float, silent_s: float) -> tuple[str, str] | None:
        """Kind and reason of the limit that a candidate has passed, or None.

        Args:
            pid: of its process.
            running_s, silent_s: seconds since it began, and since its last sign of life.
        """
        if self.time_s is not None and running_s > self.time_s:
            return "timeout", f"it took longer than the {format_duration(self.time_s)} that a candidate may take"
        if self.time_s is None and silent_s > STALL_S:
            return "timeout", f"no progress for {format_duration(STALL_S)}; --candidate-time sets another limit"
        if self.memory_bytes is not None and (resident := resident_bytes(pid)) > self.memory_bytes:
            allowed = self.memory_bytes / 1e6
            return "out of memory", f"its process holds {resident / 1e6:,.0f} MB, a candidate may {allowed:,.0f} MB"
        return None


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
