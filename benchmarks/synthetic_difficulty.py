"""How hard the synthetic faces are: a linear baseline, the prototype, and a network of 20K parameters.

python benchmarks/synthetic_difficulty.py                      # 5 folds x 40 epochs x 2 seeds, two processes
python benchmarks/synthetic_difficulty.py --folds 1 --seeds 1  # a quick look
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from dataclasses import replace

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")

import numpy as np

from nas.data.baseline import linear_baseline
from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.data.recognise import load_dataset
from nas.data.synthetic import synthetic_faces
from nas.evaluation.augment import Augmentation
from nas.evaluation.train import Recipe, Trainer
from nas.families.residual import ResidualArchitecture, Stage
from nas.space import load_space


def networks() -> dict[str, ResidualArchitecture]:
    prototype = load_space("emotionnet-nano").prototype
    quarter = (Stage(4, (4, 4, 4)), Stage(8, (8, 8, 8)), Stage(16, (16, 16, 16)))
    return {"prototype": prototype, "20K": replace(prototype, stem_width=4, stages=quarter)}


def faces(knobs: str) -> Dataset:
    if not knobs:
        return synthetic_faces()
    from nas.data.synthetic import Difficulty

    return synthetic_faces(0, Difficulty(**json.loads(knobs)))


def train(task: tuple[str, int, int, int, str, int, float, float]) -> tuple[str, int, int, float, float]:
    import tensorflow as tf

    name, fold, seed, epochs, path, batch, rate, holdout = task
    if not tf.config.threading.get_intra_op_parallelism_threads():
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    data = load_dataset(path)
    chosen = make_split(data, holdout=holdout).folds[fold]
    start = time.perf_counter()
    trainer = Trainer(networks()[name].graph(), Recipe(batch, rate, Augmentation()), seed)
    trainer.fit(data.images[chosen.train], data.labels[chosen.train], epochs, fold)
    hit = trainer.predict(data.images[chosen.test]).argmax(1) == data.labels[chosen.test]
    return name, fold, seed, float(hit.mean()), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--knobs", default="", help="Difficulty as JSON, instead of the frozen one")
    parser.add_argument("--only", default="")
    parser.add_argument("--batch", type=int, default=Recipe().batch)
    parser.add_argument("--rate", type=float, default=Recipe().learning_rate)
    parser.add_argument("--holdout", type=float, default=0.2, help="share set aside, as searches do; 0: all subjects")
    arguments = parser.parse_args()
    data = faces(arguments.knobs)
    split = make_split(data, holdout=arguments.holdout)
    print(f"fingerprint {data.fingerprint}; {split.protocol}", flush=True)
    print(f"linear discriminant analysis, 5 folds: {linear_baseline(data, split, range(5)):.1%}", flush=True)
    for name, a in networks().items():
        print(f"{name}: {a.cost().params:,} parameters, {a.cost().macs / 1e6:.1f}M MACs")
    folder = tempfile.TemporaryDirectory()
    path = f"{folder.name}/faces.npz"
    np.savez(path, x=data.images, y=data.labels, subject=data.subjects, classes=np.array(data.class_names))
    tasks = [
        (name, fold, seed, arguments.epochs, path, arguments.batch, arguments.rate, arguments.holdout)
        for name in networks()
        for seed in range(arguments.seeds)
        for fold in range(arguments.folds)
        if arguments.only in ("", name)
    ]
    found: dict[str, list[float]] = {}
    with multiprocessing.get_context("spawn").Pool(arguments.processes, maxtasksperchild=4) as pool:
        for name, fold, seed, accuracy, seconds in pool.imap_unordered(train, tasks):
            found.setdefault(name, []).append(accuracy)
            print(f"  {name} fold {fold} seed {seed}: {accuracy:.1%} ({seconds:.0f} s)", flush=True)
    folder.cleanup()
    for name, accuracies in found.items():
        print(f"{name}: mean {sum(accuracies) / len(accuracies):.1%} over {len(accuracies)} trainings")


if __name__ == "__main__":
    main()
