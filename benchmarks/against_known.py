"""A run's front against nano-b-redrawn and mini-Xception, from scratch on the same folds by the same recipe.

    python benchmarks/against_known.py RUN [--pick all|ID,ID] [--folds 5] [--epochs 60] [--seeds 1] [--data PATH]

Calls Run.compare() and prints its table, then what it shows of each known network: whether a member of the front has
fewer parameters and lower latency and is not worse by more than a point (paired, one-sided 95 %, corrected for the
members tried).  nano-b-redrawn is compared twice: as drawn, without normalisation, with which it hardly begins to
learn in short trainings, and with batch normalisation.  Last, of the members that reach MicroExpNet's 1,851 images a
second in float32 on one core here, the one whose accuracy compares best with mini-Xception's.  Resumable: RUN/compare
keeps what is trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nas
from nas.cli.certify import CertifyView
from nas.comparison.result import Comparison

KNOWN = ("mini-xception", "nano-b-redrawn", "nano-b-redrawn-bn")
PUBLISHED_FPS = 1851  # Cugu, Sener, Akbas 2017, on an i7


def fast_enough(found: Comparison) -> str:
    """Of the members that are surely as fast, the best against mini-Xception, the baseline."""
    fast = [r for r in found.rows if r.member and "fps" in r.figures and r.figures["fps"].low >= PUBLISHED_FPS]
    known = [r for r in fast if "difference" in r.figures]
    if not known:
        return f"no member reaches {PUBLISHED_FPS:,} images a second in float32"
    best = max(known, key=lambda r: r.figures["difference"].low)
    fps, gap = best.figures["fps"], best.figures["difference"]
    int8 = best.figures.get("int8_fps")
    times = "" if int8 is None else f", {int8.value / fps.value:.1f} times as many in int8"
    return (
        f"{len(fast)} members reach {PUBLISHED_FPS:,} images a second in float32; the best against mini-xception is "
        f"{best.name}: {fps.value:,.0f} [{fps.low:,.0f}, {fps.high:,.0f}] a second{times}; accuracy less that of "
        f"mini-xception {100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] points (two-sided 95 %)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pick", default="all")
    parser.add_argument("--folds", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--data")
    a = parser.parse_args()
    with CertifyView(quiet=True) as view:
        found = nas.open_run(a.run).compare(
            KNOWN, pick=a.pick.split(","), folds=a.folds, epochs=a.epochs, seeds=a.seeds, dataset=a.data, watcher=view
        )
    print(found.to_markdown())
    print(fast_enough(found))


if __name__ == "__main__":
    main()
