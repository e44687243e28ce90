"""Energy: counters that wrap, sensors in the layouts that boards have had, and what is said where there is none."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.deploy.blocks import Timer
from nas.deploy.energy import Energy, measure_energy
from nas.deploy.meters import Ina, NotMeasurableError, Rapl, find_meter
from nas.deploy.sentinel import sentinel

RANGE = 262_143_328_850  # microjoules, as on many Intel processors


def rapl(root: Path, number: int, name: str, energy_uj: int, under: str = "") -> Path:
    """A domain as the powercap driver shows it: subdomains lie in their package's folder, and beside it as links."""
    domain = f"intel-rapl:{number}{under}"
    folder = root / "sys/class/powercap" / domain
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (folder / "enabled").write_text("1\n")
    return folder


def hwmon(root: Path, number: int, rails: dict[str, tuple[int, int]]) -> Path:
    """The ina3221 of Orin boards: millivolts and milliamperes a channel."""
    chip = root / f"sys/class/hwmon/hwmon{number}"
    chip.mkdir(parents=True)
    (chip / "name").write_text("ina3221\n")
    for channel, (label, (millivolts, milliamperes)) in enumerate(rails.items(), 1):
        (chip / f"in{channel}_label").write_text(f"{label}\n")
        (chip / f"in{channel}_input").write_text(f"{millivolts}\n")
        (chip / f"curr{channel}_input").write_text(f"{milliamperes}\n")
    (chip / "in7_label").write_text("Sum of shunt voltages\n")
    return chip


def iio(root: Path, device: str, rails: dict[str, int]) -> Path:
    """The ina3221x of TX2 and Xavier: milliwatts a channel."""
    folder = root / f"sys/bus/i2c/devices/{device}/iio:device0"
    folder.mkdir(parents=True)
    for channel, (label, milliwatts) in enumerate(rails.items()):
        (folder / f"rail_name_{channel}").write_text(f"{label}\n")
        (folder / f"in_power{channel}_input").write_text(f"{milliwatts}\n")
    return folder


def test_rapl_adds_up_packages_and_leaves_their_parts_out(tmp_path: Path) -> None:
    first = rapl(tmp_path, 0, "package-0", 5_000_000)
    rapl(tmp_path, 0, "core", 1_000_000, under=":0")
    rapl(tmp_path, 0, "dram", 2_000_000, under=":2")
    second = rapl(tmp_path, 1, "package-1", 7_000_000)
    psys = rapl(tmp_path, 2, "psys", 50_000_000)
    meter = find_meter(tmp_path)
    assert isinstance(meter, Rapl) and meter.what == "RAPL, 2 processor packages, without memory"
    assert meter.joules() == 0
    (first / "energy_uj").write_text("6500000\n")
    (second / "energy_uj").write_text("7250000\n")
    (psys / "energy_uj").write_text("99000000\n")
    assert meter.joules() == pytest.approx(1.75)
    assert meter.joules() == pytest.approx(1.75)


def test_a_counter_that_wraps(tmp_path: Path) -> None:
    package = rapl(tmp_path, 0, "package-0", RANGE - 1_000_000)
    meter = find_meter(tmp_path)
    span = RANGE / 1e6
    for reading, joules in ((500_000, 1.5), (RANGE - 500_000, span + 0.5), (250_000, span + 1.25)):
        (package / "energy_uj").write_text(f"{reading}\n")
        assert meter.joules() == pytest.approx(joules, abs=1e-6)


