"""Searches on clusters of nodes that share nothing with the driver: real Ray, real TensorFlow, real kills."""

from __future__ import annotations

import fcntl
import http.server
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from unittest.mock import Mock

import pytest
from ray_nodes import Cluster, Node, can_unshare, wait_for

import nas
from nas.api import SearchOptions
from nas.data.dataset import Dataset
from nas.errors import DecodeError, EnvironmentStopError, InputError
from nas.evaluation.job import Job
from nas.execution.cluster import connected
from nas.execution.janitor import Janitor
from nas.execution.janitor_process import _remove_shared
from nas.execution.patience import Patience
from nas.execution.trainable import CandidateTrainable
from nas.indicator import Indicator
from nas.loop import Silent
from nas.run.candidate import Candidate, Outcome, State
from nas.run.front import Front
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.settings import Workers
from nas.space import load_space

FOLDER = Path(__file__).parent
NO_BOUND = Indicator()


class Diary(Silent):
    def __init__(self) -> None:
        self.proposals: Counter[int] = Counter()
        self.outcomes: Counter[int] = Counter()
        self.notes: list[str] = []

    def proposed(self, candidate: Candidate) -> None:
        self.proposals[candidate.trial] += 1

    def finished(self, candidate: Candidate, front: Front) -> None:
        self.outcomes[candidate.trial] += 1

    def noticed(self, message: str) -> None:
        self.notes.append(message)


def options(address: str, **changes: object) -> SearchOptions:
    return SearchOptions(effort=Rung(1, 1), workers=replace(Workers(ray_address=address), **changes))  # type: ignore[arg-type]


def search(address: str, dataset: Dataset, out: Path, **changes: object) -> nas.Run:
    settings: dict[str, object] = {
        "space": "tiny",
        "indicator": NO_BOUND,
        "dataset": dataset,
        "budget": 4,
        "options": options(address),
        "out": out,
    }
    return nas.search(**{**settings, **changes})  # type: ignore[arg-type]


def trained(run: nas.Run) -> list[Candidate]:
    return [c for c in run.candidates if c.state is State.TRAINED]


def host_of(candidate: Candidate) -> str | None:
    return None if candidate.outcome is None else candidate.outcome.worker.get("host")


def count_trained(out: Path) -> int:
    try:
        return sum(c.state is State.TRAINED for c in RunStudy.read(out / "study.journal"))
    except DecodeError:
        return 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if not can_unshare():
        pytest.skip("this machine does not let us make mount namespaces")
    made = Cluster()
    yield made
    made.close()


@pytest.fixture(scope="module")
def far(cluster: Cluster) -> Node:
    """A node with room for two workers, without a view of this repository's tests."""
    return Node(cluster, "far", 2, FOLDER)


class Copies(threading.Thread):
    """Counts the files of data that appear on a node: each is another inode, or the same written again."""

    def __init__(self, node: Node) -> None:
        super().__init__(daemon=True)
        self.node = node
        self.seen: set[tuple[int, int]] = set()
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.wait(0.02):
            for path in self.node.tmp.glob("nas-*/**/*.npz"):
                try:
                    status = path.stat()
                except OSError:
                    continue
                if path.name == "bundle.npz":
                    self.seen.add((status.st_ino, status.st_mtime_ns))


@pytest.mark.slow
def test_workers_far_away_see_nothing_and_return_everything(
    cluster: Cluster, far: Node, tmp_path: Path, dataset: Dataset
) -> None:
    copies = Copies(far)
    run = search(cluster.address, dataset, tmp_path / "run", budget=5)
    copies.over.set()
    assert len(trained(run)) == 5
    assert {host_of(c) for c in trained(run)} == {"far"}
    assert {c.outcome.worker["node"] for c in trained(run) if c.outcome} == {cluster.ids()["far"]}
    for member in run.front.members:
        assert {"weights-fold0.npz", "predictions.npz", "model.tflite"} <= {
            p.name for p in (run.directory.models / member.id).iterdir()
        }
    assert len(copies.seen) == 1
    assert sum(c.outcome.seconds["start"] > 0 for c in trained(run) if c.outcome) == 2  # two evaluators, five jobs
    assert cluster.ids().keys() == {"head", "far"}  # it is not ours: it goes on
    wait_for(lambda: not far.ours and not far.files and not cluster.ours, 30)


