"""A latency that can be believed: its interval, its quotient, its doubt, and what a doubt decides."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nas.deploy.blocks import Block, Timer
from nas.deploy.latency import LatencyProtocol, _bound, _doubt, interval, measure_latency
from nas.deploy.load import Load, Ticks, idlest, load_between, read_ticks
from nas.deploy.sentinel import CONVOLUTIONS, SENTINEL, plain_network, sentinel
from nas.errors import DecodeError, InputError
from nas.indicator import Constraint, Status
from nas.measurement import Measurement
from nas.networks.tflite import ConversionError, run_tflite

QUICK = LatencyProtocol(blocks=7, block_seconds=0.02, warm_seconds=0.05, most_seconds=2.0)


@contextlib.contextmanager
def busy(cores: set[int]) -> Iterator[None]:
    """A process of one thread that never rests, on some cores, while entered."""
    program = f"import os; os.sched_setaffinity(0, {cores}); print('on', flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def bound(cores: set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ---- the sentinel


def test_the_sentinel_is_the_same_everywhere() -> None:
    """Its outputs, and its multiply-accumulates by hand: another network would have to have another name."""
    image = np.linspace(0, 1, 48 * 48, dtype=np.float32).reshape(1, 48, 48, 1)
    expected = [0.185252, 0.173689, 0.169908, 0.136571, 0.096967, 0.127641, 0.109972]
    assert SENTINEL == "sentinel-1"
    assert run_tflite(sentinel(), image)[0] == pytest.approx(expected, abs=2e-4)
    side, channels, macs = 48, 1, 0
    for filters, stride in CONVOLUTIONS:
        side = -(-side // stride)
        macs += side * side * 9 * channels * filters
        channels = filters
    assert macs + channels * 7 == 6_055_136
    assert len(sentinel()) == 114_984


# ---- measuring


def test_four_times_the_work_takes_longer() -> None:
    small = measure_latency(plain_network([(16, 2), (16, 1), (16, 1)], "small"), None, QUICK)
    large = measure_latency(plain_network([(32, 2), (32, 1), (32, 1)], "large"), None, QUICK)
    assert small.ratio is not None and large.ratio is not None
    assert 2 < large.ratio / small.ratio < 8  # 1.3 and 5.3 million multiply-accumulates
    for latency in (small, large):
        assert latency.low_ms <= latency.median_ms <= latency.high_ms
        assert latency.ratio_low is not None and latency.ratio_high is not None and latency.ratio is not None
        assert latency.ratio_low <= latency.ratio <= latency.ratio_high
        assert latency.p90_ms is not None and latency.p90_ms >= latency.low_ms
        assert (latency.beside, latency.blocks >= 5, latency.runs >= 5 * 5) == (SENTINEL, True, True)
        assert latency.to_json()["protocol"]["threads"] == 1


def test_a_file_beside_itself_takes_as_long() -> None:
    content = plain_network([(16, 2), (16, 1)], "twin")
    latency = measure_latency(content, content, QUICK, beside="itself")
    assert latency.ratio_low is not None and latency.ratio_high is not None
    assert latency.beside == "itself"
    assert latency.ratio_low <= 1.0 <= latency.ratio_high or latency.doubt
    assert latency.ratio == pytest.approx(1.0, abs=0.2)


def test_a_busy_process_on_the_same_core_is_seen() -> None:
    core = {max(os.sched_getaffinity(0))}
    with bound(core), busy(core):
        latency = measure_latency(plain_network([(16, 2), (16, 1)], "beside"), None, QUICK)
    assert latency.doubt is not None and "something else had the core" in latency.doubt


def test_two_threads_are_measured_on_two_cores() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    latency = measure_latency(sentinel(), None, LatencyProtocol(blocks=5, block_seconds=0.01, threads=2))
    assert latency.protocol.threads == 2 and latency.median_ms > 0


def test_a_thread_is_bound_while_it_measures_and_free_afterwards() -> None:
    before = os.sched_getaffinity(0)
    with _bound(1) as cores:
        assert os.sched_getaffinity(0) == cores and len(cores) == 1
        with _bound(1) as again:  # it has no more than it needs: it stays
            assert again == cores
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("content", [b"", b"not a model", sentinel()[:5000], b"\0" * 4096])
def test_a_corrupt_file_is_an_error(content: bytes) -> None:
    with pytest.raises(ConversionError, match="TFLite"):
        measure_latency(content, None, QUICK)


@pytest.mark.parametrize("changes", [{"blocks": 4}, {"threads": 0}, {"block_seconds": 0.0}, {"most_seconds": math.nan}])
def test_impossible_protocols(changes: dict[str, float]) -> None:
    with pytest.raises(InputError):
        LatencyProtocol(**changes)  # type: ignore[arg-type]


def test_blocks_of_a_slow_file_have_five_runs() -> None:
    block = Timer(sentinel(), 1, 1e-6).block()
    assert len(block.times_ms) == 5 and (block.times_ms > 0).all()


# ---- intervals


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 1), (6, 1), (7, 1), (9, 2), (15, 4), (21, 6), (101, 41)])
def test_order_statistics(n: int, k: int) -> None:
    """k as in tables of the sign test at 95 %."""
    values = np.arange(1.0, n + 1)
    assert interval(values, 0.0) == (np.median(values), k, n + 1 - k)
    _, low, high = interval(values, 0.01)
    assert (low, high) == pytest.approx((0.99 * k, 1.01 * (n + 1 - k)))


def test_intervals_cover_the_median() -> None:
    """Of a skewed distribution with outliers, such as times have."""

    def times(rng: np.random.Generator, n: int) -> np.ndarray:
        return 1 + rng.exponential(0.02, n) + (rng.random(n) < 0.1) * 0.5

    rng = np.random.default_rng(1)
    truth = np.median(times(rng, 1_000_000))
    ends = [interval(times(rng, 9), 0.0) for _ in range(2000)]
    covered = sum(low <= truth <= high for _, low, high in ends) / len(ends)
    assert 0.95 <= covered <= 0.975  # 0.961 by the binomial distribution


# ---- doubts


def pairs(*off_core: float) -> list[tuple[Block, Block, Block]]:
    return [(Block(np.ones(5), off), Block(np.ones(5), 0.0), Block(np.ones(5), 0.0)) for off in off_core]


@pytest.mark.parametrize(
    ("off_core", "tries", "load", "width", "words"),
    [
        ((0.0,) * 7, 7, Load(), 0.03, None),
        ((0.04,) * 7, 7, Load(), 0.03, None),
        ((0.0,) * 7, 13, Load(), 0.03, None),
        ((0.0,) * 6, 13, Load(), 0.03, "7 of 13 blocks, 0 of them counted"),
        ((0.0, 0.0, 0.0, 0.0, 0.3), 8, Load(), 0.03, "4 of 8 blocks, 1 of them counted"),
        ((0.0,) * 7, 7, Load(stolen=0.05, ticks=100), 0.03, "hypervisor took 5%"),
        ((0.0,) * 7, 7, Load(stolen=0.05, ticks=20), 0.03, None),  # one tick
        ((0.0,) * 7, 7, Load(elsewhere=1.0, ticks=100), 0.03, None),  # it widens the interval
        ((0.0,) * 7, 7, Load(), 0.2, "20% wide"),
    ],
)
def test_what_is_doubted(off_core: tuple[float, ...], tries: int, load: Load, width: float, words: str | None) -> None:
    doubt = _doubt(pairs(*off_core), tries, load, width)
    assert doubt is None if words is None else doubt is not None and words in doubt


def test_ticks_of_the_system(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  9 9 9 9\ncpu0 100 10 20 500 5 1 2 7 0 0\ncpu1 1 2 3 4 0\ncpuX\nintr 5\n")
    assert read_ticks(stat) == {0: Ticks(133, 7, 645), 1: Ticks(6, 0, 10)}
    assert read_ticks(tmp_path / "missing") == {}
    stat.write_text("cpu0 1 2\n")
    assert read_ticks(stat) == {}
    before = {0: Ticks(0, 0, 0), 1: Ticks(0, 0, 0), 2: Ticks(5, 0, 9)}
    after = {0: Ticks(90, 10, 100), 1: Ticks(25, 0, 100), 2: Ticks(5, 0, 9)}
    assert load_between(before, after, {0}) == Load(0.1, 0.25, 100)
    assert load_between({}, {}, {0}) == Load()
    assert set(idlest(before, after, 1)) <= os.sched_getaffinity(0)


# ---- what it decides


@pytest.mark.parametrize(
    ("low", "high", "doubt", "status"),
    [
        (0.7, 0.9, None, Status.MET),
        (0.7, 1.0, None, Status.MET),
        (0.7, 1.01, None, Status.UNDECIDED),  # the upper end counts
        (1.01, 1.2, None, Status.VIOLATED),
        (0.1, 0.2, "load", Status.UNDECIDED),
        (5.0, 6.0, "load", Status.UNDECIDED),
    ],
)
def test_a_latency_in_doubt_decides_nothing(low: float, high: float, doubt: str | None, status: Status) -> None:
    measured = Measurement((low + high) / 2, low, high, "ms", 100, "test", doubt)
    assert Constraint("latency_ms", 1.0, True).judge(measured, 0.0).status is status
    assert Measurement.from_json(measured.to_json()) == measured
    assert ("doubt" in measured.to_json()) is (doubt is not None)
    with pytest.raises(DecodeError):
        Measurement.from_json({**measured.to_json(), "doubt": 3})
