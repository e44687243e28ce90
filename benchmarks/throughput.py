"""Two Ray workers beside two plain evaluator processes: which share of the throughput is left.

    python benchmarks/throughput.py [--effort 1x6] [--jobs 8] [--rounds 2]

Both sides evaluate the same candidates at the same rung, in turns (plain, Ray, plain, Ray).  The plain side has neither
Ray nor a state machine: a process that is done gets the next job at once.  Counted is from the moment when both
evaluators have served one candidate, so that loading TensorFlow is not part of it; Ray's own start is given beside it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np

from nas.data.folds import make_split
from nas.data.recognise import load_dataset
from nas.evaluation.bundle import Bundle
from nas.evaluation.client import EvaluatorProcess
from nas.evaluation.job import Job, Setup
from nas.evaluation.train import Recipe
from nas.execution.deadline import Deadline
from nas.execution.drive import drive, ready
from nas.indicator import Indicator
from nas.loop import Decision, Search, Silent
from nas.run.candidate import Outcome, State
from nas.run.directory import RunDirectory
from nas.rung import Rung
from nas.settings import Workers
from nas.space import fit_to_data, load_space

WORKERS = 2


class Playlist(Search):
    """Hands out given jobs, and notes when each of them ends."""

    def __init__(self, jobs: list[Job]) -> None:
        self._left = list(jobs)
        self.ends: list[float] = []

    @property
    def done(self) -> bool:
        return not self._left

    def propose(self) -> Job | None:
        return self._left.pop(0) if self._left else None

    def report(self, job: Job, outcome: Outcome) -> Decision:
        return Decision.STOP

    def finish(self, job: Job, outcome: Outcome, files: object = None) -> None:  # type: ignore[override]
        assert outcome.state is State.TRAINED, outcome.failure
        self.ends.append(time.perf_counter())

    def weights_for(self, job: Job) -> dict[int, bytes]:
        return {}

    def stop(self, reason: str) -> None:
        self._left.clear()


def plain(jobs: list[Job], bundle: Path, setup: Setup, folder: Path) -> Playlist:
    playlist = Playlist(jobs)
    evaluators = [EvaluatorProcess(bundle, setup) for _ in range(WORKERS)]
    for evaluator in evaluators:
        evaluator.submit(playlist._left.pop(0))
    while busy := [e for e in evaluators if e.job is not None]:
        wait([e.connection for e in busy])
        for evaluator in busy:
            finished = evaluator.poll()
            if finished is None:
                continue
            RunDirectory(folder).store(str(len(playlist.ends)), finished.files)
            playlist.finish(jobs[0], finished.outcome)
            job = playlist.propose()
            if job is not None:
                evaluator.submit(job)
    for evaluator in evaluators:
        evaluator.close()
    return playlist


def with_ray(jobs: list[Job], bundle: Path, setup: Setup, folder: Path) -> Playlist:
    playlist, pool = Playlist(jobs), Workers(workers=WORKERS)
    with ready(pool, bundle.stat().st_size):
        drive(playlist, setup, bundle, pool, Deadline(None), RunDirectory(folder), Silent())
    return playlist


def rate(playlist: Playlist) -> float:
    """Candidates an hour, from the end of the first on each evaluator."""
    ends = sorted(playlist.ends)
    return 3600 * (len(ends) - WORKERS) / (ends[-1] - ends[WORKERS - 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", default="1x6")
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    data = load_dataset("synthetic")
    space = fit_to_data(load_space("tiny"), data.input_shape, len(data.class_names))
    rung, rng = Rung.parse(arguments.effort), np.random.default_rng(0)
    graphs = [space.sample(rng).graph() for _ in range(arguments.jobs // WORKERS)]
    jobs = [Job(n, f"{n:012d}", graphs[n // WORKERS], (rung,), 0, True) for n in range(len(graphs) * WORKERS)]
    setup = Setup(space.prototype.graph(), Indicator(), Recipe())
    rates: dict[str, list[float]] = {"plain": [], "Ray": []}
    with tempfile.TemporaryDirectory() as name:
        bundle = Path(name) / "bundle.npz"
        Bundle.of(data, make_split(data, folds=5, holdout=0.2, seed=0)).save(bundle)
        for turn in range(2 * arguments.rounds):
            kind, side = (("plain", plain), ("Ray", with_ray))[turn % 2]
            begin = time.perf_counter()
            playlist = side(jobs, bundle, setup, Path(name) / str(turn))
            wall = time.perf_counter() - begin
            rates[kind].append(rate(playlist))
            hourly = rates[kind][-1]
            print(f"{kind:5s} {hourly:6.0f} candidates an hour, {3600 * WORKERS / hourly:.1f} s each;", end="")
            print(f" the first after {min(playlist.ends) - begin:.1f} s, all {len(jobs)} in {wall:.1f} s", flush=True)
    share = statistics.mean(rates["Ray"]) / statistics.mean(rates["plain"])
    print(f"Ray has {share:.1%} of the throughput of plain processes")


if __name__ == "__main__":
    main()
