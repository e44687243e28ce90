"""README's first command, timed and checked: `nas search` on a machine with two cores.

    python benchmarks/first_search.py [-- further options of nas search]

Prints wall time, candidates trained, the prototype, the linear baseline, and whether some front member has at most half
of the prototype's parameters at an accuracy within two points of the prototype's, both above the baseline.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nas
from nas.run.candidate import State


def main() -> None:
    extra = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    out = Path(tempfile.mkdtemp(prefix="nas-first-")) / "run"
    start = time.perf_counter()
    code = subprocess.run([sys.executable, "-m", "nas.cli.main", "search", "--out", str(out), *extra]).returncode
    wall = time.perf_counter() - start
    run = nas.open_run(out)
    start = time.perf_counter()
    run.export("knee", ["keras", "tflite"])
    export_s = time.perf_counter() - start
    trained = [c for c in run.candidates if c.state is State.TRAINED]
    prototype, front, baseline = run.candidates[0], run.front, run.baseline
    accuracy = prototype.value("accuracy") or 0.0
    print(f"exit code {code}, search {wall:.0f} s, export {export_s:.0f} s, in {out}")
    print(f"{len(run.candidates)} candidates, {len(trained)} trained; front: {front.headline()}")
    print(f"prototype: {accuracy:.1%}, {prototype.cost.params:,} parameters; linear baseline {baseline:.1%}")
    good = [m for m in front.members if 2 * m.cost.params <= prototype.cost.params]
    good = [m for m in good if (m.value("accuracy") or 0.0) >= accuracy - 0.02]
    above = min([accuracy, *(m.value("accuracy") or 0.0 for m in good)]) > (baseline or 0.0)
    for m in good:
        print(f"  {m.id}: {m.value('accuracy'):.1%}, {m.cost.params:,} parameters, {m.status.value}")
    print(f"half the parameters within 2 points: {'yes' if good else 'NO'}; all above the baseline: {above}")


if __name__ == "__main__":
    main()
