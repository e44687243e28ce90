"""What tensorflow-model-optimization does to a network: wraps its layers for training, and takes the wrapping off.

It takes tf_keras models alone: of a Keras 3 model clustering silently makes None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nas.compression.methods import Base

_UPDATES: Final = 20  # how often the share of zeros is raised on its way
_WAY: Final = 0.6  # of the training, after which it is reached; the rest heals


def prunable(model: Any, sparsity: float, steps: int) -> Any:
    """``model`` with every kernel of its convolutions and dense layers pruned by magnitude as it trains.

    The share of zeros rises from 0 to ``sparsity`` by a cubic polynomial (Zhu, Gupta 2017) over the first 60 % of the
    steps.  Depthwise kernels are left alone, as tfmot does.

    Args:
        model: a tf_keras model; its layers become part of the result.
        sparsity: share of each kernel, in 0..1.
        steps: of the training to come.
    """
    import tensorflow_model_optimization as tfmot

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
    import tensorflow_model_optimization as tfmot

    mask(model)
    return tfmot.sparsity.keras.strip_pruning(model)


def clusterable(model: Any, clusters: int) -> Any:
    """``model`` with the weights of each kernel drawn to ``clusters`` values (k-means++), which then train.

    Kernels with no more weights than that, and depthwise ones, are left alone.
    """
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot

    tf.random.set_seed(0)  # of k-means++, which takes no seed
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap(layer: Any) -> Any:
        if layer.kernel.shape.num_elements() <= clusters:
            return layer
        return tfmot.clustering.keras.cluster_weights(layer, clusters, start)

    return _wrapped(model, wrap)


def without_clustering(model: Any) -> Any:
    """The network alone, with its few values."""
    import tensorflow_model_optimization as tfmot

    return tfmot.clustering.keras.strip_clustering(model)


def quantizable(model: Any, keeping: Base) -> Any:
    """``model`` with int8's rounding simulated as it trains.

    Args:
        model: a tf_keras model.
        keeping: what of its weights training must keep: zeros (``prune``), equal values (``cluster``), or nothing.
    """
    import tensorflow_model_optimization as tfmot

    quantization, combine = tfmot.quantization.keras, tfmot.experimental.combine
    if keeping == "none":
        return quantization.quantize_model(model)
    schemes = {
        "prune": combine.Default8BitPrunePreserveQuantizeScheme,
        "cluster": lambda: combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=False),
    }
    return quantization.quantize_apply(quantization.quantize_annotate_model(model), schemes[keeping]())


def with_logits(model: Any) -> Any:
    """A model of the same variables with the outputs [logits, probabilities].

    Both are computed in training: the loss comes from the logits, and quantization learns the range of the other.
    """
    import tf_keras

    return tf_keras.Model(model.input, [model.layers[-1].get_input_at(-1), model.output])


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
