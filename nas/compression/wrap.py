"""What tensorflow-model-optimization does to a network: wraps its layers for training, and takes the wrapping off.

It takes tf_keras models alone: of a Keras 3 model clustering silently makes None.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from nas.compression.methods import Base
from nas.graph import VALUES
from nas.networks.tflite import Tensors, listed

_LEGACY: Final = "TF_USE_LEGACY_KERAS"
_UPDATES: Final = 20  # how often the share of zeros is raised on its way
_DECAY: Final = 0.999  # of tfmot's moving averages
_ROUNDS: Final = 4
_LEAST: Final = 0.05  # of a range's upper end: beside an empty one (a link at birth) LiteRT cannot scale an addition
_RANGE: Final = re.compile(r"(output|activation)_(min|max)(:0)?$")  # of moving averages, unlike those of kernels
_WAY: Final = 0.6  # of the training, after which it is reached; the rest heals


def _library() -> Any:
    """tfmot, without what its import leaves in the environment.

    There it would turn ``tf.keras`` into tf_keras in every process that this one starts.
    """
    before = os.environ.get(_LEGACY)
    import tensorflow_model_optimization as tfmot

    if before is None:
        os.environ.pop(_LEGACY, None)
    return tfmot


def prunable(model: Any, sparsity: float, steps: int) -> Any:
    """``model`` with every kernel of its convolutions and dense layers pruned by magnitude as it trains.

    The share of zeros rises from 0 to ``sparsity`` by a cubic polynomial (Zhu, Gupta 2017) over the first 60 % of the
    steps.  Depthwise kernels are left alone, as tfmot does.

    Args:
        model: a tf_keras model; its layers become part of the result.
        sparsity: share of each kernel, in 0..1.
        steps: of the training to come.
    """
    tfmot = _library()

    frequency = max(int(_WAY * steps) // _UPDATES, 1)
    end = 1 + frequency * max(min(int(_WAY * steps) // frequency, _UPDATES), 1)
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, sparsity, 1, end, frequency=frequency)
    wrapped = _wrapped(model, lambda layer: tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule))
    for layer in _pruned(wrapped):
        layer.pruning_step.assign(0)  # what tfmot's callback does when training begins
    return wrapped


def mask(model: Any) -> None:
    """Sets to 0 what is masked: the last step of an optimizer moves those weights too."""
    for layer in _pruned(model):
        layer.pruning_obj.weight_mask_op()


def without_pruning(model: Any) -> Any:
    """The network alone, with its zeros."""
    tfmot = _library()

    mask(model)
    return tfmot.sparsity.keras.strip_pruning(model)


def clusterable(model: Any, clusters: int) -> Any:
    """``model`` with the weights of each kernel drawn to ``clusters`` values (k-means++), which then train.

    Kernels with no more weights than that, and depthwise ones, are left alone.
    """
    import tensorflow as tf

    tfmot = _library()

    tf.random.set_seed(0)  # of k-means++, which takes no seed
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap(layer: Any) -> Any:
        if layer.kernel.shape.num_elements() <= clusters:
            return layer
        return tfmot.clustering.keras.cluster_weights(layer, clusters, start)

    return _wrapped(model, wrap)


def without_clustering(model: Any) -> Any:
    """The network alone, with its few values."""
    tfmot = _library()

    return tfmot.clustering.keras.strip_clustering(model)


def quantizable(model: Any, keeping: Base, given: Tensors) -> Any:
    """``model`` with int8's rounding simulated as it trains.

    Average pooling has no range of its own, unlike with tfmot's defaults: in TFLite its output has its input's, and
    the converter refuses two that differ.  A dense layer takes the ReLU behind it into itself: of two layers, tfmot
    would round what comes out of the ReLU alone, and keep neither zeros nor equal values of the kernel.

    Args:
        model: a tf_keras model.
        keeping: what of its weights training must keep: zeros (``prune``), equal values (``cluster``), or nothing.
        given: float32 images (n, h, w, c) in [0, 1], with landmarks where it takes them, from which the ranges of
            activations are found.
    """
    tfmot = _library()
    import tf_keras
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_quantize_configs

    quantization, combine = tfmot.quantization.keras, tfmot.experimental.combine
    without = default_8bit_quantize_configs.NoOpQuantizeConfig
    schemes = {
        "none": quantization.default_8bit.Default8BitQuantizeScheme,
        "prune": combine.Default8BitPrunePreserveQuantizeScheme,
        "cluster": lambda: combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=False),
    }

    rectified = _rectified(model)

    def annotate(layer: Any) -> Any:
        if isinstance(layer, tf_keras.layers.AveragePooling2D):
            return quantization.quantize_annotate_layer(layer, without())
        if layer.name in rectified:
            return tf_keras.layers.Dense.from_config(layer.get_config() | {"activation": "relu"})
        if layer.name in rectified.values():
            return tf_keras.layers.Activation("linear", name=layer.name)
        return layer

    annotated = tf_keras.models.clone_model(model, clone_function=annotate)
    for name in rectified:
        annotated.get_layer(name).set_weights(model.get_layer(name).get_weights())
    with quantization.quantize_scope({without.__name__: without}):
        wrapped = quantization.quantize_apply(quantization.quantize_annotate_model(annotated), schemes[keeping]())
    _settle(wrapped, given)
    return wrapped


def _rectified(model: Any) -> dict[str, str]:
    """{dense layer: the ReLU that alone reads it}, by names."""
    import tf_keras

    relus = (layer for layer in model.layers if isinstance(layer, tf_keras.layers.ReLU))
    found = {node.inbound_layers.name: relu.name for relu in relus for node in relu.inbound_nodes[-1:]}
    return {name: relu for name, relu in found.items() if isinstance(model.get_layer(name), tf_keras.layers.Dense)}


def _settle(model: Any, given: Tensors) -> None:
    """Sets the ranges of activations to what they are on ``given``.

    tfmot begins all of them at -6..6 and moves them by a thousandth a step: a fine-tuning of a few hundred steps would
    end with ranges that are still mostly those, and with a fraction of int8's 256 values in use.  What one step moves
    tells what the step saw; a few rounds, since what a layer sees depends on the ranges before it.
    """
    ranges = [v for v in model.non_trainable_variables if _RANGE.search(v.name)]
    statistics = [v for v in model.non_trainable_variables if "moving_" in v.name]  # of batch normalisation
    kept = [v.numpy() for v in statistics]
    for _ in range(_ROUNDS):
        before = [v.numpy() for v in ranges]
        model(given, training=True)
        for variable, old in zip(ranges, before, strict=True):
            seen = old + (variable.numpy() - old) / (1 - _DECAY)
            variable.assign(np.maximum(seen, _LEAST) if "_max" in variable.name else np.minimum(seen, 0.0))
    for variable, value in zip(statistics, kept, strict=True):
        variable.assign(value)


def with_logits(model: Any, outputs: Sequence[str]) -> tuple[Any, tuple[str, ...]]:
    """A model of the same variables with the outputs [logits, values, probabilities], those that there are.

    All are computed in training: the loss comes from logits and values, and quantization learns the probabilities'
    range.

    Args:
        model: wrapped or not.
        outputs: what its answers are, see :attr:`nas.graph.Graph.outputs`.

    Returns:
        The model, and what its first outputs are: ``logits`` and ``values``, or one of them.
    """
    import tf_keras

    answers = dict(zip(outputs, listed(model.output), strict=True))
    learned = {}
    for name in outputs:
        if name != VALUES:
            softmax = next(layer for layer in model.layers if layer.name.endswith(name))  # wrappers put words before
            learned["logits"] = softmax.get_input_at(-1)
    if VALUES in answers:
        learned["values"] = answers.pop(VALUES)
    return tf_keras.Model(model.input, [*learned.values(), *answers.values()]), tuple(learned)


def _wrapped(model: Any, wrap: Callable[[Any], Any]) -> Any:
    """A clone of ``model`` with its layers, those that have a kernel wrapped.

    Only those: tfmot's wrappers do not all hand batch normalisation on whether it trains.
    """
    import tf_keras

    kinds = (tf_keras.layers.Conv2D, tf_keras.layers.Dense)
    without = (tf_keras.layers.DepthwiseConv2D,)

    def clone(layer: Any) -> Any:
        return wrap(layer) if isinstance(layer, kinds) and not isinstance(layer, without) else layer

    return tf_keras.models.clone_model(model, clone_function=clone)


def _pruned(model: Any) -> list[Any]:
    return [layer for layer in model.layers if hasattr(layer, "pruning_obj")]
