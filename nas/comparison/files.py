"""What is known of a network's converted files, and their latencies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nas.decoding import field, of_kind
from nas.deploy.converted import FLOAT, INT8
from nas.deploy.latency import Latency, measure_latency
from nas.errors import DecodeError
from nas.measurement import Measurement
from nas.networks.tflite import ConversionError
from nas.run.directory import RunDirectory

CONVERTED: Final = "converted.json"
_NAMES: Final = ((FLOAT, ""), (INT8, "int8_"))


@dataclass(frozen=True)
class Converted:
    """The files of one network.

    Attributes:
        params, macs: of the network.
        macs_from: how the latter were counted.
        files: content, by name.
        int8_failure: why there is no int8 file.
    """

    params: int
    macs: int
    macs_from: str
    files: Mapping[str, bytes]
    int8_failure: str | None

    @classmethod
    def read(cls, directory: RunDirectory, network_id: str) -> Converted:
        """Reads what :func:`nas.deploy.converted.converted_files` made.  Raises DecodeError."""
        path = directory.model_file(network_id, CONVERTED)
        try:
            told = json.loads(path.read_bytes())
            files = {}
            for name, sha256 in field(told, "files", dict).items():
                files[name] = directory.model_file(network_id, name).read_bytes()
                if hashlib.sha256(files[name]).hexdigest() != sha256:
                    raise DecodeError(f"{path.parent / name}: was changed since it was written")
            failure = of_kind(told.get("int8_failure"), "int8_failure", str, type(None))
            counts = field(told, "params", int), field(told, "macs", int), field(told, "macs_from", str)
        except (OSError, ValueError, RecursionError) as error:
            raise DecodeError(f"{path}: cannot be read ({error})") from error
        return cls(*counts, files, failure)

    def figures(self) -> dict[str, Measurement]:
        """Parameters, multiply-accumulates and bytes."""
        found = {
            "params": Measurement.exact(self.params, "parameters", "counted"),
            "macs": Measurement.exact(self.macs, "MACs", f"counted from {self.macs_from}"),
        }
        for name, prefix in _NAMES:
            if name in self.files:
                found[f"{prefix}size_bytes"] = Measurement.exact(len(self.files[name]), "bytes", f"the file {name}")
        return found

    def latencies(self, reference: bytes | None) -> tuple[dict[str, Measurement], list[str]]:
        """Latency of each file and its ratio to ``reference``; and why one could not be measured.

        The caller sees to it that nothing is being trained.
        """
        found: dict[str, Measurement] = {}
        failures = []
        for name, prefix in _NAMES:
            if name not in self.files:
                continue
            try:
                found |= _figures(measure_latency(self.files[name], reference), prefix)
            except ConversionError as error:
                failures.append(f"{name} cannot be timed: {error}")
        return found, failures


def _figures(latency: Latency, prefix: str) -> dict[str, Measurement]:
    where = "this machine, 1 thread, batch 1, LiteRT with XNNPACK"
    ms = _inside(latency.median_ms, latency.low_ms, latency.high_ms, "ms", latency.runs, where)
    fps = _inside(1000 / ms.value, 1000 / ms.high, 1000 / ms.low, "images/s", latency.runs, "1000 / latency_ms")
    found = {f"{prefix}latency_ms": ms, f"{prefix}fps": fps}
    if latency.ratio is not None and latency.ratio_low is not None and latency.ratio_high is not None:
        ends = latency.ratio, latency.ratio_low, latency.ratio_high
        found[f"{prefix}latency_ratio"] = _inside(*ends, "ratio", latency.runs, f"to the reference's; {where}")
    return found


def _inside(value: float, low: float, high: float, *more: str | int) -> Measurement:
    """The median over all runs may lie outside the range of the blocks' medians by a hair; an interval contains it."""
    unit, runs, how = more
    return Measurement(value, min(low, value), max(high, value), str(unit), int(runs), str(how))
