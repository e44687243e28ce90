"""Meters of electrical energy that a machine may have: RAPL's counters, and the INA sensors of Jetson boards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from nas.errors import NasError

ROOT: Final = Path("/")
_RAPL: Final = "sys/class/powercap"
_TOTALS: Final = ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0")  # rails through which all of a board's power comes


class NotMeasurableError(NasError):
    """This machine does not tell what it uses; the message says why."""


class Meter(Protocol):
    """Adds up what the machine uses."""

    @property
    def what(self) -> str:
        """What it covers, in a few words."""

    def joules(self) -> float:
        """Used since the meter was made.  To be read many times a second: between two readings it sees nothing.

        Raises:
            NotMeasurableError: a sensor cannot be read any more.
        """


class Rapl:
    """Running average power limit: a counter a processor package, in microjoules, that starts again at its range.

    A counter wraps after about an hour at 60 W, at the earliest after minutes; one wrap between two readings is told
    from its range (``max_energy_range_uj``).  Sub-domains (cores, memory) lie in their package or beside it, and are
    left out; so is ``psys``, which holds the packages again.

    Args:
        packages: folders such as ``/sys/class/powercap/intel-rapl:0``.
    """

    def __init__(self, packages: Sequence[Path]) -> None:
        self._packages = tuple(packages)
        self._ranges = [_number(package / "max_energy_range_uj") for package in packages]
        self._last = self._counters()
        self._total = 0

    @property
    def what(self) -> str:
        """The packages."""
        count = len(self._packages)
        return f"RAPL, {'the processor package' if count == 1 else f'{count} processor packages'}, without memory"

    def joules(self) -> float:
        """Since it was made."""
        now = self._counters()
        for before, after, span in zip(self._last, now, self._ranges, strict=True):
            self._total += after - before if after >= before else after - before + span
        self._last = now
        return self._total / 1e6

    def _counters(self) -> list[int]:
        return [_number(package / "energy_uj") for package in self._packages]


class Ina:
    """Power sensors of a Jetson board: the power now, added up by the trapezoidal rule between readings.

    Args:
        rails: by name, how to read the power in watts.
        clock: seconds.
    """

    def __init__(self, rails: Mapping[str, Callable[[], float]], clock: Callable[[], float] = time.monotonic) -> None:
        totals = [name for name in rails if name in _TOTALS]
        self._names = totals[:1] or sorted(rails)
        self._rails = [rails[name] for name in self._names]
        self._clock, self._joules = clock, 0.0
        self._then, self._watts = clock(), self._power()

    @property
    def what(self) -> str:
        """The rails."""
        return f"INA sensor, {'rail' if len(self._names) == 1 else 'sum of the rails'} {', '.join(self._names)}"

    def joules(self) -> float:
        """Since it was made."""
        now, watts = self._clock(), self._power()
        self._joules += (now - self._then) * (watts + self._watts) / 2
        self._then, self._watts = now, watts
        return self._joules

    def _power(self) -> float:
        return sum(read() for read in self._rails)


def find_meter(root: Path = ROOT) -> Meter:
    """The machine's meter.

    Args:
        root: where the system's files are.

    Raises:
        NotMeasurableError: there is none, or it may not be read; says which files were looked for.
    """
    packages = sorted(p for p in (root / _RAPL).glob("intel-rapl:*") if p.name.count(":") == 1 and not _is_psys(p))
    if packages:
        return Rapl(packages)
    rails = dict(_rails(root))
    if rails:
        return Ina(rails)
    raise NotMeasurableError(
        f"no RAPL counter (/{_RAPL}/intel-rapl:*; virtual machines have none) and no INA power sensor of a Jetson "
        "(/sys/bus/i2c/devices, /sys/class/hwmon)"
    )


def _is_psys(package: Path) -> bool:
    try:
        return (package / "name").read_text().strip().startswith("psys")
    except OSError:
        return False


def _rails(root: Path) -> Iterable[tuple[str, Callable[[], float]]]:
    """Rails by name, of the two layouts that Jetson's kernels have had."""
    # Up to L4T 32 (TX1, TX2, Xavier): .../ina3221x/1-0040/iio:device0/in_power0_input in mW, rail_name_0.
    for power in sorted(root.glob("sys/bus/i2c/devices/*/iio:device*/in_power*_input")):
        digit = power.name.removeprefix("in_power").removesuffix("_input")
        yield _text(power.with_name(f"rail_name_{digit}")) or f"{power.parent.name}/{digit}", _milliwatts(power)
    # From L4T 34 on (Orin): hwmon of the ina3221 driver: in1_input in mV, curr1_input in mA, in1_label.
    for chip in sorted(root.glob("sys/class/hwmon/hwmon*")):
        if _text(chip / "name") == "ina3221":
            for current in sorted(chip.glob("curr[1-3]_input")):
                digit = current.name.removeprefix("curr").removesuffix("_input")
                volts, label = chip / f"in{digit}_input", _text(chip / f"in{digit}_label")
                if volts.exists():
                    yield label or f"{chip.name}/{digit}", _product(volts, current)


def _milliwatts(power: Path) -> Callable[[], float]:
    return lambda: _number(power) / 1e3


def _product(millivolts: Path, milliamperes: Path) -> Callable[[], float]:
    return lambda: _number(millivolts) * _number(milliamperes) / 1e6


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except PermissionError as error:
        raise NotMeasurableError(
            f"{path} may be read by root alone; run as root, or: sudo chmod a+r {path} (until the next start)"
        ) from error
    except (OSError, ValueError) as error:
        raise NotMeasurableError(f"{path} cannot be read ({error})") from error
