"""Energy of a TFLite file: joules an image, and images a second a watt, with the idle machine's power subtracted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from nas.deploy.blocks import Timer
from nas.deploy.meters import Meter, NotMeasurableError

IDLE_SECONDS: Final = 3.0
ACTIVE_SECONDS: Final = 5.0
_READ_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Energy:
    """What running a network uses, beyond what the machine uses when it waits.

    Attributes:
        images: that were run, one at a time.
        seconds: they took.
        watts: mean power meanwhile, of everything that the meter covers.
        idle_watts: mean power while nothing was run; it is subtracted below.
        what: the meter covers.
    """

    images: int
    seconds: float
    watts: float
    idle_watts: float
    what: str

    @property
    def joules_per_image(self) -> float:
        """Above idle."""
        return (self.watts - self.idle_watts) * self.seconds / self.images

    @property
    def images_per_second_per_watt(self) -> float:
        """Above idle: one over the joules an image."""
        return 1 / self.joules_per_image

    @property
    def images_per_second_per_watt_in_all(self) -> float:
        """With the idle machine's power in it, as a board's supply sees it."""
        return self.images / (self.watts * self.seconds)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {
            "joules_per_image": self.joules_per_image,
            "images_per_second_per_watt": self.images_per_second_per_watt,
            "images_per_second_per_watt_in_all": self.images_per_second_per_watt_in_all,
        }


def measure_energy(
    content: bytes, meter: Meter, *, threads: int = 1, idle_s: float = IDLE_SECONDS, active_s: float = ACTIVE_SECONDS
) -> Energy:
    """Runs a file for a while, and waits as long before and after it: the mean of the two is the idle machine.

    Nothing else should run: the meter sees the whole machine.

    Args:
        content: of the TFLite file.
        meter: of the machine.
        threads: of LiteRT.
        idle_s, active_s: how long to wait, before and after together, and to run.

    Raises:
        ConversionError: LiteRT cannot run the file.
        NotMeasurableError: the meter fails, or running the file uses no more than waiting.
    """
    timer = Timer(content, threads, _READ_SECONDS)
    timer.warm_up(_READ_SECONDS)
    before, _, _ = _spent(meter, idle_s / 2, _wait)
    watts, seconds, runs = _spent(meter, active_s, timer.keep_busy)
    after, _, _ = _spent(meter, idle_s / 2, _wait)
    idle = (before + after) / 2
    if not watts > idle:
        raise NotMeasurableError(
            f"{meter.what}: {watts:.3f} W while the file ran and {idle:.3f} W while nothing did; something else was "
            "running, or the sensor does not see what computes"
        )
    return Energy(runs, seconds, watts, idle, meter.what)


def _wait(seconds: float) -> int:
    time.sleep(seconds)
    return 0


def _spent(meter: Meter, seconds: float, pastime: Callable[[float], int]) -> tuple[float, float, int]:
    """Watts over some seconds, how many they became, and what ``pastime`` got done; the meter is read often."""
    joules, start, done = meter.joules(), time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += pastime(_READ_SECONDS)
        meter.joules()
    joules, seconds = meter.joules() - joules, time.perf_counter() - start
    return joules / seconds, seconds, done
