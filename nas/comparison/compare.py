"""Trains a run's front and known networks alike, measures them alike, and puts them side by side."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

from nas.certificates.ledger import Ledger
from nas.certificates.protocol import fresh_seeds
from nas.certificates.results import Pooled
from nas.comparison.files import CONVERTED, Converted
from nas.comparison.known import Contender
from nas.comparison.protocol import ComparisonProtocol
from nas.comparison.result import Comparison, described
from nas.comparison.rows import CONFIDENCE, Row, accuracies, difference, luck_of
from nas.comparison.statements import statements
from nas.data.dataset import Dataset
from nas.data.folds import Split
from nas.deploy.converted import FLOAT
from nas.errors import DecodeError, EnvironmentStopError, InputError, NothingEvaluatedError
from nas.evaluation.bundle import Bundle
from nas.evaluation.job import Job
from nas.execution.drive import ready
from nas.execution.trained import setup_of, train
from nas.measurement import Measurement
from nas.networks.applications import Application, WeightsError
from nas.run.candidate import Candidate
from nas.run.directory import RunDirectory
from nas.run.predictions import Predictions
from nas.rung import Rung
from nas.settings import Settings, Workers, search_folds
from nas.statistics.accuracy import SeedNoise
from nas.trainings import Training, Trainings, Watcher, is_kept

FOLDER: Final = "compare"  # of the run
_TRAINED: Final = "comparison_trained"
_FAILED: Final = "comparison_failed"


@dataclass(frozen=True)
class Contest:
    """What is compared, and with what.

    Attributes:
        directory, settings, candidates: of the run.
        members: of its front.
        known: the networks to compare with.
        baseline: name or id of the row to which the others' accuracies are compared; None for the first known one.
        protocol: how all are trained.
        workers: where.
        dataset, split: of the search.
        caption: how the data must be named, without its folds.
    """

    directory: RunDirectory
    settings: Settings
    candidates: Sequence[Candidate]
    members: Sequence[Candidate]
    known: Sequence[Contender]
    baseline: str | None
    protocol: ComparisonProtocol
    workers: Workers
    dataset: Dataset
    split: Split
    caption: str

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of training, none of which the search used."""
        return fresh_seeds(self.settings.seed, {c.seed for c in self.candidates}, self.protocol.seeds)

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """All of them, members first."""
        members = (Contender(c.id, c.id, c.network().graph(), member=True) for c in self.members)
        return (*members, *self.known)

    def named(self, wanted: str | None) -> Contender:
        """The baseline.  Raises InputError where nothing is of that name."""
        if wanted is None:
            return self.known[0]
        for contender in self.contenders:
            if wanted in (contender.id, contender.name) or (contender.member and contender.id.startswith(wanted)):
                return contender
        names = ", ".join(c.name for c in self.contenders)
        raise InputError(f"baseline {wanted!r}: no network of this comparison; use one of {names}")


def compare(contest: Contest, watcher: Watcher) -> Comparison:
    """Trains what is not kept yet, measures latencies, and returns the rows; what is trained stays, however it ends.

    The run must be held by the caller (:meth:`nas.run.directory.RunDirectory.locked`).

    Raises:
        InputError: the folds cannot be made, or there is no such baseline.
        NothingEvaluatedError: no network could be trained.
        EnvironmentStopError: the disk or Ray stopped it, or pretrained weights cannot be had.
        KeyboardInterrupt: the user stopped it.
    """
    return _Comparing(contest, watcher).run()


