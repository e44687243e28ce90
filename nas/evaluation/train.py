"""Training one network on one fold: the whole epoch is one TensorFlow function."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from nas.data.rows import Images, Rows
from nas.errors import NasError
from nas.evaluation.augment import Augmentation, augment, augment_with_landmarks
from nas.evaluation.extras import Answer, Extras, Inputs
from nas.graph import Graph
from nas.networks.build import Weights, get_weights, set_weights
from nas.networks.network import Network, build_network

# (first epoch of 200, factor): Lee, Wang, Wong 2021, the schedule of the Keras ResNet example.
PAPER_EPOCHS: Final = 200
PAPER_SCHEDULE: Final = ((81, 1e-1), (121, 1e-2), (161, 1e-3), (181, 0.5e-3))
_PREDICT_BATCH: Final = 128
SPOKEN: Final = {"logits": "probabilities", "values": "values"}  # what an answer is called outside of training
Schedule = Literal["cosine", "paper"]
ClassWeights = Literal["none", "balanced"]
TargetLoss = Literal["mse", "ccc"]


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
        target_weight: of the targets' loss beside the cross-entropy, where a network answers both.
        target_loss: ``mse``, the mean square error (the baseline of AffectNet: Mollahosseini et al. 2017), or ``ccc``,
            1 - the concordance within each batch, averaged over targets (Kollias, Zafeiriou 2019): it wants batches
            of some dozens.
        soft_labels: whether the classes' shares are learned instead of the one label, where the data have them
            (cross-entropy with the distribution of votes: Barsoum et al. 2016).
    """

    batch: int = 8
    learning_rate: float = 2e-3
    augmentation: Augmentation = field(default_factory=Augmentation)
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    schedule: Schedule = "paper"
    class_weights: ClassWeights = "none"
    target_weight: float = 1.0
    target_loss: TargetLoss = "mse"
    soft_labels: bool = False


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


def soft_cross_entropy(shares: Any, logits: Any, smoothing: float) -> Any:
    """Losses (n,) of logits (n, classes) against shares (n, classes) that sum to 1, ``smoothing`` of it spread out."""
    import tensorflow as tf

    even = 1.0 / tf.cast(tf.shape(shares)[1], tf.float32)
    return tf.nn.softmax_cross_entropy_with_logits((1 - smoothing) * shares + smoothing * even, logits)


def target_loss(true: Any, predicted: Any, kind: TargetLoss) -> Any:
    """One number for a batch of targets (n, k), see :class:`Recipe`."""
    import tensorflow as tf

    if kind == "mse":
        return tf.reduce_mean(tf.square(predicted - true))
    mean_y, mean_p = tf.reduce_mean(true, axis=0), tf.reduce_mean(predicted, axis=0)
    y, p = true - mean_y, predicted - mean_p
    spread = tf.reduce_mean(tf.square(y), axis=0) + tf.reduce_mean(tf.square(p), axis=0) + tf.square(mean_p - mean_y)
    # A batch in which nothing varies, neither truth nor answer, has no concordance: the small number keeps it finite.
    return tf.reduce_mean(1 - 2 * tf.reduce_mean(y * p, axis=0) / (spread + 1e-6))


def decayed(variables: Iterable[Any]) -> list[Any]:
    """Those that weight decay shrinks: the kernels of convolutions and dense layers."""
    return [v for v in variables if v.name.split(":")[0].endswith("kernel")]


