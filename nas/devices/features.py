"""What of a network's graph its latency is made of: sums over its operators, by kind.

The sums follow how matrix kernels of CPUs work (XNNPACK, as LiteRT uses it): a convolution is a product of tiles, a
tile holds a vector of output channels, so that channels count as the next multiple of the vector; every tap of a window
costs something of its own; weights are streamed once for every few pixels; and every operator has a fixed cost.  Batch
normalisation, and a ReLU behind a convolution, a dense layer or an add, are folded into what they follow and cost
nothing.
"""

from __future__ import annotations

from typing import Final

from nas.graph import Graph, Op

NAMES: Final = (
    *("window_macs", "window_taps", "pointwise_macs", "depthwise_macs", "dense_macs"),
    *("weight_elements", "add_elements", "concat_elements", "pool_elements"),
    *("window_ops", "pointwise_ops", "other_ops", "network"),
)
LANES: Final = (1, 4, 8, 16, 32)  # channels a vector that a fit tries
_FOLDED_INTO: Final = frozenset({"conv", "depthwise", "bn", "add", "dense"})


def features(graph: Graph, lanes: int) -> dict[str, float]:
    """The sums of :data:`NAMES` for one image.

    Args:
        graph: of the network.
        lanes: to a multiple of how many the output channels of a convolution are padded.

    Returns:
        By name: ``*_macs`` multiply-accumulates with padded channels; ``window_taps`` vectors of output times window
        taps; ``weight_elements`` padded weights of convolutions; ``*_elements`` numbers read and written; ``*_ops``
        how many operators; ``network`` 1.
    """
    out = dict.fromkeys(NAMES, 0.0)
    out["network"] = 1.0
    for op in graph.ops:
        if op.kind != "input":
            _add(out, graph, op, lanes)
    return out


def _add(out: dict[str, float], graph: Graph, op: Op, lanes: int) -> None:
    inputs = [graph.ops[i] for i in op.inputs]
    height, width, channels = op.shape
    pixels, padded = height * width, -(-channels // lanes) * lanes
    if op.kind == "conv":
        fan_in = op.kernel**2 * inputs[0].shape[2]
        kind = "window" if op.kernel > 1 else "pointwise"
        out[kind + "_macs"] += pixels * padded * fan_in
        out[kind + "_ops"] += 1
        out["weight_elements"] += padded * fan_in
        if op.kernel > 1:
            out["window_taps"] += pixels * (padded // lanes) * op.kernel**2
    elif op.kind == "depthwise":
        out["depthwise_macs"] += pixels * padded * op.kernel**2
        out["other_ops"] += 1
    elif op.kind == "dense":
        out["dense_macs"] += padded * inputs[0].shape[2]
        out["other_ops"] += 1
    elif not (op.kind == "bn" or (op.kind == "relu" and inputs[0].kind in _FOLDED_INTO)):
        moved = pixels * channels + sum(i.shape[0] * i.shape[1] * i.shape[2] for i in inputs)
        out[_MOVES.get(op.kind, "add") + "_elements"] += moved
        out["other_ops"] += 1


_MOVES: Final = {"concat": "concat", "pool": "pool", "global_pool": "pool"}
