"""The operator graph that an architecture expands to.

A :class:`Graph` is an immutable list of operators in execution order.  Cost, Keras build, conversion and everything
later (inheritance, probes, compression) read only this graph and know nothing of the family it came from.

A graph has one input, the image, or two: the other is a flat vector of landmarks.  It has one answer or two: a softmax
over classes, and a linear dense layer of values.

Operators follow what quantization-aware training accepts: convolution -> batch normalisation -> ReLU, adds of exactly
two inputs, no batch normalisation after a concatenation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from nas.errors import DecodeError, InputError

KINDS: Final = frozenset(
    {"input", "conv", "depthwise", "bn", "relu", "add", "concat", "pool", "global_pool", "dense", "softmax"}
)
PADDINGS: Final = frozenset({"same", "valid"})
LANDMARKS: Final = "landmarks"  # name of the second input
VALUES: Final = "values"  # name of the dense layer that answers numbers
_INPUTS_OF: Final = {"input": 0, "add": 2}
_EITHER: Final = frozenset({"relu", "add", "concat", "softmax"})  # of maps or of vectors
_KEEPS_CHANNELS: Final = frozenset({"bn", "relu", "pool", "global_pool", "softmax", "depthwise"})


class Op(NamedTuple):
    """One operator.

    A named tuple, not a dataclass: a search expands hundreds of thousands of graphs, and this is three times cheaper.

    Attributes:
        name: unique in its graph; also the Keras layer's name.
        kind: one of :data:`KINDS`.
        inputs: indices of earlier operators.
        shape: (height, width, channels) of the output; (1, 1, channels) after global pooling and of the landmarks.
        kernel: side of the window (conv, depthwise, pool).
        stride: step of the window.
        bias: whether conv, depthwise or dense adds a bias.
        zero: whether the operator's contribution is zero at birth (gamma of bn, kernel of conv).
        mode: ``max`` or ``avg`` (pool).
        padding: ``same``, with which the output side is ceil(side / stride); a conv may have ``valid`` instead, where
            the window stays inside: ceil((side - kernel + 1) / stride).
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    shape: tuple[int, int, int]
    kernel: int = 1
    stride: int = 1
    bias: bool = False
    zero: bool = False
    mode: str = ""
    padding: str = "same"


