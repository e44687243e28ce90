"""The Ray nodes that run on this machine: a driver talks to its cluster through one of them.

Nothing here imports Ray, so that a wrong address is told in no time.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nas.errors import EnvironmentStopError

_REACH_S: Final = 5.0


@dataclass(frozen=True)
class Raylet:
    """A node's process.

    Attributes:
        cluster: host and port of its cluster.
        authentication: the mode that its cluster was started with; None where that cannot be read.
    """

    cluster: str
    authentication: str | None


def reach(address: str) -> str | None:
    """Finds out within seconds what Ray itself takes minutes to say; the cluster's mode of authentication.

    Raises:
        EnvironmentStopError: nobody answers there, or this machine is no node of that cluster.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
        except OSError as error:
            raise no_cluster(address, error.strerror or str(error)) from error
    here = raylets(address)
    if not here:
        raise EnvironmentStopError(
            f"this machine is no node of a Ray cluster at {address}; check --ray-address, or join it with "
            "`ray start --address=HOST:PORT` (--num-cpus=0 keeps workers away)"
        )
    return here[0].authentication


def no_cluster(address: str, reason: str) -> EnvironmentStopError:
    """The error of an address where no cluster answers."""
    return EnvironmentStopError(
        f"no Ray cluster can be reached at {address} ({reason}); check --ray-address with `ray status`, or leave it "
        "out to use this machine alone"
    )


def raylets(address: str) -> list[Raylet]:
    """Those of the cluster at ``address``; of any cluster where that is ``auto``."""
    found = [_read(process) for process in Path("/proc").glob("[0-9]*")]
    port = address.rpartition(":")[2]
    return [r for r in found if r is not None and (address == "auto" or r.cluster.rpartition(":")[2] == port)]


def _read(process: Path) -> Raylet | None:
    try:
        command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    if not command[0].endswith("/raylet"):
        return None
    cluster = next((word.partition("=")[2] for word in command if word.startswith("--gcs-address=")), "")
    try:
        variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return Raylet(cluster, None)
    mode = next((v.partition("=")[2] for v in variables if v.startswith("RAY_AUTH_MODE=")), "disabled")
    return Raylet(cluster, mode)
