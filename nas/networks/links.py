"""Long-range 1x1 links, as the graph shows them: those that a network has, and those that an edit could add."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from nas.architecture import Architecture, EditKind
from nas.errors import InputError
from nas.graph import Graph, Op
from nas.space import SearchSpace

Pair = tuple[str, str]
_CONV_OR_BN: Final = ("conv", "bn")


def links_of(graph: Graph) -> dict[Pair, str]:
    """The links of ``graph``: {(source, target): the 1x1 convolution}.

    A link is what adds zero at birth: a convolution, with or without batch normalisation, that an add joins to
    ``target``.  Its sources are what it reads through concatenations and average poolings of its own.  All are names of
    operators.
    """
    readers = Counter(j for op in graph.ops for j in op.inputs)
    found: dict[Pair, str] = {}
    for add in graph.ops:
        if add.kind != "add":
            continue
        for branch, other in (add.inputs, add.inputs[::-1]):
            closing = graph.ops[branch]
            if not closing.zero or closing.kind not in _CONV_OR_BN:
                continue
            conv = closing if closing.kind == "conv" else graph.ops[closing.inputs[0]]
            if conv.kernel == 1:
                for source in _sources(graph, conv, readers):
                    found[source, graph.ops[other].name] = conv.name
    return found


def _sources(graph: Graph, reader: Op, readers: Counter[int]) -> Iterator[str]:
    for j in reader.inputs:
        op = graph.ops[j]
        own_pool = op.kind == "pool" and op.mode == "avg" and readers[j] == 1
        if own_pool or op.kind == "concat":
            yield from _sources(graph, op, readers)
        else:
            yield op.name


def possible_links(space: SearchSpace, architecture: Architecture) -> tuple[Pair, ...]:
    """(source, target) of every link that an edit of ``space`` could add to ``architecture``, in the edits' order.

    The names are of operators of ``architecture.graph()``; they are found by comparing it with the children's graphs,
    so that this holds for any family.
    """
    own = links_of(architecture.graph())
    found: dict[Pair, None] = {}
    for edit in space.edits(architecture):
        if edit.kind is EditKind.ADD_LINK:
            new = links_of(edit.apply(architecture).graph()).keys() - own.keys()
            found |= dict.fromkeys(sorted(new))
    return tuple(found)


def pooling_factor(source: Op, target: Op) -> int:
    """Side of the average pooling (SAME, stride = side) that brings ``source`` to the resolution of ``target``.

    The least power of two that does, as strided stages make them, else the least whole number.

    Raises:
        InputError: no such pooling: the target is finer, or of another aspect.
    """
    (h, w, _), (height, width, _) = source.shape, target.shape
    sides = max(h, w)
    factors = [1 << k for k in range(int(sides).bit_length() + 1)] + list(range(3, sides + 1))
    for factor in factors:
        if (-(-h // factor), -(-w // factor)) == (height, width):
            return factor
    raise InputError(
        f"a link from {source.name} {source.shape} to {target.name} {target.shape}: no pooling makes the one of the "
        "other; name a target of the same or of a lower resolution"
    )
