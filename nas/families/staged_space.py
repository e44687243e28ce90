"""The search space of a family of stages: bounds on every knob and every depth, read from YAML."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from pydantic import model_validator

from nas.architecture import Architecture, EditKind
from nas.errors import InputError
from nas.families.bounds import Bounds, Classes, DepthRange, Description, InputShape, Range, check_fits
from nas.families.staged import Knob, Place, Stage, StagedArchitecture, StagedEdit, Values
from nas.yamlfile import StrictModel

if TYPE_CHECKING:
    import numpy as np
    from optuna.distributions import BaseDistribution

_NARROWER: Final = (1 / 2, 3 / 4)
_WIDER: Final = (4 / 3, 2)
_DEARER: Final = {Knob.WIDTH: 1, Knob.RATIO: 1, Knob.KERNEL: 1, Knob.STRIDE: -1}  # with larger values; options: either


class StageBounds(NamedTuple):
    """Bounds of one stage's knobs, of the knobs of each of its blocks, and of how many these are."""

    values: tuple[Bounds, ...]
    block: tuple[Bounds, ...]
    depth: DepthRange


class StagedSpec(StrictModel, abc.ABC):
    """The YAML file of such a space; a family adds its own fields and says which knobs they bound."""

    architecture: ClassVar[type[StagedArchitecture]]

    description: Description = ""
    input: InputShape
    classes: Classes

    @abc.abstractmethod
    def network_bounds(self) -> tuple[Bounds, ...]:
        """Of the network's knobs, in the family's order."""

    @abc.abstractmethod
    def stage_bounds(self) -> tuple[StageBounds, ...]:
        """Of every stage, knobs in the family's order."""

    @model_validator(mode="after")
    def _check(self) -> StagedSpec:
        try:
            StagedSpace(self).cheapest()
            StagedSpace(self).dearest()
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    def space(self) -> StagedSpace:
        """The space that the file describes."""
        return StagedSpace(self)


