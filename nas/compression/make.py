"""From a trained network to a compressed file, one method at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.compression import wrap
from nas.compression.contents import DEPTHWISE, Kernel, float_operators, kernels_of
from nas.compression.methods import Method
from nas.deploy.held import HeldImages
from nas.errors import NasError
from nas.evaluation.extras import Extras
from nas.evaluation.train import Fitter, Recipe
from nas.graph import Graph
from nas.networks.build import Weights, build_model, get_weights, set_weights
from nas.networks.tflite import Storage, to_tflite

EPOCHS: Final = 8
SLOWER: Final = 0.1  # learning rate of fine-tuning, as a share of the recipe's
_FOLD: Final = 0
_STORED: Final[Mapping[str, Storage]] = {"float32": "float32", "float16": "float16", "dynamic": "dynamic"}


class CompressionError(NasError):
    """A compressed network is not what was asked for."""


@dataclass(frozen=True, eq=False)
class Tuning:
    """How a variant is fine-tuned.

    Attributes:
        recipe: of the search; its schedule is laid over ``epochs``, at a tenth of its learning rate.
        epochs: of each fine-tuning.
        seed: of the order of images and their augmentation.
        images: training images of fold 0 with their labels, and that fold's test images.
        labels: int64 (n,), of the training images.
        extras: what else is known of these, as the network's task takes it.
    """

    recipe: Recipe
    epochs: int
    seed: int
    images: HeldImages
    labels: npt.NDArray[np.int64]
    extras: Extras = field(default_factory=Extras)

    @property
    def slow(self) -> Recipe:
        """The recipe of fine-tuning."""
        return replace(self.recipe, learning_rate=SLOWER * self.recipe.learning_rate)

    @property
    def steps(self) -> int:
        """Of one fine-tuning."""
        return len(self.labels) // min(self.recipe.batch, len(self.labels)) * self.epochs


@dataclass(frozen=True)
class Made:
    """A compressed file, and what there is to say of it."""

    content: bytes
    details: dict[str, Any]


class Maker:
    """Compresses one trained network.  What two methods begin with alike is trained once.

    Args:
        graph, weights: of the network.
        tuning: how it is fine-tuned.
        progress: told of every epoch: which stage, how many are done, of how many.
    """

    def __init__(
        self, graph: Graph, weights: Weights, tuning: Tuning, progress: Callable[[str, int, int], None]
    ) -> None:
        self._graph, self._weights, self._tuning, self._progress = graph, weights, tuning, progress
        self._bases: dict[tuple[str, float], tuple[Weights, dict[str, Any]]] = {}

    def original(self) -> Any:
        """The tf_keras model with the weights that the search left."""
        return self._model(self._weights)

    def make(self, method: Method) -> Made:
        """The file of one variant.

        Raises:
            CompressionError: it has fewer zeros, or more values, than was asked for, or computes in float.
            TrainingDivergedError: a loss that is not finite.
            ValueError: tfmot refuses the network.
        """
        begin = time.perf_counter()
        weights, stages = self._base(method)
        model = self._model(weights)
        if method.number == "qat":
            model = wrap.quantizable(model, method.base, self._tuning.images.given_to_calibrate())
            stages = {**stages, "qat": self._tuned(model, "quantization-aware training")}
        converting = time.perf_counter()
        content = self._converted(model, method)
        kernels, floating = kernels_of(content), float_operators(content)
        details = {
            "what": method.what,
            "stages": stages,
            "kernels": [k.to_json() for k in kernels],
            "float_operators": floating,
            "seconds": {
                "convert": round(time.perf_counter() - converting, 3),
                "all": round(time.perf_counter() - begin, 3),
            },
        }
        check(method, weights, kernels, floating)
        return Made(content, details)

    def _model(self, weights: Weights) -> Any:
        import tf_keras

        model = build_model(self._graph, tf_keras)
        set_weights(model, weights)
        return model

    def _base(self, method: Method) -> tuple[Weights, dict[str, Any]]:
        """The weights that a method quantizes, and how they came about."""
        if method.base == "none":
            return self._weights, {}
        key = method.base, method.amount
        if key not in self._bases:
            self._bases[key] = self._pruned(method.amount) if method.base == "prune" else self._clustered(method.amount)
        return self._bases[key]

    def _pruned(self, share: float) -> tuple[Weights, dict[str, Any]]:
        model = wrap.prunable(self.original(), share, self._tuning.steps)
        told = self._tuned(model, f"pruning to {share:.0%}", lambda: wrap.mask(model))
        return get_weights(wrap.without_pruning(model)), {"prune": told}

    def _clustered(self, clusters: float) -> tuple[Weights, dict[str, Any]]:
        model = wrap.clusterable(self.original(), int(clusters))
        told = self._tuned(model, f"clustering to {clusters:g} values")
        return get_weights(wrap.without_clustering(model)), {"cluster": told}

    def _tuned(self, model: Any, stage: str, after_epoch: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Trains ``model`` on, and says how."""
        tuning, done = self._tuning, 0

        def after() -> None:
            nonlocal done
            after_epoch()
            done += 1
            self._progress(stage, done, tuning.epochs)

        outputs, learned = wrap.with_logits(model, self._graph.outputs)
        fitter = Fitter(model, outputs, tuning.slow, tuning.seed, learned)
        shown = tuning.images.calibration, tuning.labels, tuning.epochs, _FOLD, after
        loss = fitter.fit(*shown, extras=tuning.extras)
        return {
            "epochs": tuning.epochs,
            "learning_rate": tuning.slow.learning_rate,
            "seed": tuning.seed,
            "loss": round(loss, 6),
            "seconds": round(sum(fitter.seconds.values()), 3),
        }

    def _converted(self, model: Any, method: Method) -> bytes:
        storage = _STORED.get(method.number)
        if storage is None:
            return to_tflite(model, calibration=self._tuning.images.given_to_calibrate())
        return to_tflite(model, storage=storage)


def check(method: Method, weights: Mapping[str, Any], kernels: list[Kernel], floating: list[str]) -> None:
    """Raises CompressionError where a variant is not what its name says.

    Args:
        method: what was asked for.
        weights: of the network before its conversion, by ``operator/variable``.
        kernels, floating: of the file.
    """
    trained = {name: w for name, w in weights.items() if name.endswith("/kernel")}
    stored = [k for k in kernels if k.operator != DEPTHWISE]  # tfmot leaves depthwise kernels alone
    if method.base == "prune":
        zeros = [(name, w.size, int((w == 0).sum())) for name, w in trained.items()]
        for name, size, found in zeros + [(f"{k.name} in the file", k.weights, k.zeros) for k in stored]:
            _check_zeros(name, size, found, method.amount)
    if method.base == "cluster":
        values = [(name, len(np.unique(w))) for name, w in trained.items()]
        for name, count in values + [(f"a channel of {k.name} in the file", k.values_per_channel) for k in stored]:
            if count > method.amount:
                raise CompressionError(f"{name} has {count} values, asked for were at most {method.amount:g}")
    if method.number in ("int8", "qat") and floating:
        raise CompressionError(f"computes in floating point in {', '.join(floating)}: tfmot does not take this network")


def _check_zeros(name: str, weights: int, zeros: int, share: float) -> None:
    """tfmot keeps round((1 - share) * weights) of them; one more is let pass, for rounding in single precision."""
    least = weights - max(round(weights * (1 - share)), 1) - 1
    if zeros < least:
        raise CompressionError(
            f"{name} has {zeros} zeros among {weights} weights, asked for were {share:.0%}: train for more --epochs"
        )
