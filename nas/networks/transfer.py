"""The walk through a child's operators that gives each its weights and proves what it computes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nas.graph import Graph, Op
from nas.networks.build import BN_EPSILON, Weights
from nas.networks.channels import Importance, Indices, completed, continued, groups_of
from nas.networks.kernels import dealt, pair_inputs, uneven
from nas.networks.moments import moments
from nas.networks.outline import Matching, match
from nas.networks.values import UNKNOWN, ZERO, Numbers, Values

Arrays = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Relatives:
    """A trained parent, a child, and what stands for what in them.

    Attributes:
        parent, weights: the graph and its trained weights.
        child, fresh: the graph and its own initial weights.
        matching: counterparts of units and operators.
        channels: {(group of the child, group of the parent): for every channel of the first, the channel of the second
            that it continues}.
        values: numbers of the parent's values.
        counterparts: {operator of the child: (operator of the parent, the channels of it that are continued)}.
    """

    parent: Graph
    weights: Weights
    child: Graph
    fresh: Weights
    matching: Matching
    channels: Mapping[tuple[str, str], Indices]
    values: Values
    counterparts: Mapping[int, tuple[int, Indices]]


def relate(parent: Graph, weights: Weights, child: Graph, fresh: Weights, importance: Importance | None) -> Relatives:
    """Finds what stands for what.  Raises InputError for an ``importance`` of another network."""
    matching = match(parent, child)
    ranks = completed(importance, parent, weights)
    theirs, ours = groups_of(parent), groups_of(child)
    answers = _answers(child)
    channels: dict[tuple[str, str], Indices] = {}
    for i, j in matching.ops.items():
        pair, width = (ours[i], theirs[j]), child.ops[i].shape[2]
        if child.ops[i].kind not in ("conv", "dense") or pair in channels:
            continue
        if child.ops[i].name in answers and width != parent.ops[j].shape[2]:
            continue  # an answer's outputs mean classes or targets: of another number, none is continued
        channels[pair] = continued(ranks[theirs[j]], width)
    counterparts = {
        i: (j, channels[ours[i], theirs[j]]) for i, j in matching.ops.items() if (ours[i], theirs[j]) in channels
    }
    return Relatives(parent, weights, child, fresh, matching, channels, Values(parent, weights), counterparts)


def _answers(graph: Graph) -> frozenset[str]:
    """Producers whose channels are what the network answers."""
    groups = graph.channel_groups()
    ends = {op.name for op in graph.ops if op.name in graph.outputs and op.kind != "softmax"}
    named = groups_of(graph)[-1]
    return frozenset(ends | set(groups.get(named, ())))


@dataclass
class Transfer:
    """What the walk leaves behind.

    Attributes:
        arrays: the child's weights by ``operator/variable``.
        numbers: of every operator of the child, in the parent's numbering.
        assumed: operators of the child whose inputs did not suffice to prove their output; from there on it is assumed.
        missing: (operator of the child, value of the parent) that the operator should read and cannot.
        new: operators of the child that took nothing from the parent.
        inherited, kept: how many numbers of the child come from the parent, and how many of the parent's live on.
    """

    arrays: Arrays = field(default_factory=dict)
    numbers: list[Numbers] = field(default_factory=list)
    assumed: set[int] = field(default_factory=set)
    missing: list[tuple[int, int]] = field(default_factory=list)
    new: set[int] = field(default_factory=set)
    inherited: int = 0
    kept: int = 0


def transfer(relatives: Relatives, rng: np.random.Generator) -> Transfer:
    """Weights for every operator of the child, in order of execution."""
    return _Walk(relatives, rng).result


class _Walk:
    def __init__(self, relatives: Relatives, rng: np.random.Generator) -> None:
        self._r = relatives
        self._rng = rng
        self._normed = _only_normed(relatives.child)
        self._parent_normed = _only_normed(relatives.parent)
        self._births = _births(relatives)
        self.result = Transfer()
        steps = {"conv": self._conv, "dense": self._conv, "depthwise": self._depthwise, "bn": self._bn}
        for i, op in enumerate(relatives.child.ops):
            step = steps.get(op.kind, self._weightless)
            self.result.numbers.append(self._given(i, op) if op.kind == "input" else step(i, op))

    def _given(self, i: int, op: Op) -> Numbers:
        """The image, or landmarks, where the parent takes as many."""
        parent = self._r.parent.ops
        found = [j for j, other in enumerate(parent) if other.kind == "input" and (j == 0) is (i == 0)]
        if not found or parent[found[0]].shape != op.shape:
            return np.full(op.shape[2], UNKNOWN)
        return self._r.values.of[found[0]]

    def _weightless(self, i: int, op: Op) -> Numbers:
        numbers = self._r.values.follow(op, [self.result.numbers[j] for j in op.inputs])
        found = self._r.counterparts.get(i)
        if UNKNOWN not in numbers or found is None:
            return numbers
        self.result.assumed.add(i)
        return self._continued(*found)

    def _continued(self, j: int, chosen: Indices) -> Numbers:
        return self._r.values.of[j][chosen]

    def _conv(self, i: int, op: Op) -> Numbers:
        if i in self._births:
            return self._newborn(i, op)
        r = self._r
        found = r.counterparts.get(i)
        if found is None:
            return self._fresh(i, op)
        j, chosen = found
        counterpart = r.parent.ops[j]
        x, wanted = self.result.numbers[op.inputs[0]], r.values.of[counterpart.inputs[0]]
        pairing = pair_inputs(x, wanted, r.values.place)
        if not pairing.copies:
            return self._fresh(i, op)
        kernel = r.weights[f"{counterpart.name}/kernel"][..., chosen]
        needed = _needed(kernel, wanted, self._live(i, j, chosen)) - pairing.proven
        if needed or op.stride != counterpart.stride:
            self.result.assumed.add(i)
            self.result.missing += [(i, int(wanted[c])) for c in sorted(needed)]
        window = int(np.prod(kernel.shape[:-2], dtype=np.int64))
        self._count(
            window * len({k for copies in pairing.copies.values() for k in copies}) * len(chosen),
            window * len(pairing.copies) * len(np.unique(chosen)),
        )
        self.result.arrays[f"{op.name}/kernel"] = dealt(kernel, pairing, len(x), self._rng)
        self._copy(op, counterpart, ("bias",) if op.bias else (), chosen)
        return self._continued(j, chosen)

    def _live(self, i: int, j: int, chosen: Indices) -> npt.NDArray[np.bool_]:
        """Which channels of the child's ``i``, a continued ``j`` of the parent, are not multiplied by zero next."""
        behind = self._parent_normed.get(j)
        if behind is None or self._r.matching.ops.get(self._normed.get(i, -1)) != behind:
            return np.ones(len(chosen), dtype=np.bool_)
        return np.asarray(self._continued(behind, chosen) != ZERO)

    def _depthwise(self, i: int, op: Op) -> Numbers:
        found = self._r.counterparts.get(i)
        x = self.result.numbers[op.inputs[0]]
        if found is None or np.all(x == UNKNOWN):
            return self._fresh(i, op)
        j, chosen = found
        counterpart = self._r.parent.ops[j]
        kernel = self._r.weights[f"{counterpart.name}/depthwise_kernel"]
        self.result.arrays[f"{op.name}/depthwise_kernel"] = kernel[:, :, chosen]
        side = op.kernel**2
        self._count(side * len(chosen), side * len(np.unique(chosen)))
        self._copy(op, counterpart, ("bias",) if op.bias else (), chosen)
        if op.stride != counterpart.stride or np.any(x != self._r.values.of[counterpart.inputs[0]][chosen]):
            self.result.assumed.add(i)
        return self._continued(j, chosen)

    def _bn(self, i: int, op: Op) -> Numbers:
        conv = op.inputs[0]
        if conv in self._births:
            return self._newborn_bn(i, op, conv)
        found = self._r.counterparts.get(i)
        if found is None or conv in self.result.new:
            return self._fresh(i, op)
        j, chosen = found
        counterpart = self._r.parent.ops[j]
        self._copy(op, counterpart, ("gamma", "beta", "moving_mean", "moving_variance"), chosen)
        if np.any(self.result.numbers[conv] != self._r.values.of[counterpart.inputs[0]][chosen]):
            self.result.assumed.add(i)
        return self._continued(j, chosen)

    def _copy(self, op: Op, counterpart: Op, variables: Sequence[str], chosen: Indices) -> None:
        for name in variables:
            self.result.arrays[f"{op.name}/{name}"] = self._r.weights[f"{counterpart.name}/{name}"][chosen]
            self._count(len(chosen), len(np.unique(chosen)))

    def _count(self, inherited: int, kept: int) -> None:
        self.result.inherited += inherited
        self.result.kept += kept

    def _fresh(self, i: int, op: Op) -> Numbers:
        prefix = op.name + "/"
        self.result.arrays |= {name: np.array(a) for name, a in self._r.fresh.items() if name.startswith(prefix)}
        self.result.new.add(i)
        return np.full(op.shape[2], UNKNOWN)

    def _newborn(self, i: int, op: Op) -> Numbers:
        """The last convolution of a new branch: it adds nothing, or carries on what an identity shortcut carried."""
        self._fresh(i, op)
        arrays, normed = self.result.arrays, i in self._normed
        name = f"{op.name}/kernel"
        if op.bias:
            arrays[f"{op.name}/bias"] *= 0
        wanted = self._wanted(i)
        if wanted is None:
            if not normed:
                arrays[name] *= 0
            return np.full(op.shape[2], UNKNOWN if normed else ZERO)
        x = self.result.numbers[op.inputs[0]]
        have = self._have(x, wanted)
        arrays[name][..., have if normed else slice(None)] = 0
        for o in np.flatnonzero(have):
            copies = np.flatnonzero(x == wanted[o])
            arrays[name][0, 0, copies, o] = uneven(self._rng, len(copies))
        lacking = wanted[~have & (wanted != ZERO)]
        if len(lacking):
            self.result.assumed.add(i)
            self.result.missing += [(i, int(n)) for n in lacking]
        return np.full(op.shape[2], UNKNOWN) if normed else wanted

    def _newborn_bn(self, i: int, op: Op, conv: int) -> Numbers:
        """Gamma 0 for a branch that adds nothing.

        For one that carries on, the expected statistics of what it carries, so that it is the identity in inference and
        close to it in training; what its convolution lacks stays at its mean.
        """
        self._fresh(i, op)
        arrays, wanted, carried = self.result.arrays, self._wanted(conv), self._births[conv]
        for name in ("gamma", "beta"):
            arrays[f"{op.name}/{name}"] *= 0
        if wanted is None or carried is None:
            return np.full(op.shape[2], ZERO)
        j, chosen = carried
        have = self._have(self.result.numbers[self._r.child.ops[conv].inputs[0]], wanted)
        mean, variance = (m[chosen].astype(np.float32) for m in moments(self._r.parent, self._r.weights, j))
        arrays[f"{op.name}/gamma"][have] = np.sqrt(variance + np.float32(BN_EPSILON))[have]
        arrays[f"{op.name}/beta"] = np.where(wanted == ZERO, np.float32(0), mean)
        arrays[f"{op.name}/moving_mean"] = mean
        arrays[f"{op.name}/moving_variance"] = variance
        return wanted

    def _wanted(self, conv: int) -> Numbers | None:
        carried = self._births[conv]
        return None if carried is None else self._continued(*carried)

    def _have(self, x: Numbers, wanted: Numbers) -> npt.NDArray[np.bool_]:
        """Which of the ``wanted`` values a 1x1 convolution of ``x`` can pass on."""
        return np.asarray(np.isin(wanted, x) & (wanted != ZERO))


