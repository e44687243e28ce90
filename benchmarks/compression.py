"""Compresses networks with links in every way, and prints what each cost and gave.

    python benchmarks/compression.py --networks --out FOLDER [--train-epochs 24] [--epochs 8] [--method LIST]
    python benchmarks/compression.py RUN [--pick all] [--epochs 8]

With --networks it trains three small networks with links of its own on fold 0 of the data, with the default recipe, and
keeps them in FOLDER: stopped, it goes on there. With RUN it takes members of the front. Each is then compressed by
quantization after training and in training, pruning (50 and 80 %) and clustering (16 values).
"""

from __future__ import annotations

import argparse
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

import nas
from nas.cli.variants import show_variants
from nas.compression.compress import CompressOrder, compress
from nas.compression.methods import parse_methods
from nas.data.folds import make_split
from nas.data.recognise import load_dataset
from nas.deploy.held import HeldImages
from nas.evaluation.train import Recipe, Trainer
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.networks.build import get_weights
from nas.run.candidate import Candidate, Outcome, State
from nas.run.directory import RunDirectory, weights_name
from nas.run.variants import Variant

METHODS = "ptq,qat,prune:0.5,prune:0.8,prune-int8:0.8,cluster:16,cluster-int8:16"
SEED = 0


def architectures(shape: tuple[int, int, int], classes: int) -> list[ResidualArchitecture]:
    """Three sizes, each with three links across resolutions, one of them across two; the stem halves the resolution."""
    links = (Link(0, 0, 1, 1), Link(0, 0, 2, 0), Link(1, 0, 2, 1))
    stages = (
        (Stage(8, (8,)), Stage(16, (16, 16)), Stage(24, (24, 24))),
        (Stage(16, (16,)), Stage(24, (24, 16)), Stage(48, (40, 32))),
        (Stage(16, (16,)), Stage(32, (32, 32)), Stage(64, (64, 64))),
    )
    return [ResidualArchitecture(shape, classes, s[0].width, 2, s, links) for s in stages]


class Printed:
    """Tells of each variant as it is made."""

    def planned(self, total: int, kept: int) -> None:
        """How many there are."""
        print(f"{total} variants, {kept} of them made before", flush=True)

    def begun(self, label: str) -> None:
        """Nothing."""

    def trained(self, stage: str, epoch: int, epochs: int) -> None:
        """Nothing."""

    def made(self, variant: Variant) -> None:
        """One line."""
        print(variant.label, "failed" if variant.failure else f"{variant.value('accuracy'):.3f}", flush=True)


def of_networks(out: Path, source: str, train_epochs: int, epochs: int, methods: list[str]) -> list[Variant]:
    """Trains what is not trained yet, and compresses it."""
    data = load_dataset(source)
    split = make_split(data, folds=5, holdout=0.2, seed=SEED)
    images, labels = HeldImages.of_data(data, split), data.labels[split.folds[0].train]
    directory, recipe = RunDirectory(out), Recipe()
    candidates = []
    for number, a in enumerate(architectures(data.input_shape, len(data.class_names))):
        path = directory.model_file(a.id, weights_name(0))
        if not path.exists():
            trainer, buffer = Trainer(a.graph(), recipe, SEED), io.BytesIO()
            trainer.fit(images.calibration, labels, train_epochs, 0)
            np.savez(buffer, **get_weights(trainer.model))
            directory.store(a.id, {path.name: buffer.getvalue()})
        print(f"{a.id}: {a.cost().params:,} parameters, {a.cost().macs / 1e6:.2f} MMAC, trained", flush=True)
        bare = Candidate(number, a.id, a.to_json(), None, (), SEED, a.cost())
        candidates.append(replace(bare, outcome=Outcome(State.TRAINED)))
    order = CompressOrder(directory, parse_methods(methods), recipe, epochs, images, labels)
    return compress(candidates, order, Printed())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="run directory")
    parser.add_argument("--networks", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("compression-benchmark"))
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--pick", default="all")
    parser.add_argument("--method", default=METHODS)
    parser.add_argument("--train-epochs", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=8)
    a = parser.parse_args()
    if (a.run is None) is not a.networks:
        parser.error("give a run, or --networks")
    methods = a.method.split(",")
    if a.networks:
        variants = of_networks(a.out, a.data, a.train_epochs, a.epochs, methods)
    else:
        variants = nas.open_run(a.run).compress(a.pick, methods, epochs=a.epochs, watcher=Printed())
    show_variants(Console(highlight=False, markup=False, emoji=False), variants)


if __name__ == "__main__":
    main()
