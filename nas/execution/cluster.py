"""The connection to Ray: one of our own on this machine, or a cluster that somebody else runs."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import math
import os
import platform
import re
import warnings
from collections.abc import Iterator
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.errors import EnvironmentStopError, InputError
from nas.execution.interrupt import Interrupt
from nas.execution.janitor import Janitor
from nas.execution.raylet import no_cluster, reach
from nas.settings import Workers
from nas.silence import without_stderr

_MB: Final = 1_000_000
_PROBE_S: Final = 60.0
# Where something that is no Ray answers at a cluster's address, Ray would try for minutes.
_IMPATIENT: Final = {
    "RAY_gcs_rpc_server_connect_timeout_s": "2",
    "RAY_py_gcs_connect_timeout_s": "8",
    "RAY_gcs_server_port_wait_time_s": "1",  # tries, in truth
}
_MUST_AGREE: Final = ("nanosynth", "tensorflow", "tf-keras")


@contextlib.contextmanager
def connected(pool: Workers, data_bytes: int) -> Iterator[None]:
    """Ray, checked for what ``pool`` asks; nothing of ours is left afterwards, and a cluster goes on without us.

    Raises:
        InputError: no node could ever hold a worker.
        EnvironmentStopError: Ray cannot be started or reached, or its nodes lack what workers need.
        KeyboardInterrupt: the user did not want to wait.
    """
    for name in ("ray", "ray.tune", "ray.air", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is recorded with its candidate
    warnings.filterwarnings("ignore", module="ray")
    with contextlib.ExitStack() as stack:
        if pool.ray_address is None:
            stack.callback(_watched().dismiss)
        else:
            stack.enter_context(_adapted(reach(pool.ray_address)))
        with Interrupt() as interrupt:
            _init(pool, data_bytes)
        stack.callback(ray.shutdown)
        if interrupt.requested:
            raise KeyboardInterrupt
        _check_resources(pool)
        if pool.ray_address is not None:
            _check_software(pool)
        yield


def _watched() -> Janitor:
    """A janitor for the Ray that we are about to start."""
    try:
        janitor = Janitor()
    except OSError as error:
        raise _no_ray(None, str(error)) from error
    janitor.watch_ray()
    return janitor


def _init(pool: Workers, data_bytes: int) -> None:
    if pool.ray_address is None:
        cpus = max(len(os.sched_getaffinity(0)), math.ceil(pool.workers * pool.cpus))
        memory = max(200 * _MB, 4 * data_bytes)
        options = {"address": "local", "num_cpus": cpus, "include_dashboard": False, "object_store_memory": memory}
        quiet: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    else:
        options, quiet = {"address": pool.ray_address}, without_stderr()
    try:
        with quiet:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise _no_ray(pool.ray_address, str(error)) from error


@contextlib.contextmanager
def _adapted(authentication: str | None) -> Iterator[None]:
    """While entered, Ray gives up soon, and shows its token exactly where the cluster asks for one.

    ``ray start`` asks for a token as soon as the user has one, which a Ray of one machine makes unasked; a driver does
    not show it unless it is told to, and is refused, or shows it and is not understood.
    """
    settings = _IMPATIENT | ({} if authentication is None else {"RAY_AUTH_MODE": authentication})
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    ray._raylet.Config.initialize("")  # reads them again
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        ray._raylet.Config.initialize("")


def _no_ray(address: str | None, reason: str) -> EnvironmentStopError:
    if address is None:
        return EnvironmentStopError(f"Ray cannot be started here ({short(reason)}); --executor local does without it")
    if "Version mismatch" in reason:
        theirs, _, _ = reason.partition("This process")
        found = ", ".join(re.findall(r"(?:Ray|Python): \S+", theirs))
        ours = f"Ray {ray.__version__}, Python {platform.python_version()}"
        return EnvironmentStopError(
            f"the cluster at {address} runs {found.replace(':', '')}, this is {ours}; make them the same on both sides"
        )
    return no_cluster(address, short(reason))


def short(text: str) -> str:
    """What Ray says at length, on one line."""
    return " ".join(text.split())[:300]


def _check_resources(pool: Workers) -> None:
    """Raises InputError where no node could ever hold one worker: Ray would wait for it for ever."""
    for name, wanted, option in (("GPU", pool.gpus, "--gpus-per-worker"), ("CPU", pool.cpus, "--cpus-per-worker")):
        largest = max((node["Resources"].get(name, 0.0) for node in _alive()), default=0.0)
        if wanted > largest:
            raise InputError(f"{wanted:g} {name}s a worker, but no node has more than {largest:g}; lower {option}")
    if not any(_holds(node, pool) for node in _alive()):
        raise InputError(
            f"no node has {pool.cpus:g} CPUs and {pool.gpus:g} GPUs; lower --cpus-per-worker or --gpus-per-worker"
        )


def _holds(node: dict[str, Any], pool: Workers) -> bool:
    return bool(node["Resources"].get("CPU", 0) >= pool.cpus and node["Resources"].get("GPU", 0) >= pool.gpus)


def _check_software(pool: Workers) -> None:
    """Asks every node that can hold a worker what is installed there."""
    here = _installed()
    asked = {}
    for node in _alive():
        if _holds(node, pool):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(_installed).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            asked[f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"] = task.remote()
    for name, answer in asked.items():
        try:
            found = ray.get(answer, timeout=_PROBE_S)
        except ray.exceptions.RayError as error:
            needed = ", ".join(f"{package} {version}" for package, version in here.items())
            raise EnvironmentStopError(
                f"node {name} cannot run our workers ({_cause(error)}); install there: {needed}"
            ) from error
        for package, version in here.items():
            if found[package] != version:
                raise EnvironmentStopError(
                    f"node {name} has {package} {found[package]}, this is {version}; install the same on both"
                )


def _cause(error: Exception) -> str:
    """The last line of what Ray says, which is the exception of the other side."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _installed() -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in _MUST_AGREE}


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]
