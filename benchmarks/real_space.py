"""Strategies against each other in the real thing: ``nas search`` on synthetic faces, every network really trained.

    python benchmarks/real_space.py --out runs                      # 2 strategies, 3 seeds: half an hour to an hour
    python benchmarks/real_space.py --out runs --image-size 48 --budget 100 --effort 1x24                 # for a night

Each run is ``nas search --space emotionnet-nano --constraints none --executor local --workers 1``; a run that is there
already is gone on with, a finished one is read.  Printed: hypervolume of the observed accuracy (above the bound, in
points) and log10 of the parameters (below the prototype's), after 1/4, 1/2 and all of the budget, by seed; what share
of proposals and of front members has links; and where the plots are.  All searches begin with the same prototype.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from nas import open_run
from nas.api import Run
from nas.pareto import hypervolume, non_dominated
from nas.run.candidate import Candidate, State, charged


def play(path: Path, sampler: str, seed: int, budget: int, *scale: str) -> Run:
    """The run of one strategy and seed, finished."""
    program = [sys.executable, "-m", "nas.cli.main"]
    if not (path / "run.yaml").exists():
        what = ["search", "--space", "emotionnet-nano", "--constraints", "none", *scale, "--out", path]
        what += ["--sampler", sampler, "--seed", seed, "--budget", budget, "--executor", "local", "--workers", 1]
        subprocess.run([*program, *map(str, what)], check=True)
    elif charged(open_run(path).candidates) < budget:
        more = budget - (open_run(path).settings.budget or 0)
        subprocess.run([*program, "resume", str(path), *(["--budget", f"+{more}"] if more > 0 else [])], check=True)
    return open_run(path)


def volume(candidates: list[Candidate], prototype: int, floor: float) -> float:
    """Points of accuracy above ``floor`` times decades of parameters below the prototype's."""
    known = [(c.value("accuracy"), c.cost.params) for c in candidates]
    losses = np.array([[-100 * accuracy, np.log10(params)] for accuracy, params in known if accuracy is not None])
    return hypervolume(losses[non_dominated(losses)], np.array([-100 * floor, np.log10(prototype)]))


def has_link(candidate: Candidate) -> bool:
    return any(op.name.endswith("_link") for op in candidate.network().graph().ops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samplers", default="synthesis,evolution")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=30)
    parser.add_argument("--effort", default="1x12")
    parser.add_argument("--image-size", default="32", help="side of the images; the faces are made at 48")
    parser.add_argument("--floor", type=float, default=0.6, help="accuracy above which volume counts")
    a = parser.parse_args()
    size = ("--image-size", a.image_size)
    stages = [max(1, a.budget // 4), max(1, a.budget // 2), a.budget]
    print(
        f"synthetic faces at {a.image_size} pixels, effort {a.effort}, {a.budget} candidates, "
        f"accuracy above {a.floor:.0%}\n"
    )
    print("| strategy | seed |", " | ".join(f"at {s}" for s in stages), "| links: proposed | on the front | plots |")
    print("|---" * (5 + len(stages)) + "|", flush=True)
    found: dict[str, list[list[float]]] = {}
    for seed in range(a.seeds):
        for sampler in a.samplers.split(","):
            run = play(a.out / f"{sampler}-{seed}", sampler, seed, a.budget, "--effort", a.effort, *size)
            seen = [c for c in run.candidates if c.charged][: a.budget]
            trained = [c for c in seen if c.state is State.TRAINED]
            volumes = [volume(seen[:s], seen[0].cost.params, a.floor) for s in stages]
            found.setdefault(sampler, []).append(volumes)
            members = {m.id for m in run.front.members}
            shares = [
                np.mean([has_link(c) for c in trained[1:]]),
                np.mean([has_link(c) for c in trained if c.id in members]),
            ]
            cells = " | ".join(f"{v:.2f}" for v in volumes)
            plots = ", ".join(str(p) for p in run.plot() if p.suffix == ".png")
            print(f"| {sampler} | {seed} | {cells} | {shares[0]:.0%} | {shares[1]:.0%} | {plots} |", flush=True)
    for sampler, rows in found.items():
        table = np.array(rows)
        print(f"{sampler}: mean {', '.join(f'{v:.2f}' for v in table.mean(0))}; ", end="")
        print("range at the end", f"{table[:, -1].min():.2f} to {table[:, -1].max():.2f}")


if __name__ == "__main__":
    main()
