"""Commands of other programs by which a device is reached, and what is done with the answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from nas.decoding import field, reason
from nas.deploy.latency import Latency
from nas.devices.device import REFERENCE, DeviceError
from nas.devices.on_device import Failure, parse_benchmark
from nas.errors import DecodeError
from nas.measurement import is_number

BLOCKS: Final = 3  # calls of benchmark_model a network, in turn with the reference's


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The last that it said, errors first."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


def ask(command: Sequence[str], what: str, timeout_s: float, stdin: bytes = b"") -> Answer:
    """Runs ``command`` without a shell.

    Args:
        command: program and arguments.
        what: the device, for errors.
        timeout_s: seconds after which it is ended.
        stdin: what it reads.

    Raises:
        DeviceError: the program is not installed, or did not end in time.
    """
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, check=False)
    except FileNotFoundError as error:
        raise DeviceError(f"{what}: the program {command[0]!r} is not installed here; install it") from error
    except PermissionError as error:
        raise DeviceError(f"{what}: the program {command[0]!r} cannot be run ({error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{what}: no answer within {timeout_s:g} s; check that it is on and idle, or raise timeout_s in a device "
            "file"
        ) from error
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def latencies_of(text: str, count: int, what: str) -> tuple[list[Latency], dict[str, Any]]:
    """What the measuring script printed: latencies in order, and the device's fingerprint.

    Raises:
        DeviceError: it is something else.
    """
    try:
        data = json.loads(text)
        rows = [_latency(row) for row in field(data, "networks", list)]
        if len(rows) != count:
            raise DecodeError(f"{len(rows)} latencies for {count} files")
        return rows, dict(field(data, "device", dict))
    except (ValueError, DecodeError, RecursionError) as error:
        raise DeviceError(f"{what}: its answer is not what the measuring script prints ({reason(error)})") from error


def _latency(row: Mapping[str, Any]) -> Latency:
    names = ("latency_ms", "low_ms", "high_ms", "runs", "ratio", "ratio_low", "ratio_high")
    values = {name: field(row, name, int, float) for name in names}
    if not all(is_number(v) and v > 0 for v in values.values()):
        raise DecodeError(f"latencies must be numbers above 0, got {values}")
    told = {**values, "runs": int(values["runs"]), "beside": REFERENCE}
    return Latency(median_ms=told.pop("latency_ms"), **told)


def from_logs(logs: Sequence[tuple[str, str | None]], what: str) -> Latency:
    """One network's latency from what ``benchmark_model`` printed, block by block.

    Args:
        logs: its output, and the reference's beside it.
        what: the device and file, for errors.

    Raises:
        DeviceError: an output without timing.
    """
    medians, ratios, runs = [], [], 0
    for own, reference in logs:
        try:
            found = parse_benchmark(own)
            medians.append(found["latency_ms"])
            runs += int(found["runs"])
            if reference is not None:
                ratios.append(medians[-1] / parse_benchmark(reference)["latency_ms"])
        except Failure as error:
            said = next((line.strip() for line in own.splitlines() if "rror" in line), "nothing of use")
            raise DeviceError(f"{what}: benchmark_model gave {error} (it said: {said:.200})") from error
    quotient = (median(ratios), min(ratios), max(ratios)) if ratios else (None, None, None)
    return Latency(
        median_ms=median(medians),
        low_ms=min(medians),
        high_ms=max(medians),
        runs=runs,
        ratio=quotient[0],
        ratio_low=quotient[1],
        ratio_high=quotient[2],
        beside=REFERENCE if ratios else "",
    )
