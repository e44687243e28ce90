"""A candidate's way up the ladder of training efforts, fold by fold."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.errors import NasError
from nas.evaluation.bundle import Bundle
from nas.evaluation.job import Job, Relative
from nas.evaluation.train import Trainer
from nas.networks.build import Weights, get_weights, set_weights
from nas.networks.inherit import inherit
from nas.run.candidate import Inheritance
from nas.run.directory import weights_name
from nas.run.predictions import PREDICTIONS, Predictions
from nas.rung import Rung

_log = logging.getLogger(__name__)


@dataclass
class _Fold:
    """Where one fold stands."""

    weights: Weights
    epochs: int
    probabilities: npt.NDArray[np.float32]


class Climb:
    """Trains a candidate rung after rung; each goes on with the weights that the one before it left.

    A fold that nothing was trained on yet begins with the weights that the relative has *of the same fold*, which have
    never seen this fold's test subjects; where it has none, from scratch.

    Args:
        job, trainer, bundle: the candidate, its network, the data.
        inherited: the relative's weights as files, by fold.
        progress: a sign of life.
    """

    def __init__(
        self,
        job: Job,
        trainer: Trainer,
        bundle: Bundle,
        inherited: Mapping[int, bytes],
        progress: Callable[[], None] = lambda: None,
    ) -> None:
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
        for k in reversed(range(rung.folds)):  # fold 0 last: its model is the one that is exported
            there = self._folds.get(k)
            if there is not None and there.epochs >= rung.epochs:
                continue
            train, test = self._bundle.folds[k]
            start, done = (self._start(k), 0) if there is None else (there.weights, there.epochs)
            images, labels = self._bundle.images, self._bundle.labels
            self._trainer.fit(images[train], labels[train], rung.epochs, k, self._progress, start=start, done=done)
            probabilities = self._trainer.predict(images[test])
            self._folds[k] = _Fold(get_weights(self._trainer.model), rung.epochs, probabilities)
        set_weights(self._trainer.model, self._folds[0].weights)

    def _start(self, k: int) -> Weights | None:
        """What fold ``k`` begins with; None for the network's own initial weights."""
        self._begun[k] = 0
        relative, content = self._job.relative, self._inherited.get(k)
        if relative is None or content is None:
            return None
        try:
            taken = inherit(relative.graph, _read(content), self._job.graph, self._trainer.initial, seed=self._job.seed)
        except (NasError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
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
        shares = np.concatenate([self._folds[k].probabilities for k in order]).astype(np.float32)
        return Predictions(index, shares, b.labels[index], b.groups[index])

    def files(self) -> dict[str, bytes]:
        """Weights of every fold, and the predictions."""
        files = {weights_name(k): _npz(**fold.weights) for k, fold in sorted(self._folds.items())}
        return files | {PREDICTIONS: self.predictions().to_bytes()}


def _epochs_of(relative: Relative, k: int) -> int:
    return relative.epochs[k] if k < len(relative.epochs) else 0


def _read(content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
