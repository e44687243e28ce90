"""Does a latency repeat?  The same file, measured again and again by `nas measure`.

    python benchmarks/latency_repeatability.py [--times 10] [--minutes 10] [--busy same|other|free]... [--file F]

The reference is the median of the measurements with nothing beside them (`none`, which always comes first).  Idle: how
far the medians spread, how wide the intervals are, how many measurements are in doubt.  Beside busy processes: how many
intervals of the quotient to the sentinel hold the reference's quotient, or else are in doubt.

`same`  one process that never rests, on the core that measures
`other` one on another core
`free`  one on each core but one more, bound to none: the scheduler moves them about

The machine must have nothing else to do; the load before each measurement is printed.  Every measurement is a process
of its own, so that what a process is given by chance (where its memory lies) is in the spread.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nas.deploy.fingerprint import fingerprint
from nas.deploy.sentinel import plain_network

# A rival of the sentinel's, of another shape and seven times its work.
RIVAL = ((16, 1), (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1))
SPREAD, WIDTH, SHARE = 0.03, 0.05, 0.9
WORK = """
import os, sys
if sys.argv[1] != "free": os.sched_setaffinity(0, {int(sys.argv[1])})
print("on", flush=True)
import numpy as np
a = np.random.default_rng(0).random((300, 300), np.float32)
while True: a = (a @ a) / 300
"""


@contextlib.contextmanager
def beside(kind: str, core: int) -> Iterator[None]:
    """The busy processes of a kind, while entered."""
    others = sorted(os.sched_getaffinity(0) - {core})
    where = {"none": [], "same": [str(core)], "other": [str(c) for c in others[:1]], "free": ["free"] * len(others)}
    where["free"].append("free")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, "-c", WORK, place], stdout=subprocess.PIPE, env=environment)
        for place in where[kind]
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()


def measured(file: Path, core: int | None) -> dict[str, object]:
    """One measurement, in a process of its own; bound to a core, or where `nas measure` puts itself."""
    bind = [] if core is None else ["taskset", "-c", str(core)]
    command = [*bind, sys.executable, "-m", "nas.cli.main", "measure", str(file), "--json"]
    found: dict[str, object] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found["latency"]  # type: ignore[return-value]


def series(file: Path, kind: str, times: int, minutes: float) -> list[dict[str, object]]:
    """Measurements spread evenly over some minutes, each printed."""
    core, begin, found = max(os.sched_getaffinity(0)), time.monotonic(), []
    for turn in range(times):
        time.sleep(max(begin + turn * 60 * minutes / max(times - 1, 1) - time.monotonic(), 0))
        load = os.getloadavg()[0]
        start = time.monotonic()
        with beside(kind, core):
            one = measured(file, core if kind in ("same", "other") else None)
        found.append(one)
        interval = f"[{one['low_ms']:.4f}, {one['high_ms']:.4f}]"
        quotient = f"{one['ratio']:.4f} [{one['ratio_low']:.4f}, {one['ratio_high']:.4f}]"
        print(
            f"  {kind:5} {turn + 1:2}: {one['median_ms']:.4f} ms {interval}, p90 {one['p90_ms']:.4f}; quotient "
            f"{quotient}; load {load:.2f}; {time.monotonic() - start:.1f} s; {one['doubt'] or 'no doubt'}",
            flush=True,
        )
    return found


def column(found: list[dict[str, object]], name: str) -> np.ndarray:
    return np.array([one[name] for one in found], float)


def idle_summary(found: list[dict[str, object]]) -> bool:
    """Prints what came of the idle measurements; whether they reach the goals."""
    reached = []
    for value, low, high in (("median_ms", "low_ms", "high_ms"), ("ratio", "ratio_low", "ratio_high")):
        values = column(found, value)
        spread = np.ptp(values) / np.median(values)
        widths = (column(found, high) - column(found, low)) / values
        reached += [spread <= SPREAD, np.median(widths) <= WIDTH]
        print(
            f"idle, {value}: spread {spread:.1%} (goal {SPREAD:.0%}); intervals {np.median(widths):.1%} wide in the "
            f"median, {widths.max():.1%} at most, {int((widths <= WIDTH).sum())} of {len(found)} within {WIDTH:.0%}"
        )
    sure = sum(one["doubt"] is None for one in found)
    print(f"idle: {sure} of {len(found)} without doubt (goal {SHARE:.0%})")
    return all(reached) and sure >= SHARE * len(found)


def busy_summary(kind: str, found: list[dict[str, object]], truth: float) -> bool:
    """Prints what came of measurements beside busy processes; whether they reach the goal."""
    covered = (column(found, "ratio_low") <= truth) & (truth <= column(found, "ratio_high"))
    doubted = np.array([one["doubt"] is not None for one in found])
    off = column(found, "ratio") / truth - 1
    print(
        f"{kind}: {covered.sum()} of {len(found)} intervals of the quotient hold {truth:.4f}, {doubted.sum()} are in "
        f"doubt, {(covered | doubted).sum()} one or the other (goal {SHARE:.0%}); quotients off by {off.min():+.1%} to "
        f"{off.max():+.1%}"
    )
    return bool((covered | doubted).sum() >= SHARE * len(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each series")
    parser.add_argument("--busy", action="append", default=[], choices=["other", "same", "free"])
    parser.add_argument("--file", type=Path, help="a TFLite file; a network of our own by default")
    arguments = parser.parse_args()
    print(f"device {fingerprint()}")
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.file
        if file is None:
            file = Path(folder) / "rival.tflite"
            file.write_bytes(plain_network(RIVAL, "rival"))
        idle = series(file, "none", arguments.times, arguments.minutes)
        truth = float(np.median(column(idle, "ratio")))
        busy = {kind: series(file, kind, arguments.times, arguments.minutes) for kind in arguments.busy}
    reached = [idle_summary(idle), *(busy_summary(kind, found, truth) for kind, found in busy.items())]
    if not all(reached):
        sys.exit("a goal was missed")


if __name__ == "__main__":
    main()
