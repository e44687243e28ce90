"""The sentinel: a small network that never changes, timed beside every file that is measured outside a search.

Load, heat and a slower clock strike it as they strike the file, so that the quotient of the two repeats where
milliseconds do not.  A quotient is worth something only while the sentinel stays the same: another network is another
name.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SENTINEL: Final = "sentinel-1"
INPUT: Final = (1, 48, 48, 1)
OUTPUTS: Final = 7
CONVOLUTIONS: Final = ((16, 2), (16, 1), (16, 1), (32, 2), (32, 1), (32, 1))  # output channels, stride; 3x3, SAME, ReLU
_SEED: Final = 6


@functools.cache
def sentinel() -> bytes:
    """The sentinel as a float32 TFLite file of 115 kB; 6,055,136 multiply-accumulates.

    It is written without TensorFlow, from LiteRT's own schema and seeded weights: the same network whatever converter
    is installed, and at hand in a tenth of a second.
    """
    return plain_network(CONVOLUTIONS, SENTINEL)


def plain_network(convolutions: Sequence[tuple[int, int]], name: str) -> bytes:
    """A float32 TFLite file: convolutions on 48x48 grey images, global average pooling, a dense layer, softmax.

    Args:
        convolutions: output channels and stride of each; 3x3, SAME, ReLU.
        name: written into the file.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    builder = flatbuffers.Builder(1 << 18)
    builder.Finish(_Draft(schema, name).model(convolutions).Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Draft:
    """The parts of the file, put together operator by operator."""

    def __init__(self, schema: Any, name: str) -> None:
        self._schema, self._name = schema, name
        self._rng = np.random.default_rng(_SEED)
        self._buffers = [schema.BufferT()]  # the first is the empty one, of whatever is computed
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        operator = schema.BuiltinOperator
        self._codes = [operator.CONV_2D, operator.MEAN, operator.FULLY_CONNECTED, operator.SOFTMAX]

    def model(self, convolutions: Sequence[tuple[int, int]]) -> Any:
        """The model, ready to be packed."""
        s = self._schema
        start = last = self._tensor(INPUT)
        height, width, channels = INPUT[1:]
        for filters, stride in convolutions:
            height, width = -(-height // stride), -(-width // stride)
            last = self._convolution(last, (1, height, width, filters), channels, stride)
            channels = filters
        axes = self._constant(np.array([1, 2], np.int32))
        last = self._add(s.BuiltinOperator.MEAN, (last, axes), (1, channels), "ReducerOptions")
        weights, bias = self._weights((OUTPUTS, channels)), self._constant(np.zeros(OUTPUTS, np.float32))
        last = self._add(
            s.BuiltinOperator.FULLY_CONNECTED, (last, weights, bias), (1, OUTPUTS), "FullyConnectedOptions"
        )
        last = self._add(s.BuiltinOperator.SOFTMAX, (last,), (1, OUTPUTS), "SoftmaxOptions", beta=1.0)
        return self._finished(start, last)

    def _finished(self, start: int, last: int) -> Any:
        s, graph, model = self._schema, self._schema.SubGraphT(), self._schema.ModelT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self._tensors, self._operators, [start], [last]
        model.version, model.description, model.buffers, model.subgraphs = 3, self._name, self._buffers, [graph]
        model.operatorCodes = []
        for builtin in self._codes:
            code = s.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = builtin
            code.version = 1
            model.operatorCodes.append(code)
        return model

    def _convolution(self, source: int, shape: tuple[int, ...], channels: int, stride: int) -> int:
        s, filters = self._schema, shape[-1]
        kernel, bias = self._weights((filters, 3, 3, channels)), self._constant(np.zeros(filters, np.float32))
        return self._add(
            *(s.BuiltinOperator.CONV_2D, (source, kernel, bias), shape, "Conv2DOptions"),
            padding=s.Padding.SAME,
            strideW=stride,
            strideH=stride,
            fusedActivationFunction=s.ActivationFunctionType.RELU,
        )

    def _weights(self, shape: tuple[int, ...]) -> int:
        """Normal, scaled so that activations keep their size from layer to layer (He et al. 2015)."""
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return self._constant((self._rng.standard_normal(shape) * scale).astype(np.float32))

    def _constant(self, values: npt.NDArray[Any]) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._buffers.append(buffer)
        index = self._tensor(values.shape, buffer=len(self._buffers) - 1)
        if values.dtype == np.int32:
            self._tensors[index].type = self._schema.TensorType.INT32
        return index

    def _tensor(self, shape: tuple[int, ...], buffer: int = 0) -> int:
        tensor = self._schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), self._schema.TensorType.FLOAT32, buffer
        tensor.name = f"tensor{len(self._tensors)}"
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _add(self, builtin: int, inputs: tuple[int, ...], shape: tuple[int, ...], options: str, **fields: Any) -> int:
        operator, chosen = self._schema.OperatorT(), getattr(self._schema, f"{options}T")()
        for name, value in fields.items():
            setattr(chosen, name, value)
        operator.opcodeIndex = self._codes.index(builtin)
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
        operator.builtinOptions = chosen
        operator.inputs, operator.outputs = list(inputs), [self._tensor(shape)]
        self._operators.append(operator)
        return int(operator.outputs[0])
