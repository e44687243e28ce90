"""Searches the prototypes and tasks beside the default end to end, and prints the fronts that they leave on disk.

    python benchmarks/prototypes.py                              # parameters, multiply-accumulates, memory; no search
    python benchmarks/prototypes.py all --out FOLDER [--time 3m] [--executor local] [--seed 0]
    python benchmarks/prototypes.py microcontroller --out FOLDER # or fashion, mini-xception, mood, both, landmarks

microcontroller: int8 files of at most 250 kB and tensors of at most 64 kB, on synthetic faces of 32x32. fashion:
inverted bottlenecks on 2,000 images of Fashion-MNIST at 28x28 (the Debian package dataset-fashion-mnist must be
installed). mini-xception: from the published network, on synthetic faces. mood: the same on four moods of eight classes
(benchmarks/faces8.py). both: eight classes, valence and arousal on one trunk. landmarks: eight classes, from image and
landmarks. --more adds options of nas search to each.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

import faces8

import nas
from nas.presets import preset_names
from nas.run.candidate import Candidate, State
from nas.space import load_space

SEARCHES = {
    "microcontroller": (
        "--space microcontroller --constraints microcontroller --quantized --data synthetic --image-size 32"
    ),
    "fashion": "--space inverted --constraints none --effort 1x8 --data {out}/fashion.npz",
    "mini-xception": "--space mini-xception --constraints none --data synthetic",
    "mood": "--space mini-xception --constraints none --data {out}/faces8 --labels mood4",
    "both": (
        "--space emotionnet-micro --constraints none --data {out}/faces8 --task both --objectives accuracy,rmse,params"
    ),
    "landmarks": "--space emotionnet-micro --constraints none --data {out}/faces8 --landmarks",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", nargs="?", choices=["all", *SEARCHES])
    parser.add_argument("--out", type=Path, help="folder of the runs")
    parser.add_argument("--time", default="3m", help="of each search")
    parser.add_argument("--executor", default="local", choices=["local", "ray"])
    parser.add_argument("--seed", default="0")
    parser.add_argument("--more", default="", help="further options of nas search")
    arguments = parser.parse_args()
    print_prototypes()
    if arguments.search is None:
        return
    if arguments.out is None:
        parser.error("--out: name a folder for the runs")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in SEARCHES if arguments.search == "all" else (arguments.search,):
        search(name, arguments)


def print_prototypes() -> None:
    """What the prototype of every preset costs."""
    for name in preset_names("search_spaces"):
        prototype = load_space(name).prototype
        cost, (h, w, c) = prototype.cost(), prototype.graph().input_shape
        peak = cost.peak_activation_bytes / 1e3
        print(
            f"{name:<17} {h}x{w}x{c}: {cost.params:>7,} parameters, {cost.macs / 1e6:>5.1f}M MACs, peak activations "
            f"{peak:>7,.1f} kB in float32, {peak / 4:>5,.1f} kB in int8"
        )


def search(name: str, arguments: argparse.Namespace) -> None:
    """One search, and what its front holds."""
    out = arguments.out / name
    if name == "fashion":
        script = Path(__file__).with_name("fashion_mnist.py")
        command = [sys.executable, str(script), str(arguments.out / "fashion.npz"), "--size", "28", "--images", "2000"]
        subprocess.run([*command, "--seed", arguments.seed], check=True)
    if "faces8" in SEARCHES[name] and not (arguments.out / "faces8").exists():
        faces8.write(arguments.out / "faces8", int(arguments.seed))
    options = shlex.split(f"{SEARCHES[name].format(out=arguments.out)} {arguments.more}")
    options += ["--time", arguments.time, "--executor", arguments.executor, "--seed", arguments.seed, "--out", str(out)]
    print("\nnas search " + shlex.join(options), flush=True)
    start = time.perf_counter()
    code = subprocess.run([sys.executable, "-m", "nas.cli.main", "search", *options]).returncode
    wall = time.perf_counter() - start
    run = nas.open_run(out)
    trained = [c for c in run.candidates if c.state is State.TRAINED]
    print(f"exit code {code}, {wall:.0f} s, {len(run.candidates)} candidates, {len(trained)} trained; {run.caption}")
    print(f"front: {run.front.headline()}; linear baseline {run.baseline or 0:.1%}")
    print(f"  prototype {described(run.candidates[0])}")
    for member in run.front.members:
        print(f"  {member.status.value:>9} {described(member)}")


def described(candidate: Candidate) -> str:
    """On one line."""
    accuracy = candidate.measurement("accuracy")
    shown = "no accuracy" if accuracy is None else f"{accuracy.value:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}]"
    size, latency = candidate.value("size_bytes") or 0, candidate.value("latency_ms") or 0
    peak = candidate.value("peak_activation_bytes") or 0
    rmse = candidate.measurement("rmse")
    if rmse is not None:
        shown += f", rmse {rmse.value:.3f} [{rmse.low:.3f}, {rmse.high:.3f}], ccc {candidate.value('ccc') or 0:.3f}"
    return (
        f"{candidate.id} {candidate.cost.params:>7,} parameters, {shown}, {size / 1e3:.1f} kB, "
        f"peak {peak / 1e3:.1f} kB, {latency:.3f} ms"
    )


if __name__ == "__main__":
    main()
