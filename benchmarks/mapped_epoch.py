"""What it costs to leave images on disk: the time of an epoch, from a mapped file and from memory, in pairs.

    python benchmarks/mapped_epoch.py [--images 35887] [--side 48] [--pairs 5]

Random images are written to a file and mapped.  The prototype of the space `emotionnet-micro` is trained epoch by
epoch, once with the images as one array in memory and once in portions of 128 MB (or --portion) gathered from the
file, as sets of more than 500 MB are trained; which comes first alternates.  Printed: processor seconds of each epoch,
and the quotient's median.  Processor time, since other work on the machine would be measured too; the file is in the
page cache.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from nas.data import rows
from nas.data.rows import Rows
from nas.evaluation.train import Recipe, Trainer
from nas.space import fit_to_data, load_space

CLASSES = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=35_887)
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--portion", type=int, default=rows.PORTION_BYTES, help="bytes")
    parser.add_argument("--batch", type=int, default=64)
    a = parser.parse_args()
    rows.PORTION_BYTES = a.portion
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, a.images)
    shape = (a.images, a.side, a.side, 1)
    graph = fit_to_data(load_space("emotionnet-micro"), shape[1:], CLASSES).prototype.graph()
    trainer = Trainer(graph, Recipe(batch=a.batch), 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        mapped = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        for start in range(0, a.images, 10_000):
            part = mapped[start : start + 10_000]
            part[:] = rng.integers(0, 256, part.shape, dtype=np.uint8)
        mapped.flush()
        memory, file = np.array(mapped), Rows(np.load(path, mmap_mode="r"), np.arange(a.images))
        trainer.fit(memory[: a.batch], labels[: a.batch], 1, 0)  # traces the epoch's function
        quotients = []
        for pair in range(a.pairs):
            seconds = {}
            for name in ("memory", "file") if pair % 2 == 0 else ("file", "memory"):
                begin = time.process_time()
                trainer.fit(memory if name == "memory" else file, labels, 1, 0)
                seconds[name] = time.process_time() - begin
            quotients.append(seconds["file"] / seconds["memory"])
            print(f"memory {seconds['memory']:.2f} s, file {seconds['file']:.2f} s: {quotients[-1]:.3f}", flush=True)
    size = a.images * a.side * a.side / 1e6
    print(f"{a.images} images, {size:.0f} MB, portions of {a.portion / 1e6:.0f} MB: {np.median(quotients):.3f} times")


if __name__ == "__main__":
    main()
