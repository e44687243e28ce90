"""A set that is larger than one wants in memory: how fast it is decoded once, how soon opened again, what it occupies.

    python benchmarks/large_set.py [--images 300000] [--side 96] [--layout folders|affectnet] [--folder DIR]

Writes 2,000 different colour JPEGs and links them to as many names as wanted, under seven class folders or as AffectNet
with .npy annotations (four small files an image).  Then, each in a process of its own: the first load, which decodes
into the cache, and the second, which maps what lies there; the fingerprint; and one pass in shuffled batches of 64.
Memory is the highest seen in each step, of pages that the process owns (anonymous) and of pages of mapped files, which
the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DISTINCT = 2000
CLASSES = ("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise")
BATCH = 64


class Scales(threading.Thread):
    """Looks every 20 ms at what this process occupies, and keeps the most, in MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = {"RssAnon": 0.0, "RssFile": 0.0}

    def run(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                name = line.split(":")[0]
                if name in self.most:
                    self.most[name] = max(self.most[name], int(line.split()[1]) / 1000)
            time.sleep(0.02)

    def reset(self) -> None:
        self.most = dict.fromkeys(self.most, 0.0)
        time.sleep(0.05)


def write(root: Path, images: int, side: int, layout: str) -> None:
    rng = np.random.default_rng(0)
    store = root / "distinct"
    store.mkdir(parents=True)
    for number in range(min(DISTINCT, images)):
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        face = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        face.save(store / f"{number}.jpg", quality=90)
    data = root / "set"
    if layout == "folders":
        for name in CLASSES:
            (data / name).mkdir(parents=True)
        for number in range(images):
            os.link(store / f"{number % DISTINCT}.jpg", data / CLASSES[number % 7] / f"{number:06}.jpg")
        return
    for kind in ("images", "annotations"):
        (data / "train_set" / kind).mkdir(parents=True)
    for number in range(min(DISTINCT, images)):
        values = {"exp": np.array(str(number % 8)), "val": np.array("0.25"), "aro": np.array("-0.5")}
        values["lnd"] = rng.uniform(0, side, 136)
        for what, value in values.items():
            np.save(store / f"{number}_{what}.npy", value)
    for number in range(images):
        from_, to = store / str(number % DISTINCT), data / "train_set"
        os.link(f"{from_}.jpg", to / "images" / f"{number}.jpg")
        for what in ("exp", "val", "aro", "lnd"):
            os.link(f"{from_}_{what}.npy", to / "annotations" / f"{number}_{what}.npy")


def measure(root: Path) -> dict[str, Any]:
    """Load, fingerprint and one pass, in this process."""
    from nas.data.recognise import load_dataset

    scales = Scales()
    scales.start()
    found: dict[str, Any] = {}

    def step(name: str, act: Callable[[], Any]) -> Any:
        scales.reset()
        began, worked = time.perf_counter(), time.process_time()
        result = act()
        found[name] = {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - worked,
            **scales.most,
        }
        return result

    scales.reset()
    found["before"] = {"seconds": 0.0, "cpu_seconds": 0.0, **scales.most}
    data = step("load", lambda: load_dataset(root))

    def one_pass() -> int:
        order = np.random.default_rng(0).permutation(len(data))
        return sum(
            int(data.images[np.sort(order[start : start + BATCH])].mean()) for start in range(0, len(data), BATCH)
        )

    step("fingerprint", lambda: data.fingerprint)
    step("one pass", one_pass)
    found["mapped"] = isinstance(data.images, np.memmap)
    found["gigabytes"] = data.images.nbytes / 1e9
    found["images"] = len(data)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300_000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--layout", choices=("folders", "affectnet"), default="folders")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measure(arguments.measure)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        began = time.perf_counter()
        write(Path(folder), arguments.images, arguments.side, arguments.layout)
        print(f"written in {time.perf_counter() - began:.0f} s", flush=True)
        for load in ("first", "second"):
            command = [sys.executable, __file__, "--measure", str(Path(folder) / "set")]
            environment = {**os.environ, "NAS_CACHE": str(Path(folder) / "cache")}
            result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(result.stdout)
            what = "mapped" if found["mapped"] else "in memory"
            print(f"{load} load: {found['images']} images, {found['gigabytes']:.2f} GB, {what}")
            print(f"  {found['images'] / found['load']['seconds']:.0f} images/s")
            for name in ("before", "load", "fingerprint", "one pass"):
                row = found[name]
                print(
                    f"  {name:12} {row['seconds']:7.1f} s, of CPU {row['cpu_seconds']:6.1f} s   "
                    f"anonymous {row['RssAnon']:6.0f} MB   "
                    f"mapped files {row['RssFile']:6.0f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
