"""A second family, as a user would add one: one file, nothing changed elsewhere.

A plain chain of depthwise-separable blocks: one width a block, and the number of blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution

from nas.architecture import Architecture, Edit, EditKind
from nas.errors import DecodeError, InputError
from nas.graph import Graph, GraphBuilder

LOW, HIGH, STEP, DEPTH = 4, 16, 4, 3


@dataclass(frozen=True)
class ChainArchitecture(Architecture):
    family: ClassVar[str] = "toy-chain"

    shape: tuple[int, int, int]
    classes: int
    widths: tuple[int, ...]

    def genotype(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "classes": self.classes, "widths": list(self.widths)}

    @classmethod
    def from_genotype(cls, data: Mapping[str, Any]) -> Self:
        try:
            return cls(tuple(data["shape"]), data["classes"], tuple(data["widths"]))
        except (KeyError, TypeError) as error:
            raise DecodeError(f"not a chain: {error}") from error

    def graph(self) -> Graph:
        g = GraphBuilder(self.shape)
        x = g.relu(
            g.bn(g.conv(g.input, "stem", self.widths[0], kernel=3, stride=2, bias=False), "stem_bn"), "stem_relu"
        )
        for i, width in enumerate(self.widths):
            x = g.bn(g.depthwise(x, f"b{i}_depth", kernel=3, bias=False), f"b{i}_depth_bn")
            x = g.bn(g.conv(x, f"b{i}_point", width, kernel=1, bias=False), f"b{i}_point_bn")
            x = g.relu(x, f"b{i}_relu")
        return g.classifier(x, self.classes)


@dataclass(frozen=True)
class ChainEdit(Edit):
    index: int
    width: int = 0

    def apply(self, parent: Architecture) -> ChainArchitecture:
        if not isinstance(parent, ChainArchitecture):
            raise InputError("not a chain")
        w = parent.widths
        if self.kind is EditKind.ADD_BLOCK:
            widths = (*w, w[-1])
        elif self.kind is EditKind.REMOVE_BLOCK:
            widths = w[:-1]
        else:
            widths = (*w[: self.index], self.width, *w[self.index + 1 :])
        return ChainArchitecture(parent.shape, parent.classes, widths)

    def __str__(self) -> str:
        return f"{self.kind.value} {self.index} {self.width}"


@dataclass(frozen=True)
class ChainSpace:
    shape: tuple[int, int, int] = (16, 16, 1)
    classes: int = 3

    @property
    def prototype(self) -> ChainArchitecture:
        return ChainArchitecture(self.shape, self.classes, (8, 16))

    def adapted(self, input_shape: tuple[int, int, int], classes: int) -> ChainSpace:
        return ChainSpace(input_shape, classes)

    def distributions(self) -> dict[str, BaseDistribution]:
        widths = {f"w{i}": IntDistribution(LOW, HIGH, step=STEP) for i in range(DEPTH)}
        return {"depth": IntDistribution(1, DEPTH), **widths}

    def to_params(self, architecture: Architecture) -> dict[str, Any]:
        if not isinstance(architecture, ChainArchitecture):
            raise InputError("not a chain")
        padded = (*architecture.widths, *(8,) * (DEPTH - len(architecture.widths)))
        return {"depth": len(architecture.widths), **{f"w{i}": w for i, w in enumerate(padded)}}

    def from_params(self, params: Mapping[str, Any]) -> ChainArchitecture:
        widths = tuple(int(params[f"w{i}"]) for i in range(int(params["depth"])))
        return ChainArchitecture(self.shape, self.classes, widths)

    def edits(self, architecture: Architecture) -> Sequence[Edit]:
        assert isinstance(architecture, ChainArchitecture)
        w = architecture.widths
        out: list[Edit] = []
        for i, width in enumerate(w):
            for other in range(LOW, HIGH + 1, STEP):
                if other != width:
                    out.append(ChainEdit(EditKind.NARROW if other < width else EditKind.WIDEN, i, other))
        if len(w) < DEPTH:
            out.append(ChainEdit(EditKind.ADD_BLOCK, len(w)))
        if len(w) > 1:
            out.append(ChainEdit(EditKind.REMOVE_BLOCK, len(w) - 1))
        return out

    def sample(self, rng: np.random.Generator) -> ChainArchitecture:
        widths = tuple(int(w) for w in rng.choice([4, 8, 12, 16], size=int(rng.integers(1, DEPTH + 1))))
        return ChainArchitecture(self.shape, self.classes, widths)


space = ChainSpace()
