"""What differs between two relatives, and which of the differences leave the function as it was."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nas.graph import LANDMARKS, VALUES
from nas.networks.channels import groups_of, segments
from nas.networks.outline import Unit
from nas.networks.transfer import Relatives, Transfer
from nas.networks.values import UNKNOWN, ZERO


class ChangeKind(enum.StrEnum):
    """What happened between parent and child; the first seven are named like :class:`nas.architecture.EditKind`.

    A change of a stage's kind shows as what it does: branches for depthwise kernels, strides for pooling.
    """

    WIDEN = "widen"
    NARROW = "narrow"
    ADD_BLOCK = "add_block"
    REMOVE_BLOCK = "remove_block"
    ADD_LINK = "add_link"
    REMOVE_LINK = "remove_link"
    RESTRIDE = "restride"
    ADD_BRANCH = "add_branch"
    REMOVE_BRANCH = "remove_branch"
    CLASSES = "classes"
    TARGETS = "targets"
    LANDMARKS = "landmarks"
    OTHER = "other"


@dataclass(frozen=True)
class Change:
    """One difference, as read from the two graphs.

    Attributes:
        kind: see :class:`ChangeKind`; a branch is a convolution on a block's shortcut.
        target: a channel group, a unit, an operator, or a link ``s1b1->s3b2``; the child's name, the parent's for what
            was removed.  Where a removed projection made two groups of the parent one, ``group in new group``.
        preserving: whether it leaves the outputs as they were, as far as it alone decides.
        before, after: numbers of channels, strides, classes, targets or landmarks where they changed.
    """

    kind: ChangeKind
    target: str
    preserving: bool
    before: int = 0
    after: int = 0


def changes_of(relatives: Relatives, transfer: Transfer) -> tuple[Change, ...]:
    """All differences; where none explains why the proof failed, the operator where it did is named as ``other``."""
    blamed = _Blame(relatives, transfer)
    found = [
        *_widths(relatives, blamed),
        *_blocks(relatives, transfer),
        *_branches(relatives, blamed),
        *_strides(relatives),
    ]
    if transfer.assumed and all(change.preserving for change in found):
        found.append(Change(ChangeKind.OTHER, relatives.child.ops[min(transfer.assumed)].name, False))
    return tuple(found)


class _Blame:
    """What took needed values away.

    Attributes:
        groups: (group of the child, group of the parent) that were narrowed.
        links: (source, target) units of the parent between which a link was removed.
    """

    def __init__(self, relatives: Relatives, transfer: Transfer) -> None:
        self.groups: set[tuple[str, str]] = set()
        self.links: set[tuple[str, str]] = set()
        groups = groups_of(relatives.child)
        for i, number in transfer.missing:
            gone = _removed_source(relatives, i, number)
            if gone is not None:
                self.links.add(gone)
                continue
            place = relatives.values.place[number]
            for name, _ in segments(relatives.child, groups, relatives.child.ops[i].inputs[0]):
                self.groups.add((name, place[0]))


def _removed_source(relatives: Relatives, i: int, number: int) -> tuple[str, str] | None:
    """(source, target) of the parent's link that brought value ``number`` and that the child's operator ``i`` lacks."""
    matching = relatives.matching
    if i not in matching.ops:
        return None
    ours, theirs = matching.child.unit_of[i], matching.parent.unit_of[matching.ops[i]]
    role = relatives.child.ops[i].name.partition("_")[2]
    kept = {matching.units.get(source) for source in matching.child.units[ours].links.get(role, ())}
    ops, numbers = relatives.parent.ops, relatives.values.of
    joined = ops[matching.ops[i]].inputs[0]
    for j in ops[joined].inputs if ops[joined].kind == "concat" else (joined,):
        source = matching.parent.unit_of[ops[j].inputs[0] if ops[j].kind == "pool" else j]
        if number in numbers[j] and source in matching.parent.units[theirs].links.get(role, frozenset()) - kept:
            return source, theirs
    return None


def _widths(relatives: Relatives, blamed: _Blame) -> Iterator[Change]:
    widths = {op.name: op.shape[2] for op in relatives.parent.ops}
    origins = Counter(ours for ours, _ in relatives.channels)
    for (ours, theirs), chosen in relatives.channels.items():
        before, after = widths[theirs], len(chosen)
        name = ours if origins[ours] == 1 else f"{theirs} in {ours}"
        if after > before:
            yield Change(ChangeKind.WIDEN, name, True, before, after)
        elif after < before:
            yield Change(ChangeKind.NARROW, name, (ours, theirs) not in blamed.groups, before, after)
    if relatives.parent.classes != relatives.child.classes:
        yield Change(
            ChangeKind.CLASSES, groups_of(relatives.child)[-1], False, relatives.parent.classes, relatives.child.classes
        )
    if relatives.parent.targets != relatives.child.targets:
        yield Change(ChangeKind.TARGETS, VALUES, False, relatives.parent.targets, relatives.child.targets)
    if relatives.parent.points != relatives.child.points:
        yield Change(ChangeKind.LANDMARKS, LANDMARKS, False, relatives.parent.points, relatives.child.points)


def _blocks(relatives: Relatives, transfer: Transfer) -> Iterator[Change]:
    matching = relatives.matching
    for unit in matching.child.units.values():
        if unit.kernels and unit.name not in matching.units:
            last = max(unit.roles.values())
            yield Change(ChangeKind.ADD_BLOCK, unit.name, UNKNOWN not in transfer.numbers[last])
    for unit in matching.parent.units.values():
        if unit.kernels and unit.name not in matching.units.values():
            numbers = relatives.values.of
            first, last = min(unit.roles.values()), max(unit.roles.values())
            same = np.array_equal(numbers[relatives.parent.ops[first].inputs[0]], numbers[last])
            yield Change(ChangeKind.REMOVE_BLOCK, unit.name, same)


def _branches(relatives: Relatives, blamed: _Blame) -> Iterator[Change]:
    matching = relatives.matching
    for ours, theirs in matching.units.items():
        a, b = matching.parent.units[theirs], matching.child.units[ours]
        yield from _links(relatives, a, b, blamed)
        for role in b.kernels.keys() - a.kernels.keys() - b.links.keys():
            yield Change(ChangeKind.ADD_BRANCH, f"{ours}_{role}", True)
        for role in a.kernels.keys() - b.kernels.keys() - a.links.keys():
            yield Change(ChangeKind.REMOVE_BRANCH, f"{theirs}_{role}", False)
    for ours, unit in matching.child.units.items():
        if ours not in matching.units:
            for sources in unit.links.values():
                yield from (Change(ChangeKind.ADD_LINK, f"{source}->{ours}", True) for source in sorted(sources))


def _links(relatives: Relatives, a: Unit, b: Unit, blamed: _Blame) -> Iterator[Change]:
    """Sources that the links of a pair of units gained or lost."""
    units = relatives.matching.units
    for role in sorted(a.links.keys() | b.links.keys()):
        theirs = a.links.get(role, frozenset())
        ours = {source: units.get(source) for source in b.links.get(role, frozenset())}
        for source in sorted(ours):
            if ours[source] not in theirs:
                yield Change(ChangeKind.ADD_LINK, f"{source}->{b.name}", True)
        for source in sorted(theirs - set(ours.values())):
            shares = role in b.links and b.roles[role] in relatives.matching.ops
            harmless = (source, a.name) not in blamed.links if shares else _silent(relatives, a, role)
            yield Change(ChangeKind.REMOVE_LINK, f"{source}->{a.name}", harmless)


def _silent(relatives: Relatives, unit: Unit, role: str) -> bool:
    """Whether the parent's link adds nothing."""
    ops, conv = relatives.parent.ops, unit.roles[role]
    closing = next((i for i, op in enumerate(ops) if op.kind == "bn" and op.inputs == (conv,)), conv)
    return bool(np.all(relatives.values.of[closing] == ZERO))


def _strides(relatives: Relatives) -> Iterator[Change]:
    for i, j in relatives.matching.ops.items():
        before, after = relatives.parent.ops[j], relatives.child.ops[i]
        if before.stride != after.stride:
            yield Change(ChangeKind.RESTRIDE, after.name, False, before.stride, after.stride)
