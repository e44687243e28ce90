"""Does the cheap score rank networks like the expensive one?

    python benchmarks/rank_correlation.py --out ranks                              # faces at 24x24, 24 networks
    python benchmarks/rank_correlation.py --out ranks-fashion --data fashion.npz --swap   # fashion_mnist.py

Networks of benchmarks/small.yaml: the prototype, random ones and children of earlier ones, in turn of the least, the
middle and the largest third of log-parameters.  On fold 0 (--swap: with its two parts exchanged) each is trained

- in full: from scratch, for --full epochs, twice with different seeds; the Spearman correlation of the two is the
  ceiling, and their mean is what is to be foretold;
- cheaply from scratch: for --cheap epochs;
- cheaply with inheritance: for --cheap epochs, from the weights of its nearest relative among the --donors first
  networks after their full training, as in a search whose first candidates went all the way.

Printed, for the networks after the donors: Spearman's correlations with percentile intervals of 2,000 bootstrap samples
of the networks, for all and for each third by parameters; that of log-parameters alone; and how many epochs a network
needs to the accuracy that its relative had after its full training, with and without inheritance.  Resumable: one line
a training in OUT/ranks.jsonl.
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
from nas.evaluation.train import Trainer
from nas.networks.build import get_weights
from nas.networks.inherit import inherit
from nas.networks.relatives import nearest
from nas.recipes import read_recipe
from nas.space import SearchSpace, fit_to_data, load_space
from nas.synthesis.evolution import breed

SEEDS = (0, 1)


def networks(space: SearchSpace, count: int, cap: int) -> list[Architecture]:
    """The prototype first, all of them different, spread over the sizes up to ``cap`` parameters."""
    rng, found = np.random.default_rng(0), [space.prototype]
    sizes = [n.cost().params for n in (space.sample(rng) for _ in range(200))]
    ends = np.quantile(np.log([s for s in sizes if s <= cap]), 0.02), np.log(cap)
    third = 0
    while len(found) < count:
        near = space.sample(rng) if rng.random() < 0.4 else breed(space, found[rng.integers(len(found))], rng)[0]
        place = 3 * (np.log(near.cost().params) - ends[0]) / (ends[1] - ends[0])
        if third <= place < third + 1 and near.id not in {n.id for n in found}:
            found.append(near)
            third = (third + 1) % 3
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
        trainer = Trainer(network.graph(), read_recipe(Path(__file__).parent / "small-recipe.yaml"), seed)
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
        if kind == "full" and seed == 0:
            np.savez(self.weights(network), **get_weights(trainer.model))
        with self._log.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.known[key] = record

    def weights(self, network: Architecture) -> Path:
        return self.out / f"{network.id}.npz"


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


def report(bench: Bench, donors: list[Architecture], heirs: list[Architecture], arguments: argparse.Namespace) -> None:
    cheap, full, known = arguments.cheap, arguments.full, bench.known

    def scores(kind: str, epochs: int, seed: int) -> np.ndarray:
        return np.array([known[n.id, kind, epochs, seed]["accuracy"] for n in heirs])

    first, second = (scores("full", full, s) for s in SEEDS)
    truth, log_params = (first + second) / 2, np.log([n.cost().params for n in heirs])
    thirds = np.array_split(np.argsort(log_params), 3)
    images = len(bench.fold.train), len(bench.fold.test)
    print(f"{bench.data.caption}, {arguments.size} pixels, {images[0]} training and {images[1]} test images")
    print(
        f"{len(heirs)} networks of {np.exp(log_params.min()):.0f} to {np.exp(log_params.max()):.0f} parameters; ",
        end="",
    )
    print(f"cheap 1x{cheap}, full 1x{full}: {truth.min():.1%} to {truth.max():.1%}")
    print("| score | all | smallest third | middle | largest |\n|---|---|---|---|---|")
    for name, score, aim in (
        (f"1x{cheap} with inheritance", scores("heir", cheap, 0), truth),
        (f"1x{cheap} from scratch", scores("scratch", cheap, 0), truth),
        ("log-parameters alone", log_params, truth),
        ("ceiling: one full training, another", first, second),
    ):
        parts = [correlation(score[t], aim[t]) for t in thirds]
        print(f"| {name} | {correlation(score, aim)} | {' | '.join(parts)} |", flush=True)
    needed: dict[str, list[float]] = {"with inheritance": [], "from scratch": []}
    for n in heirs:
        goal = known[relative_of(n, donors).id, "full", full, 0]["accuracy"]
        for name, key in (("with inheritance", ("heir", cheap)), ("from scratch", ("full", full))):
            curve = known[(n.id, *key, 0)]["curve"]
            needed[name].append(next((e + 1.0 for e, v in enumerate(curve) if v >= goal - 0.01), np.inf))
    for name, epochs in needed.items():
        limit = cheap if name == "with inheritance" else full
        print(
            f"epochs to a point below the relative's accuracy, {name}: median {np.median(epochs):g}; "
            f"{np.isfinite(epochs).sum()} of {len(epochs)} within {limit}"
        )
    print(f"mean accuracy: 1x{cheap} with inheritance {scores('heir', cheap, 0).mean():.1%}, ", end="")
    print(f"from scratch {scores('scratch', cheap, 0).mean():.1%}, 1x{full} {truth.mean():.1%}")


def relative_of(network: Architecture, donors: list[Architecture]) -> Architecture:
    chosen = nearest(network.graph(), [d.graph() for d in donors])
    assert chosen is not None
    return donors[chosen[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--space", default=str(Path(__file__).parent / "small.yaml"))
    parser.add_argument("--networks", type=int, default=24, help="besides the donors")
    parser.add_argument("--donors", type=int, default=6)
    parser.add_argument("--cheap", type=int, default=6)
    parser.add_argument("--full", type=int, default=30)
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
    found = networks(space, arguments.donors + arguments.networks, arguments.cap)
    donors, heirs = found[: arguments.donors], found[arguments.donors :]
    for donor in donors:
        bench.train(donor, "full", arguments.full, 0)
    for i, network in enumerate(heirs):
        bench.train(network, "scratch", arguments.cheap, 0)
        bench.train(network, "heir", arguments.cheap, 0, relative_of(network, donors))
        for seed in SEEDS:
            bench.train(network, "full", arguments.full, seed)
        told = [
            bench.known[network.id, kind, epochs, 0]["accuracy"]
            for kind, epochs in (("heir", arguments.cheap), ("scratch", arguments.cheap), ("full", arguments.full))
        ]
        print(f"{i + 1}/{len(heirs)}: {network.cost().params} parameters, heir, scratch, full {told}", flush=True)
    report(bench, donors, heirs, arguments)


if __name__ == "__main__":
    main()