def writable_folder(path: Path) -> Path:
    """``path``, made where it is not there: better said before hours of training than after.

    Raises:
        InputError: it is no folder, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(13, "it cannot be written to")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be made a folder ({why}); choose another --out") from error
    return path


class _Comparing:
    """One call of :func:`compare`."""

    def __init__(self, contest: Contest, watcher: Watcher) -> None:
        self._of = contest
        self._baseline = contest.named(contest.baseline)
        self._watcher = watcher
        self._cross = search_folds(contest.settings, contest.dataset, contest.split, contest.protocol.folds)
        self._bundle = Bundle.of(contest.dataset, self._cross, contest.settings.task)
        self._store = RunDirectory(contest.directory.path / FOLDER)
        prototype = contest.candidates[0]
        self._reference = Contender(prototype.id, prototype.id, prototype.network().graph(), member=True)
        self._failures = {c.id: c.failure for c in contest.contenders if c.failure is not None}

    def run(self) -> Comparison:
        """All of it."""
        writable_folder(self._store.path)
        self._ledger = Ledger(self._store, trained=_TRAINED, failed=_FAILED)
        conversions, trainings = self._conversions(), self._trainings()
        unconverted = [t for t in conversions if not self._is_converted(t.job.id)]
        untrained = [t for t in trainings if not self._is_trained(t)]
        total, todo = len(conversions) + len(trainings), len(unconverted) + len(untrained)
        self._watcher.planned(total, total - todo)
        with self._workers(needed=todo > 0):
            self._drive(unconverted)
            self._drive([t for t in untrained if t.job.id not in self._failures])
        return self._concluded()

    @contextlib.contextmanager
    def _workers(self, *, needed: bool) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if needed:
                stack.enter_context(ready(self._of.workers, self._of.dataset.images.nbytes))
            yield

    def _conversions(self) -> list[Training]:
        """Every network as files, the reference of the latencies among them."""
        unique = {c.id: c for c in (self._reference, *self._of.contenders)}
        return [self._training(n, c, None, self._of.seeds[0]) for n, c in enumerate(unique.values()) if c.network]

    def _trainings(self) -> list[Training]:
        """Every network with every seed on every fold."""
        tasks = product(self._of.contenders, self._of.seeds, range(self._of.protocol.folds))
        return [self._training(n, c, fold, seed) for n, (c, seed, fold) in enumerate(tasks) if c.network]

    def _training(self, number: int, contender: Contender, fold: int | None, seed: int) -> Training:
        """Of one fold; of none, the conversion."""
        assert contender.network is not None
        protocol = self._of.protocol
        job = Job(
            number,
            contender.id,
            contender.network,
            (Rung(1, protocol.epochs),),
            seed,
            reference=True,
            folds=(0 if fold is None else fold,),
            keep=CONVERTED if fold is None else self._judged(protocol.predictions_name(fold, seed)),
            converts=fold is None,
        )
        return Training(job, protocol.name, fold)

    def _judged(self, name: str) -> str:
        """A file of predictions is of the model or of its int8 file, and never taken for the other."""
        return name.replace("compared-", "compared-int8-", 1) if self._of.settings.quantized else name

    def _is_trained(self, training: Training) -> bool:
        return is_kept(training, self._bundle, self._store, self._ledger, self._watcher)

    def _is_converted(self, network_id: str) -> bool:
        try:
            Converted.read(self._store, network_id)
        except DecodeError:
            return False
        return True

    def _drive(self, todo: Sequence[Training]) -> None:
        if not todo:
            return
        state = Trainings(todo, self._store, self._ledger, self._watcher)
        settings, pool = self._of.settings, self._of.workers
        setup = setup_of(self._of.candidates[0].network().graph(), settings, settings.recipe, pool)
        train(state, setup, self._bundle, pool, self._store, self._watcher)
        self._failures.update(state.failures)
        for network_id, kind in state.kinds.items():
            if kind == WeightsError.__name__:
                raise EnvironmentStopError(state.failures[network_id])

    def _concluded(self) -> Comparison:
        """Rows, from what is kept; nothing is trained any more, so that latencies can be measured."""
        rows = [self._row(c) for c in self._of.contenders]
        if all(row.pooled is None for row in rows):
            raise NothingEvaluatedError(
                f"no network could be trained; the last failure: {[f for row in rows for f in row.failures][-1]}"
            )
        noise = luck_of(rows)
        base = next(row for row in rows if row.id == self._baseline.id)
        compared = [row if row.id == base.id else _beside(row, base, noise) for row in rows]
        about = described(
            self._of.caption + self._of.settings.judged_file,
            self._of.settings,
            self._of.protocol,
            self._of.seeds,
            self._cross,
        )
        about |= {"baseline": base.name, "reference": self._reference.id, "pretrained": self._pretrained()}
        return Comparison(tuple(compared), tuple(statements(compared, noise)), about)

    def _pretrained(self) -> list[str]:
        return [c.name for c in self._of.known if isinstance(c.network, Application) and c.network.weights]

    def _row(self, contender: Contender) -> Row:
        figures: dict[str, Measurement] = {}
        failures = []
        if contender.id in self._failures:
            failures.append(str(self._failures[contender.id]).removeprefix(f"{contender.id} "))
        with contextlib.suppress(DecodeError):  # then it is a failure that is told already
            converted = Converted.read(self._store, contender.id)
            figures |= converted.figures()
            timed, wrong = converted.latencies(self._reference_file())
            figures |= timed
            failures += wrong + ([converted.int8_failure] if converted.int8_failure else [])
        pooled = self._pooled(contender)
        if pooled is not None:
            figures |= accuracies(pooled, self._bundle.group_kind)
        return Row(contender.id, contender.name, contender.member, figures, tuple(failures), pooled)

    def _reference_file(self) -> bytes | None:
        try:
            return Converted.read(self._store, self._reference.id).files[FLOAT]
        except DecodeError:
            return None

    def _pooled(self, contender: Contender) -> Pooled | None:
        if contender.id in self._failures:
            return None
        name = self._of.protocol.predictions_name
        parts: dict[tuple[int | None, int], Predictions] = {
            (fold, seed): Predictions.read(self._store.model_file(contender.id, self._judged(name(fold, seed))))
            for seed, fold in product(self._of.seeds, range(self._of.protocol.folds))
        }
        return Pooled.of(parts, len(self._of.dataset.class_names), len(self._bundle.labels))


def _beside(row: Row, base: Row, noise: SeedNoise | None) -> Row:
    """``row`` with its difference to the baseline, where both were trained."""
    found = difference(row, base, noise)
    if found is None:
        return row
    luck = "without" if noise is None else "with"
    how = f"accuracy less that of {base.name}, paired, {CONFIDENCE:.0%}, {luck} the luck of trainings"
    gap = Measurement(found.value, found.low, found.high, "share", found.images, how)
    return replace(row, figures={**row.figures, "difference": gap})
