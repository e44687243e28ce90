"""CPU-seconds until a search's front equals the one that benchmarks/optuna_keras.py reaches with its whole budget.

    python benchmarks/optuna_keras.py        --data synthetic --seed 0 --out rival/faces-0     # seeds 0, 1, 2
    python benchmarks/equal_fronts.py search --data synthetic --seed 0 --out ours/faces-0 [--effort 1x5,1x20]
    python benchmarks/equal_fronts.py compare --data synthetic --seeds 0,1,2 --rival rival/faces-{} --ours ours/faces-{}

Either side has a training recipe that was chosen of a few tried on the prototype and the faces (small-recipe.yaml, and
the constants of optuna_keras.py).  Both have the same space (benchmarks/small.yaml), data, fold, image size and cap of
30,000 parameters; ours is one worker with one thread.  Scale by default: 24x24 images, 60 networks, full training 20
epochs on fold 0.  All three go on when they are started again.

Each front is the one that its search would have handed over at that moment, by its own scores.  What it is worth is
the hypervolume of its members after a full training from scratch (20 epochs, fold 0, our trainer, one seed that
neither search used), the same for both sides.  It is bounded by chance and by the cap, linear in the parameters as in
the runs' own reference point (--log: in their logarithm), and given as a share of the whole box.  CPU-seconds are those
of all processes and threads of a search from its start: imports, data, latency measurements and evaluators included.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="2")

import numpy as np

import nas
from nas.api import SearchOptions
from nas.architecture import Architecture
from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.data.recognise import load_dataset
from nas.indicator import Constraint, Indicator
from nas.pareto import hypervolume, non_dominated
from nas.recipes import read_recipe
from nas.run.candidate import Candidate, charged
from nas.run.front import Front
from nas.rung import parse_ladder

FRESH_SEED = 2_000_000_000  # of the trainings that both fronts are judged by
MILESTONES = "fronts.jsonl"
RECIPE = Path(__file__).parent / "small-recipe.yaml"


@dataclass(frozen=True)
class Moment:
    """What a search had spent, and the ids of the front that it had by then."""

    cpu_s: float
    front: tuple[str, ...]


def options_of(arguments: argparse.Namespace) -> SearchOptions:
    """All that is said of the training effort is said here."""
    ladder = parse_ladder(arguments.effort)
    climbing = {"effort": ladder, "inherit": arguments.inherit, "probe": arguments.probe}
    return SearchOptions(**climbing, image_size=arguments.size, recipe=read_recipe(RECIPE))


def tree_cpu_seconds() -> float:
    """CPU time, user and system, of this process and all below it, those that have ended included (Linux)."""
    parents, spent = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # from the third on: the name may hold anything
        except OSError:  # it has just ended
            continue
        pid = int(stat.parent.name)
        parents[pid] = int(fields[1])
        spent[pid] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # its own, and of awaited children
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(spent[pid] for pid in below)


class Bookkeeper:
    """Writes what has been spent, and the front's members, after each candidate."""

    def __init__(self, log: Path) -> None:
        self._log = log
        lines = log.read_text().splitlines() if log.exists() else []
        self._before = json.loads(lines[-1])["cpu_s"] if lines else 0.0

    def proposed(self, candidate: Candidate) -> None:
        """Costs nothing yet."""

    def finished(self, candidate: Candidate, front: Front) -> None:
        """One line more."""
        cpu_s = round(self._before + tree_cpu_seconds(), 2)
        record = {"trial": candidate.trial, "cpu_s": cpu_s, "front": [m.id for m in front.members]}
        with self._log.open("a") as file:
            file.write(json.dumps(record) + "\n")
        state, accuracy = candidate.state.value, candidate.value("accuracy")
        print(f"{candidate.trial}: {state}, {accuracy}, {candidate.cost.params} parameters, {cpu_s} s", flush=True)

    def noticed(self, message: str) -> None:
        """Passed on."""
        print(message, flush=True)


