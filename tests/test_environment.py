"""Disks that are full or read-only, other users, odd paths, moved data, wrong clocks: one message, and nothing lost."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import fill
from fabricated import Fabrication, begin, nas_
from typer.testing import Result

import nas
from nas.data.dataset import Dataset
from nas.errors import EnvironmentStopError, InputError
from nas.evaluation.cores import CoreLease
from nas.run.atomic import write_together
from nas.run.candidate import Candidate, State
from nas.run.directory import RunDirectory
from nas.run.lock import locked
from nas.run.study import RunStudy

PROGRAM = [sys.executable, "-m", "nas.cli.main"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="takes root")


@pytest.fixture
def run(made_up: Fabrication, tmp_path: Path, npz: Path) -> Path:
    """A finished run of four candidates."""
    assert begin(tmp_path / "run", npz, budget=4).exit_code == 0
    return tmp_path / "run"


def recorded(run: Path) -> dict[int, Candidate]:
    return {c.trial: c for c in RunStudy.read(run / "study.journal") if c.outcome is not None}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def one_message(result: Result | subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """A single error with a remedy, and no traceback."""
    errors = result.stderr
    found = result.exit_code if isinstance(result, Result) else result.returncode
    assert found == code, errors
    assert errors.count("error:") == 1, errors
    assert "Traceback" not in errors
    assert not [word for word in words if word not in errors], errors


def intact(run: Path, before: dict[int, Candidate] | None = None) -> None:
    """Everything recorded can be read, and the front is one."""
    assert (before or {}).items() <= recorded(run).items()
    if (run / "front.json").exists():
        assert json.loads((run / "front.json").read_text())["members"]
    assert not list(run.rglob(".*.tmp"))


def finish(run: Path, before: dict[int, Candidate], budget: int) -> None:
    """Once all is well again the run ends with its budget, and nothing that was finished is evaluated again."""
    result = nas_("resume", run)
    assert result.exit_code == 0, result.stderr
    intact(run, before)
    after = RunStudy.read(run / "study.journal")
    assert sum(c.charged for c in after) == budget
    assert all(c.state is not State.RUNNING for c in after)


# ---- full disks


@pytest.mark.parametrize("file_bytes", [90_000, 250_000])
def test_a_disk_that_fills_up(small_disk: Path, npz: Path, made_up: Fabrication, file_bytes: int) -> None:
    run = small_disk / "run"
    made_up.file_bytes = file_bytes
    result = begin(run, npz, budget=30)
    one_message(result, 4, "No space left", "make room", f"nas resume {run}")
    before = recorded(run)
    assert before
    intact(run, before)
    again = nas_("resume", run)
    one_message(again, 4, "No space left", "make room")
    intact(run, before)
    made_up.file_bytes = 10
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    finish(run, recorded(run), 30)


@pytest.mark.parametrize("room", [0, 1, 2, 3, 5, 8, 13])
def test_a_disk_that_has_little_room_left(small_disk: Path, npz: Path, made_up: Fabrication, room: int) -> None:
    """The disk is full at another file each time: settings, events, journal, models, front."""
    run = small_disk / "run"

    def nearly_full(number: int) -> None:
        if number == 4:
            filler = fill(small_disk)
            os.truncate(filler, filler.stat().st_size - room * 4096)

    made_up.before = lambda job: nearly_full(job.trial)
    made_up.file_bytes = 3000
    one_message(begin(run, npz, budget=40), 4, "No space left", "make room", f"nas resume {run}")
    before = recorded(run)
    assert len(before) >= 4
    intact(run, before)
    made_up.before = lambda job: None
    one_message(nas_("resume", run), 4, "No space left", "make room")
    intact(run, before)
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    finish(run, recorded(run), 40)


def test_a_torn_line_is_not_cut_where_its_bytes_cannot_be_kept(
    small_disk: Path, npz: Path, made_up: Fabrication
) -> None:
    run = small_disk / "run"
    begin(run, npz, budget=4)
    journal = run / "study.journal"
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    torn, before = journal.read_bytes(), recorded(run)
    filler = fill(small_disk)
    one_message(nas_("resume", run, "--budget", "+2"), 4, "No space left", "make room")
    assert journal.read_bytes() == torn
    filler.unlink()
    result = nas_("resume", run, "--budget", "+2")
    assert result.exit_code == 0
    assert "torn" in result.stdout
    assert [p.read_bytes() for p in run.glob("*.torn-*")] == [b'{"op_code": 4, "worker']
    intact(run, before)


def test_files_that_are_interrupted_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.run.atomic.os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_together({tmp_path / "new" / "a": b"1", tmp_path / "new" / "b": b"2"})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EnvironmentStopError, match="no regular file"):
        write_together({tmp_path / "a": b"1", tmp_path / "pipe": b"2"})
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"] and (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_a_full_standard_output_is_one_line(run: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "nas.cli.main", "front", str(run), "--json"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 4 and result.stderr.count("\n") == 1 and "no space left" in result.stderr


def test_files_may_not_grow_further(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    run = tmp_path / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        one_message(begin(run, npz, budget=40), 4, "File too large", f"nas resume {run}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    before = recorded(run)
    assert before
    intact(run, before)
    finish(run, before, 40)


def test_no_room_for_temporary_files(
    small_disk: Path, tmp_path: Path, npz: Path, made_up: Fabrication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    filler = fill(small_disk)
    one_message(begin(tmp_path / "run", npz), 4, "No space left", "TMPDIR", str(small_disk))
    filler.unlink()
    assert not list(small_disk.iterdir())
    finish(tmp_path / "run", {}, 8)
    assert not list(small_disk.iterdir())


# ---- what cannot be written


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def test_a_read_only_folder_is_refused_before_anything(small_disk: Path, npz: Path, made_up: Fabrication) -> None:
    read_only(small_disk)
    one_message(begin(small_disk / "run", npz), 2, "cannot be written", "--out")


def test_a_run_on_a_read_only_disk_can_be_looked_at(
    small_disk: Path, tmp_path: Path, npz: Path, made_up: Fabrication, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_disk / "run"
    begin(run, npz, budget=4)
    before = contents(run)
    read_only(small_disk)
    monkeypatch.undo()  # real plots
    assert nas_("front", run).exit_code == 0
    assert json.loads(nas_("front", run, "--json").stdout) == json.loads((run / "front.json").read_text())
    assert nas_("explain", run).exit_code == nas_("explain", run, "0").exit_code == 0
    assert nas_("plot", run, "--out", tmp_path / "plots").exit_code == 0
    assert len(list((tmp_path / "plots").iterdir())) == 4
    one_message(nas_("plot", run), 4, "Read-only")
    one_message(nas_("front", run, "--rebuild"), 4, "Read-only")
    one_message(nas_("resume", run, "--budget", "+1"), 4, "Read-only", "permissions")
    assert contents(run) == before


@needs_root
def test_a_disk_that_turns_read_only(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    """As a file system does after an error of its device: what is open stays, nothing new can be written."""
    run = tmp_path / "run"

    def turn(number: int) -> None:
        if number == 3:
            subprocess.run(["mount", "--bind", run, run], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", run], check=True)

    made_up.before = lambda job: turn(job.trial)
    try:
        result = begin(run, npz)
        before = recorded(run)
        intact(run, before)
    finally:
        subprocess.run(["umount", "--lazy", run], check=False)
    one_message(result, 4, "Read-only", f"nas resume {run}")
    assert sorted(before) == [0, 1, 2]
    made_up.before = lambda job: None
    finish(run, before, 8)


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Path]:
    """A folder that other users can enter; pytest's own cannot be."""
    folder = Path(tempfile.mkdtemp(prefix="nas-public-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@needs_root
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="takes setpriv")
def test_another_users_run_can_be_looked_at(public: Path, npz: Path, made_up: Fabrication) -> None:
    run = public / "run"
    shutil.copy(npz, public / "bars.npz")
    begin(run, public / "bars.npz", budget=4)
    before = contents(run)

    def as_nobody(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*NOBODY, *PROGRAM, *map(str, arguments)]
        place = os.environ | {"HOME": "/nonexistent", "TMPDIR": "/tmp"}
        return subprocess.run(command, capture_output=True, text=True, env=place, cwd="/", check=False)

    if as_nobody("--help").returncode:
        pytest.skip("Python is installed where other users cannot reach it")
    shown = as_nobody("front", run, "--json")
    assert json.loads(shown.stdout) == json.loads((run / "front.json").read_text())
    assert as_nobody("explain", run).returncode == 0
    one_message(as_nobody("resume", run, "--budget", "+1"), 4, "Permission denied", "owner")
    one_message(as_nobody("front", run, "--rebuild"), 4, "Permission denied")
    assert contents(run) == before


# ---- locks


def test_a_second_driver_is_refused_by_name(run: Path) -> None:
    with RunDirectory(run).locked():
        result = nas_("resume", run, "--budget", "+1")
    one_message(result, 4, f"process {os.getpid()} on {os.uname().nodename}, since 20", "wait for it or stop it")
    assert nas_("resume", run, "--budget", "+1").exit_code == 0


def test_a_lock_left_behind_holds_nobody_up(run: Path) -> None:
    (run / ".lock").write_text("process 1 on another-machine, since 2999-01-01T00:00:00Z\n" * 9)
    assert nas_("resume", run, "--budget", "+1").exit_code == 0
    assert (run / ".lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_lock_that_is_removed_meanwhile_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".lock"
    real, removed = fcntl.flock, []

    def flock(file: object, how: int) -> None:
        real(file, how)  # type: ignore[arg-type]
        if not removed:
            removed.append(path.unlink())

    monkeypatch.setattr("fcntl.flock", flock)
    with locked(path), pytest.raises(EnvironmentStopError, match="driven by"), locked(path):
        pass


@pytest.mark.parametrize("left", [[".lock"], [".lock", ".run.yaml.1-abc.tmp"], []])
def test_a_search_that_was_killed_before_it_began_is_no_run(
    tmp_path: Path, npz: Path, made_up: Fabrication, left: list[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for name in left:
        (out / name).write_text("process 1 on x, since y")
    assert begin(out, npz, budget=2).exit_code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").touch()
    one_message(begin(tmp_path / "mine", npz), 2, "not empty")
    assert (tmp_path / "mine" / "precious.txt").exists()


def test_who_is_refused_takes_nothing_away_from_who_begins(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with RunDirectory(out).locked():
        one_message(begin(out, npz), 4, "is being driven by process")
        assert (out / ".lock").exists()


# ---- cores


def lease(shared: Path) -> list[int]:
    held = CoreLease(1, shared)
    cores = list(held.cores)
    assert held.exclusive == bool(cores)
    held.release()
    return cores


def test_cores_are_leased_one_by_one(tmp_path: Path) -> None:
    there = len(os.sched_getaffinity(0))
    held = [CoreLease(1, tmp_path) for _ in range(there + 1)]
    assert sorted(c for h in held for c in h.cores) == sorted(os.sched_getaffinity(0))
    assert not held[-1].exclusive
    for h in held:
        h.release()
    assert lease(tmp_path)


def a_file(path: Path) -> None:
    path.write_text("in the way")


def a_link(path: Path) -> None:
    path.parent.joinpath("elsewhere").mkdir()
    path.symlink_to("elsewhere")


def of_another(path: Path) -> None:
    path.mkdir(mode=0o777)
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize("trap", [a_file, a_link, pytest.param(of_another, marks=needs_root)])
def test_what_others_put_in_the_way_of_leases_is_left_alone(tmp_path: Path, trap: object) -> None:
    """Evaluators then work without a core of their own, and say so with each latency."""
    trap(tmp_path / f"nas-cores-{os.getuid()}")  # type: ignore[operator]
    before = sorted(tmp_path.rglob("*"))
    assert lease(tmp_path) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_locks_of_cores_are_no_links(tmp_path: Path) -> None:
    folder = tmp_path / f"nas-cores-{os.getuid()}"
    folder.mkdir()
    (tmp_path / "precious").write_text("kept")
    for core in os.sched_getaffinity(0):
        (folder / f"{core}.lock").symlink_to(tmp_path / "precious")
    assert lease(tmp_path) == []
    assert (tmp_path / "precious").read_text() == "kept"
    assert lease(tmp_path / "missing") == []


# ---- paths


@pytest.mark.parametrize("name", ["with space", "grün 臉 лицо", "it's; $HOME", "-dash"])
def test_odd_paths(tmp_path: Path, npz: Path, made_up: Fabrication, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(npz, folder / f"{name}.npz")
    shutil.copy(Path(__file__).parents[1] / "search_spaces" / "tiny.yaml", folder / f"{name}.yaml")
    out = folder / "my run"
    result = begin(out, folder / f"{name}.npz", "--space", folder / f"{name}.yaml", budget=2)
    assert result.exit_code == 0, result.stderr
    how = next(line for line in result.stdout.splitlines() if line.startswith("take one home:"))
    words = subprocess.run(["sh", "-c", f'printf "%s\\n" {how.split(":", 1)[1]}'], capture_output=True, text=True)
    assert words.stdout.splitlines()[2] == str(out)
    assert nas_("resume", out, "--budget", "+1").exit_code == 0
    assert nas_("front", out, "--csv").stdout.count("\n") > 1


def test_paths_that_are_too_long(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    """A run's own files have names too: what is refused is refused before anything is made."""
    one_message(begin(tmp_path / ("x" * 256), npz), 2, "choose another --out")
    deep = tmp_path
    while len(os.fsencode(deep)) < 3500:
        deep /= "d" * 90
    assert begin(deep, npz, budget=2).exit_code == 0
    for length in (3950, 4090, 5000):
        path = tmp_path / "long" / "/".join(["e" * 99] * (length // 100))
        one_message(begin(path, npz, budget=2), 2, "choose another --out")
        one_message(nas_("front", path), 2, "no such run")
    assert not (tmp_path / "long").exists()


# ---- a run that has been moved


def test_a_run_on_another_machine(run: Path, tmp_path: Path, npz: Path, dataset: Dataset) -> None:
    data = tmp_path / "bars.npz"
    shutil.copy(npz, data)
    begin(tmp_path / "here", data, budget=3)
    shutil.move(tmp_path / "here", tmp_path / "there")
    shutil.move(data, tmp_path / "moved.npz")
    there = tmp_path / "there"
    before = recorded(there)
    assert nas_("front", there).exit_code == nas_("explain", there).exit_code == nas_("plot", there).exit_code == 0
    one_message(nas_("resume", there, "--budget", "+1"), 2, str(data), "--data PATH")
    other = tmp_path / "other.npz"
    np.savez(other, x=dataset.images[:-3], y=dataset.labels[:-3])
    one_message(nas_("resume", there, "--budget", "+1", "--data", other), 2, "fingerprint")
    one_message(nas_("resume", there, "--budget", "+1", "--data", tmp_path / "none"), 2, str(tmp_path / "none"))
    assert recorded(there) == before
    assert nas_("resume", there, "--budget", "+1", "--data", tmp_path / "moved.npz").exit_code == 0
    assert nas_("resume", there, "--budget", "+1").exit_code == 0  # its new place is remembered
    assert sum(c.charged for c in recorded(there).values()) == 5
    intact(there, before)
    with pytest.raises(InputError, match="fingerprint"):
        nas.open_run(there).resume(budget=1, dataset=other)


# ---- windows between files


def test_a_run_without_a_journal_yet(run: Path) -> None:
    """Killed after run.yaml."""
    for name in ("study.journal", "front.json", "front.csv"):
        (run / name).unlink()
    shutil.rmtree(run / "fronts")
    shutil.rmtree(run / "models")
    result = nas_("front", run)
    assert result.exit_code == 0
    assert "the front is empty" in result.stdout
    assert nas_("explain", run).exit_code == 0
    finish(run, {}, 4)


def test_a_journal_that_is_gone_is_not_begun_anew(run: Path) -> None:
    (run / "study.journal").unlink()
    for command in ("front", "resume"):
        one_message(nas_(command, run), 2, "study.journal: gone")
    assert not (run / "study.journal").exists()


def test_what_is_behind_the_journal_is_caught_up(run: Path, made_up: Fabrication) -> None:
    """Killed between the journal and the front's files."""
    front, table = (run / "front.json").read_bytes(), (run / "front.csv").read_bytes()
    (run / "front.json").write_text(json.dumps({**json.loads(front), "members": []}))
    (run / "front.csv").unlink()
    seen: list[bytes] = []
    made_up.before = lambda job: seen.append((run / "front.json").read_bytes() + (run / "front.csv").read_bytes())
    assert nas_("resume", run, "--budget", "+1").exit_code == 0
    assert seen[0] == front + table


def test_unfinished_files_are_removed_and_never_taken_for_others(run: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    model = next((run / "models").iterdir())
    places = [run / "run.yaml", run / "fronts" / "0009.json", model / "weights-fold0.npz", model / "model.tflite"]
    dead = [place.with_name(f".{place.name}.{gone.pid}-ab_c1234.tmp") for place in places]
    alive = run / "fronts" / f".0010.json.{os.getppid()}-abcd1234.tmp"
    others = [run / ".notes.tmp", run / ".a.1-b.tmp.txt"]
    for path in (*dead, alive, *others):
        path.write_text("half")
    front = nas_("front", run, "--json").stdout
    assert nas_("resume", run, "--budget", "+1").exit_code == 0
    assert json.loads(front)["members"]
    assert not [p for p in dead if p.exists()]
    assert alive.exists() and all(p.exists() for p in others)
    assert not (run / "fronts" / "0009.json").exists()


def test_a_write_that_is_killed_leaves_what_is_recognised(tmp_path: Path) -> None:
    """The names that are removed are those that are written."""
    program = "import os, sys; from nas.run import atomic; os.fsync = lambda fd: os.kill(os.getpid(), 9)\n"
    program += "from pathlib import Path; atomic.write_atomic(Path(sys.argv[1]), 'new')"
    (tmp_path / "a.json").write_text("old")
    killed = subprocess.run([sys.executable, "-c", program, tmp_path / "a.json"], check=False)
    assert killed.returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / "a.json").read_text() == "old"
    with RunDirectory(tmp_path).locked():
        assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "a.json"]


def test_events_go_on_after_a_torn_line(run: Path) -> None:
    events = run / "events.jsonl"
    whole = events.read_text()
    events.write_text(whole + '{"time": "2026-')
    assert nas_("resume", run, "--budget", "+1").exit_code == 0
    lines = events.read_text().removeprefix(whole).splitlines()
    assert lines[0] == '{"time": "2026-'
    assert [json.loads(line)["event"] for line in lines[1:]] == ["resumed", "stopped"]


# ---- clocks


def test_a_clock_that_went_back(run: Path) -> None:
    """Times are for people: nothing rests on them."""
    for name in ("study.journal", "events.jsonl", "run.yaml"):
        text = (run / name).read_text()
        (run / name).write_text(text.replace("2026-", "2999-") if "2026-" in text else text.replace("20", "29", 1))
        os.utime(run / name, (4e10, 4e10))
    before = recorded(run)
    assert nas_("resume", run, "--budget", "+2").exit_code == 0
    intact(run, before)
    assert sum(c.charged for c in recorded(run).values()) == 6


# ---- the same with TensorFlow, Ray and processes of their own


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_real_search_on_a_disk_that_fills_up(small_disk: Path, npz: Path, executor: str) -> None:
    run = small_disk / "run"
    options = ["--space", "tiny", "--constraints", "none", "--effort", "1x1", "--workers", "1", "--executor", executor]
    command = [*PROGRAM, "search", "--data", str(npz), "--out", str(run), "--budget", "400", *options]
    with (small_disk / "filler").open("wb") as file:  # room for a few candidates
        file.write(b"x" * 1_850_000)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    one_message(result, 4, "No space left", "make room", f"nas resume {run}")
    before = recorded(run)
    assert before
    intact(run, before)
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    settings = (run / "run.yaml").read_text()
    (run / "run.yaml").write_text(settings.replace("budget: 400", f"budget: {len(before) + 2}"))
    result = subprocess.run([*PROGRAM, "resume", str(run)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    intact(run, before)
    assert not [c for c in RunStudy.read(run / "study.journal") if c.state is State.RUNNING]