def test_a_counter_for_root_alone() -> None:
    """As kernels have it since the counters were found to leak keys."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        counter = rapl(root, 0, "package-0", 1) / "energy_uj"
        counter.chmod(0o400 if os.geteuid() == 0 else 0)
        with as_nobody(), pytest.raises(NotMeasurableError, match=r"may be read by root alone.*sudo chmod"):
            find_meter(root)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights, where they are there."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_counter_that_breaks(tmp_path: Path) -> None:
    package = rapl(tmp_path, 0, "package-0", 1)
    meter = find_meter(tmp_path)
    (package / "energy_uj").write_text("nonsense\n")
    with pytest.raises(NotMeasurableError, match="energy_uj cannot be read"):
        meter.joules()
    (package / "energy_uj").unlink()
    with pytest.raises(NotMeasurableError, match="energy_uj cannot be read"):
        meter.joules()


def test_a_board_s_total_rail_is_taken_where_there_is_one(tmp_path: Path) -> None:
    hwmon(tmp_path, 3, {"VDD_IN": (5000, 1200), "VDD_CPU_GPU_CV": (5000, 400), "VDD_SOC": (5000, 300)})
    (tmp_path / "sys/class/hwmon/hwmon0").mkdir()
    (tmp_path / "sys/class/hwmon/hwmon0/name").write_text("thermal\n")
    meter = find_meter(tmp_path)
    assert isinstance(meter, Ina) and meter.what == "INA sensor, rail VDD_IN"
    assert meter._power() == pytest.approx(6.0)


def test_rails_without_a_total_are_added(tmp_path: Path) -> None:
    iio(tmp_path, "1-0040", {"GPU": 900, "CPU": 1500, "SOC": 600})
    iio(tmp_path, "1-0041", {"CV": 0, "VDDRQ": 250, "SYS5V": 1750})
    meter = find_meter(tmp_path)
    assert meter.what == "INA sensor, sum of the rails CPU, CV, GPU, SOC, SYS5V, VDDRQ"
    assert isinstance(meter, Ina) and meter._power() == pytest.approx(5.0)


def test_power_is_added_up_by_trapezoids() -> None:
    powers, seconds = iter([2.0, 4.0, 4.0, 0.0]), iter([10.0, 10.5, 12.0, 12.5])
    meter = Ina({"VDD_IN": lambda: next(powers)}, lambda: next(seconds))
    assert [meter.joules() for _ in range(3)] == pytest.approx([1.5, 7.5, 8.5])


def test_where_there_is_no_meter(tmp_path: Path) -> None:
    with pytest.raises(NotMeasurableError, match=r"no RAPL counter.*no INA"):
        find_meter(tmp_path)


def test_energy_is_what_idleness_does_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a board that uses 10 W always, and 2 mJ more a run."""
    begun, runs = time.perf_counter(), 0

    class Board:
        what = "a board made by the test"

        def joules(self) -> float:
            return 10 * (time.perf_counter() - begun) + 0.002 * runs

    class Counted(Timer):
        def keep_busy(self, seconds: float) -> int:
            nonlocal runs
            done = super().keep_busy(seconds)
            runs += done
            return done

    monkeypatch.setattr("nas.deploy.energy.Timer", Counted)
    used = measure_energy(sentinel(), Board(), idle_s=0.2, active_s=0.4)
    assert used.joules_per_image == pytest.approx(0.002, rel=0.05)
    assert used.images_per_second_per_watt == pytest.approx(500, rel=0.05)
    assert used.idle_watts == pytest.approx(10, rel=0.01) and used.images == runs > 10
    assert used.images_per_second_per_watt_in_all < used.images_per_second_per_watt
    assert used.to_json()["joules_per_image"] == used.joules_per_image


def test_a_meter_that_sees_nothing() -> None:
    class Still:
        what = "a board that always uses 5 W"

        def joules(self) -> float:
            return 0.0

    with pytest.raises(NotMeasurableError, match="does not see what computes"):
        measure_energy(sentinel(), Still(), idle_s=0.04, active_s=0.04)


def test_numbers_by_hand() -> None:
    used = Energy(images=1000, seconds=10.0, watts=7.0, idle_watts=5.0, what="by hand")
    assert math.isclose(used.joules_per_image, 0.02)
    assert math.isclose(used.images_per_second_per_watt, 50)  # 100 images a second on 2 W
    assert math.isclose(used.images_per_second_per_watt_in_all, 100 / 7)
