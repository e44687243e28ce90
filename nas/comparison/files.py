"""What is known of a network's converted files, and their latencies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nas.decoding import field, of_kind
from nas.deploy.converted import FLOAT, INT8
from nas.deploy.latency import THOROUGH, measure_latency
from nas.errors import DecodeError
from nas.evaluation.evaluate import both, latency_measurements
from nas.indicator import LATENCY_RATIO
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
                found |= _figures(self.files[name], reference, prefix)
            except ConversionError as error:
                failures.append(f"{name} cannot be timed: {error}")
        return found, failures


def _figures(content: bytes, reference: bytes | None, prefix: str) -> dict[str, Measurement]:
    """Timed once, or twice where the first time is in doubt; what both leave in doubt has an interval around both."""
    found = latency_measurements(measure_latency(content, reference), alone=True)
    if any(m.doubt is not None for m in found.values()):
        second = latency_measurements(measure_latency(content, reference, THOROUGH), alone=True)
        found = {name: m if m.doubt is None else both(found[name], m) for name, m in second.items()}
    if reference is None:
        del found[LATENCY_RATIO]  # it is to another network than the other rows'
    ms = found["latency_ms"]
    ends = 1000 / ms.value, 1000 / ms.high, 1000 / ms.low
    found["fps"] = Measurement(*ends, "images/s", ms.n, "1000 / latency_ms")
    return {f"{prefix}{name}": m for name, m in found.items()}
