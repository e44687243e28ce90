"""Seconds and memory that loading and splitting a set of FER2013's size takes (targets: load 5 s, split 1 s).

    python benchmarks/load_fer.py [--rows 35887] [--layout csv|folders|ferplus] [--repeat 3]

Writes made-up pixels in FER2013's own layout into a temporary folder, and measures in fresh processes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
# FER2013's own sizes of classes and parts.
COUNTS = np.array([4953, 547, 5121, 8989, 6077, 4002, 6198])
PARTS = {"Training": 28709, "PublicTest": 3589, "PrivateTest": 3589}


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Emotion and Usage of each row, both shape (count,)."""
    rng = np.random.default_rng(0)
    emotions = rng.choice(len(COUNTS), count, p=COUNTS / COUNTS.sum())
    sizes = np.array(list(PARTS.values()))
    return emotions, np.sort(rng.choice(3, count, p=sizes / sizes.sum()))


def write_csv(path: Path, count: int) -> None:
    emotions, usages = rows(count)
    names = list(PARTS)
    texts = np.array([str(value) for value in range(256)])
    rng = np.random.default_rng(1)
    with open(path, "w") as file:
        file.write("emotion,pixels,Usage\n")
        for emotion, usage in zip(emotions, usages, strict=True):
            file.write(f"{emotion},{' '.join(texts[rng.integers(0, 256, 2304)])},{names[usage]}\n")


def write_votes(path: Path, count: int) -> None:
    names = list(PARTS)
    rng = np.random.default_rng(2)
    with open(path, "w") as file:
        file.write("Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n")
        for number, usage in enumerate(rows(count)[1]):
            shares = rng.dirichlet(np.full(10, 0.2))
            votes = ",".join(map(str, rng.multinomial(10, shares)))
            file.write(f"{names[usage]},fer{number:07d}.png,{votes}\n")


def write_folders(root: Path, count: int) -> None:
    from PIL import Image

    names = list(PARTS)
    rng = np.random.default_rng(1)
    for number, (emotion, usage) in enumerate(zip(*rows(count), strict=True)):
        folder = root / ("train" if usage == 0 else "test") / NAMES[emotion]
        folder.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
        small.resize((48, 48)).save(folder / f"{names[usage]}_{number}.jpg")


def measure(path: Path) -> dict[str, float | str]:
    """Seconds of each step, in this process, and memory."""
    from sklearn.model_selection import StratifiedKFold  # noqa: F401 - a second by itself, and not the split's

    from nas.data.folds import make_split
    from nas.data.recognise import load_dataset

    def resident_mb() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before = resident_mb()
    marks = [time.perf_counter()]
    begun = time.process_time()
    data = load_dataset(path)
    marks.append(time.perf_counter())
    load_cpu_s = time.process_time() - begun
    loaded = resident_mb()
    split = make_split(data)
    marks.append(time.perf_counter())
    fingerprint = data.fingerprint
    marks.append(time.perf_counter())
    load_s, split_s, fingerprint_s = np.diff(marks)
    return {
        "kind": data.kind,
        "images": len(data),
        "load_s": load_s,
        "load_cpu_s": load_cpu_s,
        "make_split_s": split_s,
        "fingerprint_s": fingerprint_s,
        "pixels_mb": data.images.nbytes / 1e6,
        "peak_before_mb": before,
        "peak_after_load_mb": loaded,
        "peak_at_end_mb": resident_mb(),
        "fingerprint": fingerprint,
        "split": split.hash,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=35887)
    parser.add_argument("--layout", choices=("csv", "folders", "ferplus"), default="csv")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.layout == "folders":
            write_folders(root, options.rows)
        else:
            write_csv(root / "fer2013.csv", options.rows)
        if options.layout == "ferplus":
            write_votes(root / "fer2013new.csv", options.rows)
        written = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
        print(f"{options.layout}: {options.rows} rows, {written / 1e6:.0f} MB")
        for _ in range(options.repeat):
            command = [sys.executable, __file__, "--measure", folder]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout)
            print("  " + ", ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items()))


if __name__ == "__main__":
    main()