class Accident(Diary):
    """One node vanishes while it evaluates; another comes."""

    def __init__(self, cluster: Cluster, victim: Node, hidden: Path) -> None:
        super().__init__()
        self.cluster, self.victim, self.hidden = cluster, victim, hidden
        self.on_victim = 0
        self.done_before: set[int] = set()

    def finished(self, candidate: Candidate, front: Front) -> None:
        super().finished(candidate, front)
        self.on_victim += host_of(candidate) == self.victim.name
        if self.on_victim and not self.done_before and host_of(candidate) != self.victim.name:
            self.done_before = set(self.outcomes)
            self.victim.vanish()
            Node(self.cluster, "spare", 1, self.hidden)


@pytest.mark.slow
def test_a_lost_node_costs_what_it_was_evaluating_and_a_new_one_is_used(tmp_path: Path, dataset: Dataset) -> None:
    if not can_unshare():
        pytest.skip("this machine does not let us make mount namespaces")
    cluster = Cluster()
    try:
        Node(cluster, "stays", 1, FOLDER)
        diary = Accident(cluster, Node(cluster, "goes", 1, FOLDER), FOLDER)
        # So many that some are left when the loss has been noticed and the new node's evaluator has started.
        run = search(cluster.address, dataset, tmp_path / "run", budget=30, listener=diary)
    finally:
        cluster.close()
    assert diary.done_before
    candidates = run.candidates
    assert not [c for c in candidates if c.state in (State.RUNNING, State.FAILED)]
    assert sum(c.charged for c in candidates) == 30
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    lost = {e["trial"] for e in events if e["event"] == "retried"}
    failures = [e["failure"] for e in events if e["event"] == "retried"]
    assert {f["kind"] for f in failures} == {"worker lost"} and "actor" in failures[0]["log"]
    assert len(lost) == 1 and not lost & diary.done_before
    assert {n for n, times in diary.proposals.items() if times > 1} == lost
    assert set(diary.outcomes.values()) == {1}
    assert {host_of(c) for c in trained(run)} == {"stays", "goes", "spare"}