class Slot(NamedTuple):
    """A value that some architecture of the space has."""

    name: str
    place: Place
    kind: Knob
    bounds: Bounds

    @property
    def open(self) -> bool:
        """Whether the space leaves a choice."""
        return len(self.bounds.values) > 1

    def distribution(self) -> BaseDistribution:
        """Optuna's."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        if isinstance(self.bounds, Range):
            return IntDistribution(self.bounds.low, self.bounds.high, step=self.bounds.step)
        return CategoricalDistribution(tuple(self.bounds.values))

    def require(self, value: int) -> None:
        """Raises InputError for a value out of bounds."""
        if value not in self.bounds.values:
            values = [str(v) for v in self.bounds.values]
            shown = ", ".join(values) if len(values) < 6 else f"{values[0]}, {values[1]} .. {values[-1]}"
            raise InputError(f"{self.name} {value} is not among {shown}")

    def edits(self, value: int) -> Iterator[StagedEdit]:
        """Narrower and wider ones of a range, every other one of choices."""
        if isinstance(self.bounds, Range):
            for kind, factors in ((EditKind.NARROW, _NARROWER), (EditKind.WIDEN, _WIDER)):
                for after in sorted({self.bounds.snap(value * factor) for factor in factors}):
                    if (after < value) is (kind is EditKind.NARROW) and after != value:
                        yield StagedEdit(kind, self.name, self.place, value, after)
            return
        kind = EditKind.RESTRIDE if self.kind is Knob.STRIDE else EditKind.RETYPE
        for after in self.bounds.values:
            if after != value:
                yield StagedEdit(kind, self.name, self.place, value, after)


@dataclass(frozen=True)
class StagedSpace:
    """Bounds around a prototype of stages; see :class:`nas.space.SearchSpace` for what every method promises.

    Parameters are the knobs that are not settled, by name: ``stem_width``, ``s1_width``, ``s1b1_inner`` ..., and
    ``s1_blocks`` where a stage's depth is open.
    """

    spec: StagedSpec

    @cached_property
    def _network(self) -> tuple[Slot, ...]:
        bounds = self.spec.network_bounds()
        knobs = self.spec.architecture.NETWORK.items()
        return tuple(_slot(None, None, k, *pair) for k, pair in enumerate(zip(knobs, bounds, strict=True)))

    @cached_property
    def _stages(self) -> tuple[StageBounds, ...]:
        return self.spec.stage_bounds()

    @cached_property
    def _own(self) -> tuple[tuple[Slot, ...], ...]:
        """Of every stage."""
        knobs = self.spec.architecture.STAGE.items()
        return tuple(
            tuple(_slot(s, None, k, *pair) for k, pair in enumerate(zip(knobs, stage.values, strict=True)))
            for s, stage in enumerate(self._stages)
        )

    @cached_property
    def _blocks(self) -> tuple[tuple[tuple[Slot, ...], ...], ...]:
        """Of every block that a stage may have."""
        knobs = self.spec.architecture.BLOCK.items()
        return tuple(
            tuple(
                tuple(_slot(s, b, k, *pair) for k, pair in enumerate(zip(knobs, stage.block, strict=True)))
                for b in range(stage.depth.high)
            )
            for s, stage in enumerate(self._stages)
        )

    @cached_property
    def _slots(self) -> tuple[Slot, ...]:
        """All that the deepest network has, in order."""
        found = list(self._network)
        for s, stage in enumerate(self._stages):
            found += self._slots_of_stage(s, stage.depth.high)
        return tuple(found)

    @cached_property
    def _open(self) -> tuple[Slot, ...]:
        return tuple(slot for slot in self._slots if slot.open)

    @cached_property
    def _depths(self) -> dict[str, DepthRange]:
        """Of the stages whose depth is open, by the parameter's name."""
        depths = {f"s{s}_blocks": stage.depth for s, stage in enumerate(self._stages, 1)}
        return {name: depth for name, depth in depths.items() if depth.low < depth.high}

    def _made(self, values: Mapping[str, int], depths: Mapping[str, int]) -> StagedArchitecture:
        """Of these values, and the prototype's for what is not named."""

        def of(slots: Sequence[Slot]) -> Values:
            return tuple(values.get(slot.name, int(slot.bounds.prototype)) for slot in slots)

        height, width, channels = self.spec.input
        stages = []
        for s, stage in enumerate(self._stages):
            depth = depths.get(f"s{s + 1}_blocks", stage.depth.prototype)
            stages.append(Stage(of(self._own[s]), tuple(map(of, self._blocks[s][:depth]))))
        return self.spec.architecture(
            input_shape=(height, width, channels),
            classes=self.spec.classes,
            network=of(self._network),
            stages=tuple(stages),
        )

    @cached_property
    def prototype(self) -> StagedArchitecture:
        """The architecture that the file's ``prototype`` values describe."""
        return self._made({}, {})

    def adapted(self, input_shape: tuple[int, int, int], classes: int) -> StagedSpace:
        """The same bounds for images of ``input_shape`` and ``classes`` classes.

        Raises:
            InputError: more pixels a side, or more classes, than a space may have, or fewer pixels than it needs.
        """
        check_fits(input_shape, classes)
        space = StagedSpace(self.spec.model_copy(update={"input": list(input_shape), "classes": classes}))
        space.cheapest()
        return space

    def cheapest(self) -> tuple[StagedArchitecture, ...]:
        """See :class:`nas.space.ProvableSpace`.

        Which operators there are follows from depths and options alone, or grows with a ratio.  A convolution's
        parameters, multiply-accumulates and kernel grow with its widths and its window, the tensors alive at an
        operator with the widths; strides make later resolutions smaller; a block after a stage's first only adds
        operators between two that stay as they are.  So the least of everything, and the largest strides, has the least
        of each cost for any one combination of options; every combination is returned.
        """
        return tuple(self._extremes(dearest=False))

    def dearest(self) -> tuple[StagedArchitecture, ...]:
        """See :class:`nas.space.ProvableSpace`; the argument of :meth:`cheapest`, turned round."""
        return tuple(self._extremes(dearest=True))

    def _extremes(self, *, dearest: bool) -> Iterator[StagedArchitecture]:
        settled = {}
        for slot in self._slots:
            if slot.kind is not Knob.OPTION:
                largest = dearest is (_DEARER[slot.kind] > 0)
                settled[slot.name] = max(slot.bounds.values) if largest else min(slot.bounds.values)
        depths = {name: depth.high if dearest else depth.low for name, depth in self._depths.items()}
        options = [slot for slot in self._slots if slot.kind is Knob.OPTION]
        for chosen in product(*(slot.bounds.values for slot in options)):
            names = (slot.name for slot in options)
            yield self._made(settled | dict(zip(names, chosen, strict=True)), depths)

    @cached_property
    def _distributions(self) -> dict[str, BaseDistribution]:
        from optuna.distributions import IntDistribution

        depths: dict[str, BaseDistribution] = {n: IntDistribution(d.low, d.high) for n, d in self._depths.items()}
        return {slot.name: slot.distribution() for slot in self._open} | depths

    def distributions(self) -> dict[str, BaseDistribution]:
        """One distribution a parameter; the same set for every architecture of the space."""
        return dict(self._distributions)

    def to_params(self, architecture: Architecture) -> dict[str, Any]:
        """Parameters of ``architecture``; those of absent blocks take the prototype's values."""
        a = self._member(architecture)
        there = {slot.name: a.value(slot.place) for slot in self._slots_of(a)}
        depths = {f"s{s}_blocks": len(stage.blocks) for s, stage in enumerate(a.stages, 1)}
        params = {slot.name: there.get(slot.name, int(slot.bounds.prototype)) for slot in self._open}
        return params | {name: depths[name] for name in self._depths}

    def from_params(self, params: Mapping[str, Any]) -> StagedArchitecture:
        """The architecture of ``params``; values of blocks beyond a stage's depth are ignored."""
        try:
            values = {slot.name: int(params[slot.name]) for slot in self._open}
            depths = {name: int(params[name]) for name in self._depths}
        except KeyError as error:
            raise InputError(f"parameter {error} is missing; a point of this space names every one") from error
        for name, depth in depths.items():
            if not self._depths[name].low <= depth <= self._depths[name].high:
                raise InputError(f"{name} {depth} is not in {self._depths[name].low}..{self._depths[name].high}")
        return self._member(self._made(values, depths))

    def edits(self, architecture: Architecture) -> tuple[StagedEdit, ...]:
        """All legal mutations, in a fixed order."""
        a = self._member(architecture)
        return tuple(self._edits(a))

    def _edits(self, a: StagedArchitecture) -> Iterator[StagedEdit]:
        for slot in self._network:
            yield from slot.edits(a.value(slot.place))
        for s, stage in enumerate(a.stages):
            yield from self._stage_edits(a, s)
            for slot in self._slots_of_stage(s, len(stage.blocks)):
                yield from slot.edits(a.value(slot.place))
            bounds, depth = self._stages[s].depth, len(stage.blocks)
            for b in range(1, depth + 1 if depth < bounds.high else 1):
                yield StagedEdit(EditKind.ADD_BLOCK, f"s{s + 1}b{b + 1}", Place(s, b, 0))
            for b in range(1, depth if depth > bounds.low else 1):
                yield StagedEdit(EditKind.REMOVE_BLOCK, f"s{s + 1}b{b + 1}", Place(s, b, 0))

    def _stage_edits(self, a: StagedArchitecture, s: int) -> Iterator[StagedEdit]:
        """All widths of a stage at once, by one factor; left out where the bounds leave some up and some down."""
        slots = [slot for slot in self._slots_of_stage(s, len(a.stages[s].blocks)) if slot.kind is Knob.WIDTH]
        before = [a.value(slot.place) for slot in slots]
        if len(slots) < 2:  # that of the one width is an edit already
            return
        for kind, factors in ((EditKind.NARROW, _NARROWER), (EditKind.WIDEN, _WIDER)):
            for factor in factors:
                after = [_snapped(slot.bounds, x * factor) for slot, x in zip(slots, before, strict=True)]
                pairs = list(zip(before, after, strict=True))
                right = all(y <= x for x, y in pairs) if kind is EditKind.NARROW else all(y >= x for x, y in pairs)
                if right and before[0] != after[0] and before[1:] != after[1:]:
                    new = _rewritten(a.stages[s], slots, after)
                    yield StagedEdit(kind, f"s{s + 1}*", slots[0].place, before[0], after[0], new)

    def _slots_of_stage(self, s: int, depth: int) -> list[Slot]:
        return [*self._own[s], *(slot for block in self._blocks[s][:depth] for slot in block)]

    def _slots_of(self, a: StagedArchitecture) -> Iterator[Slot]:
        yield from self._network
        for s, stage in enumerate(a.stages):
            yield from self._slots_of_stage(s, len(stage.blocks))

    def sample(self, rng: np.random.Generator) -> StagedArchitecture:
        """Every value and depth uniform within its bounds."""
        depths = {name: int(rng.integers(depth.low, depth.high + 1)) for name, depth in self._depths.items()}
        values = {slot.name: int(slot.bounds.values[int(rng.integers(len(slot.bounds.values)))]) for slot in self._open}
        return self._made(values, depths)

    def _member(self, architecture: Architecture) -> StagedArchitecture:
        """``architecture`` when it lies in this space, else an InputError that names what does not."""
        a, kind = architecture, self.spec.architecture
        if not isinstance(a, kind):
            raise InputError(f"a {type(a).__name__} is no member of a space of the family {kind.family}")
        if list(a.input_shape) != list(self.spec.input) or a.classes != self.spec.classes:
            raise InputError("input shape or classes differ from the space's")
        if len(a.stages) != len(self._stages):
            raise InputError(f"{len(a.stages)} stages; the space has {len(self._stages)}")
        for s, (stage, bounds) in enumerate(zip(a.stages, self._stages, strict=True), 1):
            if not bounds.depth.low <= len(stage.blocks) <= bounds.depth.high:
                raise InputError(
                    f"stage {s}: {len(stage.blocks)} blocks, not in {bounds.depth.low}..{bounds.depth.high}"
                )
        for slot in self._slots_of(a):
            slot.require(a.value(slot.place))
        return a


def _slot(stage: int | None, block: int | None, k: int, knob: tuple[str, Knob], bounds: Bounds) -> Slot:
    place = Place(stage, block, k)
    return Slot(place.name(knob[0]), place, knob[1], bounds)


def _snapped(bounds: Bounds, value: float) -> int:
    return bounds.snap(value) if isinstance(bounds, Range) else min(bounds.values, key=lambda v: abs(v - value))


def _rewritten(stage: Stage, slots: Sequence[Slot], values: Sequence[int]) -> Stage:
    own, blocks = list(stage.values), [list(block) for block in stage.blocks]
    for slot, value in zip(slots, values, strict=True):
        (own if slot.place.block is None else blocks[slot.place.block])[slot.place.knob] = value
    return Stage(tuple(own), tuple(tuple(block) for block in blocks))
