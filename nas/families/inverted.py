"""The inverted family: bottlenecks that are wide inside and narrow between, as in MobileNetV2 (Sandler et al. 2018).

A block is a 1x1 convolution to ``expansion`` times its input's width, a depthwise convolution, and a 1x1 convolution
down to the stage's width that no ReLU follows (a *linear* bottleneck); with expansion 1 the first of the three is left
out.  Every block but a stage's first adds to its input; a stage's first has no shortcut, since it changes the width or
the resolution (in all published tables; here also where the two should happen to be equal).  A 3x3 convolution comes
first, and a 1x1 convolution last, before global average pooling and the dense layer.

The activation is plain ReLU.  MobileNetV2 has ReLU6, which bounds activations for 8-bit arithmetic with a fixed scale;
with scales taken from calibration, as TFLite's, the bound is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from nas.families.bounds import Bounds, DepthRange, KernelChoice, Range, StrideChoice
from nas.families.staged import Knob, Knobs, StagedArchitecture
from nas.families.staged_space import StageBounds, StagedSpec
from nas.graph import Graph, GraphBuilder
from nas.yamlfile import StrictModel

_THREE: Final = KernelChoice(prototype=3, choices=[3])


@dataclass(frozen=True)
class InvertedArchitecture(StagedArchitecture):
    """Genotype of the inverted family: knobs in the order of the class attributes."""

    family: ClassVar[str] = "inverted"
    NETWORK: ClassVar[Knobs] = {"stem_width": Knob.WIDTH, "stem_stride": Knob.STRIDE, "last_width": Knob.WIDTH}
    STAGE: ClassVar[Knobs] = {"width": Knob.WIDTH, "stride": Knob.STRIDE}
    BLOCK: ClassVar[Knobs] = {"expansion": Knob.RATIO, "kernel": Knob.KERNEL}

    def graph(self) -> Graph:
        """The operators, named by stage and block from 1."""
        g = GraphBuilder(self.input_shape)
        stem, stem_stride, last = self.network
        x = g.bn(g.conv(g.input, "stem", stem, kernel=3, stride=stem_stride, bias=False), "stem_bn")
        x = g.relu(x, "stem_relu")
        for s, stage in enumerate(self.stages, 1):
            width, stride = stage.values
            for b, (expansion, kernel) in enumerate(stage.blocks, 1):
                name = f"s{s}b{b}"
                y = _bottleneck(g, x, name, expansion, kernel, stride if b == 1 else 1, width)
                x = y if b == 1 else g.add(y, x, f"{name}_add")
        x = g.bn(g.conv(x, "last", last, kernel=1, bias=False), "last_bn")
        return g.classifier(g.relu(x, "last_relu"), self.classes)


def _bottleneck(g: GraphBuilder, x: int, name: str, expansion: int, kernel: int, stride: int, width: int) -> int:
    if expansion > 1:
        inner = expansion * g.shape(x)[2]
        x = g.bn(g.conv(x, f"{name}_expand", inner, kernel=1, bias=False), f"{name}_expand_bn")
        x = g.relu(x, f"{name}_relu1")
    x = g.bn(g.depthwise(x, f"{name}_depthwise", kernel=kernel, stride=stride, bias=False), f"{name}_depthwise_bn")
    x = g.relu(x, f"{name}_relu2")
    return g.bn(g.conv(x, f"{name}_project", width, kernel=1, bias=False), f"{name}_project_bn")


class _Stem(StrictModel):
    """Bounds of the first convolution."""

    width: Range
    stride: StrideChoice


class _Last(StrictModel):
    """Bounds of the last 1x1 convolution."""

    width: Range


class _Stage(StrictModel):
    """Bounds of one stage; ``expansion`` and ``kernel`` hold for every block, ``stride`` is that of the first."""

    width: Range
    stride: StrideChoice
    blocks: DepthRange
    expansion: Range
    kernel: KernelChoice = _THREE


class InvertedSpaceSpec(StagedSpec):
    """The YAML file of a space of the inverted family."""

    architecture: ClassVar[type[StagedArchitecture]] = InvertedArchitecture

    family: Literal["inverted"]
    stem: _Stem
    stages: Annotated[list[_Stage], Field(min_length=1, max_length=8)]
    last: _Last

    def network_bounds(self) -> tuple[Bounds, ...]:
        """As :class:`nas.families.staged_space.StagedSpec` says."""
        return self.stem.width, self.stem.stride, self.last.width

    def stage_bounds(self) -> tuple[StageBounds, ...]:
        """As :class:`nas.families.staged_space.StagedSpec` says."""
        return tuple(StageBounds((s.width, s.stride), (s.expansion, s.kernel), s.blocks) for s in self.stages)