@dataclass(frozen=True)
class Graph:
    """Operators in execution order: the first is the image, the last the answer (the softmax, where there is one)."""

    ops: tuple[Op, ...]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the image that goes in."""
        return self.ops[0].shape

    @property
    def classes(self) -> int:
        """Number of probabilities; 0 where it answers no class."""
        return self.ops[-1].shape[2] if self.ops[-1].kind == "softmax" else 0

    @property
    def targets(self) -> int:
        """Number of values that it answers as they are; 0 where it answers none."""
        return self._width(VALUES)

    @property
    def points(self) -> int:
        """Number of landmarks that it takes beside the image, two numbers each; 0 where it takes none."""
        return self._width(LANDMARKS) // 2

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs: the image's, then the landmarks'."""
        return tuple(op.name for op in self.ops if op.kind == "input")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the answers: the softmax, then the values."""
        last = self.ops[-1]
        return tuple(
            [last.name] * (last.kind == "softmax") + [op.name for op in self.ops if op.name == VALUES]  # once at most
        )

    def _width(self, name: str) -> int:
        return next((op.shape[2] for op in reversed(self.ops) if op.name == name), 0)

    def to_json(self) -> list[list[Any]]:
        """A list of operators as plain lists, for :meth:`from_json`."""
        return [[list(field) if isinstance(field, tuple) else field for field in op] for op in self.ops]

    @classmethod
    def from_json(cls, data: Sequence[Sequence[Any]]) -> Graph:
        """Reads what :meth:`to_json` wrote.

        Raises:
            DecodeError: when the operators do not form a legal graph.
        """
        try:
            ops = tuple(Op._make(tuple(f) if isinstance(f, list) else f for f in row) for row in data)
            for op in ops:
                _check_types(op)
            check_graph(ops)
        except (TypeError, ValueError, IndexError, AttributeError, InputError) as error:
            raise DecodeError(f"not an operator graph: {error}") from error
        return cls(ops)

    def channel_groups(self) -> dict[str, tuple[str, ...]]:
        """Operators whose output channels are tied: {name of the first producer: names of all producers}.

        An add ties its two inputs, so that narrowing one means narrowing all of the group.  Batch normalisation, ReLU,
        pooling and depthwise convolution pass channels through; a concatenation joins groups side by side and belongs
        to none.
        """
        parent = list(range(len(self.ops)))

        def root(i: int) -> int:
            while parent[i] != i:
                i = parent[i]
            return i

        for i, op in enumerate(self.ops):
            if op.kind in _KEEPS_CHANNELS:
                parent[i] = root(op.inputs[0])
            elif op.kind == "add":
                first, second = sorted((root(op.inputs[0]), root(op.inputs[1])))
                parent[second] = parent[i] = first
        groups: dict[int, list[str]] = {}
        for i, op in enumerate(self.ops):
            if op.kind in ("conv", "dense"):
                groups.setdefault(root(i), []).append(op.name)
        return {self.ops[first].name: tuple(names) for first, names in groups.items()}


class GraphBuilder:
    """Appends operators and works out their output shapes.  Every method returns the new operator's index."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._ops: list[Op] = [Op("input", "input", (), shape)]

    @classmethod
    def on(cls, ops: Sequence[Op]) -> GraphBuilder:
        """One that goes on behind ``ops``."""
        builder = cls(ops[0].shape)
        builder._ops = list(ops)
        return builder

    @property
    def input(self) -> int:
        """Index of the image."""
        return 0

    def shape(self, x: int) -> tuple[int, int, int]:
        """(height, width, channels) of operator ``x``."""
        return self._ops[x].shape

    def _append(self, op: Op) -> int:
        self._ops.append(op)
        return len(self._ops) - 1

    def conv(
        self, x: int, name: str, channels: int, *, kernel: int, stride: int = 1, bias: bool, zero: bool = False
    ) -> int:
        """A convolution.  Stride with a 1x1 kernel is refused: subsample first (a TensorFlow crash, see README)."""
        if kernel == 1 and stride != 1:
            raise InputError(f"{name}: a strided 1x1 convolution; write it as pool(kernel=1, stride) + 1x1 convolution")
        h, w, _ = self._ops[x].shape
        shape = (-(-h // stride), -(-w // stride), channels)
        return self._append(Op(name, "conv", (x,), shape, kernel, stride, bias, zero))

    def inner_conv(self, x: int, name: str, channels: int, *, kernel: int, stride: int = 1, bias: bool) -> int:
        """A convolution whose window stays inside the image (``valid``): each side loses kernel - 1, then strides."""
        h, w, _ = self._ops[x].shape
        if min(h, w) < kernel:
            raise InputError(f"{name}: a window of {kernel}x{kernel} does not fit into {h}x{w}; give larger images")
        shape = (-(-(h - kernel + 1) // stride), -(-(w - kernel + 1) // stride), channels)
        return self._append(Op(name, "conv", (x,), shape, kernel, stride, bias, padding="valid"))

    def depthwise(self, x: int, name: str, *, kernel: int, stride: int = 1, bias: bool) -> int:
        """A depthwise convolution with one filter a channel."""
        h, w, c = self._ops[x].shape
        return self._append(
            Op(name, "depthwise", (x,), (-(-h // stride), -(-w // stride), c), kernel, stride, bias, False)
        )

    def bn(self, x: int, name: str, *, zero: bool = False) -> int:
        """Batch normalisation of a convolution's output."""
        return self._append(Op(name, "bn", (x,), self._ops[x].shape, 1, 1, False, zero))

    def relu(self, x: int, name: str) -> int:
        """max(x, 0)."""
        return self._append(Op(name, "relu", (x,), self._ops[x].shape))

    def add(self, x: int, y: int, name: str) -> int:
        """Sum of two operators of the same shape."""
        if self._ops[x].shape != self._ops[y].shape:
            raise InputError(f"{name}: adds {self._ops[x].shape} to {self._ops[y].shape}; shapes must be equal")
        return self._append(Op(name, "add", (x, y), self._ops[x].shape))

    def concat(self, xs: Sequence[int], name: str) -> int:
        """Channels side by side; heights and widths must be equal."""
        h, w, _ = self._ops[xs[0]].shape
        if any(self._ops[x].shape[:2] != (h, w) for x in xs):
            raise InputError(f"{name}: concatenates different heights or widths; pool the larger ones first")
        return self._append(Op(name, "concat", tuple(xs), (h, w, sum(self._ops[x].shape[2] for x in xs))))

    def pool(self, x: int, name: str, *, kernel: int, stride: int, mode: str) -> int:
        """Max or average pooling; ``kernel=1`` with max is plain subsampling."""
        h, w, c = self._ops[x].shape
        shape = (-(-h // stride), -(-w // stride), c)
        return self._append(Op(name, "pool", (x,), shape, kernel, stride, False, False, mode))

    def flat(self, x: int) -> bool:
        """Whether operator ``x`` puts out a vector, not a map."""
        return _flat(self._ops)[x]

    def landmarks(self, points: int) -> int:
        """The second input: a vector of x and y of every point."""
        return self._append(Op(LANDMARKS, "input", (), (1, 1, 2 * points)))

    def global_pool(self, x: int, name: str) -> int:
        """The average of every map."""
        return self._append(Op(name, "global_pool", (x,), (1, 1, self._ops[x].shape[2])))

    def dense(self, x: int, name: str, channels: int) -> int:
        """A dense layer with bias, of a vector."""
        return self._append(Op(name, "dense", (x,), (1, 1, channels), 1, 1, True))

    def softmax(self, x: int, name: str) -> int:
        """Probabilities from a vector."""
        return self._append(Op(name, "softmax", (x,), self._ops[x].shape))

    def finished(self) -> Graph:
        """The graph of all operators so far."""
        return Graph(tuple(self._ops))

    def classifier(self, x: int, classes: int) -> Graph:
        """Global average pooling, a dense layer with bias, softmax; returns the finished graph."""
        self.softmax(self.dense(self.global_pool(x, "pool"), "logits", classes), "softmax")
        return self.finished()

    def pooled_classifier(self, x: int) -> Graph:
        """Global average pooling of one map a class, softmax; returns the finished graph."""
        self.softmax(self.global_pool(x, "pool"), "softmax")
        return self.finished()


def _check_types(op: Op) -> None:
    """Raises TypeError where a field of ``op`` is of another type than :class:`Op` says."""
    whole = (*op.shape, *op.inputs, op.kernel, op.stride)
    if len(op.shape) != 3 or not all(type(number) is int for number in whole):
        raise TypeError(f"{op.name!r}: shape, inputs, kernel and stride must be whole numbers, three of them the shape")
    if not all(isinstance(text, str) for text in (op.name, op.kind, op.mode, op.padding)):
        raise TypeError(f"{op.name!r}: name, kind, mode and padding must be text")
    if not isinstance(op.bias, bool) or not isinstance(op.zero, bool):
        raise TypeError(f"{op.name!r}: bias and zero must be true or false")


def check_graph(ops: Sequence[Op]) -> None:
    """Raises InputError when ``ops`` is not a legal graph (order, kinds, arity, shapes, names)."""
    if not ops or ops[0].kind != "input":
        raise InputError("a graph starts with an input")
    if len({op.name for op in ops}) != len(ops):
        raise InputError("two operators share a name")
    for i, op in enumerate(ops):
        if op.kind not in KINDS:
            raise InputError(f"{op.name}: unknown operator {op.kind!r}; known: {', '.join(sorted(KINDS))}")
        if any(not 0 <= j < i for j in op.inputs):
            raise InputError(f"{op.name}: reads an operator that does not come before it")
        arity = _INPUTS_OF.get(op.kind, 1)
        if (op.kind == "concat" and len(op.inputs) < 2) or (op.kind != "concat" and len(op.inputs) != arity):
            raise InputError(f"{op.name}: {op.kind} with {len(op.inputs)} inputs")
        if min(op.shape) < 1 or op.stride < 1 or op.kernel < 1:
            raise InputError(f"{op.name}: shape {op.shape}, kernel {op.kernel}, stride {op.stride} must be positive")
        if op.inputs:
            _check_shape(op, [ops[j] for j in op.inputs])
    _check_ends(ops)
    _check_flat(ops)


def _check_ends(ops: Sequence[Op]) -> None:
    """One image and, maybe, landmarks go in; a softmax, last, and values come out, both or one of them."""
    if ops[0].name in (LANDMARKS, VALUES):
        raise InputError(f"{ops[0].name}: not a name for the image")
    for i, op in enumerate(ops):
        if i and ((op.kind == "input") is not (op.name == LANDMARKS)):
            raise InputError(f"{op.name}: the one further input is called {LANDMARKS}, and no other operator is")
        if op.name == VALUES and op.kind != "dense":
            raise InputError(f"{op.name}: this name belongs to the dense layer that answers numbers")
        if op.kind == "input" and i and (op.shape[:2] != (1, 1) or op.shape[2] % 2):
            raise InputError(f"{op.name}: shape {op.shape}; landmarks are (1, 1, 2 x points)")
    read = {j for op in ops for j in op.inputs}
    ends = [i for i in range(len(ops)) if i not in read]
    if ends[-1:] != [len(ops) - 1] or any(ops[i].name != VALUES for i in ends if ops[i].kind != "softmax"):
        raise InputError(f"a graph ends with a softmax, a dense layer {VALUES!r}, or both, and in nothing else")
    for i, op in enumerate(ops):
        if op.kind == "softmax" and i != len(ops) - 1:
            raise InputError(f"{op.name}: a softmax is the last operator")
        if op.name == VALUES and i in read:
            raise InputError(f"{op.name}: an answer, which no operator reads")


def _flat(ops: Sequence[Op]) -> list[bool]:
    """Of every operator, whether it puts out a vector, not a map."""
    flat: list[bool] = []
    for op in ops:
        known = op.kind in ("global_pool", "dense") or (op.kind == "input" and op.name == LANDMARKS)
        flat.append(known or (op.kind in _EITHER and flat[op.inputs[0]]))
    return flat


def _check_flat(ops: Sequence[Op]) -> None:
    """Convolutions and pooling read maps, dense layers and the softmax vectors; what joins two, two of a kind."""
    flat = _flat(ops)
    for op in ops:
        read = {flat[j] for j in op.inputs}
        if op.kind not in _EITHER and True in read and op.kind not in ("dense", "softmax"):
            raise InputError(f"{op.name}: {op.kind} reads a map of an image, not a vector")
        if op.kind in ("dense", "softmax") and False in read:
            raise InputError(f"{op.name}: {op.kind} reads a vector, not a map; put a global pooling before it")
        if len(read) > 1:
            raise InputError(f"{op.name}: {op.kind} of a map and a vector")


def output_shape(op: Op, source: Op) -> tuple[int, int]:
    """(height, width) of what ``op`` puts out when its first input is ``source``."""
    if op.kind in ("global_pool", "dense"):
        return 1, 1
    cut = op.kernel - 1 if op.padding == "valid" else 0
    return -(-(source.shape[0] - cut) // op.stride), -(-(source.shape[1] - cut) // op.stride)


def _check_shape(op: Op, inputs: Sequence[Op]) -> None:
    h, w, c = inputs[0].shape
    if op.shape[:2] != output_shape(op, inputs[0]) or any(x.shape[:2] != (h, w) for x in inputs):
        raise InputError(f"{op.name}: output {op.shape} does not follow from input {inputs[0].shape}")
    channels = {"concat": sum(x.shape[2] for x in inputs)}.get(op.kind, c)
    if op.kind not in ("conv", "dense") and (op.shape[2] != channels):
        raise InputError(f"{op.name}: {op.kind} cannot turn {channels} channels into {op.shape[2]}")
    if op.kind == "add" and inputs[1].shape != inputs[0].shape:
        raise InputError(f"{op.name}: adds {inputs[0].shape} to {inputs[1].shape}")
    if op.kind == "bn" and inputs[0].kind not in ("conv", "depthwise"):
        raise InputError(f"{op.name}: batch normalisation must follow a convolution directly")
    if op.kind == "conv" and op.kernel == 1 and op.stride != 1:
        raise InputError(f"{op.name}: strided 1x1 convolution; subsample first")
    if op.kind == "pool" and op.mode not in ("max", "avg"):
        raise InputError(f"{op.name}: pooling mode {op.mode!r}; use max or avg")
    if op.padding not in PADDINGS or (op.padding != "same" and op.kind != "conv"):
        raise InputError(f"{op.name}: padding {op.padding!r}; use same, or valid with a convolution")