def start(cluster: Cluster, npz: Path, out: Path, tmp: Path, *more: str) -> subprocess.Popen[str]:
    tmp.mkdir()
    command = [sys.executable, "-m", "nas.cli.main", "search", "--space", "tiny", "--data", str(npz), "--out", str(out)]
    command += ["--constraints", "none", "--effort", "1x1", "--workers", "1", "--ray-address", cluster.address, *more]
    environment = os.environ | {"TMPDIR": str(tmp)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_of_two_searches_one_is_killed_and_the_other_goes_on(
    cluster: Cluster, far: Node, tmp_path: Path, npz: Path
) -> None:
    killed = start(cluster, npz, tmp_path / "killed", tmp_path / "t1", "--budget", "500")
    other = start(cluster, npz, tmp_path / "other", tmp_path / "t2", "--budget", "6")
    wait_for(lambda: count_trained(tmp_path / "killed") and count_trained(tmp_path / "other"), 300)
    assert len(list(far.tmp.glob("nas-node-*[0-9]"))) == 2
    assert len(far.living("Trainable")) == 2
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    wait_for(lambda: len(far.living("Trainable")) < 2, 30)
    wait_for(lambda: not list((tmp_path / "t1").glob("nas-[dt]*")), 30)
    _, errors = other.communicate(timeout=300)
    assert other.returncode == 0, errors
    assert count_trained(tmp_path / "other") == 6
    wait_for(lambda: not far.ours and not far.files and not cluster.ours, 30)
    assert not list((tmp_path / "t2").glob("nas-[dt]*"))


@pytest.mark.slow
def test_a_killed_search_leaves_nothing_on_any_node(cluster: Cluster, far: Node, tmp_path: Path, npz: Path) -> None:
    killed = start(cluster, npz, tmp_path / "killed", tmp_path / "t", "--budget", "500", "--workers", "2")
    wait_for(lambda: count_trained(tmp_path / "killed") >= 1 and len(far.living("nas.evaluation.worker")) == 2, 300)
    assert far.files
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    wait_for(lambda: not far.ours and not cluster.ours, 30)
    wait_for(lambda: not far.files and not list((tmp_path / "t").glob("nas-[dt]*")), 30)
    assert cluster.ids().keys() == {"head", "far"}


@pytest.mark.slow
def test_too_large_a_worker_is_refused_before_anything_is_begun(
    cluster: Cluster, far: Node, tmp_path: Path, npz: Path
) -> None:
    asked = start(cluster, npz, tmp_path / "run", tmp_path / "t", "--cpus-per-worker", "3")
    _, errors = asked.communicate(timeout=120)
    assert asked.returncode == 2
    assert "3 CPUs a worker, but no node has more than 2; lower --cpus-per-worker" in errors
    assert "Traceback" not in errors and "nas resume" not in errors
    assert not (tmp_path / "run").exists()


class Impatient(Diary):
    """Frees the cluster as soon as it is told that it is busy."""

    def __init__(self, release: Callable[[], None]) -> None:
        super().__init__()
        self.release = release

    def noticed(self, message: str) -> None:
        super().noticed(message)
        self.release()


@pytest.mark.slow
def test_a_search_that_waits_for_a_busy_cluster_says_so(
    cluster: Cluster, far: Node, tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.execution.driver.PATIENCE_S", 2)
    code = "class Hog: pass\nhog = ray.remote(num_cpus=2)(Hog).remote(); ray.get(hog.__ray_ready__.remote())"
    with cluster.beside(code) as release:
        diary = Impatient(release)
        run = search(cluster.address, dataset, tmp_path / "run", budget=1, listener=diary)
    assert diary.notes == ["no worker for 2 s: 0 of 2 CPUs of the cluster free; waiting"]
    assert len(trained(run)) == 1
    wait_for(lambda: not far.ours and not cluster.ours, 30)


@pytest.mark.slow
def test_another_version_of_ray_is_named(cluster: Cluster, tmp_path: Path, dataset: Dataset) -> None:
    code = """
from ray.experimental.internal_kv import _internal_kv_get as get, _internal_kv_put as put
name = dict(namespace=b"cluster")
before = get(b"CLUSTER_METADATA", **name)
put(b"CLUSTER_METADATA", json.dumps({**json.loads(before), "ray_version": "2.1.0"}).encode(), True, **name)
"""
    changed = cluster.beside(code, 'put(b"CLUSTER_METADATA", before, True, **name)')
    message = r"runs Ray 2\.1\.0, Python 3\S+, this is Ray 2\."
    with changed, pytest.raises(EnvironmentStopError, match=message):
        search(cluster.address, dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("answers", [False, True], ids=["nobody", "somebody else"])
def test_an_address_where_no_cluster_is_fails_soon(tmp_path: Path, answers: bool) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    address = f"127.0.0.1:{server.server_port}"
    if answers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    else:
        server.server_close()
    message = "no node of a Ray cluster at {}" if answers else "no Ray cluster can be reached at {} .Connection refused"
    begin = time.monotonic()
    with pytest.raises(EnvironmentStopError, match=message.format(address)):
        nas.search(options=options(address), out=tmp_path / "run")  # and no data is loaded
    assert time.monotonic() - begin < 10
    assert not (tmp_path / "run").exists()
    server.server_close()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://head:10001", "start it on a node of the cluster, with --ray-address auto or HOST:PORT"),
        ("local", "leave --ray-address out"),
        ("head", "'head' is no address"),
        ("head:", "'head:' is no address"),
        ("head:0", "is no address"),
        ("head:70000", "is no address"),
        ("http://head:8265", "is no address"),
        ("", "'' is no address"),
    ],
)
def test_what_cannot_be_an_address_is_refused(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Workers(ray_address=address)


@pytest.mark.parametrize("address", ["auto", "head:6379", "10.0.0.1:6379", "[fd00::2]:6379", "a-b.example:1"])
def test_addresses(address: str) -> None:
    assert Workers(ray_address=address).ray_address == address


def session_of(pid: int) -> list[str]:
    """Command lines of what belongs to the Ray of a driver."""
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((folder / "cmdline").read_text(errors="replace").replace("\0", " "))
        except OSError:
            continue
    return [line for line in lines if re.search(rf"--\S*session_[-_0-9]+_{pid}\b", line)]


@pytest.mark.slow
@pytest.mark.parametrize("latest", ["gcs_server", "agent.py"])
def test_a_search_killed_while_its_own_ray_starts_leaves_nothing(tmp_path: Path, npz: Path, latest: str) -> None:
    command = [sys.executable, "-m", "nas.cli.main", "search", "--space", "tiny", "--data", str(npz)]
    command += ["--out", str(tmp_path / "run"), "--constraints", "none", "--budget", "50", "--executor", "ray"]
    with tempfile.TemporaryDirectory(prefix="nr", dir="/tmp") as folder:  # short: paths of sockets are limited
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"TMPDIR": folder})
        wait_for(lambda: any(latest in " ".join(line.split()[:3]) for line in session_of(killed.pid)), 60)
        killed.kill()
        killed.wait()
        wait_for(lambda: not session_of(killed.pid) and not list(Path(folder).glob("nas-*")), 30)


