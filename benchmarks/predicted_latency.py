"""How well latency is foretold: fitted on some networks, looked at on others, all measured on this machine.

    python benchmarks/predicted_latency.py [--fit 20] [--test 60] [--seed 0] [--rounds 3] [--data FOLDER]

The networks to fit are those that `nas device pack` would take; the others are drawn from the same space, half of them
as they come and half made smaller, and the fit knows nothing of them.  Each network is timed --rounds times at
different moments, in blocks.  What counts is its fastest block, by the median of the block's runs: load from elsewhere
only ever adds, and it strikes long runs harder than short ones, which no quotient to a reference takes back.  It prints
how far the rounds differ.  --data keeps networks and measurements: the same command goes on where it was stopped, and
prints at once when all is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nas.architecture import Architecture
from nas.cli.hush import hushed
from nas.deploy.latency import measure_latency
from nas.devices.calibration import calibration_networks, drawn
from nas.devices.here import ThisMachine
from nas.devices.pack import network_file
from nas.devices.predicted import PredictedDevice, fit
from nas.run.atomic import write_atomic
from nas.space import load_space


def network(architecture: Architecture, folder: Path) -> bytes:
    """Its file, from the folder where it is there already."""
    path = folder / f"{architecture.id}.tflite"
    if not path.exists():
        with hushed():
            write_atomic(path, network_file(architecture.graph()))
    return path.read_bytes()


def measured(networks: Sequence[Architecture], rounds: int, folder: Path) -> dict[str, list[float]]:
    """By id: milliseconds of the fastest block of each round."""
    path = folder / "latencies.json"
    known: dict[str, list[float]] = json.loads(path.read_text()) if path.exists() else {}
    for done in range(rounds):
        for i, architecture in enumerate(networks):
            rows = known.setdefault(architecture.id, [])
            if len(rows) > done:
                continue
            rows.append(measure_latency(network(architecture, folder)).low_ms)
            write_atomic(path, json.dumps(known))
            print(f"\rround {done + 1}/{rounds}, network {i + 1}/{len(networks)} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return known


def latencies(networks: Sequence[Architecture], known: Mapping[str, list[float]], rounds: int) -> np.ndarray:
    return np.array([min(known[n.id][:rounds]) for n in networks])


def report(device: PredictedDevice, tested: Sequence[Architecture], truth: np.ndarray) -> None:
    foretold = [device.predict(n.graph()) for n in tested]
    error = np.abs(np.array([f.value for f in foretold]) / truth - 1)
    inside = np.mean([f.low <= t <= f.high for f, t in zip(foretold, truth, strict=True)])
    print(
        f"{len(tested)} others, {truth.min():.3f} to {truth.max():.3f} ms: median absolute error {np.median(error):.1%}"
        f" (goal 10 %), 90 % of them within {np.quantile(error, 0.9):.1%}, largest {error.max():.1%}"
    )
    print(f"{inside:.0%} lie inside their prediction interval")
    for share in (0.25, 0.5, 0.75):
        bound = float(np.quantile(truth, share))
        refused = np.array([f.low > bound for f in foretold])
        feasible = truth <= bound
        print(
            f"bound {bound:.3f} ms: of {feasible.sum()} truly feasible ones {(refused & feasible).sum()} would be "
            f"rejected, of {(~feasible).sum()} infeasible ones {(refused & ~feasible).sum()}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=int, default=20)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--space", default="emotionnet-nano")
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    space = load_space(given.space)
    rng = np.random.default_rng(given.seed)
    fitted = calibration_networks(space, given.fit, rng)
    own = {n.id for n in fitted}
    tested = [n for n in drawn(space, given.test + given.fit, rng) if n.id not in own][: given.test]
    if len(tested) < given.test:
        parser.error(f"--test {given.test}: the space gave only {len(tested)} others")
    with tempfile.TemporaryDirectory() as temporary:
        known = measured([*fitted, *tested], given.rounds, given.data or Path(temporary))
    rows = [known[n.id][: given.rounds] for n in (*fitted, *tested)]
    spread = [max(row) / min(row) - 1 for row in rows]
    print(f"rounds of a network differ by {np.median(spread):.1%} (median), {np.quantile(spread, 0.9):.0%} (90 %)")
    graphs = [n.graph() for n in fitted]
    device = fit(graphs, list(latencies(fitted, known, given.rounds)), ThisMachine().fingerprint())
    print(
        f"fitted to {device.n}: median absolute error {device.in_sample_error:.1%} on them, "
        f"{device.cross_validated_error:.1%} on those left out in turn; vectors of {device.lanes}"
    )
    for name, value in device.coefficients.items():
        if value:
            print(f"  {name}: {value * 1e6:.4g} ns")
    report(device, tested, latencies(tested, known, given.rounds))


if __name__ == "__main__":
    main()
