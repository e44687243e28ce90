"""The Optuna study of a run: a durable journal, and a working copy in memory that samplers read.

A sampler writes dozens of records a trial when it asks; in memory that costs microseconds.  The journal gets one record
when a candidate is proposed and a handful when it is finished, each flushed to the disk before the search goes on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock  # public API has no base class for locks
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.errors import DecodeError, EnvironmentStopError, NasError
from nas.indicator import Status, Verdict
from nas.pareto import Objective
from nas.run.candidate import Candidate, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.samplers import BaseSampler

STUDY_NAME: Final = "nas"
START: Final = "candidate"
OUTCOME: Final = "outcome"
_CONSTRAINT: Final = "constraints"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A sampler's proposal that is not in the journal yet."""

    number: int
    params: Mapping[str, Any]
    lineage: Mapping[str, Any]
    marks: Mapping[str, Any]  # what the sampler noted for itself, such as NSGA-II's generation


class _NoLock(BaseJournalFileLock):
    """The run directory is locked by its one driver, so the journal needs no lock of its own."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


def repair_tail(path: Path) -> Path | None:
    """Cuts a torn last line off a journal, keeps the bytes beside it, and returns where.

    A full disk or a power loss leaves half a line, and Optuna then refuses the whole study.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    last = content[content.rfind(b"\n", 0, max(whole - 1, 0)) + 1 : whole]
    if last.strip() and not _is_json(last):
        whole -= len(last)
    if whole == len(content):
        return None
    aside = path.with_name(f"{path.name}.torn-{whole}")
    aside.write_bytes(content[whole:])
    with path.open("r+b") as file:
        file.truncate(whole)
    return aside


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


