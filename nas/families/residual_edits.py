"""Mutations of residual architectures.

Inserting or removing a block remaps links by stated rules: every link follows the block that it was attached to; links
of a removed block go with it; a new block copies the inner width of the block before it (of the block after it, when it
becomes the first) and has no links.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from nas.architecture import Architecture, Edit, EditKind
from nas.errors import InputError
from nas.families.residual import Link, ResidualArchitecture, Stage

_NARROWER: Final = (1 / 2, 3 / 4)
_WIDER: Final = (4 / 3, 2)


@dataclass(frozen=True)
class ResidualEdit(Edit):
    """One mutation of a residual architecture.

    Attributes:
        target: ``stem``, a stage ``s2``, a block ``s2b1``, or a link ``s1b1->s3b2``.
        before, after: the width or stride, for edits that change one.
        link: the link, for edits of one.
        trait: for edits of one trait of a stage, its name; ``after`` is then 1 where the stage gets it, else 0.
        stage: for edits of all widths of a stage (target ``s2*``), the stage as it becomes; ``before`` and ``after``
            are then its output width.  The stem works at the first stage's resolution and takes its width.
    """

    target: str
    before: int = 0
    after: int = 0
    link: Link | None = None
    stage: Stage | None = None
    trait: str = ""

    @property
    def scope(self) -> str:
        """``stage`` for edits of a whole stage, else empty."""
        return "stage" if self.stage is not None else ""

    def __str__(self) -> str:
        if self.trait:
            return f"{self.kind.value} {self.target} {'' if self.after else 'not '}{self.trait}"
        change = f" {self.before}->{self.after}" if self.after else ""
        return f"{self.kind.value} {self.target}{change}"

    def apply(self, parent: Architecture) -> ResidualArchitecture:
        """The child.  Raises InputError where the edit does not fit ``parent``."""
        if not isinstance(parent, ResidualArchitecture):
            raise InputError(f"{self} does not fit a {type(parent).__name__}")
        if self.link is not None:
            return self._apply_link(parent, self.link)
        if self.kind is EditKind.RESTRIDE:
            return replace(parent, stem_stride=self.after)
        if self.target == "stem":
            return replace(parent, stem_width=self.after)
        if self.stage is not None:
            return self._apply_stage(parent, self.stage)
        stage, block = self._position()
        if stage >= len(parent.stages) or (block or 0) > len(parent.stages[stage].inner):
            raise InputError(f"{self}: the parent has no such block")
        if self.kind is EditKind.RETYPE:
            return _with_stage(parent, stage, with_trait(parent.stages[stage], self.trait, on=bool(self.after)))
        if self.kind is EditKind.ADD_BLOCK:
            return _add_block(parent, stage, block or 0)
        if self.kind is EditKind.REMOVE_BLOCK:
            return _remove_block(parent, stage, block or 0)
        return _with_width(parent, stage, block, self.after)

    def _apply_link(self, parent: ResidualArchitecture, link: Link) -> ResidualArchitecture:
        if self.kind is EditKind.ADD_LINK and link not in parent.links:
            return replace(parent, links=tuple(sorted((*parent.links, link))))
        if self.kind is EditKind.REMOVE_LINK and link in parent.links:
            return replace(parent, links=tuple(x for x in parent.links if x != link))
        raise InputError(f"{self} does not fit the parent's links")

    def _apply_stage(self, parent: ResidualArchitecture, new: Stage) -> ResidualArchitecture:
        index = int(self.target.strip("s*")) - 1
        if index >= len(parent.stages) or len(parent.stages[index].inner) != len(new.inner):
            raise InputError(f"{self}: the parent has no such stage of {len(new.inner)} blocks")
        child = _with_stage(parent, index, new)
        return replace(child, stem_width=new.width) if index == 0 else child

    def _position(self) -> tuple[int, int | None]:
        stage, _, block = self.target.removeprefix("s").partition("b")
        return int(stage) - 1, int(block) - 1 if block else None


def _with_width(a: ResidualArchitecture, stage: int, block: int | None, width: int) -> ResidualArchitecture:
    old = a.stages[stage]
    if block is None:
        new = replace(old, width=width)
    else:
        new = replace(old, inner=(*old.inner[:block], width, *old.inner[block + 1 :]))
    return _with_stage(a, stage, new)


def _with_stage(a: ResidualArchitecture, stage: int, new: Stage) -> ResidualArchitecture:
    return replace(a, stages=(*a.stages[:stage], new, *a.stages[stage + 1 :]))


def with_trait(stage: Stage, trait: str, *, on: bool) -> Stage:
    """``stage`` with, or without, one of :data:`nas.families.residual.TRAITS`."""
    return replace(stage, separable=on) if trait == "separable" else replace(stage, pooled=on)


def _add_block(a: ResidualArchitecture, stage: int, block: int) -> ResidualArchitecture:
    """``a`` with one more block at position ``block`` of ``stage``; links follow their blocks."""
    inner = a.stages[stage].inner
    copied = inner[max(block - 1, 0)]
    new = replace(a.stages[stage], inner=(*inner[:block], copied, *inner[block:]))

    def moved(end: tuple[int, int]) -> tuple[int, int]:
        return (end[0], end[1] + 1) if end[0] == stage and end[1] >= block else end

    return _with_links(a, (Link(*moved(x.source), *moved(x.target)) for x in a.links), stage, new)


def _remove_block(a: ResidualArchitecture, stage: int, block: int) -> ResidualArchitecture:
    inner = a.stages[stage].inner
    if len(inner) < 2 or block >= len(inner):
        raise InputError(f"stage {stage + 1} has {len(inner)} blocks; the last one cannot be removed")
    new = replace(a.stages[stage], inner=(*inner[:block], *inner[block + 1 :]))

    def moved(end: tuple[int, int]) -> tuple[int, int]:
        return (end[0], end[1] - 1) if end[0] == stage and end[1] > block else end

    kept = (x for x in a.links if (stage, block) not in (x.source, x.target))
    return _with_links(a, (Link(*moved(x.source), *moved(x.target)) for x in kept), stage, new)


def _with_links(a: ResidualArchitecture, links: Iterator[Link], stage: int, new: Stage) -> ResidualArchitecture:
    return replace(a, stages=(*a.stages[:stage], new, *a.stages[stage + 1 :]), links=tuple(sorted(links)))


def width_edits(target: str, width: int, snap: Callable[[float], int]) -> Iterator[ResidualEdit]:
    """Narrower and wider, to the nearest allowed widths that differ."""
    for kind, factors in ((EditKind.NARROW, _NARROWER), (EditKind.WIDEN, _WIDER)):
        values = {snap(width * factor) for factor in factors}
        for value in sorted(values):
            if (value < width) is (kind is EditKind.NARROW) and value != width:
                yield ResidualEdit(kind, target, width, value)


def stage_edits(
    s: int, a: ResidualArchitecture, snap: Callable[[float], int], snap_inner: Callable[[float], int]
) -> Iterator[ResidualEdit]:
    """All widths of a stage at once, narrower or wider by one factor; for the first stage with the stem.

    Where the bounds leave a mixture, some widths up and some down, the edit is left out.
    """
    old = a.stages[s]
    before = (old.width, *old.inner)
    for kind, factors in ((EditKind.NARROW, _NARROWER), (EditKind.WIDEN, _WIDER)):
        for factor in factors:
            new = replace(old, width=snap(old.width * factor), inner=tuple(snap_inner(w * factor) for w in old.inner))
            after = (new.width, *new.inner)
            pairs = list(zip(before, after, strict=True))
            right = all(y <= x for x, y in pairs) if kind is EditKind.NARROW else all(y >= x for x, y in pairs)
            if right and before != after:
                yield ResidualEdit(kind, f"s{s + 1}*", old.width, new.width, stage=new)


def stride_edits(a: ResidualArchitecture, choices: Sequence[int]) -> Iterator[ResidualEdit]:
    """The stem's other strides."""
    for stride in choices:
        if stride != a.stem_stride:
            yield ResidualEdit(EditKind.RESTRIDE, "stem", a.stem_stride, stride)


