"""How much too good a split by chance looks, and how well near copies are found.

    python benchmarks/leaks.py                       (a few minutes)
    python benchmarks/leaks.py --peeps FACES.npz     finds near copies in other faces, too; trains nothing more

The synthetic faces are in CK+48's layout: 981 frames of 118 people, three frames a sequence.  The prototype of the
space `emotionnet-micro` is trained with the same recipe and seed twice: on folds that keep people apart, and on folds
by chance, as one would make them of the same images without their names; so is the linear baseline.
Printed are the accuracies over the tested folds of either kind, and the mean difference with its 95 % interval over
seeds (Student's t; each seed has its own folds and weights).  The faces are drawn, so the figure says how the mistake
works and not how large it is on photographs.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from nas.data.baseline import linear_baseline
from nas.data.dataset import Dataset
from nas.data.duplicates import SIDE, SIMILARITY, features, near_copies
from nas.data.folds import Fold, make_split
from nas.data.leaks import leaks_of
from nas.data.recognise import load_dataset
from nas.data.resize import resized
from nas.evaluation.train import Recipe, Trainer
from nas.space import fit_to_data, load_space

SPACE = "emotionnet-micro"


def found_of(name: str, images: np.ndarray, together: np.ndarray, apart: np.ndarray) -> None:
    """How many images with a neighbour in ``together`` are found, and how many pairs are of one in ``apart``."""
    begin = time.perf_counter()
    pairs = near_copies(images).pairs
    seconds = time.perf_counter() - begin
    same = together[pairs[:, 0]] == together[pairs[:, 1]]
    person = apart[pairs[:, 0]] == apart[pairs[:, 1]]
    numbers, counts = np.unique(together, return_counts=True)
    has = np.isin(together, numbers[counts > 1])
    met = np.zeros(len(images), bool)
    met[pairs[same].ravel()] = True
    true_pairs = int((counts * (counts - 1) // 2).sum())
    print(
        f"{name}: {len(images)} images, {seconds:.2f} s; {len(pairs)} pairs, {same.mean():.1%} of them of one "
        f"sequence, {person.mean():.1%} of one person; found are {same.sum() / true_pairs:.1%} of the pairs, and "
        f"{met[has].mean():.1%} of the images that have one"
    )


def thresholds(images: np.ndarray, together: np.ndarray, apart: np.ndarray) -> None:
    """Precision and recall at other similarities, over all pairs."""
    vectors = features(images, np.arange(len(images)))
    upper = np.triu_indices(len(images), 1)
    products = (vectors @ vectors.T)[upper]
    same, person = together[upper[0]] == together[upper[1]], apart[upper[0]] == apart[upper[1]]
    print(f"at {SIDE}x{SIDE}; the nearest pair of two people has {products[~person].max():.3f}")
    for similarity in (0.90, 0.93, 0.95, SIMILARITY, 0.98, 0.99):
        close = products >= similarity
        precision = same[close].mean() if close.any() else float("nan")
        print(f"  {similarity:.2f}: precision {precision:.1%}, recall {close[same].mean():.1%}")


def accuracy(data: Dataset, fold: Fold, epochs: int, seed: int) -> float:
    space = fit_to_data(load_space(SPACE), data.input_shape, len(data.class_names))
    trainer = Trainer(space.prototype.graph(), Recipe(batch=16), seed)
    trainer.fit(data.images[fold.train], data.labels[fold.train], epochs, 0)
    return float((trainer.predict(data.images[fold.test]).argmax(axis=1) == data.labels[fold.test]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--peeps", type=Path, help="an .npz with x, and head and face to tell images apart")
    arguments = parser.parse_args()
    data = load_dataset("synthetic")
    assert data.subjects is not None and data.sequences is not None
    found_of("synthetic faces", data.images, data.sequences, data.subjects)
    thresholds(data.images, data.sequences, data.subjects)
    if arguments.peeps is not None:
        with np.load(arguments.peeps, allow_pickle=False) as file:
            drawing = np.char.add(file["head"], file["face"])
            found_of(str(arguments.peeps.name), file["x"][..., None], drawing, file["head"])
        return
    small = resized(data, arguments.size)
    nameless = replace(small, subjects=None, sequences=None)
    scores: dict[str, list[list[float]]] = {"linear": [], "network": []}
    for seed in range(arguments.seeds):
        apart, mixed = (make_split(d, folds=5, holdout=0.0, seed=seed) for d in (small, nameless))
        share = leaks_of(nameless, mixed).tested
        scores["linear"].append([linear_baseline(small, split, [0]) for split in (apart, mixed)])
        scores["network"].append([accuracy(small, split.folds[0], arguments.epochs, seed) for split in (apart, mixed)])
        told = "; ".join(f"{name} {found[-1][0]:.1%} and {found[-1][1]:.1%}" for name, found in scores.items())
        print(f"seed {seed}, people apart and by chance: {told}; near copies of {share:.0%} tested images", flush=True)
    what = f"prototype of {SPACE}, {arguments.epochs} epochs, {arguments.size}x{arguments.size}, fold 0"
    summary("linear discriminant analysis on the pixels, fold 0", scores["linear"])
    summary(what, scores["network"])


def summary(what: str, scores: list[list[float]]) -> None:
    """The mean difference and its interval over seeds; each pair is (people apart, by chance)."""
    from scipy.stats import t

    apart, chance = np.array(scores).T
    difference = chance - apart
    half = np.nan
    if len(scores) > 1:
        half = t.ppf(0.975, len(scores) - 1) * difference.std(ddof=1) / np.sqrt(len(scores))
    mean = difference.mean()
    print(
        f"{what}: people apart {apart.mean():.1%}, by chance {chance.mean():.1%}; a split by chance looks "
        f"{100 * mean:.1f} points too good (95 %: {100 * (mean - half):.1f} to {100 * (mean + half):.1f}; "
        f"{len(scores)} seeds)",
        flush=True,
    )


if __name__ == "__main__":
    main()
