"""A run on disk: a directory that is enough to resume, audit and reproduce a search."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from nas.errors import DecodeError, EnvironmentStopError, InputError
from nas.run.atomic import write_atomic
from nas.run.front import Front
from nas.yamlfile import read_yaml

SCHEMA: Final = 1
RESULTS: Final = Path("results")
_REQUIRED: Final = {"settings": dict, "data": dict, "split": dict, "reference_point": list}
_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class RunDirectory:
    """Paths and files of one run; ``path`` is the run directory itself."""

    path: Path

    @property
    def journal(self) -> Path:
        """The Optuna study."""
        return self.path / "study.journal"

    @property
    def models(self) -> Path:
        """One folder a kept candidate."""
        return self.path / "models"

    @property
    def plots(self) -> Path:
        """Accuracy over size and latency."""
        return self.path / "plots"

    def model_file(self, architecture_id: str, name: str) -> Path:
        """A file of one candidate.  Raises DecodeError for a name that would leave the folder."""
        if not all(_FILE_NAME.fullmatch(part) and part.strip(".") for part in (architecture_id, name)):
            raise DecodeError(f"{architecture_id}/{name}: not a name of a candidate's file")
        return self.models / architecture_id / name

    def store(self, architecture_id: str, files: Mapping[str, bytes]) -> None:
        """Writes files of one candidate, each atomically."""
        for name, content in files.items():
            write_atomic(self.model_file(architecture_id, name), content)

    def stored(self) -> set[str]:
        """Ids of the candidates that have a folder."""
        return {folder.name for folder in self.models.iterdir()} if self.models.is_dir() else set()

    def drop_bulk(self, ids: set[str]) -> None:
        """Removes weights and exported files of candidates; their predictions stay."""
        for name in ids:
            for pattern in ("weights-*.npz", "model*.tflite", "model.keras"):
                for file in (self.models / name).glob(pattern):
                    file.unlink(missing_ok=True)

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Writes run.yaml."""
        text = yaml.safe_dump({"schema": SCHEMA, **settings}, sort_keys=False, allow_unicode=True, width=120)
        write_atomic(self.path / "run.yaml", text)

    def settings(self) -> dict[str, Any]:
        """Reads run.yaml.

        Raises:
            DecodeError: missing, damaged, or written by a newer version.
        """
        path = self.path / "run.yaml"
        try:
            data, _ = read_yaml(path)
        except InputError as error:
            raise DecodeError(f"{self.path}: not a run directory: {error}") from error
        schema = data.get("schema")
        if not isinstance(schema, int) or schema > SCHEMA:
            raise DecodeError(f"{path}: schema {schema!r}; this version reads up to {SCHEMA}: upgrade nanosynth")
        for name, kind in _REQUIRED.items():
            if not isinstance(data.get(name), kind):
                raise DecodeError(f"{path}: {name}: missing or damaged; restore the file, or start a new search")
        return data

    def write_front(self, front: Front) -> None:
        """Rewrites front.json and front.csv; a front that differs from the last one also goes to the history."""
        text = json.dumps(front.to_json(), indent=1, allow_nan=False) + "\n"
        history = sorted((self.path / "fronts").glob("[0-9]*.json"), key=lambda p: (len(p.stem), p.stem))
        new = not history or history[-1].read_text() != text
        if not new and self._holds(text, front.to_csv()):
            return
        write_atomic(self.path / "front.json", text)
        write_atomic(self.path / "front.csv", front.to_csv())
        if new:
            write_atomic(self.path / "fronts" / f"{len(history):04d}.json", text)

    def _holds(self, front_json: str, front_csv: str) -> bool:
        """Whether both files of the front hold just this."""
        files = {self.path / "front.json": front_json, self.path / "front.csv": front_csv}
        return all(path.is_file() and path.read_text() == text for path, text in files.items())

    def append_event(self, kind: str, **fields: Any) -> None:
        """Appends one line to events.jsonl: what is no trial."""
        record = {"time": utc_now(), "event": kind, **fields}
        try:
            with (self.path / "events.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EnvironmentStopError(f"{self.path}/events.jsonl: cannot be written ({error.strerror})") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for this process; the lock goes with the process, however it ends.

        Raises:
            EnvironmentStopError: another process drives this run; names it.
        """
        path = self.path / ".lock"
        try:
            file = path.open("a+")
        except OSError as error:
            raise EnvironmentStopError(f"{path}: cannot be opened ({error.strerror}); check permissions") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise EnvironmentStopError(
                    f"{self.path} is being driven by {holder}; wait for it or stop it"
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}, since {utc_now()}\n")
            file.flush()
            yield


def utc_now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def new_run_directory(out: str | Path | None, space_name: str) -> RunDirectory:
    """A fresh run directory: ``out``, or ``results/<UTC time>-<space>``.

    Raises:
        InputError: ``out`` exists and is not empty, or cannot be made.
    """
    if out is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = RESULTS / f"{stamp}-{re.sub(r'[^A-Za-z0-9_-]+', '-', space_name)}"
        number = 1
        while path.exists():
            number += 1
            path = path.with_name(f"{path.name.split('.')[0]}.{number}")
    else:
        path = Path(out)
    if path.is_dir() and any(path.iterdir()):
        remedy = f"go on with it: nas resume {path}" if (path / "run.yaml").exists() else "choose another --out"
        raise InputError(f"{path}: exists and is not empty; {remedy}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}); choose another --out") from error
    return RunDirectory(path)


def find_run(name: str | Path) -> RunDirectory:
    """The run that a path or a name under ``results/`` stands for.

    Raises:
        InputError: no such directory; names the runs that there are.
    """
    for path in (Path(name), RESULTS / name):
        if (path / "run.yaml").is_file():
            return RunDirectory(path)
    if Path(name).is_dir():
        raise InputError(f"{name}: not a run directory (it has no run.yaml)")
    runs = sorted(p.parent.name for p in RESULTS.glob("*/run.yaml"))
    there = f"runs under results/: {', '.join(runs[-5:])}" if runs else "there is no run under results/ here"
    raise InputError(f"{name}: no such run; {there}")


def remove_unbegun(directory: RunDirectory) -> None:
    """Removes the folder of a run that was never begun: it holds at most our lock."""
    if directory.path.is_dir() and {p.name for p in directory.path.iterdir()} <= {".lock"}:
        shutil.rmtree(directory.path, ignore_errors=True)
