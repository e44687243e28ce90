"""How the engine keeps up with a long run: simulated evaluations through the real state machine, journal and sampler.

    python benchmarks/scale.py [--candidates 10000] [--workers 1]        propose + record, memory, opening, front.json
    python benchmarks/scale.py --fleet 1000 [--candidates 20000]         simulated workers of 60 s mean, log-normal

The first drives the local executor with evaluators that do nothing.  The second keeps a clock of its own: workers take
log-normal times, and every call of the state machine takes on that clock what it really took, one call after another;
so it shows the share of their time that the workers are busy.
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import nas
from nas.evaluation.client import Finished
from nas.evaluation.job import Job
from nas.evaluation.limits import resident_bytes
from nas.execution.deadline import Deadline
from nas.execution.local import run_local
from nas.indicator import Indicator, Step, exact_costs, load_indicator
from nas.loop import Plan, Search
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.run.candidate import Outcome, State
from nas.run.directory import FrontWriter, RunDirectory
from nas.run.front import front_of
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.space import SearchSpace, load_space
from nas.synthesis.samplers import make_sampler

OBJECTIVES = objectives_of(["accuracy", "params"])
POINT = (1 / 7, 1e6)


def simulated(job: Job, indicator: Indicator) -> Outcome:
    """An outcome of the size of a real one: accuracy that saturates in the parameters, plus noise."""
    from nas.cost import cost_of

    rng = np.random.default_rng(job.trial)
    cost = cost_of(job.graph)
    accuracy = 1 - 0.5 * math.exp(-math.log10(cost.params) / 2) - abs(rng.normal(0, 0.03))
    ms = cost.macs / 4e7
    where = "this machine, 1 thread, batch 1, LiteRT with XNNPACK"
    share = Measurement(accuracy, accuracy - 0.06, min(accuracy + 0.05, 1), "share", 20, "20 subjects, bootstrap")
    measured = {
        "accuracy": share,
        "balanced_accuracy": share,
        "macro_f1": share,
        "latency_ms": Measurement(ms, ms * 0.98, ms * 1.02, "ms", 500, where),
        "latency_ratio": Measurement(ms, ms * 0.98, ms * 1.02, "ratio", 500, f"to the prototype's, {where}"),
        "size_bytes": Measurement.exact(cost.weight_bytes + 20_000, "bytes", "the exported float32 TFLite file"),
    }
    verdicts = indicator.judge({**exact_costs(cost), **measured}, tuple(Step), 60.0)
    seconds = dict.fromkeys(("start", "build", "trace", "train", "predict", "convert", "measure"), 1.2345)
    return Outcome(State.TRAINED, verdicts, measured, "1x24", seconds, None, {"exclusive_core": True})


class NoWork:
    """A slot whose evaluator does nothing."""

    def __init__(self, indicator: Indicator) -> None:
        self._indicator = indicator
        self._job: Job | None = None
        self._read, write = Pipe(duplex=False)
        write.send_bytes(b"always ready")

    @property
    def job(self) -> Job | None:
        return self._job

    @property
    def connection(self) -> Connection:
        return self._read

    def submit(self, job: Job, inherited: Mapping[int, bytes] | None = None) -> None:
        self._job = job

    def go_on(self) -> None:
        raise AssertionError("there is one rung")

    def release(self) -> None:
        pass

    def poll(self) -> Finished | None:
        job, self._job = self._job, None
        return None if job is None else Finished(simulated(job, self._indicator))

    def close(self) -> None:
        self._read.close()


def open_search(folder: Path, space: SearchSpace, indicator: Indicator, budget: int, sampler: str) -> Search:
    folder.mkdir(exist_ok=True)
    directory = RunDirectory(folder)
    plan = Plan(space, indicator, OBJECTIVES, POINT, (Rung(1, 24),), 0, budget)
    study = RunStudy(directory.journal, OBJECTIVES, make_sampler(sampler, space, 0))
    return Search(plan, study, directory)


def clock(search: Search, indicator: Indicator) -> Iterator[tuple[float, Job]]:
    """Proposes and records one after another; yields the seconds of each candidate."""
    while True:
        start = time.perf_counter()
        job = search.propose()
        proposed = time.perf_counter()
        if job is None:
            return
        outcome = simulated(job, indicator)
        finished = time.perf_counter()
        search.finish(job, outcome)
        yield time.perf_counter() - finished + proposed - start, job


def driver(folder: Path, candidates: int, sampler: str) -> None:
    """Milliseconds and bytes a candidate along a run, then how long it takes to open it again."""
    space, indicator = load_space("emotionnet-nano"), load_indicator("emotionnet-nano")
    print(f"sampler {sampler}, {len(space.distributions())} parameters, evaluators that do nothing")
    for _ in clock(open_search(folder / "warm", space, indicator, 30, sampler), indicator):
        pass
    search = open_search(folder / "run", space, indicator, candidates, sampler)
    before = resident_bytes(os.getpid())
    recent: list[float] = []
    for done, (seconds, _) in enumerate(clock(search, indicator), 1):
        recent.append(seconds)
        if done in (100, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000):
            last = [1000 * s for s in recent[-500:]]
            grown = (resident_bytes(os.getpid()) - before) / done / 1000
            print(
                f"{done:>7} candidates ({len(search.candidates)} trials): propose + record "
                f"{statistics.mean(last):6.2f} ms (median {statistics.median(last):.2f}, of the last {len(last)}), "
                f"memory {grown:5.1f} kB a candidate",
                flush=True,
            )
    journal = (folder / "run" / "study.journal").stat().st_size
    print(f"journal {journal / len(search.candidates) / 1000:.1f} kB a trial; front of {len(search.front.members)}")
    writer = FrontWriter(RunDirectory(folder / "run"), {})
    (folder / "run" / "front.json").unlink()
    start = time.perf_counter()
    writer.write(search.front)
    print(f"front.json and front.csv written in {1000 * (time.perf_counter() - start):.1f} ms")
    del search, recent
    start = time.perf_counter()
    front = front_of(RunStudy.read(folder / "run" / "study.journal"), OBJECTIVES, POINT)
    print(f"opened to look at (front of {len(front.members)}) in {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    again = open_search(folder / "run", space, indicator, candidates + 1, sampler)
    opened = time.perf_counter() - start
    again.propose()
    print(f"opened to go on in {opened:.2f} s, first proposal {time.perf_counter() - start - opened:.2f} s later")


def executor(folder: Path, candidates: int, workers: int, sampler: str) -> None:
    """The same through the local executor, its waiting included."""
    space, indicator = load_space("emotionnet-nano"), load_indicator("emotionnet-nano")
    search = open_search(folder / "local", space, indicator, candidates, sampler)
    start = time.perf_counter()
    run_local(search, [NoWork(indicator) for _ in range(workers)], Deadline(None))
    seconds = time.perf_counter() - start
    print(f"local executor, {workers} slots: {candidates} candidates, {1000 * seconds / candidates:.2f} ms each")


def fleet(folder: Path, candidates: int, workers: int, mean_s: float, sigma: float, sampler: str) -> None:
    """A clock on which workers take log-normal times and the driver's calls take what they really take."""
    space, indicator = load_space("emotionnet-nano"), load_indicator("emotionnet-nano")
    search = open_search(folder / "fleet", space, indicator, candidates, sampler)
    rng = np.random.default_rng(0)
    running: list[tuple[float, int, Job]] = []
    driver_free, busy, calls, idle_since = 0.0, 0.0, [], dict.fromkeys(range(workers), 0.0)
    end = 0.0
    while True:
        while idle_since:
            worker = min(idle_since, key=lambda w: idle_since[w])
            start = time.perf_counter()
            job = search.propose()
            calls.append(time.perf_counter() - start)
            driver_free = max(driver_free, idle_since[worker]) + calls[-1]
            if job is None:
                break
            del idle_since[worker]
            duration = float(rng.lognormal(math.log(mean_s) - sigma**2 / 2, sigma))
            busy += duration
            heapq.heappush(running, (driver_free + duration, worker, job))
        if search.done or not running:
            break
        now, worker, job = heapq.heappop(running)
        outcome = simulated(job, indicator)
        start = time.perf_counter()
        search.finish(job, outcome)
        calls.append(time.perf_counter() - start)
        driver_free = max(driver_free, now) + calls[-1]
        idle_since[worker] = now
        end = driver_free
    # What still runs when the budget is out counts up to the end, so that the drain does not look like idleness.
    busy -= sum(finish - end for finish, _, _ in running if finish > end)
    work = sum(calls)
    print(f"{workers} workers, {mean_s:.0f} s mean, sigma {sigma}: {busy / (workers * end):.1%} busy over {end:.0f} s")
    print(
        f"driver busy {work / end:.1%} of that; {1000 * work / candidates:.1f} ms a candidate, so it saturates at about"
    )
    print(f"{mean_s * candidates / work:,.0f} such workers (state machine alone; the executor's own cost comes on top)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sampler", default="evolution")
    parser.add_argument("--fleet", type=int, default=0)
    parser.add_argument("--mean", type=float, default=60.0)
    parser.add_argument("--sigma", type=float, default=0.6)
    arguments = parser.parse_args()
    nas.__version__  # noqa: B018 - fails early where the package is not installed
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if arguments.fleet:
            fleet(folder, arguments.candidates, arguments.fleet, arguments.mean, arguments.sigma, arguments.sampler)
        else:
            driver(folder, arguments.candidates, arguments.sampler)  # first: memory is counted from a fresh process
            executor(folder, min(arguments.candidates, 1_000), arguments.workers, arguments.sampler)


if __name__ == "__main__":
    main()
