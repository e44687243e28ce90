"""An ssh server of the tests' own, on loopback, with keys that are thrown away."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
SetEnv TMPDIR={there}
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class Server:
    """Where it listens, and what is needed to get in.

    Attributes:
        there: the folder that it keeps temporary files in.
    """

    port: int
    folder: Path
    there: Path

    def fields(self, **changes: object) -> dict[str, object]:
        """What a device says of it."""
        known: dict[str, object] = {"host": "127.0.0.1", "user": getpass.getuser(), "port": self.port}
        known |= {"identity": str(self.folder / "user_key"), "config": str(self.folder / "ssh_config")}
        return known | {"connect_timeout_s": 5} | changes


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A running server; skips the test where OpenSSH is not installed."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if sshd is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("OpenSSH's sshd, ssh and ssh-keygen are not all installed")
    there = folder / "there"
    there.mkdir()
    server = Server(free_port(), folder, there)
    for key in ("host_key", "user_key", "other_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    host = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {host[0]} {host[1]}\n")
    (folder / "ssh_config").write_text(
        f"UserKnownHostsFile {folder}/known_hosts\nStrictHostKeyChecking yes\nIdentitiesOnly yes\nIdentityAgent none\n"
    )
    (folder / "sshd_config").write_text(_CONFIG.format(port=server.port, folder=folder, there=there))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(parents=True, exist_ok=True)  # sshd changes into it before it knows the user
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "sshd_config"], stdout=log, stderr=log)
    try:
        _await(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _await(server: Server, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", server.port)) == 0:
                return
        assert process.poll() is None, (server.folder / "sshd.log").read_text()
        time.sleep(0.1)
    raise AssertionError("sshd does not listen")
