"""From the operator graph to a Keras model, in tf_keras or in Keras 3.

The one builder takes the namespace as an argument: tf_keras for training and for everything that tfmot touches,
Keras 3 for the files that users take home.  It never imports either by itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.errors import InputError
from nas.graph import Graph, Op

BN_MOMENTUM: Final = 0.9  # .99 leaves the statistics unusable after a few dozen steps
BN_EPSILON: Final = 1e-3
Weights = Mapping[str, npt.NDArray[np.float32]]


def build_model(graph: Graph, keras: Any, *, seed: int = 0) -> Any:
    """A functional Keras model: float32 images in [0, 1] of shape (batch, h, w, c) to probabilities (batch, classes).

    A graph with landmarks makes a model of two inputs, [images, landmarks (batch, 2 x points)]; one with classes and
    values a model of two outputs, [probabilities, values (batch, targets)].

    Args:
        graph: what to build.
        keras: the module ``tf_keras`` or ``keras``.
        seed: initial weights depend on this and the operators' names alone.
    """
    tensors: dict[str, Any] = {}
    for op in graph.ops:
        if op.kind == "input":
            shape = op.shape if op is graph.ops[0] else op.shape[2:]
            tensors[op.name] = keras.Input(shape, name=op.name)
            continue
        layer = _LAYERS[op.kind](op, keras, zlib.crc32(f"{seed}/{op.name}".encode()) & 0x7FFFFFFF)
        tensors[op.name] = layer(one_or_all([tensors[graph.ops[i].name] for i in op.inputs]))
    ends = (one_or_all([tensors[name] for name in names]) for names in (graph.inputs, graph.outputs))
    return keras.Model(*ends, name="network")


def one_or_all(things: Sequence[Any]) -> Any:
    """The only one of ``things``, or all of them as a list: how Keras takes and gives tensors."""
    return list(things) if len(things) > 1 else things[0]


def get_weights(model: Any) -> dict[str, npt.NDArray[np.float32]]:
    """All weights by ``operator/variable``; the same names in tf_keras and Keras 3."""
    return {
        _name_of(layer, variable): np.asarray(variable.numpy()) for layer in model.layers for variable in layer.weights
    }


def _name_of(layer: Any, variable: Any) -> str:
    """``operator/variable``; a depthwise kernel is called by that name, which Keras 3 leaves at ``kernel``."""
    name = variable.name.split("/")[-1].split(":")[0]
    depthwise = type(layer).__name__ == "DepthwiseConv2D" and name == "kernel"
    return f"{layer.name}/{'depthwise_kernel' if depthwise else name}"


def set_weights(model: Any, weights: Weights) -> None:
    """Assigns what :func:`get_weights` gave, by name.

    Raises:
        InputError: names or shapes differ from the model's.
    """
    have = get_weights(model)
    if have.keys() != weights.keys():
        wrong = ", ".join(sorted(have.keys() ^ weights.keys())[:4])
        raise InputError(f"weights of another network: {wrong} on one side only")
    for layer in model.layers:
        for variable in layer.weights:
            value = weights[_name_of(layer, variable)]
            if tuple(variable.shape) != value.shape:
                raise InputError(f"weights of another network: {variable.name} is {variable.shape}, not {value.shape}")
            variable.assign(value)


def _window(op: Op, keras: Any, seed: int) -> dict[str, Any]:
    zero = keras.initializers.Zeros()
    return {
        "kernel_size": op.kernel,
        "strides": op.stride,
        "padding": op.padding,
        "use_bias": op.bias,
        "name": op.name,
        ("depthwise_initializer" if op.kind == "depthwise" else "kernel_initializer"): (
            zero if op.zero else keras.initializers.HeNormal(seed=seed)
        ),
    }


def _conv(op: Op, keras: Any, seed: int) -> Any:
    return keras.layers.Conv2D(op.shape[2], **_window(op, keras, seed))


def _depthwise(op: Op, keras: Any, seed: int) -> Any:
    return keras.layers.DepthwiseConv2D(**_window(op, keras, seed))


def _bn(op: Op, keras: Any, _: int) -> Any:
    gamma = keras.initializers.Zeros() if op.zero else keras.initializers.Ones()
    return keras.layers.BatchNormalization(
        momentum=BN_MOMENTUM, epsilon=BN_EPSILON, gamma_initializer=gamma, name=op.name
    )


def _pool(op: Op, keras: Any, _: int) -> Any:
    pooling = keras.layers.MaxPooling2D if op.mode == "max" else keras.layers.AveragePooling2D
    return pooling(pool_size=op.kernel, strides=op.stride, padding="same", name=op.name)


def _dense(op: Op, keras: Any, seed: int) -> Any:
    initializer = keras.initializers.GlorotUniform(seed=seed)
    return keras.layers.Dense(op.shape[2], use_bias=op.bias, kernel_initializer=initializer, name=op.name)


_LAYERS: Final[Mapping[str, Callable[[Op, Any, int], Any]]] = {
    "conv": _conv,
    "depthwise": _depthwise,
    "bn": _bn,
    "pool": _pool,
    "dense": _dense,
    "relu": lambda op, keras, _: keras.layers.ReLU(name=op.name),
    "add": lambda op, keras, _: keras.layers.Add(name=op.name),
    "concat": lambda op, keras, _: keras.layers.Concatenate(name=op.name),
    "global_pool": lambda op, keras, _: keras.layers.GlobalAveragePooling2D(name=op.name),
    "softmax": lambda op, keras, _: keras.layers.Activation("softmax", name=op.name),
}
