"""Certifies finalists: trains them from scratch under a protocol, judges, and then looks at the subjects set aside."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, Final

from nas.certificates.certificate import SCHEMA, UNSAID, Certificate, class_bounds, composed, file_entry
from nas.certificates.ledger import BEGUN, CERTIFIED, CHECKED, SPENT, Key, Ledger
from nas.certificates.protocol import CertifyProtocol, fresh_seeds
from nas.certificates.text import markdown
from nas.data.dataset import Dataset
from nas.data.folds import Split, make_split
from nas.deploy.pick import WORDS, pick
from nas.errors import DecodeError, InputError, NotCertifiedError
from nas.evaluation.bundle import Bundle
from nas.evaluation.job import Job
from nas.evaluation.train import Recipe
from nas.execution.drive import foresee, ready
from nas.execution.trained import setup_of, train
from nas.report.claims import put_to_the_test
from nas.run.atomic import write_atomic
from nas.run.candidate import Candidate
from nas.run.directory import RunDirectory
from nas.run.front import Front
from nas.run.lock import utc_now
from nas.run.provenance import machine, versions
from nas.rung import Rung
from nas.settings import Settings, Workers, search_folds
from nas.trainings import Training, Trainings, Watcher, is_kept

_PASSING: Final = frozenset({"issued", "versions", "machine", "seal"})  # differ from issue to issue


def full_recipe(recipe: Recipe) -> Recipe:
    """A search's recipe with the paper's schedule, which is made for long trainings."""
    return replace(recipe, schedule="paper")


@dataclass(frozen=True)
class Finalists:
    """What is to be certified, and with what.

    Attributes:
        directory, settings, candidates: of the run.
        chosen: the networks.
        protocol: how they are trained and tested.
        workers: where.
        dataset, split: of the search.
    """

    directory: RunDirectory
    settings: Settings
    candidates: Sequence[Candidate]
    chosen: Sequence[Candidate]
    protocol: CertifyProtocol
    workers: Workers
    dataset: Dataset
    split: Split

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of training, none of which the search used."""
        used = {c.seed for c in self.candidates}
        return fresh_seeds(self.settings.seed, used, self.protocol.seeds)

    def cross_validation(self) -> Split:
        """Folds over the subjects that the search had; over everyone where the protocol says so.

        Raises:
            InputError: a class has fewer subjects than folds.
        """
        if not self.protocol.everyone:
            return search_folds(self.settings, self.dataset, self.split, self.protocol.folds)
        split = make_split(self.dataset, folds=self.protocol.folds, holdout=0.0, seed=self.settings.seed)
        return self.settings.preparation.marked(split)


def certify(finalists: Finalists, watcher: Watcher) -> list[Certificate]:
    """Trains what is not kept yet, and issues the certificates; all that is finished stays, however it ends.

    The run must be held by the caller (:meth:`nas.run.directory.RunDirectory.locked`).

    Returns:
        One certificate a network, in the order given.

    Raises:
        InputError: the folds cannot be made.
        NotCertifiedError: a training failed; the other networks have their certificates.
        EnvironmentStopError: the disk or Ray stopped it.
        KeyboardInterrupt: the user stopped it.
    """
    return _Certification(finalists, watcher).run()


