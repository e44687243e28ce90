"""What else runs on the machine while something is measured, from /proc/stat."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STAT: Final = Path("/proc/stat")
_STEAL: Final = 7  # user nice system idle iowait irq softirq steal, in ticks
_IDLE: Final = (3, 4)


@dataclass(frozen=True)
class Ticks:
    """Ticks of one core since the start of the machine.

    Attributes:
        busy: with something to do.
        stolen: taken by the hypervisor.
        all: together with idle ones.
    """

    busy: int
    stolen: int
    all: int

    def since(self, earlier: Ticks) -> Ticks:
        """Those between two readings."""
        return Ticks(self.busy - earlier.busy, self.stolen - earlier.stolen, self.all - earlier.all)


def read_ticks(stat: Path = STAT) -> dict[int, Ticks]:
    """By core; empty where the system does not tell."""
    try:
        return dict(_cores(stat.read_text().splitlines()))
    except (OSError, ValueError, IndexError):
        return {}


def _cores(lines: list[str]) -> Iterator[tuple[int, Ticks]]:
    for line in lines:
        name, *numbers = line.split() or [""]
        if name.startswith("cpu") and name[3:].isdigit():
            ticks = [int(n) for n in numbers[: _STEAL + 1]]
            stolen = ticks[_STEAL] if len(ticks) > _STEAL else 0
            idle = sum(ticks[i] for i in _IDLE)
            yield int(name[3:]), Ticks(sum(ticks) - idle - stolen, stolen, sum(ticks))


@dataclass(frozen=True)
class Load:
    """What was seen beside a measurement.

    Attributes:
        stolen: share of the measuring cores' time that the hypervisor took.
        elsewhere: the busiest other core's share of time with something to do; 0 where there is no other.
        ticks: that the shares rest on, of one core; a few ticks (10 ms each) tell little.
    """

    stolen: float = 0.0
    elsewhere: float = 0.0
    ticks: int = 0


def load_between(before: dict[int, Ticks], after: dict[int, Ticks], own: Collection[int]) -> Load:
    """The load between two readings, for a measurement on the cores ``own``."""
    spent = {core: after[core].since(ticks) for core, ticks in before.items() if core in after}
    spent = {core: ticks for core, ticks in spent.items() if ticks.all > 0}
    mine = [ticks for core, ticks in spent.items() if core in own]
    others = [ticks.busy / ticks.all for core, ticks in spent.items() if core not in own]
    total = sum(t.all for t in mine)
    return Load(
        sum(t.stolen for t in mine) / total if total else 0.0,
        max(others, default=0.0),
        min((t.all for t in spent.values()), default=0),
    )


def idlest(before: dict[int, Ticks], after: dict[int, Ticks], count: int) -> list[int]:
    """The ``count`` cores, among those that this thread may use, that had least to do between two readings."""
    allowed = os.sched_getaffinity(0)
    busy = {c: after[c].since(t).busy for c, t in before.items() if c in after and c in allowed}
    return sorted(sorted(allowed, key=lambda core: (busy.get(core, 0), -core))[:count])
