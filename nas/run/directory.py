"""A run on disk: a directory that is enough to resume, audit and reproduce a search."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import yaml

from nas.decoding import field, of_kind
from nas.errors import DecodeError, EnvironmentStopError, InputError
from nas.measurement import is_number
from nas.run.atomic import is_unfinished, remove_unfinished, write_atomic
from nas.run.front import Front
from nas.run.lock import locked, utc_now
from nas.run.remeasured import remeasured_in
from nas.yamlfile import read_yaml

SCHEMA: Final = 1
RESULTS: Final = Path("results")
_MAX_DIGITS: Final = 10
_LONGEST_PATH: Final = 3900  # Linux allows 4,095 bytes, the files of a run included


def weights_name(fold: int) -> str:
    """Name of the file that holds a candidate's weights of a fold."""
    return f"weights-fold{fold}.npz"


PROBES: Final = "probes.json"  # of one candidate
IMPORTANCE: Final = "importance:"  # begins the names of what a file of weights holds besides them
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

    def weights(self, architecture_id: str, folds: Iterable[int]) -> dict[int, bytes]:
        """Weights of one candidate as files, by fold; folds that there are none of are left out."""
        found = {}
        for k in folds:
            with contextlib.suppress(OSError):
                found[k] = self.model_file(architecture_id, weights_name(k)).read_bytes()
        return found

    def stored(self) -> set[str]:
        """Ids of the candidates that have a folder; what else lies there, links above all, is not ours."""
        if not self.models.is_dir():
            return set()
        ours = (f for f in self.models.iterdir() if f.is_dir() and not f.is_symlink() and _FILE_NAME.fullmatch(f.name))
        return {folder.name for folder in ours}

    def drop_bulk(self, ids: set[str]) -> None:
        """Removes weights and exported files of candidates; their predictions stay."""
        for name in ids:
            for pattern in ("weights-*.npz", "model*.tflite", "model.keras"):
                for file in (self.models / name).glob(pattern):
                    self._remove(file)

    def _remove(self, file: Path) -> None:
        try:
            file.unlink(missing_ok=True)
        except IsADirectoryError:
            return  # it has the name of a file of ours, but is not
        except OSError as error:
            raise EnvironmentStopError(f"{file}: cannot be removed ({error.strerror}); check permissions") from error

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
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            raise DecodeError(f"{path}: schema {schema!r:.80} is no version of a run; restore the file")
        if schema > SCHEMA:
            raise DecodeError(f"{path}: schema {schema}; this version reads up to {SCHEMA}: upgrade nanosynth")
        try:
            _check_recorded(data)
        except DecodeError as error:
            raise DecodeError(f"{path}: damaged: {error}; restore the file, or start a new search") from error
        return data

    def append_event(self, kind: str, **fields: Any) -> None:
        """Appends one line to events.jsonl: what is no trial."""
        line = json.dumps({"time": utc_now(), "event": kind, **fields}) + "\n"
        try:
            with (self.path / "events.jsonl").open("a+b") as file:
                if file.tell() and not _ends_line(file):  # a line that a crash tore stays for itself
                    line = "\n" + line
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EnvironmentStopError(
                f"{self.path}/events.jsonl: cannot be written ({error.strerror}); make room or check permissions"
            ) from error

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What events.jsonl holds, or the events of one kind, in order; lines that a crash tore are passed over.

        Raises:
            DecodeError: the file cannot be read.
        """
        path = self.path / "events.jsonl"
        try:
            lines = path.read_bytes().splitlines() if path.is_file() else []
        except OSError as error:
            raise DecodeError(f"{path}: cannot be read ({error.strerror}); restore the file") from error
        found = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                event = json.loads(line)
                if isinstance(event, dict) and kind in (None, event.get("event")):
                    found.append(event)
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for this process; the lock goes with the process, however it ends.

        Temporary files that killed processes left in the run are removed.

        Raises:
            EnvironmentStopError: another process drives this run; names it.
        """
        with locked(self.path / ".lock"):
            remove_unfinished(self.path)
            yield


def _is_numbered(path: Path) -> bool:
    """Whether this is one of our numbered fronts, and not a folder or a pipe of such a name."""
    return path.stem.isascii() and path.stem.isdecimal() and len(path.stem) < _MAX_DIGITS and path.is_file()


