"""What is left of a search whose processes are killed, really, with SIGKILL, at random moments.

    python benchmarks/kills.py [--kills 30] [--target driver|evaluator|ray-worker|all] [--executor local|ray]

``driver``: one run is killed and resumed again and again.  ``evaluator`` and ``ray-worker``: they are killed while
their driver goes on.  Exit code 1 if a law is broken: nothing finished is lost or evaluated again, no trial stays
RUNNING, no process and no temporary folder outlives its driver by half a minute, and in the end the budget is used,
as without kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nas.run.directory import RunDirectory
from nas.run.front import Front, front_of
from nas.run.remeasured import remeasured_in
from nas.run.study import RunStudy

HOME = Path(__file__).resolve().parents[1]
GRACE_S = 30.0
EFFORT = "1x1,1x2,2x2"  # rungs and inherited weights are to survive as well
PATIENCE_S = 300.0  # for anything to happen on a busy machine
VICTIMS = {"evaluator": "nas.evaluation.worker", "ray-worker": "ray::ResourceTrainable"}
ENDED = (1, 2, 3)  # Optuna's states of a trial that is over


@dataclass
class Ledger:
    """What the raw records of a journal say."""

    outcomes: dict[int, str] = field(default_factory=dict)  # of trials that are over
    running: set[int] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, journal: Path) -> Ledger:
        ledger, trials, noted = cls(), 0, dict[int, str]()
        for line in journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []:
            record = json.loads(line)
            if record["op_code"] == 4:
                ledger.running.add(trials)
                trials += 1
            elif "outcome" in record.get("user_attr", {}):
                trial = record["trial_id"]
                noted[trial] = json.dumps(record["user_attr"])
                ledger.twice |= {trial} & set(ledger.outcomes)
            elif record["op_code"] == 6 and record["state"] in ENDED:
                trial = record["trial_id"]
                ledger.twice |= {trial} & set(ledger.outcomes)
                ledger.outcomes[trial] = noted[trial]
                ledger.running.discard(trial)
        return ledger


class Family:
    """All processes that descend from ours, found by a mark in their environment or through their parents."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self._dying: list[tuple[float, set[tuple[int, str]]]] = []
        self.left: set[tuple[int, str]] = set()

    @property
    def environment(self) -> dict[str, str]:
        return {"NAS_KILLS_MARK": self._mark}

    def living(self, word: str = "") -> list[int]:
        return [pid for pid, (_, line) in self._members().items() if word in line]

    def _members(self) -> dict[int, tuple[str, str]]:
        parents, found, ours = {}, {}, set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                pid, stat = int(folder.name), (folder / "stat").read_text().rpartition(")")[2].split()
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                marked = self._mark.encode() in (folder / "environ").read_bytes()
            except OSError:
                continue
            if stat[0] != "Z":
                parents[pid], found[pid] = int(stat[1]), (stat[19], line)
                ours |= {pid} if marked else set()
        while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= more
        return {pid: found[pid] for pid in ours}

    def orphan(self, driver: subprocess.Popen[bytes]) -> None:
        """Kills the driver; the rest must follow it."""
        members = {(pid, start) for pid, (start, _) in self._members().items()}
        driver.kill()
        driver.wait()
        self._dying.append((time.monotonic(), members))

    def look(self) -> None:
        """Notes who has outlived a driver for too long."""
        now = time.monotonic()
        dying = [(since, {m for m in members if _alive(*m)}) for since, members in self._dying]
        self.left |= {m for since, members in dying if now - since > GRACE_S for m in members}
        self._dying = [(since, members) for since, members in dying if members]

    def mourn(self) -> None:
        """Waits until all are gone, or have outlived their time."""
        end = time.monotonic() + GRACE_S
        while time.monotonic() < end and (self._dying or self.living()):
            time.sleep(0.2)
            self.look()
        self.left |= {(pid, line[:80]) for pid, (_, line) in self._members().items()}


def _alive(pid: int, start: str) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return stat[19] == start and stat[0] != "Z"


