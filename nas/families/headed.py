"""Any family's network with another end: more answers than classes, landmarks beside the image, or larger images.

The *trunk* is an architecture of any family.  Its graph is shrunk for large images (:mod:`nas.shrink`), its answer is
cut off, and a head (:mod:`nas.head`) takes its place.  All edits of the trunk stay; widths of the landmarks' branch,
and whether it has a second layer, are edits of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from nas.architecture import Architecture, Edit, EditKind
from nas.decoding import field, of_kind
from nas.errors import DecodeError, InputError
from nas.graph import Graph
from nas.head import Head, with_head
from nas.shrink import shrunk

MAX_SHRINK = 8
_FIELDS = frozenset({"trunk", "classes", "targets", "landmarks", "branch", "shrink"})


@dataclass(frozen=True)
class HeadedArchitecture(Architecture):
    """Genotype of a trunk with a head.

    Attributes:
        trunk: of another family; its own number of classes does not matter.
        head: what the network answers, and the branch of its landmarks.
        shrink: how often the stem halves the image, see :func:`nas.shrink.halvings`.
    """

    family: ClassVar[str] = "headed"

    trunk: Architecture
    head: Head
    shrink: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.trunk, HeadedArchitecture):
            raise InputError("the trunk of a network with a head has a head itself: give it a plain one")
        if not 0 <= self.shrink <= MAX_SHRINK:
            raise InputError(f"an image halved {self.shrink} times: use 0..{MAX_SHRINK}")

    def genotype(self) -> dict[str, Any]:
        """All that decides the network."""
        head = self.head
        return {
            "trunk": {"family": self.trunk.family, **self.trunk.genotype()},
            "classes": head.classes,
            "targets": head.targets,
            "landmarks": head.landmarks,
            "branch": list(head.branch),
            "shrink": self.shrink,
        }

    @classmethod
    def from_genotype(cls, data: Mapping[str, Any]) -> Self:
        """Reads what :meth:`genotype` wrote.  Raises DecodeError on anything else."""
        if set(data) != _FIELDS:
            wrong = ", ".join(sorted(map(str, set(data) ^ _FIELDS)))
            raise DecodeError(f"architecture with a head, with missing or unknown fields: {wrong}")
        trunk = field(data, "trunk", dict)
        if trunk.get("family") == cls.family:
            raise DecodeError("the trunk of a network with a head has a head itself")
        classes, targets, landmarks, shrink = (
            field(data, n, int) for n in ("classes", "targets", "landmarks", "shrink")
        )
        branch = tuple(of_kind(width, "a width of branch", int) for width in field(data, "branch", list))
        try:
            return cls(Architecture.from_json(json.dumps(trunk)), Head(classes, targets, landmarks, branch), shrink)
        except InputError as error:
            raise DecodeError(f"not an architecture with a head: {error}") from error

    def graph(self) -> Graph:
        """The trunk's operators up to its answer, then the head's."""
        return with_head(shrunk(self.trunk.graph(), self.shrink), self.head)


@dataclass(frozen=True)
class HeadedEdit(Edit):
    """One mutation of a trunk or of a branch.

    Attributes:
        trunk: the trunk's edit; None for one of the branch.
        layer: of the branch, counted from 1.
        before, after: its width.
    """

    trunk: Edit | None = None
    layer: int = 0
    before: int = 0
    after: int = 0

    @property
    def scope(self) -> str:
        """The trunk's edit's own."""
        return "" if self.trunk is None else self.trunk.scope

    def __str__(self) -> str:
        if self.trunk is not None:
            return str(self.trunk)
        change = f" {self.before}->{self.after}" if self.after else ""
        return f"{self.kind.value} points{self.layer}{change}"

    def apply(self, parent: Architecture) -> HeadedArchitecture:
        """The child.  Raises InputError where the edit does not fit ``parent``."""
        if not isinstance(parent, HeadedArchitecture):
            raise InputError(f"{self} does not fit a {type(parent).__name__}")
        if self.trunk is not None:
            return replace(parent, trunk=self.trunk.apply(parent.trunk))
        branch, place = parent.head.branch, self.layer - 1
        if self.kind is EditKind.ADD_BLOCK and place == len(branch) > 0:
            return _with_branch(parent, (*branch, branch[-1]))
        if not 0 <= place < len(branch):
            raise InputError(f"{self}: the parent's branch has {len(branch)} layers")
        if self.kind is EditKind.REMOVE_BLOCK:
            return _with_branch(parent, (*branch[:place], *branch[place + 1 :]))
        return _with_branch(parent, (*branch[:place], self.after, *branch[place + 1 :]))


def _with_branch(a: HeadedArchitecture, branch: tuple[int, ...]) -> HeadedArchitecture:
    return replace(a, head=replace(a.head, branch=branch))
