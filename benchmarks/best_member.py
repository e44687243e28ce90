"""A front member against the prototype and the network of EmotionNet Nano B as redrawn by others, all from scratch.

    python benchmarks/best_member.py RUN ID --out trained [--folds 5] [--epochs 60]

All three are trained under one reduced protocol on the synthetic faces: --epochs epochs by the paper's schedule, on
each of --folds subject-independent folds over the search subjects, one seed that the search did not use.  Printed:
parameters, MACs, accuracy with its interval over subjects (95 %, one training: its luck is not in it), and the
differences paired by subject.  Last, what one seed and fold of the full protocol (200 epochs) takes, by the seconds of
an epoch here.  Resumable: one file a network and fold in --out.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="2")

import numpy as np

import nas
from nas.architecture import Architecture
from nas.data.dataset import Dataset
from nas.data.folds import Split, make_split
from nas.data.recognise import load_dataset
from nas.evaluation.train import PAPER_EPOCHS, Recipe, Trainer
from nas.families.residual import ResidualArchitecture, Stage
from nas.run.candidate import Candidate
from nas.statistics.accuracy import accuracy_estimate
from nas.statistics.paired import paired_difference

SEED = 4_000_000
REDRAWN = ResidualArchitecture(
    (48, 48, 1), 7, 11, 1, (Stage(11, (9, 8, 7)), Stage(27, (27, 19, 26)), Stage(64, (36, 39, 24))), (), "none", True
)  # without batch normalisation, as its drawing has it


def hits(network: Architecture, name: str, data: Dataset, split: Split, a: argparse.Namespace) -> dict[str, np.ndarray]:
    """Of every out-of-fold image whether it was recognised, with seconds an epoch."""
    parts = []
    for k, fold in enumerate(split.folds):
        file = a.out / f"{network.id}-{k}-{len(split.folds)}x{a.epochs}.npz"
        if not file.exists():
            trainer = Trainer(network.graph(), Recipe(), SEED)
            begin = time.perf_counter()
            trainer.fit(data.images[fold.train], data.labels[fold.train], a.epochs, k)
            seconds = (time.perf_counter() - begin) / a.epochs
            hit = trainer.predict(data.images[fold.test]).argmax(1) == data.labels[fold.test]
            np.savez(file, index=fold.test, hit=hit, seconds=np.array([seconds]))
            print(f"{name}, fold {k}: {hit.mean():.1%}, {seconds:.2f} s an epoch", flush=True)
        with np.load(file) as found:
            parts.append({key: found[key] for key in found.files})
    return {key: np.concatenate([p[key] for p in parts]) for key in ("index", "hit", "seconds")}


def candidate(run: Path, prefix: str) -> Candidate:
    found = nas.open_run(run).find(prefix)
    print(f"{found.id} of {run}: {found.cost.params} parameters")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("id")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    data = load_dataset("synthetic")
    split = make_split(data, folds=a.folds, holdout=0.2, seed=0)
    assert data.subjects is not None
    groups = np.unique(data.subjects, return_inverse=True)[1]
    prototype = nas.load_space("emotionnet-nano").prototype
    networks = {"member": candidate(a.run, a.id).network(), "prototype": prototype, "nano-b-redrawn": REDRAWN}
    found = {name: hits(network, name, data, split, a) for name, network in networks.items()}
    print(f"\n{data.caption}; {a.folds} folds x {a.epochs} epochs, one seed, {len(split.search_indices)} images")
    print("| network | parameters | MACs | accuracy | member minus this, paired by subject | 200 epochs on one fold |")
    print("|---|---|---|---|---|---|")
    member = found["member"]
    for name, network in networks.items():
        f, cost = found[name], network.cost()
        estimate = accuracy_estimate(f["hit"], groups[f["index"]])
        difference = paired_difference(member["hit"], f["hit"], groups[f["index"]])
        told = f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
        accuracy = f"{estimate.value:.1%} [{estimate.low(0.975):.1%}, {estimate.high(0.975):.1%}]"
        minutes = PAPER_EPOCHS * float(f["seconds"].mean()) / 60
        paired = "" if name == "member" else told
        print(f"| {name} | {cost.params:,} | {cost.macs:,} | {accuracy} | {paired} | {minutes:.1f} min |")


if __name__ == "__main__":
    main()
