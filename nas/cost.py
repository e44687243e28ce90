"""What is known of a network exactly and without training, from its graph alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nas.decoding import field
from nas.errors import DecodeError
from nas.graph import Graph, Op

BYTES: Final = 4  # float32
INT8_BYTES: Final = 1
_LARGEST: Final = 2**63 - 1
_IN_PLACE: Final = frozenset({"bn", "relu", "softmax"})


@dataclass(frozen=True)
class Cost:
    """Exact costs of one network for one image.

    Attributes:
        params: all parameters, batch-normalisation statistics included (equals Keras' ``count_params()``).
        macs: multiply-accumulates of convolutions and dense layers.
        peak_activation_bytes: largest sum of float32 tensors alive at once when operators run in graph order, with
            batch normalisation, ReLU and softmax fused into what they follow (as TFLite does).  Inputs are there from
            the start, answers till the end.
        weight_bytes: float32 bytes of kernels and biases once batch normalisation is folded into them.
    """

    params: int
    macs: int
    peak_activation_bytes: int
    weight_bytes: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cost:
        """Reads what ``dataclasses.asdict`` made of one.  Raises DecodeError on anything else."""
        names = cls.__dataclass_fields__
        if set(data) != set(names):
            raise DecodeError(f"cost: has fields {', '.join(map(str, data))}; expected {', '.join(names)}")
        for name in names:
            if not 0 <= field(data, name, int) <= _LARGEST:
                raise DecodeError(f"{name}: {data[name]} must lie in 0..{_LARGEST}")
        return cls(**data)


def cost_of(graph: Graph) -> Cost:
    """Counts parameters, multiply-accumulates and bytes of ``graph``."""
    params = macs = weights = 0
    ops = graph.ops
    for op in ops:
        kind = op.kind
        if kind in ("conv", "dense"):
            h, w, c = op.shape
            kernel = op.kernel * op.kernel * ops[op.inputs[0]].shape[2] * c
            macs += kernel * h * w
            params += kernel + c if op.bias else kernel
            weights += kernel + c if op.bias else kernel
        elif kind == "bn":
            c = op.shape[2]
            params += 4 * c
            if not ops[op.inputs[0]].bias:
                weights += c
        elif kind == "depthwise":
            h, w, c = op.shape
            kernel = op.kernel * op.kernel * c
            macs += kernel * h * w
            params += kernel + c if op.bias else kernel
            weights += kernel + c if op.bias else kernel
    return Cost(params, macs, BYTES * _peak_elements(ops), BYTES * weights)


def _peak_elements(ops: tuple[Op, ...]) -> int:
    """Largest number of tensor elements alive at once."""
    n = len(ops)
    consumers = [0] * n
    for op in ops:
        for j in op.inputs:
            consumers[j] += 1
    root = list(range(n))  # the tensor that an operator writes to: its own, or its input's when it is fused
    last = list(range(n))  # the last operator that reads a tensor
    for i, op in enumerate(ops):
        for j in op.inputs:
            last[root[j]] = i
        if op.kind in _IN_PLACE and consumers[op.inputs[0]] == 1:
            root[i] = root[op.inputs[0]]
    for i in range(n):
        if not consumers[i]:
            last[root[i]] = n - 1
    freed: list[int] = [0] * n
    for j in range(n):
        if root[j] == j:
            h, w, c = ops[j].shape
            freed[last[j]] += h * w * c
    live = sum(op.shape[2] for op in ops[1:] if op.kind == "input")
    peak = 0
    for i in range(n):
        if root[i] == i and (i == 0 or ops[i].inputs):
            h, w, c = ops[i].shape
            live += h * w * c
            peak = max(peak, live)
        live -= freed[i]
    return peak
