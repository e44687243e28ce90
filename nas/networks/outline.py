"""Which operators of two related networks stand for each other.

Read from operator names: what comes before the first underscore names the *unit* (``s2b1`` of ``s2b1_conv1``), the
rest the operator's *role* in it.  Units whose names differ only in the number at their end (the blocks of a stage) may
stand for each other, in order; they are aligned by dynamic programming (Needleman and Wunsch 1970).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

from nas.graph import Graph, Op

KERNELS: Final = frozenset({"conv", "depthwise", "dense"})
_DIGITS: Final = "0123456789"
_READERS_WEIGHT: Final = 1.0  # of the links that read a unit, beside 1 for its kernels
_OBSTACLE: Final = -2.0  # a unit without identity shortcut can be neither inserted nor left out unnoticed
_ALTERED: Final = 0.5  # worth of a kernel at another stride, or at another resolution


class Kernel(NamedTuple):
    """Size of one operator with a kernel."""

    kind: str
    side: int
    stride: int
    inputs: int
    outputs: int
    resolution: tuple[int, int]


@dataclass(frozen=True)
class Unit:
    """Operators whose names begin alike: a block, the stem, the classifier.

    Attributes:
        name, family: such as ``s2b1`` and ``s2b``.
        roles: {role: operator's index}.
        kernels: {role: size} of the operators with kernels.
        links: {role of a convolution that reads other units and adds zero at birth: names of these units}.
        readers: families of the units whose links read this one, with how many.
        passes: whether the input reaches an add of this unit unchanged, so that the unit can be the identity.
    """

    name: str
    family: str
    roles: Mapping[str, int]
    kernels: Mapping[str, Kernel]
    links: Mapping[str, frozenset[str]]
    readers: Counter[str]
    passes: bool


@dataclass(frozen=True)
class Outline:
    """The units of one graph, in order of execution."""

    graph: Graph
    units: Mapping[str, Unit]
    unit_of: tuple[str, ...]

    @property
    def families(self) -> dict[str, list[Unit]]:
        """Units by family."""
        found: dict[str, list[Unit]] = {}
        for unit in self.units.values():
            found.setdefault(unit.family, []).append(unit)
        return found


@lru_cache(maxsize=256)
def outline(graph: Graph) -> Outline:
    """The outline of ``graph``; the last ones are remembered, as a search compares one with many."""
    unit_of = tuple(op.name.partition("_")[0] for op in graph.ops)
    members: dict[str, list[int]] = {}
    for i, name in enumerate(unit_of):
        members.setdefault(name, []).append(i)
    units = {name: _unit(graph, name, ops, unit_of) for name, ops in members.items()}
    for unit in units.values():
        for source in chain.from_iterable(unit.links.values()):
            units[source].readers[unit.family] += 1
    return Outline(graph, units, unit_of)


def _unit(graph: Graph, name: str, members: list[int], unit_of: Sequence[str]) -> Unit:
    ops = graph.ops
    roles = {ops[i].name.partition("_")[2]: i for i in members}
    links = {}
    for i in members:
        if ops[i].zero:
            conv = ops[i].inputs[0] if ops[i].kind == "bn" else i
            sources = frozenset(_sources(ops, conv, unit_of))
            if sources:
                links[ops[conv].name.partition("_")[2]] = sources
    return Unit(
        name,
        name.rstrip(_DIGITS),
        roles,
        {role: _kernel(ops, i) for role, i in roles.items() if ops[i].kind in KERNELS},
        links,
        Counter(),
        any(ops[i].kind == "add" and any(unit_of[j] != name for j in ops[i].inputs) for i in members),
    )


def _kernel(ops: Sequence[Op], i: int) -> Kernel:
    op = ops[i]
    return Kernel(op.kind, op.kernel, op.stride, ops[op.inputs[0]].shape[2], op.shape[2], op.shape[:2])


def _sources(ops: Sequence[Op], i: int, unit_of: Sequence[str]) -> Iterator[str]:
    """Units whose outputs operator ``i`` reads, through nothing but pooling and concatenation."""
    for j in ops[i].inputs:
        if unit_of[j] != unit_of[i]:
            yield unit_of[j]
        elif ops[j].kind in ("pool", "concat"):
            yield from _sources(ops, j, unit_of)


def _overlap(a: Kernel, b: Kernel) -> float:
    """How much of one kernel can serve as the other, from 0 to 1."""
    if (a.kind, a.side) != (b.kind, b.side):
        return 0.0
    common = min(a.inputs, b.inputs) * min(a.outputs, b.outputs)
    share = common / (max(a.inputs, b.inputs) * max(a.outputs, b.outputs))
    if a.stride != b.stride:
        share *= _ALTERED
    return share if a.resolution == b.resolution else share * _ALTERED


def _likeness(a: Unit, b: Unit) -> float:
    """Common part of the kernels, and how many of the links that read the parent's ``a`` the child's ``b`` keeps."""
    kernels = len(a.kernels.keys() | b.kernels.keys())
    shared = sum(_overlap(kernel, b.kernels[role]) for role, kernel in a.kernels.items() if role in b.kernels)
    links = a.readers.total()
    readers = (a.readers & b.readers).total() / links if links else 1.0
    return (shared / kernels if kernels else 1.0) + _READERS_WEIGHT * readers


def align(first: Sequence[Unit], second: Sequence[Unit]) -> list[tuple[Unit, Unit]]:
    """The pairs (parent's, child's), in order, with the largest sum of likeness; every pair counts at least 1."""
    gap_first = [0.0 if unit.passes else _OBSTACLE for unit in first]
    gap_second = [0.0 if unit.passes else _OBSTACLE for unit in second]
    n, m = len(first), len(second)
    score = [[0.0] * (m + 1) for _ in range(n + 1)]  # of what is left from (i, j) on
    pair = [[1.0 + _likeness(a, b) for b in second] for a in first]
    for i in range(n, -1, -1):
        for j in range(m, -1, -1):
            options = []
            if i < n and j < m:
                options.append(pair[i][j] + score[i + 1][j + 1])
            if i < n:
                options.append(gap_first[i] + score[i + 1][j])
            if j < m:
                options.append(gap_second[j] + score[i][j + 1])
            score[i][j] = max(options, default=0.0)
    pairs, i, j = [], 0, 0
    while i < n and j < m:
        if score[i][j] == pair[i][j] + score[i + 1][j + 1]:
            pairs.append((first[i], second[j]))
            i, j = i + 1, j + 1
        elif score[i][j] == gap_second[j] + score[i][j + 1]:
            j += 1
        else:
            i += 1
    return pairs


def pair_units(parent: Outline, child: Outline) -> list[tuple[Unit, Unit]]:
    """All pairs (unit of the parent, unit of the child) that stand for each other."""
    theirs = parent.families
    return [pair for family, units in child.families.items() for pair in align(theirs.get(family, ()), units)]


@dataclass(frozen=True)
class Matching:
    """What stands for what.

    Attributes:
        parent, child: the two outlines.
        units: {the child's unit: the parent's}.
        ops: {index of the child's operator: index of the parent's}, of the same kind and window.
    """

    parent: Outline
    child: Outline
    units: Mapping[str, str]
    ops: Mapping[int, int]


def match(parent: Graph, child: Graph) -> Matching:
    """Counterparts of the operators of ``child`` in ``parent``."""
    theirs, ours = outline(parent), outline(child)
    pairs = pair_units(theirs, ours)
    units = {b.name: a.name for a, b in pairs}
    ops = {}
    for a, b in pairs:
        lost = {role for role, sources in b.links.items() if not _common_sources(a, b, role, sources, units)}
        for role, i in b.roles.items():
            j = a.roles.get(role)
            if j is None or role.removesuffix("_bn") in lost or not _same_work(parent.ops[j], child.ops[i]):
                continue
            if child.ops[i].kind != "pool" or _same_source(theirs, ours, units, j, i):
                ops[i] = j
    return Matching(theirs, ours, units, ops)


def _common_sources(a: Unit, b: Unit, role: str, sources: frozenset[str], units: Mapping[str, str]) -> bool:
    return bool(a.links.get(role, frozenset()) & {units.get(source, "") for source in sources})


def _same_work(a: Op, b: Op) -> bool:
    return (a.kind, a.kernel, a.bias, a.mode, a.padding) == (b.kind, b.kernel, b.bias, b.mode, b.padding)


def _same_source(parent: Outline, child: Outline, units: Mapping[str, str], j: int, i: int) -> bool:
    """Whether two poolings read units that stand for each other, or one whose own counterpart is gone."""
    theirs = parent.unit_of[parent.graph.ops[j].inputs[0]]
    ours = child.unit_of[child.graph.ops[i].inputs[0]]
    return units.get(ours) == theirs or theirs not in units.values()


def shared_kernels(parent: Outline, child: Outline) -> tuple[float, int]:
    """(sum over operators with kernels of what the child could inherit, how many there are in either)."""
    pairs = pair_units(parent, child)
    units = {b.name: a.name for a, b in pairs}
    shared, common = 0.0, 0
    for a, b in pairs:
        for role in a.kernels.keys() & b.kernels.keys():
            common += 1
            theirs = a.links.get(role, frozenset())
            ours = {units.get(source, source + " of the child") for source in b.links.get(role, ())}
            sources = len(theirs & ours) / len(theirs | ours) if theirs | ours else 1.0
            shared += _overlap(a.kernels[role], b.kernels[role]) * sources
    count = sum(len(unit.kernels) for side in (parent, child) for unit in side.units.values())
    return shared, count - common