def trait_edits(s: int, stage: Stage, choices: Mapping[str, Sequence[bool]]) -> Iterator[ResidualEdit]:
    """Gaining or losing each trait of which the space leaves the choice."""
    for trait, values in choices.items():
        has = trait in stage.traits
        if (not has) in values:
            yield ResidualEdit(EditKind.RETYPE, f"s{s + 1}", int(has), int(not has), trait=trait)


def block_edits(s: int, stage: Stage, low: int, high: int) -> Iterator[ResidualEdit]:
    """Insertions at every position and removals of every block, within ``low``..``high`` blocks."""
    depth = len(stage.inner)
    if depth < high:
        for b in range(depth + 1):
            yield ResidualEdit(EditKind.ADD_BLOCK, f"s{s + 1}b{b + 1}")
    if depth > low:
        for b in range(depth):
            yield ResidualEdit(EditKind.REMOVE_BLOCK, f"s{s + 1}b{b + 1}")


def link_edits(a: ResidualArchitecture) -> Iterator[ResidualEdit]:
    """Every link that could be added, and every one that could go."""
    blocks = [(s, b) for s, stage in enumerate(a.stages) for b in range(len(stage.inner))]
    for link in (Link(*p, *q) for p, q in combinations(blocks, 2)):
        kind = EditKind.REMOVE_LINK if link in a.links else EditKind.ADD_LINK
        yield ResidualEdit(kind, str(link), link=link)
