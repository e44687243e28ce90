"""The residual family's search space: bounds on every width, depth and link, read from YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from nas.architecture import Architecture
from nas.errors import InputError
from nas.families.bounds import (
    Classes,
    DepthRange,
    Description,
    InputShape,
    Range,
    StrideChoice,
    TraitChoice,
    check_fits,
)
from nas.families.residual import TRAITS, Link, ResidualArchitecture, Stage
from nas.families.residual_edits import (
    ResidualEdit,
    block_edits,
    link_edits,
    stage_edits,
    stride_edits,
    trait_edits,
    width_edits,
    with_trait,
)
from nas.families.residual_extremes import cheapest, dearest
from nas.yamlfile import StrictModel

if TYPE_CHECKING:
    import numpy as np
    from optuna.distributions import BaseDistribution

_SAMPLED_LINKS: Final = 4


class StemSpec(StrictModel):
    """Bounds of the first convolution."""

    width: Range
    stride: StrideChoice


_WITHOUT: Final = TraitChoice(prototype=False, choices=[False])


class StageSpec(StrictModel):
    """Bounds of one stage; ``inner`` holds for every block, traits are absent where left out."""

    width: Range
    inner: Range
    blocks: DepthRange
    separable: TraitChoice = _WITHOUT
    pooled: TraitChoice = _WITHOUT

    @property
    def traits(self) -> dict[str, TraitChoice]:
        """By name, in the order of :data:`nas.families.residual.TRAITS`."""
        return dict(zip(TRAITS, (self.separable, self.pooled), strict=True))

    @property
    def open_traits(self) -> dict[str, list[bool]]:
        """Choices of the traits that are not settled."""
        return {name: choice.choices for name, choice in self.traits.items() if len(choice.choices) > 1}

    @property
    def prototype(self) -> Stage:
        """The prototype's."""
        inner = (self.inner.prototype,) * self.blocks.prototype
        return Stage(self.width.prototype, inner, self.separable.prototype, self.pooled.prototype)


class ResidualSpaceSpec(StrictModel):
    """The YAML file of a residual search space."""

    family: Literal["residual"]
    description: Description = ""
    input: InputShape
    classes: Classes
    normalisation: Literal["batch", "none"] = "batch"
    bias: bool = False
    stem: StemSpec
    stages: Annotated[list[StageSpec], Field(min_length=1, max_length=8)]
    links: bool = True

    @model_validator(mode="after")
    def _check(self) -> ResidualSpaceSpec:
        if True in self.stages[0].pooled.choices:
            raise ValueError("the first stage keeps its resolution: it cannot be pooled")
        return self

    def space(self) -> ResidualSpace:
        """The space that the file describes."""
        return ResidualSpace(self)

    @property
    def shared_widths(self) -> list[int]:
        """Widths that both the stem and the first stage may take, least first."""
        stem, first = self.stem.width, self.stages[0].width
        return [w for w in range(first.low, first.high + 1, first.step) if stem.contains(w)]


