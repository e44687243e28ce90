"""The Optuna study of a run: a durable journal, and a working copy in memory that samplers read.

A sampler writes dozens of records a trial when it asks; in memory that costs microseconds.  The journal gets one record
when a candidate is proposed and a handful when it is finished, each flushed to the disk before the search goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.decoding import reason
from nas.errors import DecodeError, NasError
from nas.indicator import Status, Verdict
from nas.pareto import Objective
from nas.run.candidate import Candidate, RungResult, State
from nas.run.journal import (
    DAMAGE,
    Contents,
    Entry,
    JournalWriter,
    parsed_distributions,
    read_journal,
    repair_tail,
)
from nas.rung import EFFORT, Rung
from nas.space import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.samplers import BaseSampler

STUDY_NAME: Final = "nas"
START: Final = "candidate"
OUTCOME: Final = "outcome"
RUNG: Final = "rung "  # begins the name of an attribute, one a finished rung that was not the last
_CONSTRAINT: Final = "constraints"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A sampler's proposal that is not in the journal yet."""

    number: int
    params: Mapping[str, Any]
    lineage: Mapping[str, Any]
    marks: Mapping[str, Any]  # what the sampler noted for itself, such as NSGA-II's generation


class _WorkingStorage(InMemoryStorage):
    """Takes trials as they are: Optuna's copies a template to its depths, 86 distributions a trial."""

    def adopt(self, study_id: int, trial: FrozenTrial) -> None:
        """Adds a trial that nobody else holds."""
        trial.number = len(self._studies[study_id].trials)
        self._max_trial_id += 1
        trial._trial_id = self._max_trial_id
        self._trial_id_to_study_id_and_number[trial._trial_id] = (study_id, trial.number)
        self._studies[study_id].trials.append(trial)


class RunStudy:
    """Every trial of a run, on disk and in memory.

    Args:
        path: of the journal, which is repaired where its last line is torn, and begun where there is none.
        objectives: of the study.
        sampler: what proposes; without it, :meth:`use` names one before anything is asked.
    """

    def __init__(self, path: Path, objectives: Sequence[Objective], sampler: BaseSampler | None = None) -> None:
        self._objectives = tuple(objectives)
        directions = [o.direction for o in objectives]
        self.torn = repair_tail(path)
        self._writer = JournalWriter(path)
        if not path.exists() or path.stat().st_size == 0:
            self._writer.create_study(STUDY_NAME, directions)
        self._contents = read_journal(path, STUDY_NAME)
        if list(self._contents.directions) != directions:
            raise DecodeError(f"{path}: the study's objectives are not those of run.yaml; the directory is damaged")
        self._study_id = self._contents.study_id or 0
        self._ids = {number: entry.trial_id for number, entry in enumerate(self._contents.entries)}
        self._next_id = self._contents.trials
        self._past = len(self._contents.entries)
        self._storage = _WorkingStorage()
        with _quiet():
            self._memory = optuna.create_study(
                study_name=STUDY_NAME, storage=self._storage, directions=directions, sampler=sampler
            )

    @property
    def past(self) -> int:
        """How many trials the journal held when it was opened."""
        return self._past

    def use(self, sampler: BaseSampler) -> None:
        """Lets ``sampler`` propose."""
        self._memory.sampler = sampler

    @staticmethod
    def read(path: Path) -> list[Candidate]:
        """The candidates of a run, without changing anything on disk (a torn last line is passed over).

        Raises:
            DecodeError: not a journal of this search.
        """
        if not path.is_file():
            raise DecodeError(f"{path}: no such file; is this a run directory?")
        return [_candidate(number, entry) for number, entry in enumerate(read_journal(path, STUDY_NAME).entries)]

    def load(self, distributions: Mapping[str, BaseDistribution]) -> list[Candidate]:
        """What the journal held when it was opened, in the order of proposal; to be called once.

        The sampler sees every one of them as running; :meth:`tell` gives it their outcomes.

        Args:
            distributions: of the space, used for the trials that have just these.
        """
        entries, self._contents = self._contents.entries, Contents()
        parsed: dict[str, BaseDistribution] = {distribution_to_json(d): d for d in distributions.values()}
        texts: Mapping[str, str] = {}
        own: dict[str, BaseDistribution] = {}
        candidates = []
        for number, entry in enumerate(entries):
            candidates.append(_candidate(number, entry))
            try:
                if entry.distributions is not texts:
                    texts, own = entry.distributions, parsed_distributions(entry.distributions, parsed)
                params = {name: own[name].to_external_repr(value) for name, value in entry.params.items()}
            except DAMAGE as error:
                raise DecodeError(
                    f"study.journal: trial {number} has damaged parameters ({reason(error)}); restore it from a copy"
                ) from error
            self._storage.adopt(self._memory._study_id, _running(params, own, entry.system_attrs))
        return candidates

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
        start = {START: candidate.start_json()}
        self._writer.create_trial(self._study_id, asked.params, space, start, asked.marks)
        self._ids[candidate.trial] = self._next_id
        self._next_id += 1

    def record_rung(self, candidate: Candidate, result: RungResult) -> None:
        """Appends what a running candidate has shown so far."""
        self._writer.note_trial(self._ids[candidate.trial], {RUNG + result.rung: asdict(result)})

    def record_finish(self, candidate: Candidate) -> None:
        """Appends a finished candidate's outcome; the last record makes it finished."""
        if candidate.outcome is None:
            raise NasError(f"trial {candidate.trial} has no outcome; only finished candidates are recorded")
        state, values = _told(candidate, self._objectives)
        outcome = {OUTCOME: candidate.outcome.to_json()}
        self._writer.finish_trial(self._ids[candidate.trial], outcome, _constraints(candidate.verdicts), state, values)

    def tell(self, candidate: Candidate) -> None:
        """Shows a finished candidate to the sampler."""
        state, values = _told(candidate, self._objectives)
        storage = self._memory._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._memory._study_id, candidate.trial)
        for key, value in _constraints(candidate.verdicts).items():
            storage.set_trial_system_attr(trial_id, key, value)
        for key, value in _notes(candidate).items():
            storage.set_trial_user_attr(trial_id, key, value)
        with _quiet():
            self._memory.tell(candidate.trial, values, state if values is None else None)


