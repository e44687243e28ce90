"""Large images: the same network at the resolution that it was drawn for, by a stem that takes larger steps.

A network for 48x48 pixels, given 224x224, would spend 22 times its multiply-accumulates on the same layers.  So the
stem halves the resolution first, as networks for ImageNet do (He et al. 2016: a strided convolution, then 3x3 max
pooling).
"""

from __future__ import annotations

import math
from typing import Final

from nas.errors import InputError
from nas.graph import Graph, Op, output_shape

USUAL_SIDE: Final = 48  # pixels; images up to about this size are never shrunk, whatever the prototype's
_STEMS: Final = frozenset({"conv", "depthwise"})


def halvings(drawn_for: tuple[int, int, int], images: tuple[int, int, int]) -> int:
    """How often the stem has to halve images so that they come nearest to the size that a network was drawn for.

    round(log2(side / s)), at least 0, of the sides' geometric means, where s is the larger of :data:`USUAL_SIDE` and
    the side that the network was drawn for.  For a prototype of 48x48: 0 up to 67 pixels, 1 up to 135, 2 up to 271.
    """
    side, own = (math.sqrt(shape[0] * shape[1]) for shape in (images, drawn_for))
    return max(0, round(math.log2(side / max(own, USUAL_SIDE))))


def shrunk(graph: Graph, times: int) -> Graph:
    """``graph`` with its resolution halved ``times`` times by the stem; all else keeps its name and its channels.

    The stem's window takes steps of 2 where it took steps of 1; what is left to halve is 3x3 max pooling behind the
    stem, its batch normalisation and its ReLU.  Where several operators read the image, or one without a window, the
    image itself is averaged instead.

    Raises:
        InputError: a network that becomes no legal graph, since paths that it joins shrink differently.
    """
    if not times:
        return graph
    ops = list(graph.ops)
    readers = [i for i, op in enumerate(ops) if 0 in op.inputs]
    stem = ops[readers[0]]
    if len(readers) > 1 or stem.kind not in _STEMS or stem.kernel == 1:
        side = 2**times
        shrink = Op("shrink", "pool", (0,), ops[0].shape, side, side, mode="avg")
        return _reshaped(_inserted(ops, 0, [shrink]))
    end = _stem_end(ops, readers[0])
    if stem.stride == 1:
        ops[readers[0]] = stem._replace(stride=2)
        times -= 1
    unit = stem.name.partition("_")[0]
    pools = [Op(f"{unit}_shrink{n + 1}", "pool", (end + n,), ops[end].shape, 3, 2, mode="max") for n in range(times)]
    return _reshaped(_inserted(ops, end, pools))


def _stem_end(ops: list[Op], i: int) -> int:
    """The last of operator ``i`` and the batch normalisation and ReLU that alone follow it, in this order."""
    for kind in ("bn", "relu"):
        readers = [j for j, op in enumerate(ops) if i in op.inputs]
        if readers == [i + 1] and ops[i + 1].kind == kind:
            i += 1
    return i


def _inserted(ops: list[Op], end: int, new: list[Op]) -> list[Op]:
    """``ops`` with a chain of operators behind ``ops[end]``, read by all that read it."""
    count = len(new)

    def moved(j: int) -> int:
        return j + count if j >= end else j

    later = (op._replace(inputs=tuple(moved(j) for j in op.inputs)) for op in ops[end + 1 :])
    return [*ops[: end + 1], *new, *later]


def _reshaped(ops: list[Op]) -> Graph:
    """The graph of ``ops`` with all heights and widths worked out anew."""
    out: list[Op] = []
    for op in ops:
        if op.inputs:
            height, width = output_shape(op, out[op.inputs[0]])
            if min(height, width) < 1 or any(out[j].shape[:2] != out[op.inputs[0]].shape[:2] for j in op.inputs):
                raise InputError(f"{op.name}: the network cannot be shrunk for large images; give smaller ones")
            out.append(op._replace(shape=(height, width, op.shape[2])))
        else:
            out.append(op)
    return Graph(tuple(out))