@dataclass(frozen=True)
class ResidualSpace:
    """Bounds around a residual prototype; see :class:`nas.space.SearchSpace` for what every method promises.

    Parameters, counted from 1 as in the operators' names: ``stem_width``, ``stem_stride``, ``s1_width``, ``s1_blocks``,
    ``s1b1_inner`` ..., ``s2_separable`` and ``s2_pooled`` where the space leaves the choice, and one boolean a possible
    link, ``s1b1_s3b2``.
    """

    spec: ResidualSpaceSpec

    @cached_property
    def prototype(self) -> ResidualArchitecture:
        """The architecture that the file's ``prototype`` values describe; it has no links."""
        spec = self.spec
        height, width, channels = spec.input
        return ResidualArchitecture(
            input_shape=(height, width, channels),
            classes=spec.classes,
            stem_width=spec.stem.width.prototype,
            stem_stride=spec.stem.stride.prototype,
            stages=tuple(s.prototype for s in spec.stages),
            norm=spec.normalisation,
            bias=spec.bias,
        )

    def adapted(self, input_shape: tuple[int, int, int], classes: int) -> ResidualSpace:
        """The same bounds for images of ``input_shape`` and ``classes`` classes.

        Raises:
            InputError: more pixels a side, or more classes, than a space may have.
        """
        check_fits(input_shape, classes)
        return ResidualSpace(self.spec.model_copy(update={"input": list(input_shape), "classes": classes}))

    def cheapest(self) -> tuple[ResidualArchitecture, ...]:
        """See :class:`nas.space.ProvableSpace`."""
        return cheapest(self.spec)

    def dearest(self) -> tuple[ResidualArchitecture, ...]:
        """See :class:`nas.space.ProvableSpace`."""
        return dearest(self.spec)

    @cached_property
    def _links(self) -> dict[str, Link]:
        """Every link that any architecture of the space may have, by parameter name."""
        if not self.spec.links:
            return {}
        blocks = [(s, b) for s, stage in enumerate(self.spec.stages) for b in range(stage.blocks.high)]
        return {f"s{p[0] + 1}b{p[1] + 1}_s{q[0] + 1}b{q[1] + 1}": Link(*p, *q) for p, q in combinations(blocks, 2)}

    @cached_property
    def _distributions(self) -> dict[str, BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, IntDistribution

        spec = self.spec
        out: dict[str, BaseDistribution] = {
            "stem_width": _integers(spec.stem.width),
            "stem_stride": CategoricalDistribution(tuple(spec.stem.stride.choices)),
        }
        for s, stage in enumerate(spec.stages, 1):
            out[f"s{s}_width"] = _integers(stage.width)
            out[f"s{s}_blocks"] = IntDistribution(stage.blocks.low, stage.blocks.high)
            for b in range(1, stage.blocks.high + 1):
                out[f"s{s}b{b}_inner"] = _integers(stage.inner)
            for trait, choices in stage.open_traits.items():
                out[f"s{s}_{trait}"] = CategoricalDistribution(tuple(choices))
        on_or_off = CategoricalDistribution((False, True))
        return out | dict.fromkeys(self._links, on_or_off)

    def distributions(self) -> dict[str, BaseDistribution]:
        """One distribution a parameter; the same set for every architecture of the space."""
        return dict(self._distributions)

    def to_params(self, architecture: Architecture) -> dict[str, Any]:
        """Parameters of ``architecture``; those of absent blocks take the prototype's width, their links are off."""
        a = self._member(architecture)
        out: dict[str, Any] = {"stem_width": a.stem_width, "stem_stride": a.stem_stride}
        for s, (stage, bounds) in enumerate(zip(a.stages, self.spec.stages, strict=True), 1):
            out[f"s{s}_width"] = stage.width
            out[f"s{s}_blocks"] = len(stage.inner)
            for b in range(bounds.blocks.high):
                out[f"s{s}b{b + 1}_inner"] = stage.inner[b] if b < len(stage.inner) else bounds.inner.prototype
            out |= {f"s{s}_{trait}": trait in stage.traits for trait in bounds.open_traits}
        active = set(a.links)
        return out | {name: link in active for name, link in self._links.items()}

    def from_params(self, params: Mapping[str, Any]) -> ResidualArchitecture:
        """The architecture of ``params``; widths and links of blocks beyond a stage's depth are ignored."""
        try:
            stages = tuple(_stage(f"s{s}", bounds, params) for s, bounds in enumerate(self.spec.stages, 1))
            links = tuple(link for name, link in self._links.items() if params[name] and _joins(link, stages))
            a = replace(
                self.prototype,
                stem_width=int(params["stem_width"]),
                stem_stride=int(params["stem_stride"]),
                stages=stages,
                links=tuple(sorted(links)),
            )
        except KeyError as error:
            raise InputError(f"parameter {error} is missing; a point of this space names every one") from error
        return self._member(a)

    def edits(self, architecture: Architecture) -> tuple[ResidualEdit, ...]:
        """All legal mutations, in a fixed order."""
        a = self._member(architecture)
        return tuple(self._edits(a))

    def _edits(self, a: ResidualArchitecture) -> Iterator[ResidualEdit]:
        spec = self.spec
        yield from width_edits("stem", a.stem_width, spec.stem.width.snap)
        yield from stride_edits(a, spec.stem.stride.choices)
        for s, (stage, bounds) in enumerate(zip(a.stages, spec.stages, strict=True)):
            if s > 0 or self._shared_widths:
                yield from stage_edits(s, a, self._snap_first if s == 0 else bounds.width.snap, bounds.inner.snap)
            yield from width_edits(f"s{s + 1}", stage.width, bounds.width.snap)
            for b, inner in enumerate(stage.inner):
                yield from width_edits(f"s{s + 1}b{b + 1}", inner, bounds.inner.snap)
            yield from trait_edits(s, stage, bounds.open_traits)
            yield from block_edits(s, stage, bounds.blocks.low, bounds.blocks.high)
        if spec.links:
            yield from link_edits(a)

    @cached_property
    def _shared_widths(self) -> list[int]:
        return self.spec.shared_widths

    def _snap_first(self, value: float) -> int:
        """The nearest width that both the stem and the first stage may take."""
        return min(self._shared_widths, key=lambda width: abs(width - value))

    def sample(self, rng: np.random.Generator) -> ResidualArchitecture:
        """Widths and depths uniform within bounds, up to four random links."""
        stages = []
        for bounds in self.spec.stages:
            depth = int(rng.integers(bounds.blocks.low, bounds.blocks.high + 1))
            new = replace(bounds.prototype, width=_draw(bounds.width, rng), inner=_draws(bounds.inner, rng, depth))
            for trait, choices in bounds.open_traits.items():
                new = with_trait(new, trait, on=bool(rng.choice(choices)))
            stages.append(new)
        possible = [link for link in self._links.values() if _joins(link, tuple(stages))]
        count = min(int(rng.integers(0, _SAMPLED_LINKS + 1)), len(possible))
        chosen = rng.permutation(len(possible))[:count]
        return replace(
            self.prototype,
            stem_width=_draw(self.spec.stem.width, rng),
            stem_stride=int(rng.choice(self.spec.stem.stride.choices)),
            stages=tuple(stages),
            links=tuple(sorted(possible[i] for i in chosen)),
        )

    def _member(self, architecture: Architecture) -> ResidualArchitecture:
        """``architecture`` when it lies in this space, else an InputError that names what does not."""
        a, p, spec = architecture, self.prototype, self.spec
        if not isinstance(a, ResidualArchitecture):
            raise InputError(f"a {type(a).__name__} is no member of a residual space")
        if (a.input_shape, a.classes, a.norm, a.bias) != (p.input_shape, p.classes, p.norm, p.bias):
            raise InputError("input shape, classes, normalisation or bias differ from the space's")
        if len(a.stages) != len(spec.stages):
            raise InputError(f"{len(a.stages)} stages; the space has {len(spec.stages)}")
        _require(spec.stem.width, a.stem_width, "stem width")
        if a.stem_stride not in spec.stem.stride.choices:
            raise InputError(f"stem stride {a.stem_stride} is not among {spec.stem.stride.choices}")
        for s, (stage, bounds) in enumerate(zip(a.stages, spec.stages, strict=True), 1):
            _require(bounds.width, stage.width, f"stage {s} width")
            if not bounds.blocks.low <= len(stage.inner) <= bounds.blocks.high:
                raise InputError(
                    f"stage {s}: {len(stage.inner)} blocks, not in {bounds.blocks.low}..{bounds.blocks.high}"
                )
            for inner in stage.inner:
                _require(bounds.inner, inner, f"stage {s} inner width")
            for trait, choice in bounds.traits.items():
                if (trait in stage.traits) not in choice.choices:
                    raise InputError(f"stage {s}: {trait} {trait in stage.traits} is not among {choice.choices}")
        if a.links and not spec.links:
            raise InputError("the space allows no links")
        return a


def _integers(bounds: Range) -> BaseDistribution:
    from optuna.distributions import IntDistribution

    return IntDistribution(bounds.low, bounds.high, step=bounds.step)


def _require(bounds: Range, value: int, what: str) -> None:
    if not bounds.contains(value):
        raise InputError(f"{what} {value} is not among {bounds.low}, {bounds.low + bounds.step} .. {bounds.high}")


def _draw(bounds: Range, rng: np.random.Generator) -> int:
    return bounds.low + bounds.step * int(rng.integers(0, (bounds.high - bounds.low) // bounds.step + 1))


def _draws(bounds: Range, rng: np.random.Generator, count: int) -> tuple[int, ...]:
    return tuple(_draw(bounds, rng) for _ in range(count))


def _stage(name: str, bounds: StageSpec, params: Mapping[str, Any]) -> Stage:
    """The stage of ``params``.  Raises KeyError for one that is missing."""
    depth = int(params[f"{name}_blocks"])
    inner = tuple(int(params[f"{name}b{b}_inner"]) for b in range(1, depth + 1))
    stage = replace(bounds.prototype, width=int(params[f"{name}_width"]), inner=inner)
    for trait in bounds.open_traits:
        stage = with_trait(stage, trait, on=bool(params[f"{name}_{trait}"]))
    return stage


def _joins(link: Link, stages: tuple[Stage, ...]) -> bool:
    """Whether both ends of ``link`` exist in ``stages``."""
    return all(block < len(stages[stage].inner) for stage, block in (link.source, link.target))
