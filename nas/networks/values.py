"""Numbers for the values that flow through a trained network, one a channel: equal numbers mean equal values.

Value numbering (Cocke and Schwartz 1970).  It proves that a child computes what its parent computed, and finds
channels that are duplicates of others or always zero.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.graph import Graph, Op
from nas.networks.build import Weights
from nas.networks.channels import groups_of

UNKNOWN: Final = -1
ZERO: Final = 0
Numbers = npt.NDArray[np.int64]
_Find = Callable[[Hashable, int, bool], int]


class Values:
    """Every channel of every operator of a trained network, numbered.

    Attributes:
        of: (channels,) numbers of each operator's output.
        place: {number: (group, channel)} where that value first appears.
    """

    def __init__(self, graph: Graph, weights: Weights) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._nonnegative = {ZERO}
        self.of: list[Numbers] = []
        self.place: dict[int, tuple[str, int]] = {}
        groups = groups_of(graph)
        for i, op in enumerate(graph.ops):
            inputs = [self.of[j] for j in op.inputs]
            create = self._creator(groups[i])
            if op.kind == "input":
                numbers = [create((op.kind, groups[i], c), c, False) for c in range(op.shape[2])]
            elif op.kind in ("conv", "dense", "depthwise", "bn"):
                numbers = self._weighted(op, inputs[0], weights, create)
            else:
                numbers = self._weightless(op, inputs, create)
            self.of.append(np.array(numbers, dtype=np.int64))

    def follow(self, op: Op, inputs: Sequence[Numbers]) -> Numbers:
        """Numbers of an operator without weights in a related network; UNKNOWN where this one has no such value."""
        return np.array(self._weightless(op, inputs, self._look_up), dtype=np.int64)

    def _creator(self, group: str) -> _Find:
        def create(key: Hashable, channel: int, nonnegative: bool) -> int:
            if key not in self._numbers:
                number = self._numbers[key] = len(self._numbers) + 1
                self.place[number] = (group, channel)
                if nonnegative:
                    self._nonnegative.add(number)
            return self._numbers[key]

        return create

    def _look_up(self, key: Hashable, _channel: int, _nonnegative: bool) -> int:
        return self._numbers.get(key, UNKNOWN)

    def _weighted(self, op: Op, x: Numbers, weights: Weights, create: _Find) -> list[int]:
        per_channel = [_by_channel(op, name, weights) for name in _VARIABLES[op.kind] if f"{op.name}/{name}" in weights]
        whole = x.tobytes() if op.kind in ("conv", "dense") else None
        numbers = []
        for c in range(op.shape[2]):
            parts = [variable[c] for variable in per_channel]
            zeros = [not np.any(part) for part in parts]
            if all(zeros[:2]) if op.kind == "bn" else all(zeros):
                numbers.append(ZERO)
                continue
            read = whole if whole is not None else int(x[c])
            key = (op.kind, op.kernel, op.stride, op.padding, read, *(part.tobytes() for part in parts))
            numbers.append(create(key, c, False))
        return numbers

    def _weightless(self, op: Op, inputs: Sequence[Numbers], find: _Find) -> list[int]:
        if op.kind == "concat":
            return [int(n) for x in inputs for n in x]
        if op.kind == "add":
            pairs = zip(inputs[0], inputs[1], strict=True)
            return [self._sum(int(a), int(b), c, find) for c, (a, b) in enumerate(pairs)]
        if op.kind == "softmax":
            return [find(("softmax", inputs[0].tobytes(), c), c, True) for c in range(len(inputs[0]))]
        return [self._single(op, int(a), c, find) for c, a in enumerate(inputs[0])]

    def _sum(self, a: int, b: int, channel: int, find: _Find) -> int:
        if ZERO in (a, b):
            return a + b
        if UNKNOWN in (a, b):
            return UNKNOWN
        return find(("add", min(a, b), max(a, b)), channel, {a, b} <= self._nonnegative)

    def _single(self, op: Op, a: int, channel: int, find: _Find) -> int:
        same = op.kind == "relu" and a in self._nonnegative
        if a in (ZERO, UNKNOWN) or same:
            return a
        window = (op.kernel, op.stride, op.mode) if op.kind == "pool" else ()
        return find((op.kind, *window, a), channel, op.kind == "relu" or a in self._nonnegative)


_VARIABLES: Final = {
    "conv": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "depthwise": ("depthwise_kernel", "bias"),
    "bn": ("gamma", "beta", "moving_mean", "moving_variance"),
}


def _by_channel(op: Op, name: str, weights: Weights) -> npt.NDArray[Any]:
    """The variable with its output channels first, contiguous."""
    value = weights[f"{op.name}/{name}"]
    axis = 2 if name == "depthwise_kernel" else -1
    return np.ascontiguousarray(np.moveaxis(value, axis, 0))