def test_a_janitor_kills_no_ray_of_others() -> None:
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
    before = f"session_2020-01-01_00-00-00_000000_{os.getpid()}"  # of a process that once had this number
    names = [before, f"session_{now}_{os.getpid()}1", f"session_2999-01-01_00-00-00_000000_{os.getpid()}"]
    sleeper = "import time; time.sleep(60)"
    rays = [subprocess.Popen([sys.executable, "-c", sleeper, f"--session-dir=/tmp/ray/{n}"]) for n in names]
    reader = subprocess.Popen([sys.executable, "-c", sleeper, f"/tmp/ray/{names[-1]}/logs"])
    janitor = Janitor()
    janitor.watch_ray()
    janitor.clean()
    assert rays[-1].wait(5) == -signal.SIGKILL
    assert [p.poll() for p in (*rays[:-1], reader)] == [None, None, None]
    for process in (*rays[:-1], reader):
        process.kill()
        process.wait()


def test_a_janitor_that_comes_second_leaves_a_new_worker_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, folder = tmp_path / "node.lock", tmp_path / "node"
    lock.touch()
    folder.mkdir()

    def while_it_waits(seconds: float) -> None:
        """The first janitor removes everything and goes; a new worker comes."""
        first.close()
        lock.unlink()
        lock.touch()

    monkeypatch.setattr("nas.execution.janitor_process.time.sleep", while_it_waits)
    with lock.open() as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        _remove_shared([str(folder)], str(lock), math.inf)
    assert folder.exists() and lock.exists()
    _remove_shared([str(folder)], str(lock), math.inf)  # nobody holds this one
    assert not folder.exists() and not lock.exists()


def test_a_janitor_removes_exactly_its_folders_and_once(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a\nb", " c ", "\udcff")]
    spared = [tmp_path / "a", tmp_path / "c"]
    for folder in (*folders, *spared):
        folder.mkdir()
    janitor = Janitor(folders)
    janitor.clean()
    assert not [f for f in folders if f.exists()] and all(f.exists() for f in spared)
    descriptors = [os.dup(0) for _ in range(20)]
    janitor.clean()
    janitor.dismiss()
    for descriptor in descriptors:
        os.close(descriptor)  # fails where it has been closed already


def test_a_janitor_that_cannot_start_leaves_no_descriptor_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError):
        Janitor()
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(EnvironmentStopError, match="Ray cannot be started here"), connected(Workers("ray"), 0):
        pass


def test_an_evaluator_that_cannot_be_started_is_a_failure_of_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(0, "id", load_space("tiny").prototype.graph(), (Rung(1, 1),), 0, reference=True)
    monkeypatch.setattr("nas.execution.trainable.ray.get", lambda _: (json.dumps(job.to_json()), {}))
    worker = CandidateTrainable.__new__(CandidateTrainable)
    worker.config, worker._submitted, worker._where = {"trial": 0}, None, {"host": "full"}
    worker._store = worker._evaluator = Mock()
    worker._evaluator.submit.side_effect = EnvironmentStopError("/tmp: no evaluator can be started")
    outcome = Outcome.from_json(json.loads(worker.step()["outcome"]))
    assert outcome.environmental and outcome.worker == {"host": "full"}
    assert outcome.failure is not None and outcome.failure["reason"] == "/tmp: no evaluator can be started"


def test_patience_ends_once_a_wait() -> None:
    patience = Patience(0.05)
    assert not patience.runs_out()
    time.sleep(0.06)
    assert [patience.runs_out(), patience.runs_out()] == [True, False]
    patience.started("a")
    time.sleep(0.06)
    assert not patience.runs_out()
    patience.ended("a")
    assert not patience.runs_out()
    time.sleep(0.06)
    assert patience.runs_out()
