"""Genotypes that are stages of blocks with a few numbers each, and their mutations: what several families share.

A family of this kind names its numbers (*knobs*) of the network, of a stage and of a block, and expands them to
operators; genotype, JSON, edits and search space (:mod:`nas.families.staged_space`) follow from the names.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, NamedTuple, Self

from nas.architecture import Architecture, Edit, EditKind
from nas.decoding import integer
from nas.errors import DecodeError, InputError

Values = tuple[int, ...]


class Knob(enum.Enum):
    """What a number is; decides how it may be edited, and which way costs go with it."""

    WIDTH = "width"  # of a convolution; edits of a whole stage scale it
    RATIO = "ratio"  # of two widths
    KERNEL = "kernel"  # side of a window
    STRIDE = "stride"
    OPTION = "option"  # 1 for with, 0 for without; which is cheaper depends on the widths


_LEGAL: Final[Mapping[Knob, tuple[range, str]]] = {
    Knob.WIDTH: (range(1, 4097), "a width in 1..4096"),
    Knob.RATIO: (range(1, 65), "a ratio in 1..64"),
    Knob.KERNEL: (range(1, 16, 2), "an odd side in 1..15"),
    Knob.STRIDE: (range(1, 3), "1 or 2"),
    Knob.OPTION: (range(2), "0 or 1"),
}
Knobs = Mapping[str, Knob]


class Stage(NamedTuple):
    """Values of a stage's knobs, and of the knobs of each of its blocks."""

    values: Values
    blocks: tuple[Values, ...]


class Place(NamedTuple):
    """Where a value is; stages, blocks and knobs count from 0, None for the network's or the stage's own."""

    stage: int | None
    block: int | None
    knob: int

    def name(self, knob: str) -> str:
        """Of the parameter, such as ``stem_width``, ``s2_width`` or ``s2b1_inner``; counted from 1."""
        stage = "" if self.stage is None else f"s{self.stage + 1}"
        block = "" if self.block is None else f"b{self.block + 1}"
        return f"{stage}{block}_{knob}".removeprefix("_")


@dataclass(frozen=True)
class StagedArchitecture(Architecture):
    """Genotype of a family of stages.

    Attributes:
        NETWORK, STAGE, BLOCK: names and kinds of the knobs, in order; of the family.
        input_shape: (height, width, channels).
        classes: number of outputs.
        network: values of the network's knobs.
        stages: from high to low resolution.
    """

    NETWORK: ClassVar[Knobs]
    STAGE: ClassVar[Knobs]
    BLOCK: ClassVar[Knobs]

    input_shape: tuple[int, int, int]
    classes: int
    network: Values
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if min(self.input_shape) < 1 or self.classes < 2:
            raise InputError(f"input {self.input_shape} and {self.classes} classes: must be positive, two classes")
        if not self.stages or any(not s.blocks for s in self.stages):
            raise InputError(f"{self.family}: at least one stage, and at least one block in every stage")
        _check_values(self.NETWORK, self.network, "network")
        for s, stage in enumerate(self.stages, 1):
            _check_values(self.STAGE, stage.values, f"stage {s}")
            for block in stage.blocks:
                _check_values(self.BLOCK, block, f"a block of stage {s}")

    def value(self, place: Place) -> int:
        """What is there.  Raises LookupError where the network has no such place."""
        if place.stage is None:
            return self.network[place.knob]
        stage = self.stages[place.stage]
        return (stage.values if place.block is None else stage.blocks[place.block])[place.knob]

    def genotype(self) -> dict[str, Any]:
        """All that decides the network."""
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "network": _named(self.NETWORK, self.network),
            "stages": [
                _named(self.STAGE, stage.values) | {"blocks": [_named(self.BLOCK, block) for block in stage.blocks]}
                for stage in self.stages
            ],
        }

    @classmethod
    def from_genotype(cls, data: Mapping[str, Any]) -> Self:
        """Reads what :meth:`genotype` wrote.  Raises DecodeError on anything else."""
        fields = {"input_shape", "classes", "network", "stages"}
        if set(data) != fields:
            wrong = ", ".join(sorted(set(data) ^ fields))
            raise DecodeError(f"{cls.family} architecture with missing or unknown fields: {wrong}")
        try:
            height, width, channels = (integer(v) for v in data["input_shape"])
            stages = []
            for stage in data["stages"]:
                own = {name: value for name, value in stage.items() if name != "blocks"}
                blocks = tuple(_values(cls.BLOCK, block) for block in stage["blocks"])
                stages.append(Stage(_values(cls.STAGE, own), blocks))
            return cls(
                input_shape=(height, width, channels),
                classes=integer(data["classes"]),
                network=_values(cls.NETWORK, data["network"]),
                stages=tuple(stages),
            )
        except (TypeError, ValueError, LookupError, AttributeError, InputError) as error:
            raise DecodeError(f"not a {cls.family} architecture: {error}") from error


