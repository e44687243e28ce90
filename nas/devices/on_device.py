"""Times TFLite files on the device where this file lies; needs numpy and LiteRT, and nothing else of this project.

    python3 measure.py                       # the networks named in networks.json beside this file
    python3 measure.py --from-logs logs/     # reads what TFLite's benchmark_model printed, one .txt a network
    python3 measure.py --json reference.tflite a.tflite b.tflite

Each network is timed in blocks, one thread, batch 1, and a reference network beside each block: load from elsewhere
strikes both, so that the quotient repeats better than the milliseconds.  Runs on Python 3.8 and later.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

SCHEMA = 1
BLOCKS = 5
BLOCK_SECONDS = 0.1
WARM_UP = 5
NO_RUNTIME = 3  # exit code: Python is there, LiteRT is not
BAD_FILE = 4  # exit code: a file that LiteRT cannot run, or that cannot be read

_SUMMARY = re.compile(r"count=(\d+) .*?min=(\S+) max=(\S+) avg=(\S+)(?: .*?median=(\S+))?")
_AVERAGE = re.compile(r"Inference(?: \(avg\)|): ([0-9.eE+]+)")


class Failure(Exception):
    """Why nothing could be measured."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def runtime() -> tuple[Any, str]:
    """The interpreter's class, and the name of its package.  Raises Failure where there is none."""
    try:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter, "ai_edge_litert"
    except ImportError:
        pass
    try:
        from tflite_runtime.interpreter import Interpreter  # type: ignore[import-not-found, no-redef, unused-ignore]
    except ImportError as error:
        raise Failure("neither ai_edge_litert nor tflite_runtime is installed for this Python", NO_RUNTIME) from error
    return Interpreter, "tflite_runtime"


class Timer:
    """One interpreter, and how many runs fill a block."""

    def __init__(self, interpreter_class: Any, path: str) -> None:
        import numpy as np

        try:
            self._interpreter = interpreter_class(model_path=path, num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, OSError) as error:
            raise Failure(f"{path}: cannot be run here: {error}", BAD_FILE) from error
        for detail in self._interpreter.get_input_details():
            self._interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        warm = min(self._run() for _ in range(WARM_UP))
        self._runs = int(min(max(BLOCK_SECONDS * 1000 / max(warm, 1e-3), 5), 500))

    def _run(self) -> float:
        start = time.perf_counter()
        self._interpreter.invoke()
        return (time.perf_counter() - start) * 1000

    def block(self) -> list[float]:
        """Milliseconds of each run."""
        return [self._run() for _ in range(self._runs)]


def latency(timer: Timer, reference: Timer) -> dict[str, float]:
    """Median, range of the blocks' medians, and the same for the quotient to the reference."""
    runs, medians, ratios, beside = [], [], [], []
    for _ in range(BLOCKS):
        times = timer.block()
        runs.extend(times)
        medians.append(statistics.median(times))
        beside.append(statistics.median(reference.block()))
        ratios.append(medians[-1] / beside[-1])
    return {
        "latency_ms": statistics.median(runs),
        "low_ms": min(medians),
        "high_ms": max(medians),
        "runs": len(runs),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "reference_ms": statistics.median(beside),
    }


def parse_benchmark(text: str) -> dict[str, float]:
    """What TFLite's ``benchmark_model`` printed: of its last block the median, or the mean where it prints none.

    Raises:
        Failure: no timing in ``text``.
    """
    blocks = [m for m in map(_SUMMARY.search, text.splitlines()) if m]
    averages = _AVERAGE.findall(text)
    try:
        if blocks and len(averages) > 0:
            count, low, high, average, median = blocks[-1].groups()
            found = {"latency_ms": float(median or average) / 1000, "low_ms": float(low) / 1000}
            found.update({"high_ms": float(high) / 1000, "runs": float(count)})
            if found["latency_ms"] > 0:
                return found
    except ValueError:
        pass
    raise Failure("no timing: expected a line with 'count=... avg=...' and one with 'Inference (avg): ...'")


def fingerprint(package: str | None) -> dict[str, Any]:
    """Processor, cores and system; no name of the machine or its user."""
    out: dict[str, Any] = {"processor": processor(), "cores": os.cpu_count(), "system": platform.system().lower()}
    if package is not None:
        out["runtime"] = package
    return out


def processor() -> str:
    """What the system calls its processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def timed(reference: str, files: list[str]) -> dict[str, Any]:
    """Latencies of ``files`` in order, each beside ``reference``."""
    interpreter_class, package = runtime()
    beside = Timer(interpreter_class, reference)
    rows = []
    for i, path in enumerate(files):
        rows.append(latency(Timer(interpreter_class, path), beside))
        sys.stderr.write(f"{i + 1}/{len(files)} {path}: {rows[-1]['latency_ms']:.3f} ms\n")
    return {"schema": SCHEMA, "device": fingerprint(package), "networks": rows}


def logged(folder: str, files: list[str]) -> dict[str, Any]:
    """Latencies from the logs of ``benchmark_model``, one ``NAME.txt`` for every ``NAME.tflite``."""
    rows = []
    for path in files:
        log = Path(folder) / (Path(path).stem + ".txt")
        try:
            rows.append(parse_benchmark(log.read_text(errors="replace")))
        except OSError as error:
            raise Failure(f"{log}: cannot be read ({error.strerror})", BAD_FILE) from error
        except Failure as error:
            raise Failure(f"{log}: {error}", BAD_FILE) from error
    device = {"processor": "unknown: measured with benchmark_model", "runtime": "benchmark_model"}
    return {"schema": SCHEMA, "device": device, "networks": rows}


def measure_pack(folder: Path, logs: str | None) -> dict[str, Any]:
    """Latencies of a pack's networks, together with their graphs."""
    try:
        pack = json.loads((folder / "networks.json").read_text())
        entries = pack["networks"]
        names = [entry["file"] for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{folder}: not a pack of networks ({error})") from error
    files = [str(folder / name) for name in names]
    found = timed(str(folder / pack["reference"]), files) if logs is None else logged(logs, files)
    found["networks"] = [dict(entry, **row) for entry, row in zip(entries, found["networks"])]  # noqa: B905 - 3.8
    return found


def write(found: dict[str, Any], out: Path) -> None:
    """Replaces ``out`` at once: a reader sees a whole file or none."""
    temporary = out.with_name(out.name + ".tmp")
    try:
        temporary.write_text(json.dumps(found))
        os.replace(str(temporary), str(out))
    except OSError as error:
        raise Failure(f"{out}: cannot be written ({error.strerror})") from error
    sys.stderr.write(f"{out}: {len(found['networks'])} networks. Give it to: nas device fit --measurements {out}\n")


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="time the files given, and print JSON")
    parser.add_argument("--from-logs", metavar="FOLDER", help="read benchmark_model's output from FOLDER/NAME.txt")
    parser.add_argument("--out", default="measurements.json", help="file to write [measurements.json]")
    parser.add_argument("files", nargs="*", help="with --json: the reference, then the files to time")
    given = parser.parse_args(arguments)
    try:
        if given.json:
            if len(given.files) < 2:
                raise Failure("--json: give a reference and at least one file")
            sys.stdout.write(json.dumps(timed(given.files[0], given.files[1:])) + "\n")
        else:
            write(measure_pack(Path(__file__).resolve().parent, given.from_logs), Path(given.out))
    except Failure as failure:
        sys.stderr.write(f"error: {failure}\n")
        return failure.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