def search(arguments: argparse.Namespace) -> None:
    log = arguments.out / MILESTONES
    if (arguments.out / "run.yaml").exists():
        run = nas.open_run(arguments.out)
        if charged(run.candidates) < arguments.trials:
            run.resume(listener=Bookkeeper(log))
        return
    nas.search(
        space=arguments.space,
        indicator=Indicator((Constraint("params", float(arguments.cap), upper=True),)),
        dataset=arguments.data,
        budget=arguments.trials,
        workers=1,
        executor="local",
        sampler=arguments.sampler,
        seed=arguments.seed,
        out=arguments.out,
        options=options_of(arguments),
        listener=Bookkeeper(log),
    )


def our_moments(folder: Path, seed: int, split_hash: str) -> tuple[list[Moment], dict[str, str]]:
    """The fronts along one of our runs, and the architectures by id."""
    run = nas.open_run(folder)
    if run.settings.split_hash != split_hash:
        raise SystemExit(f"{folder}: searched on other folds than seed {seed}'s; give the same --data, --size, --seed")
    records = [json.loads(line) for line in (folder / MILESTONES).read_text().splitlines()]
    return [Moment(r["cpu_s"], tuple(r["front"])) for r in records], {c.id: c.architecture for c in run.candidates}


def rival_moments(folder: Path) -> tuple[list[Moment], dict[str, str]]:
    """The fronts along one of the rival's runs, and the architectures by id."""
    records = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    losses = np.array([[-r["accuracy"], r["params"]] for r in records], float)
    moments = []
    for n in range(1, len(records) + 1):
        members = np.flatnonzero(non_dominated(losses[:n]))
        moments.append(Moment(records[n - 1]["cpu_s"], tuple(records[i]["id"] for i in members)))
    return moments, {r["id"]: r["architecture"] for r in records}


class Judge:
    """Accuracy of networks after a full training from scratch; every result is kept in a file.

    Args:
        data: at the size of the search.
        seed: of the split.
        arguments: of the command line: ``data``, ``size``, ``epochs``, ``repeats``, ``scores``.
    """

    def __init__(self, data: Dataset, seed: int, arguments: argparse.Namespace) -> None:
        self._images, self._labels = data.images, data.labels
        self._split = make_split(data, seed=seed)
        self._arguments = arguments
        self._file: Path = arguments.scores
        self._known: dict[tuple[str, ...], float] = {}
        for line in self._file.read_text().splitlines() if self._file.exists() else []:
            record = json.loads(line)
            self._known[tuple(record["key"])] = record["accuracy"]

    def accuracy(self, network: Architecture) -> float:
        """Mean over the repeats, each with a seed of its own."""
        return float(np.mean([self._trained(network, FRESH_SEED + k) for k in range(self._arguments.repeats)]))

    def _trained(self, network: Architecture, seed: int) -> float:
        key = (network.id, self._split.hash, str(self._arguments.epochs), str(seed))
        if key not in self._known:
            import gc

            import tf_keras

            from nas.evaluation.train import Trainer

            tf_keras.backend.clear_session()
            gc.collect()
            fold = self._split.folds[0]
            trainer = Trainer(network.graph(), read_recipe(RECIPE), seed)
            trainer.fit(self._images[fold.train], self._labels[fold.train], self._arguments.epochs, 0)
            guess = trainer.predict(self._images[fold.test]).argmax(1)
            self._known[key] = float((guess == self._labels[fold.test]).mean())
            with self._file.open("a") as file:
                file.write(json.dumps({"key": key, "accuracy": self._known[key]}) + "\n")
        return self._known[key]


def volumes(moments: Sequence[Moment], points: Mapping[str, Sequence[float]], bound: Sequence[float]) -> list[float]:
    """Share of the box between the ideal point and ``bound`` (minus accuracy, cost) that each front covers."""
    whole = (1.0 + bound[0]) * bound[1]
    return [hypervolume(np.array([points[i] for i in m.front]), np.array(bound)) / whole for m in moments]


def first_reached(values: Sequence[float], target: float) -> int | None:
    """Index of the first value that is at least ``target``."""
    return next((i for i, v in enumerate(values) if v >= target), None)


