"""Mini-Xception and its smaller sibling as operator graphs (Arriaga, Valdenegro-Toro, Ploeger 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nas.graph import Graph, GraphBuilder

MINI: Final = (8, (16, 32, 64, 128))  # width of the first two convolutions, and of the modules
TINY: Final = (5, (8, 16, 32, 64))


def xception(input_shape: tuple[int, int, int], classes: int, stem: int, widths: Sequence[int]) -> Graph:
    """Two 3x3 convolutions without padding, then modules of two separable convolutions beside a strided 1x1 one.

    A module is ``pool(bn(separable(relu(bn(separable(x)))))) + bn(conv1x1(x))``, the pooling 3x3 with stride 2.  Last
    comes one 3x3 convolution with a map a class, whose averages go through the softmax.  Separable convolutions are
    written as depthwise and 1x1 convolutions, the strided 1x1 convolution as subsampling before it: the same network.

    Args:
        input_shape: (height, width, channels).
        classes: number of outputs.
        stem: width of the first convolutions.
        widths: of the modules.

    Raises:
        InputError: images smaller than 5x5.
    """
    g = GraphBuilder(input_shape)
    x = g.input
    for number in (1, 2):
        name = f"stem{number}"
        x = g.bn(g.inner_conv(x, f"{name}_conv", stem, kernel=3, bias=False), f"{name}_bn")
        x = g.relu(x, f"{name}_relu")
    for number, width in enumerate(widths, 1):
        x = _module(g, x, f"module{number}", width)
    return g.pooled_classifier(g.conv(x, "maps", classes, kernel=3, bias=True))


def _module(g: GraphBuilder, x: int, name: str, width: int) -> int:
    beside = g.pool(x, f"{name}_subsample", kernel=1, stride=2, mode="max")
    beside = g.bn(g.conv(beside, f"{name}_project", width, kernel=1, bias=False), f"{name}_project_bn")
    x = g.relu(_separable(g, x, f"{name}_separable1", width), f"{name}_relu")
    x = _separable(g, x, f"{name}_separable2", width)
    return g.add(g.pool(x, f"{name}_pool", kernel=3, stride=2, mode="max"), beside, f"{name}_add")


def _separable(g: GraphBuilder, x: int, name: str, width: int) -> int:
    x = g.depthwise(x, f"{name}_depthwise", kernel=3, bias=False)
    return g.bn(g.conv(x, f"{name}_pointwise", width, kernel=1, bias=False), f"{name}_bn")
