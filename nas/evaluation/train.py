"""Training one network on one fold: the whole epoch is one TensorFlow function."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from nas.data.rows import Images, Rows
from nas.errors import NasError
from nas.evaluation.augment import Augmentation, augment
from nas.networks.build import Weights, get_weights, set_weights
from nas.networks.network import Network, build_network

# (first epoch of 200, factor): Lee, Wang, Wong 2021, the schedule of the Keras ResNet example.
PAPER_EPOCHS: Final = 200
PAPER_SCHEDULE: Final = ((81, 1e-1), (121, 1e-2), (161, 1e-3), (181, 0.5e-3))
_PREDICT_BATCH: Final = 128
Schedule = Literal["cosine", "paper"]
ClassWeights = Literal["none", "balanced"]


class TrainingDivergedError(NasError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class Recipe:
    """How every candidate of a run is trained.

    Attributes:
        batch: images a step.
        learning_rate: of Adam, before the schedule.
        schedule: ``paper``, the steps of :data:`PAPER_SCHEDULE` scaled to the epochs there are, or ``cosine``
            (Loshchilov, Hutter 2017).
        augmentation: of the training images.
        label_smoothing: share of each target that is spread evenly over all classes (Szegedy et al. 2016).
        weight_decay: decoupled, as in AdamW (Loshchilov, Hutter 2019): each step takes this times the learning rate,
            as a share, off the kernels; biases and batch normalisation are left alone.
        class_weights: ``balanced`` weighs an image's loss by :func:`balanced_weights` of the fold's training part.
    """

    batch: int = 8
    learning_rate: float = 2e-3
    augmentation: Augmentation = field(default_factory=Augmentation)
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    schedule: Schedule = "paper"
    class_weights: ClassWeights = "none"


def learning_rate(recipe: Recipe, epoch: int, epochs: int) -> float:
    """Of one epoch, counted from 0, of ``epochs``: by the recipe's schedule."""
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (epoch + 0.5) / epochs))
    paper_epoch = (epoch + 0.5) * PAPER_EPOCHS / epochs
    factor = 1.0
    for first, value in PAPER_SCHEDULE:
        if paper_epoch >= first:
            factor = value
    return recipe.learning_rate * factor


def cross_entropy(labels: Any, logits: Any, smoothing: float) -> Any:
    """Losses (n,) of logits (n, classes) against integer labels (n,), the share ``smoothing`` of which all classes get.

    (1 - s) * -log p[label] + s * mean over k of -log p[k]; without smoothing the graph is that of the first term alone.
    """
    import tensorflow as tf

    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if smoothing == 0:
        return losses
    return (1 - smoothing) * losses - smoothing * tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)


def balanced_weights(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float32]:
    """Weight of each class, shape (classes,): n / (k * count), for k classes that are there; 1 for those that are not.

    Their mean over the images is 1, as of scikit-learn's ``balanced``, so that the learning rate keeps its meaning.
    """
    counts = np.bincount(labels, minlength=classes)
    there = counts > 0
    weights = np.ones(classes, np.float32)
    weights[there] = len(labels) / (there.sum() * counts[there])
    return weights


def decayed(variables: Iterable[Any]) -> list[Any]:
    """Those that weight decay shrinks: the kernels of convolutions and dense layers."""
    return [v for v in variables if v.name.split(":")[0].endswith("kernel")]


