"""A machine over ssh: the system's own ``ssh`` with its configuration, keys and known hosts."""

from __future__ import annotations

import io
import json
import re
import shlex
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from nas.deploy.latency import Latency
from nas.devices import on_device
from nas.devices.device import DeviceError
from nas.devices.remote import BLOCKS, Answer, ask, from_logs, latencies_of
from nas.errors import InputError

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")  # never an option
_FOLDER: Final = re.compile(r"/[A-Za-z0-9_./-]+")
_TARGET: Final = re.compile(r"(?:(?P<user>[^@:]+)@)?(?P<host>[^@:]+)(?::(?P<port>\d{1,5}))?")
_SSH_FAILED: Final = 255
_NOT_FOUND: Final = 127
_NO_RATIO: Final[Mapping[str, Any]] = {"ratio": None, "ratio_low": None, "ratio_high": None, "beside": ""}
_REMEDIES: Final = (  # what ssh says, and what to do about it
    ("host key verification failed", "its host key is not known or has changed; check it, and log in once by hand"),
    ("remote host identification has changed", "its host key has changed; check why before you remove the old one"),
    ("permission denied", "it does not let this user in; set up a key that needs no password (ssh-copy-id, ssh-agent)"),
    ("could not resolve", "no machine of that name; check the host"),
    ("connection refused", "nothing listens at that port; start sshd there, or give host:port"),
    ("timed out", "it does not answer; check that it is on and can be reached"),
    ("no route to host", "it does not answer; check that it is on and can be reached"),
)


