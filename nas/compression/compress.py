"""Compresses candidates of a run, and records each variant with its file; what is there already is not made again."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from nas.compression.make import Maker, Tuning
from nas.compression.measured import Original, measure
from nas.compression.methods import Method
from nas.deploy.export import read_weights
from nas.deploy.held import HeldImages
from nas.errors import EnvironmentStopError, InputError, one_line
from nas.evaluation.extras import Extras
from nas.evaluation.train import Recipe, TrainingDivergedError
from nas.networks.tflite import check_same_output, to_tflite
from nas.run.candidate import Candidate
from nas.run.directory import RunDirectory
from nas.run.variants import Variant, keep_variant, read_variant, variants_of

MOST_EPOCHS: Final = 10_000
_COMPARED: Final = 8  # images on which the float file is compared with its model
_LOG: Final = 2000  # characters of a traceback that are kept


class Watcher(Protocol):
    """Follows a compression, such as a live view."""

    def planned(self, total: int, kept: int) -> None:
        """``total`` variants are wanted, of which ``kept`` are there already."""

    def begun(self, label: str) -> None:
        """One is begun."""

    def trained(self, stage: str, epoch: int, epochs: int) -> None:
        """An epoch of its fine-tuning is done."""

    def made(self, variant: Variant) -> None:
        """One is recorded, failed ones too."""


class Unwatched:
    """A watcher that does nothing."""

    def planned(self, total: int, kept: int) -> None:
        """Nothing."""

    def begun(self, label: str) -> None:
        """Nothing."""

    def trained(self, stage: str, epoch: int, epochs: int) -> None:
        """Nothing."""

    def made(self, variant: Variant) -> None:
        """Nothing."""


@dataclass(frozen=True, eq=False)
class CompressOrder:
    """What is to be made, apart from the candidates.

    Attributes:
        directory: of the run.
        methods: each gives one variant a candidate.
        recipe: of the search.
        epochs: of each fine-tuning.
        images: training and test images of fold 0.
        labels: int64 (n,), of the training images.
        again: whether to make what is there already.
        extras: what else is known of the training images, as the run's task takes it.
    """

    directory: RunDirectory
    methods: tuple[Method, ...]
    recipe: Recipe
    epochs: int
    images: HeldImages
    labels: npt.NDArray[np.int64]
    again: bool = False
    extras: Extras = field(default_factory=Extras)

    def __post_init__(self) -> None:
        if not 1 <= self.epochs <= MOST_EPOCHS:
            raise InputError(f"epochs {self.epochs}: use 1 to {MOST_EPOCHS}")
        if len(self.labels) != len(self.images.calibration):
            raise InputError(f"{len(self.labels)} labels for {len(self.images.calibration)} training images")


def compress(candidates: Sequence[Candidate], order: CompressOrder, watcher: Watcher) -> list[Variant]:
    """One variant a candidate and method, in that order; a failed one has its reason, and the others go on.

    Raises:
        InputError: a candidate without weights; nothing is made.
        EnvironmentStopError: the disk is full, or the folder cannot be written.
    """
    members = [_Member(c, order) for c in candidates]
    kept = [m.kept() for m in members]
    watcher.planned(len(members) * len(order.methods), sum(map(len, kept)))
    return [v for m, there in zip(members, kept, strict=True) for v in m.variants(there, watcher)]


class _Member:
    """One candidate with its weights; its network is built when something is to be made of it."""

    def __init__(self, candidate: Candidate, order: CompressOrder) -> None:
        self._candidate, self._order = candidate, order
        content, self._weights = read_weights(order.directory, candidate)
        self._digest = hashlib.sha256(content).hexdigest()
        self._graph = candidate.network().graph()
        self._images = order.images.fit_for(self._graph)

    def kept(self) -> dict[str, Variant]:
        """Variants that need not be made: of these weights, trained as long, with their file."""
        if self._order.again:
            return {}
        wanted = {m.name: self._epochs(m) for m in self._order.methods}
        return {
            v.name: v
            for v in variants_of(self._order.directory).get(self._candidate.id, ())
            if v.name in wanted
            and v.epochs == wanted[v.name]
            and v.weights_sha256 == self._digest
            and read_variant(self._order.directory, v) is not None
        }

    def variants(self, kept: dict[str, Variant], watcher: Watcher) -> list[Variant]:
        """All that are wanted, those that are not ``kept`` being made."""
        if all(m.name in kept for m in self._order.methods):
            return [kept[m.name] for m in self._order.methods]
        order = self._order
        tuning = Tuning(order.recipe, order.epochs, self._candidate.seed, self._images, order.labels, order.extras)
        maker = Maker(self._graph, self._weights, tuning, watcher.trained)
        original = _original(maker, self._images, self._graph.outputs)
        return [kept.get(m.name) or self._made(m, maker, original, watcher) for m in order.methods]

    def _made(self, method: Method, maker: Maker, original: Original, watcher: Watcher) -> Variant:
        watcher.begun(f"{self._candidate.id}:{method.name}")
        told: dict[str, Any] = {"original": original.measurements}
        content: bytes | None = None
        try:
            made = maker.make(method)
            told["measurements"] = measure(made.content, original, self._images)
            told |= {"details": made.details, "file_sha256": hashlib.sha256(made.content).hexdigest()}
            content = made.content
        except EnvironmentStopError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever tfmot or a converter refuses is recorded, the others go on
            told["failure"] = _failure(error)
        epochs = self._epochs(method)
        variant = Variant(self._candidate.id, method.name, str(method), epochs, self._digest, **told)
        keep_variant(self._order.directory, variant, content)
        watcher.made(variant)
        return variant

    def _epochs(self, method: Method) -> int:
        return self._order.epochs if method.trains else 0


def _original(maker: Maker, images: HeldImages, outputs: tuple[str, ...]) -> Original:
    """The float network's file, compared with the network."""
    model = maker.original()
    content = to_tflite(model)
    check_same_output(model, content, images.given(_COMPARED))
    return Original.of(content, images, outputs)


def _failure(error: Exception) -> dict[str, Any]:
    kind = "diverged" if isinstance(error, TrainingDivergedError) else type(error).__name__
    log = "".join(traceback.format_exception(error))[-_LOG:]
    return {"kind": kind, "reason": one_line(str(error) or type(error).__name__), "log": log}