class Case:
    """One run that is disturbed."""

    def __init__(self, folder: Path, executor: str, budget: int, seed: int) -> None:
        self.out, self.budget, self._executor = folder / "run", budget, executor
        self.family, self.rng = Family(), random.Random(seed)
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        command = [sys.executable, str(HOME / "tests/make_bars.py"), str(folder)]
        self._data = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        self._log = folder / "log.txt"
        self.seen = Ledger()
        self.lost: set[int] = set()
        self.kills = 0
        self.start_s = 10.0  # from a driver's start to its first outcome

    @property
    def journal(self) -> Path:
        return self.out / "study.journal"

    def drive(self, *more: str) -> subprocess.Popen[bytes]:
        """Starts a driver: it begins the run, or goes on with it."""
        command = [sys.executable, "-m", "nas.cli.main"]
        if (self.out / "run.yaml").exists():
            command += ["resume", str(self.out), *more]
        else:
            command += ["search", "--out", str(self.out), "--space", "tiny", "--data", self._data, "--effort", EFFORT]
            command += ["--inherit"]
            command += ["--constraints", "none", "--executor", self._executor, "--budget", str(self.budget)]
        environment = os.environ | self.family.environment | {"TMPDIR": str(self.tmp), "CUDA_VISIBLE_DEVICES": "-1"}
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    def until(self, condition: Callable[[], bool], driver: subprocess.Popen[bytes]) -> None:
        """Waits for something, or for the driver's end."""
        end = time.monotonic() + PATIENCE_S
        while not condition() and driver.poll() is None:
            if time.monotonic() > end:
                raise SystemExit(f"nothing happened for {PATIENCE_S:g} s; see {self._log}")
            time.sleep(0.005)

    def count(self) -> int:
        return len(Ledger.of(self.journal).outcomes)

    def size(self) -> int:
        return self.journal.stat().st_size if self.journal.exists() else 0

    def audit(self) -> None:
        """Compares what is recorded with what was recorded before."""
        now = Ledger.of(self.journal)
        self.lost |= {trial for trial, text in self.seen.outcomes.items() if now.outcomes.get(trial) != text}
        self.seen = now
        self.family.look()

    def complete(self) -> list[str]:
        """Lets the run come to its end; the laws that are broken then."""
        for _ in range(self.kills + 2):  # a search that loses ten in a row to the environment stops, and is resumed
            driver = self.drive()
            self.until(lambda: False, driver)
            if driver.returncode != 4:
                break
        self.audit()
        self.family.mourn()
        candidates = RunStudy.read(self.journal)
        charged = sum(c.charged for c in candidates)
        front = json.loads((self.out / "front.json").read_text())
        objectives, point = _judged_by(front)
        laws = {
            f"finished candidates lost: {sorted(self.lost)}": not self.lost,
            f"evaluated twice: {sorted(self.seen.twice)}": not self.seen.twice,
            f"RUNNING: {sorted(self.seen.running)}": not self.seen.running,
            f"processes left: {sorted(self.family.left)}": not self.family.left,
            f"finished: {charged} of {self.budget}": charged == self.budget,
            f"last exit code: {driver.returncode}": driver.returncode in (0, 2),  # 2: there was nothing left to do
            "front.json is not the journal's": front == self.told(front_of(candidates, objectives, point)),
            f"temporary files: {(litter := self.litter())}": not litter,
        }
        return [law for law, kept in laws.items() if not kept]

    def told(self, front: Front) -> dict[str, object]:
        """What front.json must hold."""
        return front.to_json(remeasured_in(RunDirectory(self.out)))

    def litter(self) -> list[str]:
        """What killed processes have left behind."""
        return [str(p) for p in (*self.out.rglob(".*.tmp"), *self.tmp.glob("nas-*"))]


def _judged_by(front: dict[str, list[float]]) -> tuple[tuple[object, ...], tuple[float, ...]]:
    from nas.pareto import objectives_of

    return objectives_of([o["name"] for o in front["objectives"]]), tuple(front["reference_point"])


def kill_drivers(case: Case, kills: int) -> None:
    """The driver, and the next one that goes on with its run."""
    while case.kills < kills:
        driver = case.drive()
        wait_for_moment(case, driver)
        if driver.poll() is None:
            case.family.orphan(driver)
            case.kills += 1
        elif driver.returncode in (0, 2) and case.count():
            raise SystemExit(f"the run came to its end after {case.kills} kills: it needs a larger budget")
        case.audit()


def wait_for_moment(case: Case, driver: subprocess.Popen[bytes]) -> None:
    """A random one: while the driver starts, right after it wrote, or between two candidates."""
    count, size, began = case.count(), case.size(), time.monotonic()
    moment = case.rng.choice(("start", "start", "write", "write", "later"))
    if moment == "start":
        end = began + case.rng.uniform(0, case.start_s)
        case.until(lambda: time.monotonic() > end, driver)
    elif moment == "write":
        case.until(lambda: case.size() != size, driver)
        time.sleep(case.rng.uniform(0, 0.03))
    else:
        case.until(lambda: case.count() > count, driver)
        case.start_s = time.monotonic() - began
        time.sleep(case.rng.uniform(0, 1))


def kill_others(case: Case, kills: int, word: str) -> None:
    """Evaluators or Ray workers, at random moments of their lives."""
    driver = case.drive()
    while case.kills < kills:
        more = case.count() + case.rng.choice((0, 1, 1))
        case.until(lambda: case.count() >= more and bool(case.family.living(word)), driver)  # noqa: B023 - now
        time.sleep(case.rng.uniform(0, 2))
        if driver.poll() is not None:
            if driver.returncode != 4:
                raise SystemExit(f"the driver ended with {driver.returncode} after {case.kills} kills")
            driver = case.drive()
        elif victims := case.family.living(word):
            os.kill(case.rng.choice(victims), signal.SIGKILL)
            case.kills += 1
        case.audit()
    case.until(lambda: False, driver)


def disturb(target: str, executor: str, kills: int, seed: int = 0) -> list[str]:
    """Runs one case and prints a line; the laws that are broken."""
    folder = Path(tempfile.mkdtemp(prefix="nas-kills-"))
    began = time.monotonic()
    case = Case(folder, executor, 2 * kills + 4, seed)
    try:
        if target == "driver":
            kill_drivers(case, kills)
        else:
            kill_others(case, kills, VICTIMS[target])
        broken = case.complete()
    finally:
        for pid in case.family.living():  # none, unless a law is broken
            os.kill(pid, signal.SIGKILL)
    words = f"{target} ({executor}): {case.kills} kills in {time.monotonic() - began:.0f} s: "
    words += f"finished lost {len(case.lost)}, evaluated twice {len(case.seen.twice)}, RUNNING {len(case.seen.running)}"
    words += f", processes left {len(case.family.left)}; finished {len(case.seen.outcomes)}"
    print(words, *(f"\n  BROKEN {law}" for law in broken), flush=True)
    if broken:
        print(f"  see {folder}")
    else:
        shutil.rmtree(folder)
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--target", choices=["driver", *VICTIMS, "all"], default="all")
    parser.add_argument("--executor", choices=["local", "ray"], default="local", help="of driver and evaluator")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    targets = ["driver", *VICTIMS] if options.target == "all" else [options.target]
    broken = []
    for target in targets:
        executor = "ray" if target == "ray-worker" else options.executor
        broken += disturb(target, executor, options.kills, options.seed)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
