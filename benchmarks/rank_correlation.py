"""Does the cheap score rank networks like the expensive one?

    python benchmarks/rank_correlation.py --out ranks                              # faces at 24x24, 24 networks
    python benchmarks/rank_correlation.py --out ranks-fashion --data fashion.npz --swap   # fashion_mnist.py

Networks of benchmarks/small.yaml, every one a child by one or two edits of an earlier one, as a search proposes them,
or drawn by the space itself (one in four).  Each is trained on fold 0

- in full: from scratch, for --full epochs, twice with different seeds; the Spearman correlation of the two is the
  ceiling, and their mean is what is to be foretold;
- cheaply from scratch: for --cheap epochs;
- cheaply with inheritance: for --cheap epochs, from the weights that its nearest relative among the earlier ones has
  after *its* cheap training with inheritance (the first one's is the full training, as a search's prototype).

Printed: Spearman's correlations with percentile intervals of 2,000 bootstrap samples of the networks, for all and for
each third by parameters; that of log-parameters alone; and how many epochs a child needs until its test accuracy is
that of the relative that it inherits from, with and without inheritance.  Resumable: one line a training in
OUT/ranks.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="2")

import numpy as np
from scipy.stats import spearmanr

from nas.architecture import Architecture
from nas.data.folds import make_split
from nas.data.recognise import load_dataset
from nas.evaluation.train import Recipe, Trainer
from nas.networks.build import get_weights
from nas.networks.inherit import inherit
from nas.networks.relatives import nearest
from nas.space import SearchSpace, fit_to_data, load_space
from nas.synthesis.evolution import breed

SEEDS = (0, 1)


def networks(space: SearchSpace, count: int, cap: int) -> list[Architecture]:
    """The prototype first, all of them different and of at most ``cap`` parameters."""
    rng, found = np.random.default_rng(0), [space.prototype]
    while len(found) < count:
        network = space.sample(rng)
        if rng.random() < 0.75:
            network, _ = breed(space, found[rng.integers(len(found))], rng)
        if network.cost().params <= cap and network.id not in {n.id for n in found}:
            found.append(network)
    return found


class Bench:
    """Trains on fold 0, and keeps every result."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.data = load_dataset(arguments.data, image_size=arguments.size)
        self.fold = make_split(self.data, seed=0).folds[0]
        if arguments.swap:
            self.fold = replace(self.fold, train=self.fold.test, test=self.fold.train)
        self.out: Path = arguments.out
        self._log = self.out / "ranks.jsonl"
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        self.known = {tuple(r["key"]): r for r in map(json.loads, lines)}

    def train(
        self, network: Architecture, kind: str, epochs: int, seed: int, parent: Architecture | None = None
    ) -> None:
        """A training whose curve of test accuracies and last weights are kept."""
        key = (network.id, kind, epochs, seed)
        if key in self.known:
            return
        import gc

        import tf_keras

        tf_keras.backend.clear_session()
        gc.collect()
        trainer = Trainer(network.graph(), Recipe(), seed)
        start = None
        if parent is not None:
            with np.load(self.weights(parent)) as file:
                weights = {name: file[name] for name in file.files}
            start = inherit(parent.graph(), weights, network.graph(), trainer.initial, seed=seed).weights
        x, y, test = self.data.images, self.data.labels, self.fold.test
        curve: list[float] = []
        begin = time.process_time()
        trainer.fit(
            x[self.fold.train],
            y[self.fold.train],
            epochs,
            0,
            lambda: curve.append(float((trainer.predict(x[test]).argmax(1) == y[test]).mean())),
            start=start,
        )
        record = {"key": key, "accuracy": curve[-1], "curve": curve, "cpu_s": round(time.process_time() - begin, 2)}
        if kind == "heir" or (kind == "full" and seed == 0):
            np.savez(self.out / f"{network.id}-{kind}.npz", **get_weights(trainer.model))
        with self._log.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.known[key] = record

    def weights(self, network: Architecture) -> Path:
        heir = self.out / f"{network.id}-heir.npz"
        return heir if heir.exists() else self.out / f"{network.id}-full.npz"


