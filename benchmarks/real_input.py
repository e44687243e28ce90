"""Searches on real input that nobody here made: one search each to a front, with plot, export and linear baseline.

    python benchmarks/real_input.py --peeps open_peeps48.npz --fashion /usr/share/datasets/fashion-mnist --time 4m

--peeps is an .npz of drawn faces (x, y, classes); --fashion the folder of Debian's package dataset-fashion-mnist, of
which 4,000 images are written as class folders and, again, as .npz, and searched once each.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import nas
from nas.run.candidate import State

CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]


def fashion(folder: Path, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return images[:count], labels[:count]


def write_folders(images: np.ndarray, labels: np.ndarray, folder: Path) -> Path:
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / CLASSES[label] / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def search(name: str, data: Path, out: Path, options: list[str]) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-m", "nas.cli.main", "search", "--data", str(data), "--out", str(out), *options]
    log = subprocess.run(command, capture_output=True, text=True)
    wall = time.perf_counter() - start
    if log.returncode:
        sys.exit(f"{name}: exit code {log.returncode}\n{log.stderr}")
    run = nas.open_run(out)
    exported = run.export("knee", ["keras", "tflite", "tflite-int8"])
    trained = sum(c.state is State.TRAINED for c in run.candidates)
    accuracy = run.candidates[0].value("accuracy") or 0.0
    baseline = run.baseline or 0.0
    print(f"{name}: {wall:.0f} s, {len(run.candidates)} candidates, {trained} trained, effort {run.settings.ladder}")
    print(f"  {run.caption}")
    print(f"  {run.front.headline()}; linear baseline {baseline:.1%}, prototype {accuracy:.1%}")
    for m in run.front.members:
        a = m.measurement("accuracy")
        assert a is not None
        ratio = m.value("latency_ratio") or 0.0
        print(f"  {m.id} {a.value:.1%} [{a.low:.1%}, {a.high:.1%}], {m.cost.params:,} parameters, latency x{ratio:.2f}")
    print(f"  plots: {len(list(run.directory.plots.iterdir()))} files; exported: {len(exported)} files", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peeps", type=Path)
    parser.add_argument("--fashion", type=Path)
    parser.add_argument("--time", default="4m")
    parser.add_argument("--out", type=Path, default=None, help="where the runs go (default: a temporary folder)")
    arguments = parser.parse_args()
    out = arguments.out or Path(tempfile.mkdtemp(prefix="nas-real-"))
    common = ["--time", arguments.time]
    if arguments.peeps:
        search("Open Peeps", arguments.peeps, out / "peeps", [*common, "--effort", "1x2"])
    if arguments.fashion:
        images, labels = fashion(arguments.fashion)
        limits = out / "limits.yaml"
        limits.parent.mkdir(parents=True, exist_ok=True)
        limits.write_text(
            "constraints:\n  - {metric: params, max: 250k}\n  - {metric: latency_ms, max_ratio_to_prototype: 0.6}\n"
            "  - {metric: accuracy, min: 0.85}\n"
        )
        common += ["--constraints", str(limits), "--effort", "1x4"]
        search("Fashion-MNIST, folders", write_folders(images, labels, out / "fashion"), out / "run-folders", common)
        npz = out / "fashion.npz"
        np.savez(npz, x=images, y=labels, classes=np.array(CLASSES))
        search("Fashion-MNIST, npz", npz, out / "run-npz", common)


if __name__ == "__main__":
    main()
