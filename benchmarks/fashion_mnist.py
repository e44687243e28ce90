"""Writes a seeded subset of Fashion-MNIST, equally many images a class, as the .npz file that --data takes.

    python benchmarks/fashion_mnist.py fashion.npz [--images 4000] [--size 24] [--seed 0] [--source FOLDER]

Of the 60,000 training images as the Debian package dataset-fashion-mnist installs them (Xiao, Rasul, Vollgraf 2017;
MIT licence).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.data.idx import FASHION_CLASSES, read_idx

INSTALLED = Path("/usr/share/datasets/fashion-mnist")


def subset(source: Path, images: int, size: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """``images`` of the training images, the same number of each class, at ``size`` a side, and their classes."""
    x, y = (read_idx(source / f"train-{part}-ubyte.gz") for part in ("images-idx3", "labels-idx1"))
    rng = np.random.default_rng(seed)
    each = images // len(FASHION_CLASSES)
    chosen = np.sort(np.concatenate([rng.choice(np.flatnonzero(y == k), each, replace=False) for k in range(10)]))
    scaled = [Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR) for image in x[chosen]]
    return np.stack([np.asarray(image) for image in scaled]), y[chosen].astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--size", type=int, default=24, help="side in pixels; the originals have 28")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", type=Path, default=INSTALLED)
    arguments = parser.parse_args()
    x, y = subset(arguments.source, arguments.images, arguments.size, arguments.seed)
    np.savez_compressed(arguments.out, x=x, y=y, classes=np.array(FASHION_CLASSES))
    print(f"{arguments.out}: {len(y)} images of {x.shape[1]}x{x.shape[2]}, {np.bincount(y)[0]} a class")


if __name__ == "__main__":
    main()
