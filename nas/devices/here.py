"""The machine that this process runs on."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from nas.deploy.latency import Latency, measure_latency
from nas.devices.device import REFERENCE, DeviceError
from nas.networks.tflite import ConversionError
from nas.run.provenance import machine

THIS_MACHINE: Final = "this-machine"


class ThisMachine:
    """See :class:`nas.devices.device.Device`."""

    name = THIS_MACHINE

    def fingerprint(self) -> dict[str, Any]:
        """Processor, cores, system and the version of LiteRT."""
        return {**machine(), "runtime": f"ai-edge-litert {version('ai-edge-litert')}"}

    def measure(self, files: Sequence[bytes], reference: bytes | None = None) -> list[Latency]:
        """Times each file in this process.  Raises DeviceError for one that LiteRT cannot run."""
        try:
            return [measure_latency(content, reference, beside=REFERENCE) for content in files]
        except ConversionError as error:
            raise DeviceError(f"{self.name}: {error}; give TFLite files") from error