@dataclass(frozen=True)
class SshDevice:
    """See :class:`nas.devices.device.Device`.

    Attributes:
        host, user, port: as ``ssh`` takes them; None leaves them to its configuration.
        python: the Python there; it needs numpy and ai_edge_litert or tflite_runtime.
        benchmark_model: path there of TFLite's own binary, to be used instead of Python.
        identity: file of the private key.
        config: ssh's configuration file, instead of the user's.
        connect_timeout_s: until it must have answered.
        timeout_s: for all that is measured at once.
    """

    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"
    benchmark_model: str | None = None
    identity: str | None = None
    config: str | None = None
    connect_timeout_s: int = 10
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        for what, name in (("host", self.host), ("user", self.user)):
            if name is not None and not _NAME.fullmatch(name):
                raise InputError(f"ssh: {what} {name!r} is no name; write ssh:user@host[:port]")
        if self.port is not None and not 0 < self.port < 65536:
            raise InputError(f"ssh: port {self.port} must lie in 1..65535")

    @classmethod
    def parse(cls, target: str) -> SshDevice:
        """Reads ``[user@]host[:port]``.  Raises InputError on anything else."""
        match = _TARGET.fullmatch(target)
        if match is None:
            raise InputError(f"ssh:{target}: write ssh:user@host[:port]; what else there is goes to a device file")
        port = match["port"]
        return cls(match["host"], match["user"], None if port is None else int(port))

    @property
    def name(self) -> str:
        """As it is written on the command line."""
        user = "" if self.user is None else f"{self.user}@"
        return f"ssh:{user}{self.host}" + ("" if self.port is None else f":{self.port}")

    def fingerprint(self) -> dict[str, Any]:
        """Asks the machine.  Raises DeviceError when it cannot be reached or has no Python."""
        with self._folder({"measure.py": _script()}) as folder:
            code = "import json, sys; sys.path.insert(0, '.'); import measure; "
            code += "print(json.dumps(measure.fingerprint(None)))"
            answer = self._there(f"cd {folder} && {self._python} -c {shlex.quote(code)}")
            self._check(answer)
            return {**_object(_last_line(answer.out), self.name), "reached_by": "ssh"}

    def measure(self, files: Sequence[bytes], reference: bytes | None = None) -> list[Latency]:
        """Copies the files there, times them, and removes what was copied.

        Raises:
            DeviceError: no connection, no Python or LiteRT there, or a file that does not run there.
        """
        if not files:
            return []
        named = {f"{i}.tflite": content for i, content in enumerate(files)}
        sent = {"measure.py": _script(), "reference.tflite": files[0] if reference is None else reference, **named}
        with self._folder(sent) as folder:
            if self.benchmark_model is not None:
                return [self._benchmark(folder, name, reference is not None) for name in named]
            command = f"{self._python} measure.py --json reference.tflite {' '.join(named)}"
            answer = self._there(f"cd {folder} && {command}", timeout_s=self.timeout_s)
            self._check(answer)
            found = latencies_of(_last_line(answer.out), len(files), self.name)[0]
            return found if reference is not None else [replace(each, **_NO_RATIO) for each in found]

    def _benchmark(self, folder: str, name: str, beside: bool) -> Latency:
        """Blocks of ``benchmark_model``, in turn with the reference's."""
        blocks = []
        for _ in range(BLOCKS):
            own = self._benchmark_once(folder, name)
            blocks.append((own, self._benchmark_once(folder, "reference.tflite") if beside else None))
        return from_logs(blocks, f"{self.name}: {name}")

    def _benchmark_once(self, folder: str, name: str) -> str:
        binary = shlex.quote(self.benchmark_model or "")
        answer = self._there(f"{binary} --graph={folder}/{name} --num_threads=1 2>&1", timeout_s=self.timeout_s)
        self._check(answer, binary)
        return answer.out

    @property
    def _python(self) -> str:
        return shlex.quote(self.python)

    @contextmanager
    def _folder(self, files: Mapping[str, bytes]) -> Iterator[str]:
        """A temporary folder there that holds ``files``; removed in the end, whatever happens."""
        answer = self._there("mktemp -d")
        self._check(answer)
        folder = _last_line(answer.out)  # a login script there may have said something before
        if not _FOLDER.fullmatch(folder):
            raise DeviceError(
                f"{self.name}: mktemp -d answered {folder!r:.200}; a plain path is needed: set TMPDIR there"
            )
        try:
            self._check(self._there(f"tar -xf - -C {folder}", _tar(files), self.timeout_s))
            yield folder
        finally:
            with suppress(DeviceError):  # what went wrong before is what the user should hear
                self._there(f"rm -rf {folder}")

    def _there(self, command: str, stdin: bytes = b"", timeout_s: float = 60.0) -> Answer:
        """Runs a command of its shell there."""
        return ask([*self._ssh(), command], self.name, self.connect_timeout_s + timeout_s, stdin)

    def _ssh(self) -> list[str]:
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={self.connect_timeout_s}", "-T"]
        for flag, value in (("-F", self.config), ("-i", self.identity), ("-l", self.user), ("-p", self.port)):
            options += [] if value is None else [flag, str(value)]
        return ["ssh", *options, "--", self.host]

    def _check(self, answer: Answer, program: str | None = None) -> None:
        """Raises DeviceError with what to do, where a command there failed."""
        if answer.code == 0:
            return
        said = answer.last_line
        if answer.code == _SSH_FAILED:
            text = answer.err.lower()
            remedy = next((r for sign, r in _REMEDIES if sign in text), "try the same with ssh by hand")
            raise DeviceError(f"{self.name}: cannot be reached: {remedy} (ssh said: {said:.300})")
        if answer.code == _NOT_FOUND:
            raise DeviceError(
                f"{self.name}: no program {program or self.python!r} there ({said:.300}); install it, or name another "
                "in a device file (python:, benchmark_model:)"
            )
        if answer.code == on_device.NO_RUNTIME:
            raise DeviceError(
                f"{self.name}: {said:.300}; there:  {self.python} -m pip install ai-edge-litert numpy  (or name "
                "another Python in a device file)"
            )
        raise DeviceError(f"{self.name}: a command there failed with exit code {answer.code}: {said:.500}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1].strip()


def _script() -> bytes:
    return Path(on_device.__file__).read_bytes()


def _tar(files: Mapping[str, bytes]) -> bytes:
    """An archive of ``files`` in memory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise DeviceError(f"{what}: its answer is no JSON object ({text!r:.200})")
    return data