class _Certification:
    """One call of :func:`certify`."""

    def __init__(self, finalists: Finalists, watcher: Watcher) -> None:
        self._of = finalists
        self._protocol = finalists.protocol
        self._directory = finalists.directory
        self._watcher = watcher
        self._ledger = Ledger(finalists.directory)
        self._cross = finalists.cross_validation()
        self._bundle = Bundle.of(finalists.dataset, self._cross, finalists.settings.task)
        self._failures: dict[str, str] = {}

    def run(self) -> list[Certificate]:
        """All of it."""
        folds, aside = self._trainings(), self._aside()
        todo = [t for t in folds if not self._kept(t)]
        open_ = [t for t in aside if not self._kept(t)]
        self._watcher.planned(len(folds) + len(aside), len(folds) + len(aside) - len(todo) - len(open_))
        with self._workers(needed=bool(todo or open_)):
            self._begin()
            self._train(todo, self._bundle)
            unseen = {t.job.id for t in open_}
            issued = {c.id: self._issue(c, CERTIFIED, aside=c.id not in unseen) for c in self._passed()}
            self._look_aside([t for t in open_ if t.job.id in issued])
            issued |= {c.id: self._issue(c, CHECKED, aside=True) for c in self._passed() if c.id in unseen}
        if self._failures:
            why = "; ".join(self._failures.values())
            raise NotCertifiedError(f"a training failed ({why}); the same command tries it again, and nothing else")
        return [issued[c.id] for c in self._of.chosen]

    def _passed(self) -> list[Candidate]:
        """Those of which no training failed."""
        return [c for c in self._of.chosen if c.id not in self._failures]

    @contextlib.contextmanager
    def _workers(self, *, needed: bool) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if needed:
                stack.enter_context(ready(self._of.workers, self._of.dataset.images.nbytes))
            yield

    def _key(self, finalist: Candidate) -> Key:
        return finalist.id, self._protocol.name

    def _begin(self) -> None:
        """Counts each network before anything of it is known; what spends the hold-out says so first."""
        for finalist in self._of.chosen:
            key = self._key(finalist)
            if key not in self._ledger.begun():
                self._ledger.append(BEGUN, key, seeds=list(self._of.seeds), split=self._cross.hash)
            if self._protocol.everyone and len(self._of.split.holdout):
                self._spend(key, "its subjects are in the folds of the paper's protocol")

    def _spend(self, key: Key, how: str) -> None:
        if self._ledger.looks_before(key) is None:
            self._ledger.append(SPENT, key, how=how, subjects=self._of.split.holdout_groups)

    def _trainings(self) -> list[Training]:
        """Every network with every seed on every fold."""
        tasks = product(self._of.chosen, self._of.seeds, range(self._protocol.folds))
        return [self._training(n, c, seed, fold) for n, (c, seed, fold) in enumerate(tasks)]

    def _aside(self) -> list[Training]:
        """Every network with every seed, on all that the search had; none where nobody was set aside."""
        if self._protocol.everyone or not len(self._of.split.holdout):
            return []
        tasks = product(self._of.chosen, self._of.seeds)
        return [self._training(n, c, seed, None) for n, (c, seed) in enumerate(tasks)]

    def _training(self, number: int, finalist: Candidate, seed: int, fold: int | None) -> Training:
        job = Job(
            number,
            finalist.id,
            finalist.network().graph(),
            (Rung(1, self._protocol.epochs),),
            seed,
            reference=True,
            folds=(0 if fold is None else fold,),
            keep=self._protocol.predictions_name(fold, seed),
        )
        return Training(job, self._protocol.name, fold)

    @cached_property
    def _bundle_aside(self) -> Bundle:
        return Bundle.of_holdout(self._of.dataset, self._of.split, self._of.settings.task)

    def _kept(self, training: Training) -> bool:
        bundle = self._bundle_aside if training.fold is None else self._bundle
        return is_kept(training, bundle, self._directory, self._ledger, self._watcher)

    def _look_aside(self, todo: Sequence[Training]) -> None:
        """After the verdict: the subjects set aside, once a network and protocol."""
        for key in dict.fromkeys(t.key for t in todo):
            self._spend(key, "tested on, as a check of consistency after the verdict")
        if todo:
            self._train(todo, self._bundle_aside)

    def _train(self, todo: Sequence[Training], bundle: Bundle) -> None:
        if not todo:
            return
        state = Trainings(todo, self._directory, self._ledger, self._watcher)
        settings, pool = self._of.settings, self._of.workers
        setup = setup_of(self._of.candidates[0].network().graph(), settings, full_recipe(settings.recipe), pool)
        train(state, setup, bundle, pool, self._directory, self._watcher)
        self._failures.update(state.failures)

    def _issue(self, finalist: Candidate, event: str, *, aside: bool) -> Certificate:
        """Writes the certificate, unless it stands there already."""
        folder = self._directory.models / finalist.id
        path = folder / self._protocol.file_name
        content = json.loads(json.dumps(composed(self._recorded(finalist, aside), folder)))
        told = self._ledger.last(self._key(finalist), CERTIFIED, CHECKED)
        try:
            old = Certificate.read(path)
        except DecodeError:
            old = None
        if old is not None and told is not None and told.get("seal") == old.data["seal"] and _same(old.data, content):
            write_atomic(path.with_suffix(".md"), markdown(old.data))
            return old
        certificate = Certificate(content, path)
        certificate.write()
        told_of = "result" if event == CERTIFIED else "holdout_result"
        self._ledger.append(
            event,
            self._key(finalist),
            **{"certificate": path.name, "verdict": certificate.verdict, "seal": content["seal"]},
            accuracy=content[told_of]["accuracy"],
        )
        return certificate

    def _recorded(self, finalist: Candidate, with_aside: bool) -> dict[str, Any]:
        """All of a certificate that does not follow from predictions."""
        settings, dataset = self._of.settings, self._of.dataset
        key, folder = self._key(finalist), self._directory.models / finalist.id
        mine = [t for t in self._trainings() if t.job.id == finalist.id]
        aside = [t for t in self._aside() if t.job.id == finalist.id and with_aside]
        trained = class_bounds(settings.indicator)
        return {
            "schema": SCHEMA,
            "id": finalist.id,
            "issued": utc_now(),
            "architecture": json.loads(finalist.architecture),
            "protocol": {**asdict(self._protocol), "name": self._protocol.name, "seeds": list(self._of.seeds)},
            "reduced": self._protocol.reduced,
            "split": self._cross.describe(),
            "data": {
                "caption": dataset.caption + settings.judged_file,
                "fingerprint": dataset.fingerprint,
                "classes": list(dataset.class_names),
                "groups": self._bundle.group_kind,
            },
            "recipe": asdict(full_recipe(settings.recipe)),
            "constraints": [asdict(c) for c in trained],
            "not_judged": [str(c) for c in settings.indicator.constraints if c not in trained],
            "selection": {
                "judged": put_to_the_test(self._of.candidates),
                "tests": [list(k) for k in self._ledger.begun()],
            },
            "holdout": self._holdout(key),
            "files": [file_entry(t.fold, t.job.seed, folder / t.file) for t in mine],
            "holdout_files": [file_entry(None, t.job.seed, folder / t.file) for t in aside],
            "versions": versions(),
            "machine": machine(),
        }

    def _holdout(self, key: Key) -> dict[str, Any] | None:
        """The subjects that the search set aside; None where it did not."""
        split = self._of.split
        if not len(split.holdout):
            return None
        before = self._ledger.looks_before(key)
        return {"images": len(split.holdout), "groups": split.holdout_groups, "looked_before": before}


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two certificates say the same, whenever and wherever they were issued."""
    recipes = ({**UNSAID, **told.get("recipe", {})} for told in (old, new))
    known = {*old, *new} - _PASSING - {"recipe"}
    return len({json.dumps(recipe, sort_keys=True) for recipe in recipes}) == 1 and all(
        old.get(name) == new.get(name) for name in known
    )


def prepare(pool: Workers, **given: Any) -> Workers:
    """The run's workers with what the user changed; a cluster that is not there is refused at once."""
    changed = replace(pool, **{name: value for name, value in given.items() if value is not None})
    foresee(changed)
    return changed


def chosen_of(front: Front, candidates: Sequence[Candidate], ids: Sequence[str]) -> tuple[Candidate, ...]:
    """The networks that ``ids`` stand for (:func:`nas.deploy.pick.pick`), each once.

    Raises:
        InputError: none was named, or nothing is of that name.
    """
    if not ids:
        raise InputError(f"certify: name a network: an id, or {', '.join(WORDS)}")
    picked = [c for which in ids for c in pick(front, candidates, which)]
    return tuple({c.id: c for c in picked}.values())
