"""The journal of a run: an Optuna journal file, appended a step at a time and read in one pass.

The records are Optuna's own (``optuna.storages.journal``), so that ``optuna.load_study`` and the dashboard open the
file.  Optuna's storage is not used to write it, because it flushes every attribute by itself and keeps a second copy of
all trials in memory; nor to read it, because rebuilding 86 distribution objects a trial takes most of the time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages.journal._storage import JournalOperation
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nas.errors import DecodeError, EnvironmentStopError
from nas.run.atomic import flush_folder, write_atomic

DAMAGE: Final = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass
class Entry:
    """One trial as the journal tells it.

    Attributes:
        trial_id: Optuna's number of it in this file.
        state: its last state.
        params: as Optuna stores them, such as the index of a category.
        distributions: as JSON; one object for all trials that have the same ones.
        user_attrs, system_attrs: what was noted with it.
    """

    trial_id: int
    state: TrialState
    params: Mapping[str, Any]
    distributions: Mapping[str, str]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]


@dataclass
class Contents:
    """What a journal holds: the trials of one study, in the order of their numbers."""

    study_id: int | None = None
    directions: tuple[str, ...] = ()
    trials: int = 0  # of all studies in the file: the next trial's id
    entries: list[Entry] = field(default_factory=list)


class _Replay:
    """Applies records in order; those on finished trials change nothing, as in Optuna."""

    def __init__(self, study_name: str) -> None:
        self._name = study_name
        self._studies = 0
        self._trials: list[Entry | None] = []  # None for the trials of other studies
        self._texts: Mapping[str, str] = {}
        self.contents = Contents()

    def apply(self, record: Mapping[str, Any]) -> None:
        match record["op_code"]:
            case JournalOperation.CREATE_STUDY:
                self._create_study(record)
            case JournalOperation.CREATE_TRIAL:
                self._create_trial(record)
            case JournalOperation.SET_TRIAL_STATE_VALUES:
                if (entry := self._open_trial(record)) is not None:
                    entry.state = TrialState(record["state"])
            case JournalOperation.SET_TRIAL_USER_ATTR:
                if (entry := self._open_trial(record)) is not None:
                    entry.user_attrs.update(record["user_attr"])
            case JournalOperation.SET_TRIAL_SYSTEM_ATTR:
                if (entry := self._open_trial(record)) is not None:
                    entry.system_attrs.update(record["system_attr"])

    def _create_study(self, record: Mapping[str, Any]) -> None:
        if record["study_name"] == self._name and self.contents.study_id is None:
            self.contents.study_id = self._studies
            self.contents.directions = tuple(StudyDirection(d).name.lower() for d in record["directions"])
        self._studies += 1

    def _create_trial(self, record: Mapping[str, Any]) -> None:
        entry = None
        if record["study_id"] == self.contents.study_id:
            state = TrialState(record.get("state", TrialState.RUNNING))
            if (texts := record.get("distributions", {})) != self._texts:
                self._texts = texts
            notes = dict(record.get("user_attrs", {})), dict(record.get("system_attrs", {}))
            entry = Entry(len(self._trials), state, record.get("params", {}), self._texts, *notes)
            self.contents.entries.append(entry)
        self._trials.append(entry)
        self.contents.trials = len(self._trials)

    def _open_trial(self, record: Mapping[str, Any]) -> Entry | None:
        number = record["trial_id"]
        entry = self._trials[number] if 0 <= number < len(self._trials) else None
        return None if entry is None or entry.state.is_finished() else entry


def read_journal(path: Path, study_name: str) -> Contents:
    """The trials of a study; a torn last line is passed over, and nothing is changed on disk.

    Raises:
        DecodeError: a damaged line, or records but no study of that name.
    """
    replay = _Replay(study_name)
    number = records = 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                record = _parsed(line)
                if record is not None:
                    records += 1
                    replay.apply(record)
                elif not line.endswith(b"\n"):  # torn, or being written right now
                    break
                elif next(file, None) is not None:  # only the last line can be torn
                    raise ValueError("not a line of JSON")
    except OSError as error:
        raise EnvironmentStopError(f"{path}: cannot be read ({error.strerror}); check permissions") from error
    except DAMAGE as error:
        raise DecodeError(
            f"{path}: line {number} is not a record of an Optuna journal; the file is damaged: restore it from a copy"
        ) from error
    if records and replay.contents.study_id is None:
        raise DecodeError(f"{path}: holds no study named {study_name!r}; is this a run directory?")
    return replay.contents


def _parsed(line: bytes) -> Any:
    """The record of a line, None when it is torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def parsed_distributions(texts: Mapping[str, str], parsed: dict[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """Distributions from their JSON; ``parsed`` keeps those that are known, since most trials have the same."""
    for text in texts.values():
        if text not in parsed:
            parsed[text] = json_to_distribution(text)
    return {name: parsed[text] for name, text in texts.items()}


def repair_tail(path: Path) -> Path | None:
    """Cuts a torn last line off a journal, keeps the bytes beside it, and returns where.

    A full disk or a power loss leaves half a line, and Optuna then refuses the whole study.

    Raises:
        EnvironmentStopError: there is no room for the bytes, and nothing was cut; or the file cannot be written.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            whole = _end_of_whole_lines(file)
            file.seek(whole)
            torn = file.read()
        if not torn:
            return None
        aside = _unused(path.with_name(f"{path.name}.torn-{whole}"))
        write_atomic(aside, torn)
        os.truncate(path, whole)
    except OSError as error:
        raise EnvironmentStopError(f"{path}: cannot be repaired ({error.strerror}); check permissions") from error
    return aside


def _unused(path: Path) -> Path:
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free


def _end_of_whole_lines(file: Any) -> int:
    """Where the last line ends that is whole and JSON; looks at the last two lines alone."""
    size = file.seek(0, os.SEEK_END)
    block = 1 << 16
    while True:
        start = max(size - block, 0)
        file.seek(start)
        tail = file.read(size - start)
        lines = tail.split(b"\n")
        if len(lines) > 2 or start == 0:
            break
        block *= 4
    end = size - len(lines[-1])  # what follows the last newline is torn
    last = lines[-2] if len(lines) > 1 else b""
    if last.strip() and _parsed(last + b"\n") is None:
        end -= len(last) + 1
    return int(end)


class JournalWriter:
    """Appends records; each call is on the disk, or not at all, when it returns.

    Args:
        path: of the journal; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._worker = f"nas-{os.getpid()}"
        self._texts: dict[str, tuple[BaseDistribution, str]] = {}

    def create_study(self, name: str, directions: Iterable[str]) -> None:
        """The first record of a journal."""
        numbers = [int(StudyDirection[d.upper()]) for d in directions]
        self._append([{"op_code": JournalOperation.CREATE_STUDY, "study_name": name, "directions": numbers}])
        flush_folder(self._path.parent)

    def create_trial(
        self,
        study_id: int,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        user_attrs: Mapping[str, Any],
        system_attrs: Mapping[str, Any],
    ) -> None:
        """A running trial; its trial id is the number of trials created before it."""
        record = {
            "op_code": JournalOperation.CREATE_TRIAL,
            "study_id": study_id,
            "datetime_start": _now(),
            "state": int(TrialState.RUNNING),
            "value": None,
            "values": None,
            "distributions": {name: self._text(name, distributions[name]) for name in params},
            "params": {name: distributions[name].to_internal_repr(value) for name, value in params.items()},
            "user_attrs": user_attrs,
            "system_attrs": system_attrs,
            "intermediate_values": {},
        }
        self._append([record])

    def note_trial(self, trial_id: int, user_attrs: Mapping[str, Any]) -> None:
        """Attributes of a trial that goes on."""
        self._append(_user_records(trial_id, user_attrs))

    def finish_trial(
        self,
        trial_id: int,
        user_attrs: Mapping[str, Any],
        system_attrs: Mapping[str, Any],
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Attributes and the state that ends a trial, in one write; the state comes last, so half of it is none."""
        records = _user_records(trial_id, user_attrs)
        records += [
            {"op_code": JournalOperation.SET_TRIAL_SYSTEM_ATTR, "trial_id": trial_id, "system_attr": {key: value}}
            for key, value in system_attrs.items()
        ]
        end = {"trial_id": trial_id, "state": int(state), "values": values, "datetime_complete": _now()}
        self._append([*records, {"op_code": JournalOperation.SET_TRIAL_STATE_VALUES, **end}])

    def _text(self, name: str, distribution: BaseDistribution) -> str:
        """A distribution as Optuna writes it; worked out once, since every trial has the same ones."""
        known = self._texts.get(name)
        if known is None or known[0] is not distribution:
            known = (distribution, distribution_to_json(distribution))
            self._texts[name] = known
        return known[1]

    def _append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Writes and flushes; a write that fails half-way is cut off again.

        Raises:
            EnvironmentStopError: the disk is full, or the file cannot be written.
        """
        lines = (json.dumps({"worker_id": self._worker, **record}, separators=(",", ":")) for record in records)
        content = "".join(f"{line}\n" for line in lines).encode()
        size = None
        try:
            with self._path.open("ab", buffering=0) as file:
                size = file.tell()
                written = 0
                while written < len(content):
                    written += file.write(content[written:])
                os.fsync(file.fileno())
        except OSError as error:
            self._cut(size)
            raise EnvironmentStopError(
                f"{self._path}: cannot be written ({error.strerror}); make room or check permissions, "
                "then go on with nas resume"
            ) from error

    def _cut(self, size: int | None) -> None:
        """Takes half-written records away; where not even that works, the next open repairs the tail."""
        if size is not None:
            try:
                os.truncate(self._path, size)
            except OSError:
                return


def _user_records(trial_id: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    operation = JournalOperation.SET_TRIAL_USER_ATTR
    return [{"op_code": operation, "trial_id": trial_id, "user_attr": {k: v}} for k, v in attributes.items()]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
