"""The rival of benchmarks/equal_fronts.py: a plain loop of Optuna's NSGA-II and Keras' fit, as a good user writes it.

    python benchmarks/optuna_keras.py --data synthetic --seed 0 --out rival/faces-0
    python benchmarks/optuna_keras.py --data fashion.npz --seed 0 --out rival/fashion-0

Scale by default: 60 networks of benchmarks/small.yaml up to 30,000 parameters, 24x24 images, each trained in full:
20 epochs on fold 0.  Accuracy up, parameters down, population 20, the prototype first.  Larger networks are refused by
a constraint before they are built, and a network that comes up again keeps its score: neither counts as one of the 60.
Search space, networks, data and fold are those of `nas search`; the search and the training are not.

OUT/trials.jsonl gets one line a trained network, with the CPU-seconds of all threads since the start (imports and data
included).  The same command again goes on; what an interrupted training had cost is not counted then.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="2")

import keras
import numpy as np
import optuna
import tensorflow as tf

from nas.data.dataset import Dataset
from nas.data.folds import Fold, make_split
from nas.data.recognise import load_dataset
from nas.graph import Graph
from nas.networks.build import build_model
from nas.space import fit_to_data, load_space

POPULATION = 20
# Of six pairs tried once each on the prototype and the faces: 62 % in 12 CPU-seconds.  Batch 32 reached at most 59 % in
# 10 s, batch 8 with 2e-3 68 % in 14 s (ten steps an execution).
BATCH, LEARNING_RATE = 16, 3e-3


def cpu_seconds() -> float:
    """CPU time of this process and the children that have ended, user and system."""
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


def train(graph: Graph, data: Dataset, fold: Fold, epochs: int, seed: int) -> float:
    """Accuracy on the fold's test part."""
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(seed)
    augmentation = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(0.027, fill_mode="nearest"),
            keras.layers.RandomTranslation(0.08, 0.08, fill_mode="nearest"),
            keras.layers.RandomZoom(0.1, fill_mode="nearest"),
        ]
    )
    x, y = data.images.astype(np.float32) / 255, data.labels
    batches = tf.data.Dataset.from_tensor_slices((x[fold.train], y[fold.train])).shuffle(len(fold.train), seed=seed)
    batches = batches.batch(BATCH, drop_remainder=True).map(lambda a, b: (augmentation(a, training=True), b))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * (len(fold.train) // BATCH))
    model = build_model(graph, keras, seed=seed)
    loss = "sparse_categorical_crossentropy"
    # XLA, the default, takes longer to compile than it saves here.
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], jit_compile=False)
    model.fit(batches.with_options(options), epochs=epochs, verbose=0)
    return float(model.evaluate(x[fold.test], y[fold.test], batch_size=128, verbose=0)[1])


def search(arguments: argparse.Namespace) -> None:
    data = load_dataset(arguments.data, image_size=arguments.size)
    fold = make_split(data, seed=arguments.seed).folds[0]
    space = fit_to_data(load_space(arguments.space), data.input_shape, len(data.class_names))
    log = arguments.out / "trials.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    scores, before = {r["id"]: r["accuracy"] for r in done}, done[-1]["cpu_s"] if done else 0.0
    backend = optuna.storages.journal.JournalFileBackend(str(arguments.out / "study.journal"))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name="rival",
        load_if_exists=True,
        directions=["maximize", "minimize"],
    )
    for trial in study.trials:  # of a process that was killed
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    restarted = len(study.trials)  # another seed after a resume, or the first proposals come again
    study.sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=arguments.seed + 1000 * restarted)
    if not restarted:
        study.enqueue_trial(space.to_params(space.prototype))
    while len(scores) < arguments.trials:
        trial = study.ask(space.distributions())
        network = space.from_params(trial.params)
        params = network.cost().params
        trial.set_constraint("params", params - arguments.cap)
        accuracy = scores.get(network.id, 0.0)
        if params <= arguments.cap and network.id not in scores:
            start = time.perf_counter()
            accuracy = train(network.graph(), data, fold, arguments.epochs, arguments.seed * 100_000 + trial.number)
            record = {"trial": trial.number, "id": network.id, "architecture": network.to_json(), "params": params}
            spent = {"cpu_s": round(before + cpu_seconds(), 2), "wall_s": round(time.perf_counter() - start, 2)}
            scores[network.id] = accuracy
            with log.open("a") as file:
                file.write(json.dumps(record | {"accuracy": accuracy} | spent) + "\n")
            print(f"{len(scores)}/{arguments.trials}: {accuracy:.1%}, {params} parameters, {spent}", flush=True)
        study.tell(trial, (accuracy, params))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synthetic", help="synthetic, or a path that nas loads")
    parser.add_argument("--space", default=str(Path(__file__).parent / "small.yaml"))
    parser.add_argument("--seed", type=int, default=0, help="of the split, the sampler and the training")
    parser.add_argument("--trials", type=int, default=60, help="networks to train")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=24, help="side of the images")
    parser.add_argument("--cap", type=int, default=30_000, help="parameters")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    arguments.out.mkdir(parents=True, exist_ok=True)
    search(arguments)


if __name__ == "__main__":
    main()