class RunStudy:
    """Every trial of a run, on disk and in memory."""

    def __init__(self, path: Path, objectives: Sequence[Objective], sampler: BaseSampler) -> None:
        self._objectives = tuple(objectives)
        directions = [o.direction for o in objectives]
        torn = repair_tail(path)
        if torn is not None:
            _log.warning("%s: the last line was torn and has been cut off; its bytes are kept in %s", path, torn.name)
        with _quiet():
            self._journal = _open_journal(path)
            study = optuna.create_study(
                study_name=STUDY_NAME, storage=self._journal, directions=directions, load_if_exists=True
            )
            self._study_id = study._study_id
            self._memory = optuna.create_study(study_name=STUDY_NAME, directions=directions, sampler=sampler)
        if [d.name.lower() for d in study.directions] != directions:
            raise DecodeError(f"{path}: the study's objectives are not those of run.yaml; the directory is damaged")
        self._ids: dict[int, int] = {}

    @staticmethod
    def read(path: Path) -> list[Candidate]:
        """The candidates of a run, without changing anything on disk (a torn last line is passed over).

        Raises:
            DecodeError: not a journal of this search.
        """
        if not path.is_file():
            raise DecodeError(f"{path}: no such file; is this a run directory?")
        with _quiet():
            journal = _open_journal(path)
            try:
                trials = journal.get_all_trials(journal.get_study_id_from_name(STUDY_NAME), deepcopy=False)
            except KeyError as error:
                raise DecodeError(f"{path}: holds no study named {STUDY_NAME!r}; is this a run directory?") from error
        return [_candidate(trial) for trial in trials]

    def load(self) -> list[Candidate]:
        """What the journal holds, in the order of proposal.

        The sampler sees every one of them as running; :meth:`tell` gives it their outcomes.
        """
        trials = self._journal.get_all_trials(self._study_id, deepcopy=False)
        with _quiet():
            for trial in trials:
                self._ids[trial.number] = trial._trial_id
                marks = {k: v for k, v in trial.system_attrs.items() if not k.startswith(_CONSTRAINT)}
                self._memory.add_trial(
                    create_trial(
                        state=TrialState.RUNNING,
                        params=trial.params,
                        distributions=trial.distributions,
                        system_attrs=marks,
                    )
                )
        return [_candidate(trial) for trial in trials]

    def ask(self, distributions: Mapping[str, BaseDistribution], fixed: Mapping[str, Any] | None = None) -> Asked:
        """The sampler's next proposal, or ``fixed`` parameters; nothing is written yet."""
        with _quiet():
            if fixed is not None:
                self._memory.enqueue_trial(dict(fixed))
            trial = self._memory.ask(dict(distributions))
            kept = self._memory._storage.get_trial(trial._trial_id)
        marks = {key: value for key, value in kept.system_attrs.items() if key != "fixed_params"}
        return Asked(trial.number, trial.params, kept.user_attrs.get("lineage", {}), marks)

    def record_start(self, candidate: Candidate, asked: Asked, space: Mapping[str, BaseDistribution]) -> None:
        """Appends a proposed candidate to the journal as a running trial."""
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(asked.params),
            distributions=dict(space),
            user_attrs={START: candidate.start_json()},
            system_attrs=dict(asked.marks),
        )
        with self._durable():
            self._ids[candidate.trial] = self._journal.create_new_trial(self._study_id, template)

    def record_finish(self, candidate: Candidate) -> None:
        """Appends a finished candidate's outcome; the last record makes it finished."""
        if candidate.outcome is None:
            raise NasError(f"trial {candidate.trial} has no outcome; only finished candidates are recorded")
        trial_id = self._ids[candidate.trial]
        state, values = _told(candidate, self._objectives)
        with self._durable():
            self._journal.set_trial_user_attr(trial_id, OUTCOME, candidate.outcome.to_json())
            for key, value in _constraints(candidate.verdicts).items():
                self._journal.set_trial_system_attr(trial_id, key, value)
            self._journal.set_trial_state_values(trial_id, state, values)

    def tell(self, candidate: Candidate) -> None:
        """Shows a finished candidate to the sampler."""
        state, values = _told(candidate, self._objectives)
        storage = self._memory._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._memory._study_id, candidate.trial)
        for key, value in _constraints(candidate.verdicts).items():
            storage.set_trial_system_attr(trial_id, key, value)
        with _quiet():
            self._memory.tell(candidate.trial, values, state if values is None else None)

    @contextmanager
    def _durable(self) -> Iterator[None]:
        try:
            with _quiet():
                yield
        except OSError as error:
            raise EnvironmentStopError(
                f"the journal cannot be written ({error.strerror}); make room, then go on with nas resume"
            ) from error


def _candidate(trial: FrozenTrial) -> Candidate:
    try:
        outcome = trial.user_attrs.get(OUTCOME) if trial.state.is_finished() else None
        return Candidate.from_json(trial.number, trial.user_attrs[START], outcome)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DecodeError(f"trial {trial.number} of the journal is not one of this search ({error!r})") from error


def _open_journal(path: Path) -> optuna.storages.JournalStorage:
    try:
        return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=_NoLock()))
    except OSError as error:
        raise EnvironmentStopError(f"{path}: cannot be opened ({error.strerror}); check permissions") from error
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        raise DecodeError(f"{path}: not an Optuna journal ({error}); the directory is damaged") from error


def _told(candidate: Candidate, objectives: Sequence[Objective]) -> tuple[TrialState, list[float] | None]:
    state = None if candidate.outcome is None else candidate.outcome.state  # of a repeat: its original's
    values = candidate.values(objectives) if state is State.TRAINED else None
    if values is not None:
        return TrialState.COMPLETE, list(values)
    rejected = state is State.REJECTED
    return (TrialState.PRUNED if rejected else TrialState.FAIL), None


def _constraints(verdicts: Iterable[Verdict]) -> dict[str, float]:
    """Optuna 5's constraint values: at most 0 unless the verdict is violated."""
    return {
        f"{_CONSTRAINT}:{v.metric} {v.side}": v.violation if v.status is Status.VIOLATED else min(v.violation, 0.0)
        for v in verdicts
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's informational lines would disturb the live view."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
