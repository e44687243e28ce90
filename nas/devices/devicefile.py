"""Devices as a user names them: in words, or in a YAML file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from nas.devices.adb import AdbDevice
from nas.devices.device import Device
from nas.devices.here import THIS_MACHINE, ThisMachine
from nas.devices.ssh import SshDevice
from nas.errors import InputError
from nas.yamlfile import StrictModel, parse_yaml, read_yaml

FORMS: Final = "this-machine, ssh:[user@]host[:port], adb[:SERIAL], or a YAML file that describes a device"
Text = Annotated[str, Field(min_length=1, max_length=4096)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ThisMachineSpec(StrictModel):
    """The machine itself."""

    kind: Literal["this-machine"]

    def device(self) -> Device:
        """What the file describes."""
        return ThisMachine()


class SshSpec(StrictModel):
    """A machine over ssh; see :class:`nas.devices.ssh.SshDevice`."""

    kind: Literal["ssh"]
    host: Text
    user: Text | None = None
    port: Annotated[int, Field(gt=0, lt=65536)] | None = None
    python: Text = "python3"
    benchmark_model: Text | None = None
    identity: Text | None = None
    config: Text | None = None
    connect_timeout_s: Annotated[int, Field(gt=0, le=600)] = 10
    timeout_s: Seconds = 600.0

    def device(self) -> Device:
        """What the file describes."""
        return SshDevice(**self.model_dump(exclude={"kind"}))


class AdbSpec(StrictModel):
    """An Android phone; see :class:`nas.devices.adb.AdbDevice`."""

    kind: Literal["adb"]
    benchmark_model: Text
    serial: Text | None = None
    adb: Text = "adb"
    cpu_mask: Text | None = None
    timeout_s: Seconds = 300.0

    def device(self) -> Device:
        """What the file describes."""
        return AdbDevice(**self.model_dump(exclude={"kind"}))


_KINDS: Final[Mapping[str, type[ThisMachineSpec | SshSpec | AdbSpec]]] = {
    THIS_MACHINE: ThisMachineSpec,
    "ssh": SshSpec,
    "adb": AdbSpec,
}


def open_device(text: str, benchmark_model: str | None = None) -> Device:
    """The device of that name, or that a YAML file describes; it is not asked anything yet.

    Args:
        text: see :data:`FORMS`.
        benchmark_model: TFLite's binary; of a phone on this machine, of a machine over ssh on that one.

    Raises:
        InputError: no such form, or a faulty file.
    """
    device = _open(text)
    if benchmark_model is None:
        return device
    if isinstance(device, SshDevice | AdbDevice):
        return replace(device, benchmark_model=benchmark_model)
    raise InputError(f"{text}: --benchmark-model goes with ssh and adb only; this machine is measured with LiteRT")


def _open(text: str) -> Device:
    if text == THIS_MACHINE:
        return ThisMachine()
    match = re.fullmatch(r"(ssh|adb)(?::(.*))?", text, re.DOTALL)
    if match is None:
        return _read(text)
    kind, rest = match.groups()
    makers: Mapping[str, Callable[[Any], Device]] = {
        "ssh": SshDevice.parse,
        "adb": lambda serial: AdbDevice(serial=serial),
    }
    if rest == "" or (kind == "ssh" and rest is None):
        raise InputError(f"{text!r}: which one? A device is {FORMS}")
    return makers[kind](rest)


def _read(text: str) -> Device:
    if not os.path.isfile(text):  # Path.is_file() raises for what can be no path
        raise InputError(f"{text!r}: no such device, and no such file; a device is {FORMS}")
    path = Path(text)
    kind = read_yaml(path)[0].get("kind")
    spec = _KINDS.get(kind) if isinstance(kind, str) else None
    if spec is None:
        raise InputError(f"{path}: kind: {kind!r:.80} is not known; use one of {', '.join(_KINDS)}")
    try:
        return parse_yaml(path, spec).device()
    except InputError as error:
        if str(error).startswith(str(path)):
            raise
        raise InputError(f"{path}: {error}") from error
