"""Seconds that `import nas` and `nas --help` take (target 0.5), and that neither loads TensorFlow nor Ray.

python benchmarks/start_up.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import nas": [sys.executable, "-c", "import nas"],
    "nas --help": [sys.executable, "-m", "nas.cli.main", "--help"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    for name, command in COMMANDS.items():
        times = [seconds(command) for _ in range(9)]
        print(f"{name}: median {statistics.median(times):.3f} s, slowest {max(times):.3f} s of {len(times)}")
    code = (
        "import sys, nas, nas.cli.main; print(sorted({'tensorflow', 'ray'} & set(sys.modules)) or 'neither is loaded')"
    )
    print(
        "TensorFlow, Ray:", subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    )
