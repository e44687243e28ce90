"""Which machine a latency belongs to: what of it decides how fast a network runs."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from nas.run.provenance import machine

ROOT: Final = Path("/")
_CPU: Final = "sys/devices/system/cpu"
_HASH_LETTERS: Final = 10


@dataclass(frozen=True)
class Fingerprint:
    """The machine, its settings and the software that runs a network; no name of the machine or its user.

    Attributes:
        processor: its model.
        cores: of the machine.
        smt: whether cores share their arithmetic with a sibling; None where the system does not tell.
        governor: of the clock; None where it cannot be read, as in most virtual machines.
        max_mhz: the highest clock; None as above.
        virtual: whether a hypervisor is below.
        kernel: the system and its version.
        cpu_quota: cores' worth of time that a container may use; None for no limit.
        litert: its version.
        delegate: what computes.
        threads: of LiteRT.
    """

    processor: str
    cores: int
    smt: bool | None
    governor: str | None
    max_mhz: int | None
    virtual: bool
    kernel: str
    cpu_quota: float | None
    litert: str
    delegate: str
    threads: int

    @property
    def hash(self) -> str:
        """A short name of all of it: latencies of different ones are not to be compared in milliseconds."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LETTERS]

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the hash."""
        return {"hash": self.hash, **asdict(self)}

    def __str__(self) -> str:
        clock = f", {self.governor}" if self.governor else ""
        quota = "" if self.cpu_quota is None else f", limited to {self.cpu_quota:g} cores"
        where = " (virtual)" if self.virtual else ""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"{self.hash}: {self.processor}{where}, {self.cores} cores{clock}{quota}, {self.kernel}, "
            f"LiteRT {self.litert} with {self.delegate}, {threads}"
        )


@functools.cache
def fingerprint(threads: int = 1, root: Path = ROOT) -> Fingerprint:
    """Of this machine.

    Args:
        threads: of LiteRT.
        root: where the system's files are.
    """
    smt, khz = _read(root, f"{_CPU}/smt/active"), _read(root, f"{_CPU}/cpu0/cpufreq/cpuinfo_max_freq")
    flags = _read(root, "proc/cpuinfo") or ""
    return Fingerprint(
        processor=machine()["processor"],
        cores=os.cpu_count() or 1,
        smt=None if smt is None else smt == "1",
        governor=_read(root, f"{_CPU}/cpu0/cpufreq/scaling_governor"),
        max_mhz=int(khz) // 1000 if khz and khz.isdigit() else None,
        virtual=any("hypervisor" in line.split() for line in flags.splitlines() if line.startswith("flags")),
        kernel=f"{platform.system()} {platform.release()}",
        cpu_quota=_quota(root),
        litert=_litert(),
        delegate="XNNPACK",
        threads=threads,
    )


def _litert() -> str:
    try:
        return version("ai-edge-litert")
    except PackageNotFoundError:
        return "unknown"


def _quota(root: Path) -> float | None:
    """What a container allows: of its control group, version 2 or 1."""
    second = (_read(root, "sys/fs/cgroup/cpu.max") or "").split()
    first = [_read(root, f"sys/fs/cgroup/cpu/cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
    for numbers in (second, first):
        if len(numbers) == 2 and all(n.isdigit() for n in numbers) and int(numbers[1]):
            return int(numbers[0]) / int(numbers[1])
    return None


def _read(root: Path, name: str) -> str | None:
    try:
        return (root / name).read_text().strip() or None
    except (OSError, ValueError):
        return None
