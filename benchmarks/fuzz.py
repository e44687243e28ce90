"""How many hostile inputs are answered rightly: the fuzz tests at full size, and a table of what became of each input.

    python benchmarks/fuzz.py [--examples N]

An input is a mutated or made-up file, folder, archive, run directory or list of options.  It is accepted, or refused by
one line and exit code 2; whatever else happens counts as wrong, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

TOP = Path(__file__).parents[1]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--examples", type=int, default=200, help="a test; there are some fifteen tests")
    examples = options.parse_args().examples
    with tempfile.TemporaryDirectory() as folder:
        tally = Path(folder) / "tally.jsonl"
        environment = {**os.environ, "NAS_FUZZ": str(examples), "NAS_FUZZ_TALLY": str(tally)}
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--timeout=3600"]
        running = [  # at once: they share nothing
            subprocess.Popen([*command, str(path)], cwd=TOP, env=environment, stdout=subprocess.PIPE, text=True)
            for path in sorted((TOP / "tests").glob("test_fuzz_*.py"))
        ]
        for process in running:
            print(process.communicate()[0])
        rows = [json.loads(text) for text in tally.read_text().splitlines()]
    show(rows)
    return 1 if any(process.returncode for process in running) or any(row["wrong"] for row in rows) else 0


def show(rows: list[dict[str, object]]) -> None:
    sums: dict[str, int] = defaultdict(int)
    print(f"{'input':28}{'tried':>10}{'accepted':>10}{'refused':>10}{'wrong':>10}")
    for row in rows:
        counts = {name: int(str(row[name])) for name in ("tried", "accepted", "refused")}
        wrong = row["wrong"] if isinstance(row["wrong"], list) else []
        counts["wrong"] = len(set(wrong))
        for name, count in counts.items():
            sums[name] += count
        print(line(str(row["target"]), counts))
        for what in sorted(set(wrong)):
            print(f"    {what}")
    print(line("all", sums))


def line(target: str, counts: dict[str, int]) -> str:
    return f"{target:28}" + "".join(f"{counts[name]:10}" for name in ("tried", "accepted", "refused", "wrong"))


if __name__ == "__main__":
    sys.exit(main())