def _check_values(knobs: Knobs, values: Values, what: str) -> None:
    if len(values) != len(knobs):
        raise InputError(f"{what}: {len(values)} values for {', '.join(knobs) or 'no knobs'}")
    for (name, kind), value in zip(knobs.items(), values, strict=True):
        legal, text = _LEGAL[kind]
        if value not in legal:
            raise InputError(f"{what}: {name} {value} must be {text}")


def _named(knobs: Knobs, values: Values) -> dict[str, int]:
    return dict(zip(knobs, values, strict=True))


def _values(knobs: Knobs, data: Mapping[str, Any]) -> Values:
    if set(data) != set(knobs):
        raise ValueError(f"fields {', '.join(map(str, data))}; expected {', '.join(knobs)}")
    return tuple(integer(data[name]) for name in knobs)


@dataclass(frozen=True)
class StagedEdit(Edit):
    """One mutation.

    Attributes:
        target: the changed value's name such as ``s2b1_inner``, a block ``s2b3``, or all widths of a stage ``s2*``.
        place: of the value; of a block, that which is inserted or removed.
        before, after: the value, for edits that change one; of a whole stage its first width.
        stage: for edits of a whole stage, the stage as it becomes.
    """

    target: str
    place: Place
    before: int = 0
    after: int = 0
    stage: Stage | None = None

    @property
    def scope(self) -> str:
        """``stage`` for edits of a whole stage, else empty."""
        return "stage" if self.stage is not None else ""

    def __str__(self) -> str:
        change = "" if self.kind in (EditKind.ADD_BLOCK, EditKind.REMOVE_BLOCK) else f" {self.before}->{self.after}"
        return f"{self.kind.value} {self.target}{change}"

    def apply(self, parent: Architecture) -> StagedArchitecture:
        """The child.  Raises InputError where the edit does not fit ``parent``."""
        if not isinstance(parent, StagedArchitecture):
            raise InputError(f"{self} does not fit a {type(parent).__name__}")
        try:
            if self.kind in (EditKind.ADD_BLOCK, EditKind.REMOVE_BLOCK):
                return self._resized(parent)
            if parent.value(self.place) != self.before:
                raise InputError(f"{self} does not fit: {parent.value(self.place)} is there")
        except LookupError as error:
            raise InputError(f"{self}: the parent has no such place") from error
        if self.stage is not None:
            return self._restaged(parent, self.stage)
        return _with_value(parent, self.place, self.after)

    def _restaged(self, parent: StagedArchitecture, new: Stage) -> StagedArchitecture:
        at = self.place.stage or 0
        if len(parent.stages[at].blocks) != len(new.blocks):
            raise InputError(f"{self} does not fit a stage of {len(parent.stages[at].blocks)} blocks")
        return _with_stage(parent, at, new)

    def _resized(self, parent: StagedArchitecture) -> StagedArchitecture:
        """With a copy of the block before, or without the block; a stage's first block stays."""
        at, block = self.place.stage or 0, self.place.block or 0
        stage = parent.stages[at]
        adds = self.kind is EditKind.ADD_BLOCK
        if not 0 < block < len(stage.blocks) + adds:
            raise InputError(f"{self} does not fit the {len(stage.blocks)} blocks of stage {at + 1}")
        new = (stage.blocks[block - 1],) if adds else ()
        return _with_stage(
            parent, at, stage._replace(blocks=(*stage.blocks[:block], *new, *stage.blocks[block + (not adds) :]))
        )


def _with_stage(a: StagedArchitecture, at: int, stage: Stage) -> StagedArchitecture:
    return replace(a, stages=(*a.stages[:at], stage, *a.stages[at + 1 :]))


def _with_value(a: StagedArchitecture, place: Place, value: int) -> StagedArchitecture:
    if place.stage is None:
        return replace(a, network=_put(a.network, place.knob, value))
    stage = a.stages[place.stage]
    if place.block is None:
        return _with_stage(a, place.stage, stage._replace(values=_put(stage.values, place.knob, value)))
    blocks = list(stage.blocks)
    blocks[place.block] = _put(blocks[place.block], place.knob, value)
    return _with_stage(a, place.stage, stage._replace(blocks=tuple(blocks)))


def _put(values: Sequence[int], at: int, value: int) -> Values:
    return (*values[:at], value, *values[at + 1 :])
