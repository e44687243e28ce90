"""A candidate's way up the ladder of training efforts, fold by fold."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.errors import InputError, NasError
from nas.evaluation.bundle import Bundle
from nas.evaluation.extras import Answer
from nas.evaluation.job import Job, Relative
from nas.evaluation.precision import Float32, Precision
from nas.evaluation.train import Trainer
from nas.networks.build import Weights, get_weights, set_weights
from nas.networks.inherit import inherit
from nas.networks.links import Pair
from nas.networks.probes import ENOUGH, Probes, probe
from nas.run.candidate import Inheritance
from nas.run.directory import IMPORTANCE, PROBES, weights_name
from nas.run.predictions import DAMAGED, PREDICTIONS, Predictions
from nas.rung import Rung

_log = logging.getLogger(__name__)


@dataclass
class _Fold:
    """Where one fold stands."""

    weights: Weights
    epochs: int
    answer: Answer
    probes: Probes | None = None


class Climb:
    """Trains a candidate rung after rung; each goes on with the weights that the one before it left.

    A fold that nothing was trained on yet begins with the weights that the relative has *of the same fold*, which have
    never seen this fold's test subjects; where it has none, from scratch.

    Args:
        job, trainer, bundle: the candidate, its network, the data.
        inherited: the relative's weights as files, by fold.
        progress: a sign of life.
        precision: of the file by which it is judged.
    """

    def __init__(
        self,
        job: Job,
        trainer: Trainer,
        bundle: Bundle,
        inherited: Mapping[int, bytes],
        progress: Callable[[], None] = lambda: None,
        precision: Precision | None = None,
    ) -> None:
        self._precision = precision or Float32()
        self._job = job
        self._trainer = trainer
        self._bundle = bundle
        self._inherited = inherited
        self._progress = progress
        self._folds: dict[int, _Fold] = {}
        self._begun: dict[int, int] = {}  # epochs inherited, by fold
        self._share, self._preserving = 0.0, False

    def to(self, rung: Rung) -> None:
        """Trains what the rung asks for and is not there yet.

        Raises:
            TrainingDivergedError: a loss that is not finite.
        """
        folds = range(rung.folds) if self._job.folds is None else self._job.folds
        for k in reversed(folds):  # fold 0 last: its model is the one that is exported
            there = self._folds.get(k)
            if there is not None and there.epochs >= rung.epochs:
                continue
            train, test = self._bundle.folds[k]
            start, done = (self._start(k), 0) if there is None else (there.weights, there.epochs)
            b = self._bundle
            shown = b.rows(train), b.labels[train], rung.epochs, k, self._progress
            self._trainer.fit(*shown, extras=b.extras.at(train), start=start, done=done)
            answer = self._precision.answer(self._trainer, b.inputs(train), b.inputs(test))
            self._folds[k] = _Fold(get_weights(self._trainer.model), rung.epochs, answer)
            self._progress()
        if self._job.links is not None and rung == self._job.ladder[-1]:  # only who comes so far has children or heirs
            for k, fold in self._folds.items():
                set_weights(self._trainer.model, fold.weights)
                fold.probes = self._probe(k, self._job.links)
        set_weights(self._trainer.model, self._folds[folds[0]].weights)

    def _probe(self, k: int, links: Sequence[Pair]) -> Probes | None:
        """Probes of fold ``k``'s model, on images that it was trained on."""
        train, b = self._bundle.folds[k][0], self._bundle
        chosen = np.random.default_rng([self._job.seed, k, ENOUGH]).permutation(train)[:ENOUGH]
        images, *told = b.inputs(chosen)
        shown = images.astype(np.float32) / np.float32(255), b.labels[chosen], links if k == 0 else ()
        targets = b.extras.at(chosen).targets
        # Of a new link the architecture's edits are told, so one fold is enough; importance belongs to the weights.
        try:
            graph, landmarks = self._job.graph, told[0] if told else None
            return probe(self._trainer.model, graph, *shown, landmarks=landmarks, targets=targets)
        except InputError as error:
            _log.warning("fold %d is not probed: %s", k, error)
            return None

    def _start(self, k: int) -> Weights | None:
        """What fold ``k`` begins with; None for the network's own initial weights."""
        self._begun[k] = 0
        relative, content = self._job.relative, self._inherited.get(k)
        if relative is None or content is None:
            return None
        try:
            weights, importance = _read(content)
            fresh, seed = self._trainer.initial, self._job.seed
            taken = inherit(relative.graph, weights, self._job.graph, fresh, seed=seed, importance=importance)
        except (NasError, *DAMAGED) as error:
            _log.warning("fold %d begins from scratch: the weights of %s cannot be used: %s", k, relative.id, error)
            return None
        self._begun[k] = _epochs_of(relative, k)
        self._share, self._preserving = taken.inherited_share, taken.preserving
        return taken.weights

    @property
    def inheritance(self) -> Inheritance | None:
        """What has been inherited so far; None where nothing was."""
        relative = self._job.relative
        if relative is None or not any(self._begun.values()):
            return None
        epochs = tuple(self._begun[k] for k in sorted(self._begun))
        return Inheritance(relative.id, round(relative.distance, 4), epochs, round(self._share, 4), self._preserving)

    def predictions(self) -> Predictions:
        """Out-of-fold predictions of all folds so far, those of fold 0 last."""
        b, order = self._bundle, sorted(self._folds, reverse=True)
        index = np.concatenate([b.folds[k][1] for k in order])
        answers = [self._folds[k].answer for k in order]
        said = {name: np.concatenate([a[name] for a in answers]).astype(np.float32) for name in answers[0]}
        shares = said.get("probabilities", np.empty((len(index), 0), np.float32))
        values, targets = said.get("values"), b.extras.targets
        if values is None or targets is None:
            return Predictions(index, shares, b.labels[index], b.groups[index])
        return Predictions(index, shares, b.labels[index], b.groups[index], values, targets[index])

    def files(self) -> dict[str, bytes]:
        """Weights of every fold, and the predictions."""
        files = {weights_name(k): _written(fold) for k, fold in sorted(self._folds.items())}
        first = self._folds[0].probes
        probes = {} if first is None else {PROBES: first.to_bytes()}
        return files | probes | self.predicted()

    def predicted(self) -> dict[str, bytes]:
        """The predictions alone, as a file."""
        return {PREDICTIONS: self.predictions().to_bytes()}


def _epochs_of(relative: Relative, k: int) -> int:
    return relative.epochs[k] if k < len(relative.epochs) else 0


def _written(fold: _Fold) -> bytes:
    """Weights as ``.npz``, with the importance of their channels: it is of no other fold's."""
    importance = {} if fold.probes is None else fold.probes.importance
    arrays: dict[str, Any] = {**fold.weights, **{IMPORTANCE + group: values for group, values in importance.items()}}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _read(content: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """Weights, and the importance of their channels as far as it is known."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    importance = {name.removeprefix(IMPORTANCE): a for name, a in arrays.items() if name.startswith(IMPORTANCE)}
    return {name: a for name, a in arrays.items() if not name.startswith(IMPORTANCE)}, importance