def _ends_line(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


class FrontWriter:
    """Keeps front.json and front.csv as the front is, and a numbered copy of every front that there was.

    Args:
        directory: of the run.
        variants: rows of compressed variants by the member's id, for front.json; the history knows none.
    """

    def __init__(self, directory: RunDirectory, variants: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self._directory, self._path = directory, directory.path
        self._variants = variants
        numbered = {int(p.stem): p for p in (self._path / "fronts").glob("[0-9]*.json") if _is_numbered(p)}
        self._next = max(numbered, default=-1) + 1
        self._last = numbered[self._next - 1].read_bytes() if numbered else None

    def write(self, front: Front) -> None:
        """Rewrites the front's files, each atomically; a front that differs from the last one joins the history."""
        again = remeasured_in(self._directory)
        text = (json.dumps(front.to_json(again), indent=1, allow_nan=False) + "\n").encode()
        shown = (json.dumps(front.to_json(again, self._variants), indent=1, allow_nan=False) + "\n").encode()
        table = front.to_csv(again).encode()
        if text == self._last and self._holds({"front.json": shown, "front.csv": table}):
            return
        write_atomic(self._path / "front.json", shown)
        write_atomic(self._path / "front.csv", table)
        if text != self._last:
            write_atomic(self._path / "fronts" / f"{self._next:04d}.json", text)
            self._next += 1
            self._last = text

    def _holds(self, files: Mapping[str, bytes]) -> bool:
        """Whether the files hold just this."""
        paths = {self._path / name: content for name, content in files.items()}
        return all(path.is_file() and path.read_bytes() == content for path, content in paths.items())


def _check_recorded(data: Mapping[str, Any]) -> None:
    """Raises DecodeError where run.yaml lacks something that is read of it later, or has another kind of it."""
    field(data, "settings", dict)
    described = field(data, "data", dict)
    field(described, "caption", str)
    for name in field(described, "classes", dict):
        of_kind(name, "a class", str)
    field(field(data, "split", dict), "protocol", str)
    if not all(is_number(value) for value in field(data, "reference_point", list)):
        raise DecodeError("reference_point holds something that is no number")


def new_run_directory(out: str | Path | None, space_name: str) -> RunDirectory:
    """A fresh run directory: ``out``, or ``results/<UTC time>-<space>``.

    Raises:
        InputError: ``out`` exists and is not empty, or cannot be made.
    """
    directory = planned_run_directory(out, space_name)
    try:
        directory.path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{directory.path}: cannot be made ({_why(error)}); choose another --out") from error
    return directory


def planned_run_directory(out: str | Path | None, space_name: str) -> RunDirectory:
    """The directory that a run is to have, which is not made yet, so that nothing is left of a search that is refused.

    Raises:
        InputError: ``out`` exists and is not empty, or lies where it cannot be made.
    """
    path = _unused_name(space_name) if out is None else Path(out)
    try:
        if len(os.fsencode(path.absolute())) > _LONGEST_PATH:
            raise InputError(f"{path}: too long a path for a folder with files below it; choose another --out")
        str(path).encode()
        if path.is_dir() and not _unbegun(path):
            remedy = (
                f"go on with it: nas resume {shlex.quote(str(path))}"
                if (path / "run.yaml").exists()
                else "choose another --out"
            )
            raise InputError(f"{path}: exists and is not empty; {remedy}")
        nearest = next(p for p in (path, *path.parents) if os.path.lexists(p))
    except (OSError, ValueError, StopIteration) as error:
        raise InputError(f"{path}: cannot be a run directory ({_why(error)}); choose another --out") from error
    if not nearest.is_dir():
        raise InputError(f"{path}: cannot be made, since {nearest} is no folder; choose another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{path}: cannot be made, since {nearest} cannot be written; choose another --out")
    return RunDirectory(path)


def _unused_name(space_name: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = RESULTS / f"{stamp}-{re.sub(r'[^A-Za-z0-9_-]+', '-', space_name)[:100]}"
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{path.name.split('.')[0]}.{number}")
    return path


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def find_run(name: str | Path) -> RunDirectory:
    """The run that a path or a name under ``results/`` stands for.

    Raises:
        InputError: no such directory; names the runs that there are.
    """
    for path in (Path(name), RESULTS / name):
        if os.path.isfile(path / "run.yaml"):  # Path.is_file() raises for a name of a thousand letters
            return RunDirectory(path)
    if os.path.isdir(name):
        raise InputError(f"{name}: not a run directory (it has no run.yaml)")
    runs = sorted(p.parent.name for p in RESULTS.glob("*/run.yaml"))
    there = f"runs under results/: {', '.join(runs[-5:])}" if runs else "there is no run under results/ here"
    raise InputError(f"{name}: no such run; {there}")


def _unbegun(path: Path) -> bool:
    """Whether a folder holds nothing but what a search leaves that ends, or is killed, before its run.yaml."""
    return all(p.name == ".lock" or is_unfinished(p.name) for p in path.iterdir())


def remove_unbegun(directory: RunDirectory) -> None:
    """Removes the folder of a run that was never begun, unless another process is about to begin it."""
    if directory.path.is_dir() and _unbegun(directory.path):
        with contextlib.suppress(EnvironmentStopError), directory.locked():
            if _unbegun(directory.path):
                shutil.rmtree(directory.path, ignore_errors=True)