def _only_normed(graph: Graph) -> dict[int, int]:
    """{operator that nothing but a batch normalisation reads: that batch normalisation}."""
    readers = Counter(j for op in graph.ops for j in op.inputs)
    return {op.inputs[0]: i for i, op in enumerate(graph.ops) if op.kind == "bn" and readers[op.inputs[0]] == 1}


def _births(relatives: Relatives) -> dict[int, tuple[int, Indices] | None]:
    """The last convolutions of new branches: what each carries on (operator of the parent, channels), None for nothing.

    A branch is new when its last convolution has no counterpart while the add's other side goes on without it.  It
    carries something on where it came in place of an identity shortcut.
    """
    child, parent = relatives.child.ops, relatives.parent.ops
    births: dict[int, tuple[int, Indices] | None] = {}
    for i, op in enumerate(child):
        if op.kind != "add":
            continue
        convs = [_last_conv(child, j) for j in op.inputs]
        new = [k for k, conv in enumerate(convs) if conv is not None and conv not in relatives.matching.ops]
        if len(new) != 1:
            continue
        conv, found = convs[new[0]], relatives.counterparts.get(i)
        if conv is None:
            continue
        births[conv] = None
        if found is not None and child[conv].kernel == 1:
            operand = parent[found[0]].inputs[new[0]]
            if _last_conv(parent, operand) is None:
                births[conv] = (operand, found[1])
    return births


def _last_conv(ops: Sequence[Op], i: int) -> int | None:
    """The convolution that operator ``i`` is, or is the batch normalisation of."""
    if ops[i].kind == "bn":
        i = ops[i].inputs[0]
    return i if ops[i].kind == "conv" else None


def _needed(kernel: npt.NDArray[np.float32], x: Numbers, live: npt.NDArray[np.bool_]) -> frozenset[int]:
    """Input channels of ``kernel`` (..., inputs, outputs) that its ``live`` outputs depend on."""
    used = np.any(kernel[..., live] != 0, axis=(*range(kernel.ndim - 2), -1))
    return frozenset(int(c) for c in np.flatnonzero(used & (x != ZERO)))
