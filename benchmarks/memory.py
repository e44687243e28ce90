"""Memory of the whole tree of processes while candidates pass through one worker slot.

    python benchmarks/memory.py [--candidates 200] [--space emotionnet-nano] [--effort 1x1]

Real training on small made-up images, driven by the local executor.  Prints the resident memory of the driver and its
evaluator after every tenth candidate, and at the end by how much it leaves the middle of its range after the first 20.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import nas
from nas.api import SearchOptions
from nas.evaluation.limits import resident_bytes
from nas.indicator import Indicator
from nas.loop import Silent
from nas.run.candidate import Candidate, State
from nas.run.front import Front
from nas.rung import parse_ladder

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def tree_bytes() -> int:
    """Resident memory of this process and all that descend from it."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    tree, new = {os.getpid()}, {os.getpid()}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - tree
        tree |= new
    return sum(resident_bytes(pid) for pid in tree)


class Scales(Silent):
    """Weighs the tree after each trained candidate."""

    def __init__(self) -> None:
        self.weighed: list[float] = []

    def finished(self, candidate: Candidate, front: Front) -> None:
        if candidate.state is State.TRAINED:
            self.weighed.append(tree_bytes() / 1e6)
            if len(self.weighed) % 10 == 0:
                print(f"{len(self.weighed):4} candidates: {self.weighed[-1]:7.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--space", default="emotionnet-nano")
    parser.add_argument("--effort", default="1x1")
    parser.add_argument("--inherit", action="store_true", help="weights of relatives; with a ladder such as 1x1,1x2")
    parser.add_argument("--side", type=int, default=48)
    arguments = parser.parse_args()
    from conftest import blobs

    scales = Scales()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        nas.search(
            space=arguments.space,
            indicator=Indicator(),
            dataset=blobs(side=arguments.side),
            budget=arguments.candidates,
            workers=1,
            executor="local",
            out=Path(folder) / "run",
            options=SearchOptions(effort=parse_ladder(arguments.effort), inherit=arguments.inherit),
            listener=scales,
        )
    later = scales.weighed[20:]
    middle = (max(later) + min(later)) / 2
    print(f"{len(scales.weighed)} trained in {time.perf_counter() - start:.0f} s")
    print(f"after the first 20: {min(later):.0f} to {max(later):.0f} MB, +-{(max(later) - middle) / middle:.1%}")
    half = len(later) // 2
    first, last = sum(later[:half]) / half, sum(later[-half:]) / half
    print(f"mean of the second half against the first: {last / first - 1:+.1%}")
    if max(later) > 1.1 * middle:
        sys.exit("memory leaves the middle of its range by more than 10 %")


if __name__ == "__main__":
    main()
