"""The cheapest and the dearest networks of a residual space, so that a bound beyond them can be refused beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import TYPE_CHECKING

from nas.families.residual import Link, ResidualArchitecture, Stage

if TYPE_CHECKING:
    from nas.families.residual_space import ResidualSpaceSpec


def cheapest(spec: ResidualSpaceSpec) -> tuple[ResidualArchitecture, ...]:
    """Architectures one of which has the least of each exact cost, and of kernel bytes, in the space of ``spec``.

    Every convolution's parameters, multiply-accumulates and kernel grow with its input and output width, and the latter
    fall with the stem's stride.  The tensors alive at an operator only grow with the widths and with what else there
    is.  A block after a stage's first neither projects nor resizes, and a link only adds operators and keeps tensors
    alive for longer, so that leaving either out leaves the other operators as they are.  So, whatever the cost, taking
    the largest stride, the fewest blocks, no link and the least width everywhere never raises it, with one exception:
    the first block projects its shortcut just when the stem's width *a* differs from the first stage's width *b*.
    Where they differ, the cost is at least that of the projecting network of the least *a* and the least *b*; should
    these two be equal, leaving out its projection lowers it further (the two tensors that the projection reads and
    writes take no more than those of the first convolution and the add).  Where they are equal, the cost is at least
    that of the least width that both may have.

    Whether a stage is separable changes each cost in a way that depends on the widths, but none of the arguments above,
    which hold for any one combination of kinds: so every combination is returned, with both of these networks.  Pooling
    in place of stride makes the same convolutions work at a higher resolution and adds a tensor: it is never cheaper.
    """
    stem, first = spec.stem.width, spec.stages[0].width
    pairs = {(stem.low, first.low), *((w, w) for w in spec.shared_widths[:1])}
    stride = max(spec.stem.stride.choices)
    later = [Stage(s.width.low, (s.inner.low,) * s.blocks.low, pooled=min(s.pooled.choices)) for s in spec.stages]
    return tuple(
        _network(spec, a, stride, [replace(stages[0], width=b), *stages[1:]])
        for stages in _kinds(spec, later)
        for a, b in sorted(pairs)
    )


def dearest(spec: ResidualSpaceSpec) -> tuple[ResidualArchitecture, ...]:
    """Architectures one of which has the most of each exact cost in the space of ``spec``.

    By the argument of :func:`cheapest`, turned round: the smallest stride, the most blocks, every link, the greatest
    width and pooling wherever it may be, with or without the projection of the first block.  Where the greatest width
    *h* of stem and first stage is the same, a network that projects has one of the two below *h*, thus at most one step
    below it.
    """
    stem, first = spec.stem.width, spec.stages[0].width
    pairs = {(stem.high, first.high)}
    if stem.high == first.high:
        pairs |= {(a, first.high) for a in (stem.high - stem.step,) if stem.contains(a)}
        pairs |= {(stem.high, b) for b in (first.high - first.step,) if first.contains(b)}
    stride = min(spec.stem.stride.choices)
    later = [Stage(s.width.high, (s.inner.high,) * s.blocks.high, pooled=max(s.pooled.choices)) for s in spec.stages]
    links = tuple(_all_links(later)) if spec.links else ()
    plain = (
        _network(spec, a, stride, [replace(stages[0], width=b), *stages[1:]])
        for stages in _kinds(spec, later)
        for a, b in sorted(pairs)
    )
    return tuple(replace(network, links=links) for network in plain)


def _kinds(spec: ResidualSpaceSpec, stages: Sequence[Stage]) -> Iterator[list[Stage]]:
    """``stages`` in every combination of full and separable convolutions that the space leaves."""
    for kinds in product(*(s.separable.choices for s in spec.stages)):
        yield [replace(stage, separable=kind) for stage, kind in zip(stages, kinds, strict=True)]


def _network(spec: ResidualSpaceSpec, stem_width: int, stride: int, stages: Sequence[Stage]) -> ResidualArchitecture:
    height, width, channels = spec.input
    return ResidualArchitecture(
        input_shape=(height, width, channels),
        classes=spec.classes,
        stem_width=stem_width,
        stem_stride=stride,
        stages=tuple(stages),
        norm=spec.normalisation,
        bias=spec.bias,
    )


def _all_links(stages: Sequence[Stage]) -> Iterator[Link]:
    blocks = [(s, b) for s, stage in enumerate(stages) for b in range(len(stage.inner))]
    return (Link(*p, *q) for p, q in combinations(blocks, 2))