def told_study(candidates: Sequence[Candidate], objectives: Sequence[Objective], space: SearchSpace) -> Study:
    """A study in memory that holds ``candidates`` as their search told them to its sampler; nothing is written.

    Args:
        candidates: of a run, by trial number.
        objectives: of its study.
        space: of its architectures.

    Raises:
        DecodeError: an architecture whose family is not imported.
        InputError: one that lies outside the space.
    """
    storage = _WorkingStorage()
    with _quiet():
        study = optuna.create_study(storage=storage, directions=[o.direction for o in objectives])
    distributions = space.distributions()
    for candidate in candidates:
        trial = _running(space.to_params(candidate.network()), distributions, {})
        if candidate.outcome is not None:
            trial.state, values = _told(candidate, objectives)
            trial.values = values
            trial.system_attrs = dict(_constraints(candidate.verdicts))
            trial.user_attrs = _notes(candidate)
        storage.adopt(study._study_id, trial)
    return study


def _candidate(number: int, entry: Entry) -> Candidate:
    try:
        outcome = entry.user_attrs.get(OUTCOME) if entry.state.is_finished() else None
        rungs = [told for name, told in entry.user_attrs.items() if name.startswith(RUNG)]
        return Candidate.from_json(number, entry.user_attrs[START], outcome, rungs)
    except (DecodeError, *DAMAGE) as error:
        raise DecodeError(
            f"study.journal: trial {number} is not one of this search ({reason(error)}); restore the file from a copy"
        ) from error


def _running(
    params: dict[str, Any], distributions: dict[str, BaseDistribution], system_attrs: Mapping[str, Any]
) -> FrozenTrial:
    """A running trial as a sampler sees it."""
    return FrozenTrial(
        number=-1,  # the storage numbers it
        trial_id=-1,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params=params,
        distributions=distributions,
        user_attrs={},
        system_attrs={k: v for k, v in system_attrs.items() if not k.startswith(_CONSTRAINT)},
        intermediate_values={},
    )


def _told(candidate: Candidate, objectives: Sequence[Objective]) -> tuple[TrialState, list[float] | None]:
    state = None if candidate.outcome is None else candidate.outcome.state  # of a repeat: its original's
    values = candidate.values(objectives) if state is State.TRAINED else None
    if values is not None:
        return TrialState.COMPLETE, list(values)
    rejected = state is State.REJECTED
    return (TrialState.PRUNED if rejected else TrialState.FAIL), None


def _notes(candidate: Candidate) -> dict[str, Any]:
    """What else a sampler learns of a finished candidate: its effort, inherited epochs with it."""
    outcome = candidate.outcome
    if outcome is None or outcome.effort is None:
        return {}
    return {EFFORT: Rung.parse(outcome.effort).as_effort(outcome.inherited_epochs())}


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
