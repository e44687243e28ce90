"""What a network answers, and what it is given beside the image: the end of a graph, put on any classifier's trunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nas.errors import InputError
from nas.graph import LANDMARKS, VALUES, Graph, GraphBuilder, Op

MAX_TARGETS: Final = 1_000
MAX_POINTS: Final = 1_000


@dataclass(frozen=True)
class Head:
    """The answers of a network, and its second input.

    Attributes:
        classes: probabilities that sum to 1; 0 where the network answers no class.
        targets: numbers that it answers as they are (regression), such as 2 for valence and arousal.
        landmarks: points of the second input, 0 where there is none: a flat float32 vector of two numbers a point, x
            and y as shares of the image's width and height.
        branch: widths of the dense layers with ReLU behind the landmarks, whose last output is put beside what the
            image gave; without any, the landmarks themselves are.
    """

    classes: int
    targets: int = 0
    landmarks: int = 0
    branch: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        numbers = (self.classes, self.targets, self.landmarks, *self.branch)
        if any(type(number) is not int for number in numbers):
            raise InputError(f"head {numbers}: classes, targets, landmarks and widths are whole numbers")
        if self.classes < 0 or self.classes == 1:
            raise InputError(f"a head of {self.classes} classes: use 0 for none, else at least 2")
        if not 0 <= self.targets <= MAX_TARGETS or not 0 <= self.landmarks <= MAX_POINTS:
            raise InputError(
                f"a head of {self.targets} targets with {self.landmarks} landmarks: use 0..{MAX_TARGETS} targets and "
                f"0..{MAX_POINTS} landmarks"
            )
        if not self.classes and not self.targets:
            raise InputError("a head without classes and without targets answers nothing: give it one of them")
        if self.branch and (not self.landmarks or min(self.branch) < 1):
            raise InputError(f"branch {self.branch}: positive widths, and only where there are landmarks")

    @property
    def plain(self) -> bool:
        """Whether it is a classifier's of one image."""
        return not self.targets and not self.landmarks


def head_of(graph: Graph) -> Head:
    """The head that ``graph`` has; of a branch that :func:`with_head` did not write, the widths of its dense layers."""
    behind = {i for i, op in enumerate(graph.ops) if op.name == LANDMARKS}
    branch = []
    for i, op in enumerate(graph.ops):
        if op.kind in ("dense", "relu") and op.inputs[0] in behind and op.name not in graph.outputs:
            behind.add(i)
            branch += [op.shape[2]] if op.kind == "dense" else []
    return Head(graph.classes, graph.targets, graph.points, tuple(branch))


def with_head(graph: Graph, head: Head) -> Graph:
    """``graph``, a classifier's of one image, with its answer cut off and ``head`` in its place.

    It is cut at what the last dense layer reads; where a network ends in one map a class and their averages (as
    mini-Xception does), at what the convolution that makes these maps reads.  Operators before keep names and order.

    Raises:
        InputError: a graph with another end, with a second input or answer already, or with an operator of a name that
            the head needs.
    """
    if graph.points or graph.targets:
        raise InputError("the network has a second input or a second answer already: give one that classifies images")
    if head.plain and head.classes == graph.classes:
        return graph
    dropped = _answer(graph)
    end = graph.ops[min(dropped)].inputs[0]
    g = GraphBuilder.on(_without(graph, dropped))
    x = end - sum(1 for i in dropped if i < end)
    x = x if g.flat(x) else g.global_pool(x, "pool")
    if head.landmarks:
        y = g.landmarks(head.landmarks)
        for number, width in enumerate(head.branch, 1):
            y = g.relu(g.dense(y, f"points{number}_dense", width), f"points{number}_relu")
        x = g.concat([x, y], "joined")
    if head.targets:
        g.dense(x, VALUES, head.targets)
    if head.classes:
        g.softmax(g.dense(x, "logits", head.classes), "softmax")
    finished = g.finished()
    names = [op.name for op in finished.ops]
    if len(set(names)) != len(names):
        raise InputError(
            f"two operators share a name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}; call those of "
            "the family something else, for the head needs these"
        )
    return finished


def _answer(graph: Graph) -> frozenset[int]:
    """Indices of the operators that turn features into probabilities; the first of them reads the features."""
    ops, last = graph.ops, len(graph.ops) - 1
    chain = [last, ops[last].inputs[0]]
    if ops[chain[-1]].kind == "dense":
        return frozenset(chain)
    while ops[chain[-1]].kind in ("global_pool", "pool", "relu", "bn"):
        chain.append(ops[chain[-1]].inputs[0])
    if ops[chain[-1]].kind != "conv":
        raise InputError(
            f"the network's answer cannot be cut off: {ops[chain[-1]].name} ({ops[chain[-1]].kind}) stands where a "
            "dense layer, or a convolution with one map a class, is known; end it in GraphBuilder.classifier"
        )
    return frozenset(chain)


def _without(graph: Graph, dropped: frozenset[int]) -> tuple[Op, ...]:
    """The other operators, with their inputs counted anew."""
    kept = [i for i in range(len(graph.ops)) if i not in dropped]
    place = {i: new for new, i in enumerate(kept)}
    if any(j in dropped for i in kept for j in graph.ops[i].inputs):
        raise InputError("the network's answer cannot be cut off: other operators read a part of it")
    return tuple(graph.ops[i]._replace(inputs=tuple(place[j] for j in graph.ops[i].inputs)) for i in kept)
