"""Ray nodes for tests, each as alone as on a machine of its own: other processes, host name, /tmp, HOME and folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nas

RAY = str(Path(sys.executable).with_name("ray"))
PORTS = ["--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats", "--block"]
PORTS += ["--object-store-memory=200000000"]
OPEN = {"RAY_AUTH_MODE": "disabled"}  # a token in our HOME would otherwise decide
OURS = ("nas.evaluation.worker", "janitor_process.py", "Trainable", "ray::Store")

NODE = """
mount --bind "$NODE/empty" "$HIDDEN"
for needed in $PROGRAMS; do
  mkdir -p "$NODE$needed"
  mount --rbind "$needed" "$NODE$needed"
done
mount --rbind "$NODE/tmp" /tmp
hostname "$NAME"
cd /tmp/here
exec env HOME=/tmp/home TMPDIR=/tmp "$@"
"""


def programs() -> list[str]:
    """Where Python and the project are installed, as far as that is inside /tmp, which nodes have of their own."""
    places = {sys.prefix, sys.base_prefix, str(Path(nas.__file__).resolve().parents[1])}
    return sorted(p for p in places if Path(p).is_relative_to("/tmp"))


def unshare(*command: str) -> list[str]:
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    return ["unshare", *user, "--uts", *command]


def can_unshare() -> bool:
    return subprocess.run(unshare("--mount", "mount", "--bind", "/tmp", "/mnt"), capture_output=True).returncode == 0


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.1)


class Machine:
    """Processes that have a host name of their own, by which all of them are found."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, env=os.environ | OPEN | environment, stdout=file, stderr=file)
        self._space = "none yet"
        wait_for(self._has_begun, 10)
        self._space = self._uts()

    def _uts(self) -> str:
        return os.readlink(f"/proc/{self.process.pid}/ns/uts")

    def _has_begun(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self._uts() != os.readlink("/proc/self/ns/uts")

    @property
    def up(self) -> bool:
        """Whether Ray has started there.  Fails when it could not be."""
        assert self.process.poll() is None, self.log.read_text()
        return "Ray runtime started" in self.log.read_text()

    def living(self, *words: str) -> dict[int, str]:
        """Processes with one of the words in their command line."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if os.readlink(folder / "ns/uts") == self._space and any(word in line for word in words):
                    found[int(folder.name)] = line
            except OSError:
                continue
        return found

    @property
    def ours(self) -> dict[int, str]:
        """Our processes there."""
        return self.living(*OURS)

    def vanish(self) -> None:
        """The machine is switched off."""
        for pid in self.living(""):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_for(lambda: not self.living(""), 30)


class Node(Machine):
    """A node that sees neither our temporary files nor ``hidden``."""

    def __init__(self, cluster: Cluster, name: str, cpus: int, hidden: Path) -> None:
        folder = cluster.folder / name
        for part in ("tmp/home", "tmp/here", "empty"):
            (folder / part).mkdir(parents=True)
        self.name, self.tmp = name, folder / "tmp"
        cluster.nodes.append(self)
        command = [RAY, "start", f"--address={cluster.address}", f"--num-cpus={cpus}", *PORTS]
        command += [f"--node-ip-address=127.0.0.{len(cluster.nodes) + 1}"]
        environment = {"NODE": str(folder), "NAME": name, "HIDDEN": str(hidden), "RAY_worker_niceness": "0"}
        environment |= {"PROGRAMS": " ".join(programs())}
        spaces = ["--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc"]
        super().__init__(unshare(*spaces, "bash", "-euc", NODE, "node", *command), environment, folder / "log.txt")
        wait_for(lambda: self.up and name in cluster.ids(), 90)

    @property
    def files(self) -> list[str]:
        """Our files there; empty files that are locks on cores stay."""
        session = [str(p) for p in self.tmp.glob("ray/*/artifacts/*")]
        return [str(p) for p in self.tmp.glob("nas-*") if not p.name.startswith("nas-cores")] + session


class Cluster(Machine):
    """A head that holds no worker, where the driver runs; nodes are added to it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nr", dir="/tmp"))  # short: paths of sockets are limited
        self.nodes: list[Node] = []
        with socket.socket() as free:
            free.bind(("", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        command = [RAY, "start", "--head", f"--port={self.address.split(':')[1]}", "--num-cpus=0", *PORTS]
        command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", f"--temp-dir={self.folder}/h"]
        script = 'hostname head; exec "$@"'
        super().__init__(unshare("bash", "-euc", script, "head", *command), {}, self.folder / "head.txt")
        wait_for(lambda: self.up and self.ids(), 90)

    def ids(self) -> dict[str, str]:
        """Node ids of living nodes by host name."""
        return dict(
            self.ask("answer = {n['NodeManagerHostname']: n['NodeID'] for n in ray.nodes() if n['Alive']}") or {}
        )

    def ask(self, code: str) -> Any:
        """What ``code`` calls ``answer``, in a driver of its own; None while there is no cluster."""
        command = self._driver(f"{code}\nprint('\\nanswer:' + json.dumps(answer))")
        result = subprocess.run(command, capture_output=True, text=True, env=os.environ | OPEN, cwd="/", timeout=100)
        return json.loads(result.stdout.rpartition("answer:")[2]) if result.returncode == 0 else None

    @contextlib.contextmanager
    def beside(self, code: str, end: str = "") -> Iterator[Callable[[], None]]:
        """Another driver, which has run ``code``; it runs ``end`` and ends when told so, or afterwards."""
        command = self._driver(f"{code}\nprint('\\nready', flush=True)\ninput()\n{end}")
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | OPEN, cwd="/") as driver:
            assert driver.stdout is not None
            assert "ready\n" in iter(driver.stdout.readline, "")
            yield lambda: driver.communicate("\n") and None
            if driver.poll() is None:
                driver.communicate("\n")

    def _driver(self, code: str) -> list[str]:
        start = f"import json, ray\nray.init({self.address!r}, logging_level=50, log_to_driver=False)\n"
        return [sys.executable, "-c", start + code]

    def close(self) -> None:
        for machine in (*self.nodes, self):
            machine.vanish()
        shutil.rmtree(self.folder, ignore_errors=True)