def correlation(a: np.ndarray, b: np.ndarray) -> str:
    """Spearman's, with a percentile interval."""
    rng, draws = np.random.default_rng(0), []
    for _ in range(2000):
        chosen = rng.integers(len(a), size=len(a))
        value = spearmanr(a[chosen], b[chosen]).statistic
        if np.isfinite(value):
            draws.append(value)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{spearmanr(a, b).statistic:.2f} [{low:.2f}, {high:.2f}]"


def report(bench: Bench, found: list[Architecture], arguments: argparse.Namespace) -> None:
    cheap, full = arguments.cheap, arguments.full
    known = bench.known
    first, second = (np.array([known[n.id, "full", full, s]["accuracy"] for n in found]) for s in SEEDS)
    truth = (first + second) / 2
    log_params = np.log([n.cost().params for n in found])
    scratch = np.array([known[n.id, "scratch", cheap, 0]["accuracy"] for n in found])
    heirs = np.array([known[n.id, "heir", cheap, 0]["accuracy"] for n in found[1:]])
    order = np.argsort(log_params[1:])
    thirds = np.array_split(order, 3)
    print(f"{bench.data.caption}, {arguments.size} pixels, {len(found)} networks, {len(bench.fold.test)} test images")
    print(f"cheap: 1x{cheap}; full: 1x{full}, mean of two seeds: {truth.min():.1%} to {truth.max():.1%}")
    print("| score | all | smallest third | middle | largest |\n|---|---|---|---|---|")
    rows = {
        f"1x{cheap} with inheritance": (heirs, truth[1:]),
        f"1x{cheap} from scratch": (scratch[1:], truth[1:]),
        "log-parameters alone": (log_params[1:], truth[1:]),
        "ceiling: one full training, another": (first[1:], second[1:]),
    }
    for name, (score, aim) in rows.items():
        parts = [correlation(score[t], aim[t]) for t in thirds]
        print(f"| {name} | {correlation(score, aim)} | {' | '.join(parts)} |", flush=True)
    needed: dict[str, list[int]] = {"heir": [], "scratch": []}
    for n in found[1:]:
        goal = known["parent of", n.id]["accuracy"]
        for kind, curve in (
            ("heir", known[n.id, "heir", cheap, 0]["curve"]),
            ("scratch", known[n.id, "full", full, 0]["curve"]),
        ):
            needed[kind].append(next((e + 1 for e, v in enumerate(curve) if v >= goal), full + 1))
    for kind, epochs in needed.items():
        limit = cheap if kind == "heir" else full
        reached = sum(e <= limit for e in epochs)
        print(
            f"epochs to the relative's accuracy, {kind}: median {np.median(epochs):g}, "
            f"reached by {reached} of {len(epochs)} within {limit}"
        )
    print(f"cheap trainings with inheritance and without: {heirs.mean():.1%}, {scratch[1:].mean():.1%} on average")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--space", default=str(Path(__file__).parent / "small.yaml"))
    parser.add_argument("--networks", type=int, default=25)
    parser.add_argument("--cheap", type=int, default=4)
    parser.add_argument("--full", type=int, default=20)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--cap", type=int, default=30_000)
    parser.add_argument("--swap", action="store_true", help="train on fold 0's test part, and test on the larger rest")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.get_logger().setLevel("ERROR")
    arguments.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments)
    data = bench.data
    space = fit_to_data(load_space(arguments.space), data.input_shape, len(data.class_names))
    found = networks(space, arguments.networks, arguments.cap)
    for i, network in enumerate(found):
        bench.train(network, "scratch", arguments.cheap, 0)
        for seed in SEEDS:
            bench.train(network, "full", arguments.full, seed)
        if i:
            graphs = [n.graph() for n in found[:i]]
            chosen = nearest(network.graph(), graphs)
            assert chosen is not None
            relative = found[chosen[0]]
            bench.train(network, "heir", arguments.cheap, 0, relative)
            kind = ("full", arguments.full) if relative is found[0] else ("heir", arguments.cheap)
            bench.known["parent of", network.id] = bench.known[(relative.id, *kind, 0)]
        told = {kind: bench.known.get((network.id, kind, e, 0), {}).get("accuracy") for kind, e in
                (("heir", arguments.cheap), ("scratch", arguments.cheap), ("full", arguments.full))}  # fmt: skip
        print(f"{i + 1}/{len(found)}: {network.cost().params} parameters, {told}", flush=True)
    report(bench, found, arguments)


if __name__ == "__main__":
    main()