class Fitter:
    """Trains a ready tf_keras model from the weights that it has; the whole epoch is one TensorFlow function.

    Seconds spent are left in ``seconds``: ``trace`` (first call of the epoch function less one ordinary epoch) and
    ``train``.

    Args:
        model: whose trainable variables are trained.
        outputs: a model of the same variables and inputs, whose first outputs, or only one, are the ``answers``.
        recipe, seed: how.
        answers: what these are: ``logits`` and ``values``, or one of them.
    """

    def __init__(
        self, model: Any, outputs: Any, recipe: Recipe, seed: int, answers: Sequence[str] = ("logits",)
    ) -> None:
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
        self._answers = tuple(answers)
        shapes = model.input_shape if isinstance(model.input_shape, list) else [model.input_shape]
        self._taken = self._extras(shapes)
        self._epoch = self._epoch_function(shapes[0][1:])
        self.seconds = {"trace": 0.0, "train": 0.0}

    def _extras(self, shapes: Sequence[tuple[int, ...]]) -> dict[str, Any]:
        """What an epoch takes beside images and labels: specs by the names of :class:`Extras`."""
        import tensorflow as tf

        output = self._outputs.output_shape
        wide = dict(zip(self._answers, output if isinstance(output, list) else [output], strict=False))
        taken = {}
        if "values" in wide:
            taken["targets"] = tf.TensorSpec((None, wide["values"][-1]), tf.float32)
        if len(shapes) > 1:
            taken["landmarks"] = tf.TensorSpec((None, shapes[1][-1] // 2, 2), tf.float32)
        if "logits" in wide and self._recipe.soft_labels:
            taken["soft_labels"] = tf.TensorSpec((None, wide["logits"][-1]), tf.float32)
        return taken

    def _loss(self, answers: Mapping[str, Any], labels: Any, extras: Mapping[str, Any]) -> Any:
        """Of one batch."""
        import tensorflow as tf

        recipe, losses = self._recipe, []
        if "soft_labels" in extras:
            smoothed = soft_cross_entropy(extras["soft_labels"], answers["logits"], recipe.label_smoothing)
            losses.append(tf.reduce_mean(self._weighed(smoothed, labels)))
        elif "logits" in answers:
            hard = cross_entropy(labels, answers["logits"], recipe.label_smoothing)
            losses.append(tf.reduce_mean(self._weighed(hard, labels)))
        if "values" in answers:
            loss = target_loss(extras["targets"], answers["values"], recipe.target_loss)
            losses.append(recipe.target_weight * loss if losses else loss)
        return losses[0] if len(losses) == 1 else tf.add_n(losses)

    def _epoch_function(self, input_shape: tuple[int, int, int]) -> Any:
        import tensorflow as tf

        recipe, model, optimizer, variables = self._recipe, self._outputs, self._optimizer, self._variables
        shrinking = decayed(variables) if recipe.weight_decay else []

        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[
                tf.TensorSpec((None, *input_shape), tf.uint8),
                tf.TensorSpec((None,), tf.int64),
                tf.TensorSpec((None, None), tf.int32),
                tf.TensorSpec((), tf.int32),
                self._taken,
            ]
        )
        def epoch(images: Any, labels: Any, order: Any, seed: Any, extras: Any) -> Any:
            total = 0.0
            steps = tf.shape(order)[0]
            for step in tf.range(steps):
                chosen = order[step]
                x = tf.cast(tf.gather(images, chosen), tf.float32) / 255.0
                known = {name: tf.gather(values, chosen) for name, values in extras.items()}
                told = []
                if "landmarks" in known:
                    points, moment = known["landmarks"], tf.stack([seed, step])
                    x, points = augment_with_landmarks(x, points, moment, recipe.augmentation)
                    told = [tf.reshape(points, (-1, 2 * self._taken["landmarks"].shape[1]))]
                else:
                    x = augment(x, tf.stack([seed, step]), recipe.augmentation)
                x = tf.ensure_shape(x, (None, *input_shape))
                with tf.GradientTape() as tape:
                    answer = model([x, *told] if told else x, training=True)
                    answers = answer if isinstance(answer, list) else [answer]
                    named = dict(zip(self._answers, answers, strict=False))
                    loss = self._loss(named, tf.gather(labels, chosen), known)
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
        extras: Extras | None = None,
        done: int = 0,
    ) -> float:
        """Trains for ``epochs`` epochs; returns the last epoch's mean loss.

        Args:
            images, labels: of the fold's training part.
            epochs: of the whole training, over which the learning rate's schedule is laid.
            fold: decides, with the seed and the epoch, the order of the images and their augmentation.
            after_epoch: a sign of life.
            extras: what the network is told, and is to answer, beside images and labels.
            done: how many of the epochs the weights have behind them; the others follow.

        Raises:
            TrainingDivergedError: a loss that is not finite.
        """
        import tensorflow as tf

        for variable, value in zip(self._optimizer.variables(), self._fresh_optimizer, strict=True):
            variable.assign(value)
        if self._recipe.class_weights == "balanced":
            self._class_weights.assign(balanced_weights(labels, int(labels.max()) + 1))
        known = {} if extras is None else extras.arrays()
        x: Any = images
        y: Any = labels
        beside = {name: known[name] for name in self._taken}
        if not isinstance(images, Rows):
            x, y, beside = tf.constant(images), tf.constant(labels), _constants(beside)
        batch = min(self._recipe.batch, len(labels))
        loss, durations = float("nan"), []
        for epoch in range(done, epochs):
            begin = time.perf_counter()
            rng = np.random.default_rng([self._seed, fold, epoch])
            order = rng.permutation(len(labels))[: len(labels) // batch * batch].reshape(-1, batch).astype(np.int32)
            self._optimizer.learning_rate = learning_rate(self._recipe, epoch, epochs)
            loss = self._one_epoch(x, y, beside, order, int(rng.integers(2**31 - 1)))
            durations.append(time.perf_counter() - begin)
            after_epoch()
            if not np.isfinite(loss):
                raise TrainingDivergedError(f"the loss became {loss} in epoch {epoch + 1} of {epochs}")
        self._account(durations)
        return loss

    def _one_epoch(
        self, images: Any, labels: Any, beside: Mapping[str, Any], order: npt.NDArray[np.int32], seed: int
    ) -> float:
        """Mean loss of an epoch, of tensors; images that are not in memory are brought there a portion at a time."""
        import tensorflow as tf

        if not isinstance(images, Rows):
            return float(self._epoch(images, labels, order, seed, beside))
        total = 0.0
        for number, (chosen, local) in enumerate(images.portions(order)):
            mine = (seed + 7919 * number) % (2**31 - 1)  # else each portion would be augmented alike
            known = _constants({name: values[chosen] for name, values in beside.items()})
            loss = self._epoch(tf.constant(images[chosen]), tf.constant(labels[chosen]), local, mine, known)
            total += float(loss) * len(local)
        return total / len(order)

    def _account(self, durations: list[float]) -> None:
        if self.seconds["trace"] == 0.0 and len(durations) > 1:
            usual = float(np.median(durations[1:]))
            self.seconds["trace"] = max(durations[0] - usual, 0.0)
            durations = [usual, *durations[1:]]
        self.seconds["train"] += sum(durations)


def _constants(arrays: Mapping[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    return {name: tf.constant(values) for name, values in arrays.items()}


def answers_of(network: Network) -> tuple[str, ...]:
    """What a network answers, in the order of its model's outputs: ``logits`` (of probabilities) and ``values``."""
    if not isinstance(network, Graph):
        return ("logits",)
    kinds = {op.name: op.kind for op in network.ops}
    return tuple("logits" if kinds[name] == "softmax" else "values" for name in network.outputs)


def before_softmax(model: Any, answers: Sequence[str]) -> Any:
    """A tf_keras model of the same layers and inputs, whose probabilities are still logits."""
    import tf_keras

    outputs = model.outputs
    tensors = [
        model.get_layer(model.output_names[i]).input if name == "logits" else outputs[i]
        for i, name in enumerate(answers)
    ]
    return tf_keras.Model(model.input, tensors[0] if len(tensors) == 1 else tensors)


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
        self.answers = answers_of(network)
        self._fitter = Fitter(self.model, before_softmax(self.model, self.answers), recipe, seed, self.answers)
        signature = [tf.TensorSpec((None, *network.input_shape), tf.uint8)]
        if isinstance(network, Graph) and network.points:
            signature.append(tf.TensorSpec((None, 2 * network.points), tf.float32))
        self._predict = tf.function(self._answered, input_signature=signature)
        self.seconds = self._fitter.seconds
        self.seconds |= {"build": time.perf_counter() - start, "predict": 0.0}

    def _answered(self, images: Any, *told: Any) -> Any:
        import tensorflow as tf

        x = tf.cast(images, tf.float32) / 255.0
        return self.model([x, *told] if told else x, training=False)

    def fit(  # noqa: PLR0913 - those of Fitter.fit, and where to start
        self,
        images: Images,
        labels: npt.NDArray[np.int64],
        epochs: int,
        fold: int,
        after_epoch: Callable[[], None] = lambda: None,
        *,
        extras: Extras | None = None,
        start: Weights | None = None,
        done: int = 0,
    ) -> float:
        """Trains as :meth:`Fitter.fit` does.

        Args:
            images, labels, epochs, fold, after_epoch, extras, done: as there.
            start: weights to begin with; None for the network's own initial ones.

        Raises:
            TrainingDivergedError: a loss that is not finite.
        """
        set_weights(self.model, self.initial if start is None else start)
        return self._fitter.fit(images, labels, epochs, fold, after_epoch, extras=extras, done=done)

    def answer(self, inputs: Inputs) -> Answer:
        """What the network answers to inputs of n images."""
        start = time.perf_counter()
        parts: list[list[npt.NDArray[np.float32]]] = []
        for i in range(0, len(inputs[0]), _PREDICT_BATCH):
            answers = self._predict(*(given[i : i + _PREDICT_BATCH] for given in inputs))
            parts.append([a.numpy() for a in (answers if isinstance(answers, list) else [answers])])
        self.seconds["predict"] += time.perf_counter() - start
        named = zip(self.answers, zip(*parts, strict=True), strict=True)
        return {SPOKEN[name]: np.concatenate(pieces) for name, pieces in named}

    def predict(self, images: Images) -> npt.NDArray[np.float32]:
        """Probabilities (n, classes) of uint8 images (n, h, w, c), by a network that takes nothing else."""
        return self.answer((images,))["probabilities"]
