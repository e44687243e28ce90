"""Writes the tests' small data set as .npz into a folder and prints its path."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from conftest import blobs

if __name__ == "__main__":
    path = Path(sys.argv[1]) / "bars.npz"
    data = blobs()
    np.savez(path, x=data.images, y=data.labels, subject=data.subjects, classes=np.array(data.class_names))
    print(path)