def compare(arguments: argparse.Namespace) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.get_logger().setLevel("ERROR")  # it warns of each new network's tracing
    data = load_dataset(arguments.data, image_size=arguments.size)
    price = math.log10 if arguments.log else float
    bound = (-1 / len(data.class_names), price(arguments.cap))
    print(f"{data.caption}, {arguments.size} pixels, re-scored with {arguments.repeats} training(s) of 1x", end="")
    print(f"{arguments.epochs}; hypervolume in accuracy and {'log10 ' if arguments.log else ''}parameters")
    print("| seed | rival: networks, CPU-s, volume (reached at) | ours: candidates, CPU-s, volume | equal at | ratio |")
    print("|---|---|---|---|---|", flush=True)
    ratios = []
    for seed in arguments.seeds:
        rival, theirs = rival_moments(Path(arguments.rival.format(seed)))
        ours, own = our_moments(Path(arguments.ours.format(seed)), seed, make_split(data, seed=seed).hash)
        judge = Judge(data, seed, arguments)
        points = {}
        for name in {i for m in (*rival, *ours) for i in m.front}:
            network = Architecture.from_json({**theirs, **own}[name])
            points[name] = (-judge.accuracy(network), price(network.cost().params))
        there, here = volumes(rival, points, bound), volumes(ours, points, bound)
        equal = first_reached(here, there[-1])
        budget = rival[-1].cpu_s
        ratios.append(None if equal is None else budget / ours[equal].cpu_s)
        at = "not reached" if equal is None else f"candidate {equal + 1}, {ours[equal].cpu_s:.0f} s"
        ratio = f"< {budget / ours[-1].cpu_s:.1f}" if equal is None else f"{ratios[-1]:.1f}"
        reached = next(m.cpu_s for m, v in zip(rival, there, strict=True) if v >= there[-1])
        print(
            f"| {seed} | {len(rival)}, {budget:.0f}, {there[-1]:.3f} ({reached:.0f} s) | {len(ours)}, "
            f"{ours[-1].cpu_s:.0f}, {here[-1]:.3f} | {at} | {ratio} |",
            flush=True,
        )
    met = [r for r in ratios if r is not None]
    if met:
        mean = math.exp(float(np.mean(np.log(met))))
        print(f"ratio {mean:.1f} (geometric mean, {min(met):.1f} to {max(met):.1f}); ", end="")
    print(f"reached in {len(met)} of {len(ratios)} seeds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    for name, command in (("search", search), ("compare", compare)):
        part = parts.add_parser(name)
        part.set_defaults(command=command)
        part.add_argument("--data", default="synthetic", help="synthetic, or a path that nas loads")
        part.add_argument("--size", type=int, default=24, help="side of the images")
        part.add_argument("--cap", type=int, default=30_000, help="parameters")
    part = parts.choices["search"]
    part.add_argument("--space", default=str(Path(__file__).parent / "small.yaml"))
    part.add_argument("--seed", type=int, default=0)
    part.add_argument("--effort", default="1x5,1x20", help="what a candidate is trained for")
    part.add_argument("--probe", action=argparse.BooleanOptionalAction, default=True, help="of trained networks")
    part.add_argument("--inherit", action=argparse.BooleanOptionalAction, default=True, help="weights of relatives")
    part.add_argument("--trials", type=int, default=60, help="candidates that reach an evaluator")
    part.add_argument("--sampler", default="synthesis")
    part.add_argument("--out", type=Path, required=True)
    part = parts.choices["compare"]
    part.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[0, 1, 2])
    part.add_argument("--rival", required=True, help="folder, with {} for the seed")
    part.add_argument("--ours", required=True, help="folder, with {} for the seed")
    part.add_argument("--epochs", type=int, default=20, help="of a full training")
    part.add_argument("--repeats", type=int, default=1, help="full trainings a network")
    part.add_argument("--scores", type=Path, default=Path("scores.jsonl"), help="where full trainings are kept")
    part.add_argument("--log", action="store_true", help="hypervolume over log10 parameters")
    arguments = parser.parse_args()
    start = time.perf_counter()
    arguments.command(arguments)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
