"""What a machine that networks run on can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from nas.deploy.latency import Latency
from nas.errors import InputError

REFERENCE: Final = "reference"  # what a latency is beside, where the user gave a file for that


class DeviceError(InputError):
    """A device that cannot be reached, or that lacks what measuring takes."""


class Device(Protocol):
    """A machine that times TFLite files: one thread, batch 1."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    def fingerprint(self) -> dict[str, Any]:
        """What its figures depend on: processor, cores, system, runtime; no serial number, no user.

        Raises:
            DeviceError: it cannot be reached.
        """

    def measure(self, files: Sequence[bytes], reference: bytes | None = None) -> list[Latency]:
        """The latency of each of ``files``, in order.

        Args:
            files: TFLite files.
            reference: of another network, timed in turn with each of them: quotients to it repeat better than
                milliseconds.

        Raises:
            DeviceError: it cannot be reached, or a file does not run there.
        """
