"""The xception family: separable convolutions, max pooling, and a strided 1x1 convolution beside them.

Mini-Xception (Arriaga, Valdenegro-Toro, Ploeger 2017, arXiv:1710.07557), after Xception (Chollet 2017), with every
width, window and depth open.  Two 3x3 convolutions without padding come first.  The first block of a stage is
``pool(bn(separable(relu(bn(separable(x)))))) + bn(conv1x1(subsampled x))`` with max pooling 3x3 of stride 2; further
blocks keep the resolution and add to their input, as in the middle of Xception.  Last comes a 3x3 convolution with one
map a class, plain or separable, whose averages go through the softmax.

A separable convolution is written as a depthwise and a 1x1 convolution, the strided 1x1 convolution as subsampling
before it: the same network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from nas.errors import InputError
from nas.families.bounds import Bounds, DepthRange, KernelChoice, Range, StrideChoice, TraitChoice
from nas.families.staged import Knob, Knobs, StagedArchitecture
from nas.families.staged_space import StageBounds, StagedSpec
from nas.graph import Graph, GraphBuilder
from nas.yamlfile import StrictModel

_THREE: Final = KernelChoice(prototype=3, choices=[3])
_PLAIN: Final = TraitChoice(prototype=False, choices=[False])


@dataclass(frozen=True)
class XceptionArchitecture(StagedArchitecture):
    """Genotype of the xception family: knobs in the order of the class attributes."""

    family: ClassVar[str] = "xception"
    NETWORK: ClassVar[Knobs] = {
        "stem_width": Knob.WIDTH,
        "stem_second": Knob.WIDTH,
        "stem_stride": Knob.STRIDE,
        "last_separable": Knob.OPTION,
    }
    STAGE: ClassVar[Knobs] = {"width": Knob.WIDTH, "kernel": Knob.KERNEL}
    BLOCK: ClassVar[Knobs] = {"inner": Knob.WIDTH}

    def __post_init__(self) -> None:
        super().__post_init__()
        stride = self.network[2]
        least = 3 if stride == 1 else 5  # pixels a side that the second convolution's window leaves to the first
        if min(self.input_shape[:2]) < least + 2:
            raise InputError(
                f"images of {self.input_shape[0]}x{self.input_shape[1]}: two convolutions without padding, of stride "
                f"{stride} and 1, need {least + 2}x{least + 2}; give larger images"
            )

    def graph(self) -> Graph:
        """The operators, named by stage and block from 1."""
        g = GraphBuilder(self.input_shape)
        width, second, stride, separable = self.network
        x = g.bn(g.inner_conv(g.input, "stem", width, kernel=3, stride=stride, bias=False), "stem_bn")
        x = g.relu(x, "stem_relu")
        x = g.bn(g.inner_conv(x, "stem_conv2", second, kernel=3, bias=False), "stem_conv2_bn")
        x = g.relu(x, "stem_relu2")
        for s, stage in enumerate(self.stages, 1):
            out, kernel = stage.values
            for b, (inner,) in enumerate(stage.blocks, 1):
                x = _block(g, x, f"s{s}b{b}", inner, out, kernel, strides=b == 1)
        if separable:
            x = g.depthwise(x, "maps_depthwise", kernel=3, bias=False)
        return g.pooled_classifier(g.conv(x, "maps", self.classes, kernel=1 if separable else 3, bias=True))


def _block(g: GraphBuilder, x: int, name: str, inner: int, width: int, kernel: int, *, strides: bool) -> int:
    y = g.relu(_separable(g, x, f"{name}_conv1", inner, kernel), f"{name}_relu1")
    y = _separable(g, y, f"{name}_conv2", width, kernel)
    if strides:  # the projection comes last, as it does in TFLite files: what is alive at once is counted in this order
        y = g.pool(y, f"{name}_shrink", kernel=3, stride=2, mode="max")
        x = g.pool(x, f"{name}_subsample", kernel=1, stride=2, mode="max")
        x = g.bn(g.conv(x, f"{name}_project", width, kernel=1, bias=False), f"{name}_project_bn")
    return g.add(y, x, f"{name}_add")


def _separable(g: GraphBuilder, x: int, name: str, width: int, kernel: int) -> int:
    x = g.depthwise(x, f"{name}_depthwise", kernel=kernel, bias=False)
    return g.bn(g.conv(x, name, width, kernel=1, bias=False), f"{name}_bn")


class _Stem(StrictModel):
    """Bounds of the two convolutions without padding."""

    width: Range
    second: Range
    stride: StrideChoice


class _Last(StrictModel):
    """Bounds of the convolution with one map a class."""

    separable: TraitChoice = _PLAIN


class _Stage(StrictModel):
    """Bounds of one stage; ``inner`` holds for every block."""

    width: Range
    inner: Range
    blocks: DepthRange
    kernel: KernelChoice = _THREE


class XceptionSpaceSpec(StagedSpec):
    """The YAML file of a space of the xception family."""

    architecture: ClassVar[type[StagedArchitecture]] = XceptionArchitecture

    family: Literal["xception"]
    stem: _Stem
    stages: Annotated[list[_Stage], Field(min_length=1, max_length=8)]
    last: _Last = _Last()

    def network_bounds(self) -> tuple[Bounds, ...]:
        """As :class:`nas.families.staged_space.StagedSpec` says."""
        return self.stem.width, self.stem.second, self.stem.stride, self.last.separable

    def stage_bounds(self) -> tuple[StageBounds, ...]:
        """As :class:`nas.families.staged_space.StagedSpec` says."""
        return tuple(StageBounds((s.width, s.kernel), (s.inner,), s.blocks) for s in self.stages)
