"""What generators have learned, as the networks they draw: the width of every layer, and how often each layer is there.

Reads graphs alone, so that it holds for every family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Final

import numpy as np

from nas.graph import Graph, Op

_WINDOWS: Final = ("conv", "depthwise")


@dataclass(frozen=True)
class Width:
    """Channels of one layer among the drawn networks that have it.

    Attributes:
        share: of the networks that have it.
        low, middle, high: quartiles of its output channels.
    """

    share: float
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Drawn:
    """Networks of one generator at one preference.

    Attributes:
        label: for the legend.
        graphs: at least one.
    """

    label: str
    graphs: Sequence[Graph]

    def widths(self, layers: Sequence[str]) -> list[Width | None]:
        """Of every layer, None where no network has it."""
        channels: dict[str, list[int]] = {}
        for graph in self.graphs:
            for op in graph.ops:
                channels.setdefault(op.name, []).append(op.shape[2])
        return [self._width(channels.get(layer, [])) for layer in layers]

    def _width(self, channels: Sequence[int]) -> Width | None:
        if not channels:
            return None
        low, middle, high = np.quantile(channels, [0.25, 0.5, 0.75])
        return Width(len(channels) / len(self.graphs), float(low), float(middle), float(high))


def layers_of(drawn: Sequence[Drawn]) -> list[str]:
    """Names of the convolutions with a window, in the order of execution."""
    return _ordered(drawn, lambda op: op.kind in _WINDOWS and op.kernel > 1)


def pointwise_of(drawn: Sequence[Drawn]) -> list[str]:
    """Names of the 1x1 convolutions (links, projections), in the order of execution."""
    return _ordered(drawn, lambda op: op.kind == "conv" and op.kernel == 1)


def _ordered(drawn: Sequence[Drawn], wanted: Callable[[Op], bool]) -> list[str]:
    """So that every network's layers are in its own order; layers that only some networks have come in between."""
    before: dict[str, set[str]] = {}
    chosen: set[str] = set()
    for graph in (g for d in drawn for g in d.graphs):
        chosen.update(op.name for op in graph.ops if wanted(op))
        for earlier, later in pairwise(op.name for op in graph.ops):
            before.setdefault(later, set()).add(earlier)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError:  # a family that gives one name to different places
        order = list(before)
    return [name for name in order if name in chosen]
