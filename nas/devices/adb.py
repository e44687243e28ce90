"""An Android phone through ``adb`` and TFLite's own ``benchmark_model``."""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nas.deploy.latency import Latency
from nas.devices.device import DeviceError
from nas.devices.remote import BLOCKS, Answer, ask, from_logs
from nas.errors import EnvironmentStopError, InputError

FOLDER: Final = "/data/local/tmp"  # where a phone lets files be run
WARM_UP: Final = 5
RUNS: Final = 50
_SERIAL: Final = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.:-]{0,127}")  # never an option; a network phone's is host:port
_PROPERTIES: Final = {
    "model": "ro.product.model",
    "processor": "ro.board.platform",
    "abi": "ro.product.cpu.abi",
    "android": "ro.build.version.release",
}
_REMEDIES: Final = (  # what adb says, and what to do about it
    ("unauthorized", "unlock the phone and allow USB debugging for this computer"),
    ("no devices", "connect a phone, and switch on USB debugging in its developer options"),
    ("more than one", "say which, as adb:SERIAL (adb devices lists them)"),
    ("offline", "it does not answer; connect it again"),
    ("not found", "no phone of that serial is connected (adb devices lists them)"),
)


@dataclass(frozen=True)
class AdbDevice:
    """See :class:`nas.devices.device.Device`.

    Attributes:
        benchmark_model: TFLite's binary for the phone, on this machine; None knows the phone, but measures nothing.
        serial: of the phone; None where only one is connected.
        adb: the program.
        cpu_mask: hexadecimal, for ``taskset`` there: which cores it may run on; None leaves it to the phone.
        timeout_s: for one call.
    """

    benchmark_model: str | None = None
    serial: str | None = None
    adb: str = "adb"
    cpu_mask: str | None = None
    timeout_s: float = 300.0

    def __post_init__(self) -> None:
        if self.serial is not None and not _SERIAL.fullmatch(self.serial):
            raise InputError(f"adb: serial {self.serial!r:.80} is none; adb devices lists them")
        if self.cpu_mask is not None and not re.fullmatch(r"[0-9a-fA-F]{1,16}", self.cpu_mask):
            raise InputError(f"adb: cpu_mask {self.cpu_mask!r:.80} must be hexadecimal, such as f0")

    @property
    def name(self) -> str:
        """As it is written on the command line."""
        return "adb" if self.serial is None else f"adb:{self.serial}"

    def fingerprint(self) -> dict[str, Any]:
        """Model, processor, instruction set and Android's version.  Raises DeviceError when it cannot be reached."""
        self._reach()
        found = {key: self._shell(f"getprop {name}").strip() for key, name in _PROPERTIES.items()}
        return {**{key: value for key, value in found.items() if value}, "system": "android", "reached_by": "adb"}

    def measure(self, files: Sequence[bytes], reference: bytes | None = None) -> list[Latency]:
        """Copies binary and files to the phone, times them, and removes what was copied.

        The binary prints medians in its newer versions, and means only in its older ones: then those are taken.

        Raises:
            DeviceError: no adb, no phone, no binary, or a file that does not run there.
        """
        binary = Path(self.benchmark_model or "")
        if self.benchmark_model is None or not binary.is_file():
            raise DeviceError(
                f"{self.name}: TFLite's benchmark_model for the phone is needed, and {self.benchmark_model or 'none'} "
                "is no such file; build or download it for the phone's instruction set, and give --benchmark-model FILE"
            )
        self._reach()
        named = {f"{i}.tflite": content for i, content in enumerate(files)}
        beside = {} if reference is None else {"reference.tflite": reference}
        with self._folder(binary, {**named, **beside}) as folder:
            return [self._blocks(folder, name, bool(beside)) for name in named]

    def _blocks(self, folder: str, name: str, beside: bool) -> Latency:
        blocks = []
        for _ in range(BLOCKS):
            own = self._benchmark(folder, name)
            blocks.append((own, self._benchmark(folder, "reference.tflite") if beside else None))
        return from_logs(blocks, f"{self.name}: {name}")

    def _benchmark(self, folder: str, name: str) -> str:
        pinned = "" if self.cpu_mask is None else f"taskset {self.cpu_mask} "
        flags = f"--graph={folder}/{name} --num_threads=1 --warmup_runs={WARM_UP} --num_runs={RUNS} --use_xnnpack=true"
        return self._shell(f"{pinned}{folder}/benchmark_model {flags} 2>&1")

    def _reach(self) -> None:
        state = self._adb("get-state").out.strip()
        if state != "device":
            raise DeviceError(f"{self.name}: its state is {state!r:.80}, not 'device'; unlock it, or connect it again")

    @contextmanager
    def _folder(self, binary: Path, files: Mapping[str, bytes]) -> Iterator[str]:
        """A folder of the phone that holds binary and files; removed in the end, whatever happens."""
        folder = f"{FOLDER}/nas-{uuid.uuid4().hex[:12]}"
        self._shell(f"mkdir {folder}")
        try:
            self._adb("push", str(binary.resolve()), f"{folder}/benchmark_model")
            self._shell(f"chmod 755 {folder}/benchmark_model")
            for name, content in files.items():
                with _on_disk(content) as here:
                    self._adb("push", here, f"{folder}/{name}")
            yield folder
        finally:
            with suppress(DeviceError):  # what went wrong before is what the user should hear
                self._shell(f"rm -rf {folder}")

    def _shell(self, command: str) -> str:
        return self._adb("shell", command).out

    def _adb(self, *arguments: str) -> Answer:
        """Runs adb.  Raises DeviceError with what to do, where it fails."""
        which = [] if self.serial is None else ["-s", self.serial]
        answer = ask([self.adb, *which, *arguments], self.name, self.timeout_s)
        if answer.code == 0:
            return answer
        text = (answer.err + answer.out).lower() if arguments[0] != "shell" or answer.err else ""
        remedy = next((r for sign, r in _REMEDIES if sign in text), None)
        if remedy is not None:
            raise DeviceError(f"{self.name}: cannot be reached: {remedy} (adb said: {answer.last_line:.300})")
        raise DeviceError(
            f"{self.name}: adb {arguments[0]} failed with exit code {answer.code}: {answer.last_line:.500}"
        )


@contextmanager
def _on_disk(content: bytes) -> Iterator[str]:
    """A temporary file of this machine.  Raises EnvironmentStopError where there is no room for it."""
    try:
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            yield file.name
    except OSError as error:
        folder = tempfile.gettempdir()
        raise EnvironmentStopError(f"{folder}: cannot hold a network ({error.strerror}); make room") from error


def connected_phones() -> tuple[dict[str, str], str | None]:
    """State of every phone that adb sees, by serial; and why there are none, where there are none."""
    try:
        answer = ask(["adb", "devices"], "adb", 30.0)
    except DeviceError as error:
        return {}, str(error).removeprefix("adb: ")
    rows = [line.split("\t") for line in answer.out.splitlines()[1:] if "\t" in line]
    phones = {row[0].strip(): row[1].strip() for row in rows}
    return phones, None if phones else "no phone is connected"