class Fitter:
    """Trains a ready tf_keras model from the weights that it has; the whole epoch is one TensorFlow function.

    Seconds spent are left in ``seconds``: ``trace`` (first call of the epoch function less one ordinary epoch) and
    ``train``.

    Args:
        model: whose trainable variables are trained.
        outputs: a model of the same variables whose first output, or only one, is the logits.
        recipe, seed: how.
    """

    def __init__(self, model: Any, outputs: Any, recipe: Recipe, seed: int) -> None:
        import tensorflow as tf
        import tf_keras

        self._recipe = recipe
        self._seed = seed
        self._outputs = outputs
        self._variables = model.trainable_variables
        self._optimizer = tf_keras.optimizers.legacy.Adam(recipe.learning_rate)
        with tf.name_scope("adam"):
            self._optimizer._create_all_weights(self._variables)
        self._fresh_optimizer = [np.zeros_like(v.numpy()) for v in self._optimizer.variables()]
        self._class_weights = tf.Variable(np.ones(1, np.float32), trainable=False, shape=(None,))
        self._epoch = self._epoch_function(model.input_shape[1:])
        self.seconds = {"trace": 0.0, "train": 0.0}

    def _epoch_function(self, input_shape: tuple[int, int, int]) -> Any:
        import tensorflow as tf

        recipe, model, optimizer, variables = self._recipe, self._outputs, self._optimizer, self._variables
        shrinking = decayed(variables) if recipe.weight_decay else []
        single = not isinstance(model.output, list)

        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[
                tf.TensorSpec((None, *input_shape), tf.uint8),
                tf.TensorSpec((None,), tf.int64),
                tf.TensorSpec((None, None), tf.int32),
                tf.TensorSpec((), tf.int32),
            ]
        )
        def epoch(images: Any, labels: Any, order: Any, seed: Any) -> Any:
            total = 0.0
            steps = tf.shape(order)[0]
            for step in tf.range(steps):
                chosen = order[step]
                x = tf.cast(tf.gather(images, chosen), tf.float32) / 255.0
                x = augment(x, tf.stack([seed, step]), recipe.augmentation)
                x = tf.ensure_shape(x, (None, *input_shape))
                with tf.GradientTape() as tape:
                    answer = model(x, training=True)
                    logits = answer if single else answer[0]
                    losses = cross_entropy(tf.gather(labels, chosen), logits, recipe.label_smoothing)
                    loss = tf.reduce_mean(self._weighed(losses, tf.gather(labels, chosen)))
                gradients = tape.gradient(loss, variables)
                for kernel in shrinking:
                    kernel.assign_sub(kernel * (optimizer.learning_rate * recipe.weight_decay))
                optimizer.apply_gradients(zip(gradients, variables, strict=True))
                total += loss
            return total / tf.cast(steps, tf.float32)

        return epoch

    def _weighed(self, losses: Any, labels: Any) -> Any:
        """Losses (n,) times the weights of their classes, where the recipe weighs classes."""
        import tensorflow as tf

        if self._recipe.class_weights == "none":
            return losses
        return losses * tf.gather(self._class_weights, labels)

    def fit(
        self,
        images: Images,
        labels: npt.NDArray[np.int64],
        epochs: int,
        fold: int,
        after_epoch: Callable[[], None] = lambda: None,
        *,
        done: int = 0,
    ) -> float:
        """Trains for ``epochs`` epochs; returns the last epoch's mean loss.

        Args:
            images, labels: of the fold's training part.
            epochs: of the whole training, over which the learning rate's schedule is laid.
            fold: decides, with the seed and the epoch, the order of the images and their augmentation.
            after_epoch: a sign of life.
            done: how many of the epochs the weights have behind them; the others follow.

        Raises:
            TrainingDivergedError: a loss that is not finite.
        """
        import tensorflow as tf

        for variable, value in zip(self._optimizer.variables(), self._fresh_optimizer, strict=True):
            variable.assign(value)
        if self._recipe.class_weights == "balanced":
            self._class_weights.assign(balanced_weights(labels, int(labels.max()) + 1))
        x = images if isinstance(images, Rows) else tf.constant(images)
        batch = min(self._recipe.batch, len(labels))
        loss, durations = float("nan"), []
        for epoch in range(done, epochs):
            begin = time.perf_counter()
            rng = np.random.default_rng([self._seed, fold, epoch])
            order = rng.permutation(len(labels))[: len(labels) // batch * batch].reshape(-1, batch).astype(np.int32)
            self._optimizer.learning_rate = learning_rate(self._recipe, epoch, epochs)
            loss = self._one_epoch(x, labels, order, int(rng.integers(2**31 - 1)))
            durations.append(time.perf_counter() - begin)
            after_epoch()
            if not np.isfinite(loss):
                raise TrainingDivergedError(f"the loss became {loss} in epoch {epoch + 1} of {epochs}")
        self._account(durations)
        return loss

    def _one_epoch(self, images: Any, labels: npt.NDArray[np.int64], order: npt.NDArray[np.int32], seed: int) -> float:
        """Mean loss of an epoch; images that are not in memory are brought there a portion at a time."""
        import tensorflow as tf

        if not isinstance(images, Rows):
            return float(self._epoch(images, tf.constant(labels), order, seed))
        total = 0.0
        for number, (chosen, local) in enumerate(images.portions(order)):
            mine = (seed + 7919 * number) % (2**31 - 1)  # else each portion would be augmented alike
            loss = self._epoch(tf.constant(images[chosen]), tf.constant(labels[chosen]), local, mine)
            total += float(loss) * len(local)
        return total / len(order)

    def _account(self, durations: list[float]) -> None:
        if self.seconds["trace"] == 0.0 and len(durations) > 1:
            usual = float(np.median(durations[1:]))
            self.seconds["trace"] = max(durations[0] - usual, 0.0)
            durations = [usual, *durations[1:]]
        self.seconds["train"] += sum(durations)


class Trainer:
    """Builds a network once and trains it on one fold after another, from the same initial weights or from given ones.

    Seconds spent are left in ``seconds``: ``build``, those of :class:`Fitter`, ``predict``.
    """

    def __init__(self, network: Network, recipe: Recipe, seed: int) -> None:
        import tensorflow as tf
        import tf_keras

        start = time.perf_counter()
        self.model = build_network(network, tf_keras, seed=seed)
        self.initial = get_weights(self.model)
        logits = tf_keras.Model(self.model.input, self.model.layers[-2].output)
        self._fitter = Fitter(self.model, logits, recipe, seed)
        self._predict = tf.function(
            lambda x: self.model(tf.cast(x, tf.float32) / 255.0, training=False),
            input_signature=[tf.TensorSpec((None, *network.input_shape), tf.uint8)],
        )
        self.seconds = self._fitter.seconds
        self.seconds |= {"build": time.perf_counter() - start, "predict": 0.0}

    def fit(
        self,
        images: Images,
        labels: npt.NDArray[np.int64],
        epochs: int,
        fold: int,
        after_epoch: Callable[[], None] = lambda: None,
        *,
        start: Weights | None = None,
        done: int = 0,
    ) -> float:
        """Trains as :meth:`Fitter.fit` does.

        Args:
            images, labels, epochs, fold, after_epoch, done: as there.
            start: weights to begin with; None for the network's own initial ones.

        Raises:
            TrainingDivergedError: a loss that is not finite.
        """
        set_weights(self.model, self.initial if start is None else start)
        return self._fitter.fit(images, labels, epochs, fold, after_epoch, done=done)

    def predict(self, images: Images) -> npt.NDArray[np.float32]:
        """Probabilities (n, classes) of uint8 images (n, h, w, c)."""
        start = time.perf_counter()
        parts = [self._predict(images[i : i + _PREDICT_BATCH]).numpy() for i in range(0, len(images), _PREDICT_BATCH)]
        self.seconds["predict"] += time.perf_counter() - start
        return np.concatenate(parts)
