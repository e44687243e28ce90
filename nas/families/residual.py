"""The residual family: a CIFAR-style ResNet whose every width, depth and long-range link may change.

He et al. 2016, section 4.2, in the form of the Keras example: a 3x3 stem, stages of two-convolution blocks, the first
block of every stage but the first with stride 2, global average pooling, one dense layer.  On top of it, *links*: 1x1
convolutions from any earlier block's output to any later block's, as in EmotionNet Nano (Lee, Wang, Wong 2021).

A block is ``relu(conv2(relu(conv1(x))) + shortcut(x) + link)``, written as adds of two inputs.  Where a stage is
*separable*, each 3x3 convolution is a depthwise one and a 1x1 convolution (Howard et al. 2017); where it is *pooled*,
its first block keeps the resolution in its convolutions and halves it by 3x3 max pooling behind them, before the add
(as in Xception, Chollet 2017).  The shortcut is the identity where shapes allow and a 1x1 convolution otherwise.  A
link's sources are average-pooled to the target's resolution, concatenated, and go through one 1x1 convolution that
contributes zero at birth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple, Self

from nas.architecture import Architecture
from nas.decoding import field, integer
from nas.errors import DecodeError, InputError
from nas.graph import Graph, GraphBuilder

TRAITS: Final = ("separable", "pooled")  # of a stage


class Link(NamedTuple):
    """A long-range 1x1 connection; stages and blocks count from 0."""

    source_stage: int
    source_block: int
    target_stage: int
    target_block: int

    @property
    def source(self) -> tuple[int, int]:
        """(stage, block) whose output is read."""
        return self.source_stage, self.source_block

    @property
    def target(self) -> tuple[int, int]:
        """(stage, block) to whose output is added."""
        return self.target_stage, self.target_block

    def __str__(self) -> str:
        a, b, c, d = (i + 1 for i in self)
        return f"s{a}b{b}->s{c}b{d}"


@dataclass(frozen=True)
class Stage:
    """Blocks at one resolution.

    Attributes:
        width: of every block's output.
        inner: of each block, between its two convolutions.
        separable: whether the 3x3 convolutions are depthwise separable.
        pooled: whether the first block halves the resolution by max pooling, not by stride; never in the first stage,
            which keeps its resolution.
    """

    width: int
    inner: tuple[int, ...]
    separable: bool = False
    pooled: bool = False

    @property
    def traits(self) -> tuple[str, ...]:
        """Names of what differs from a stage of full, strided convolutions."""
        return tuple(name for name, has in zip(TRAITS, (self.separable, self.pooled), strict=True) if has)

    def genotype(self) -> list[Any]:
        """Plain data; what has no traits names none, so that ids do not depend on there being traits."""
        return [self.width, list(self.inner), *([list(self.traits)] if self.traits else [])]

    @classmethod
    def from_genotype(cls, data: Any) -> Self:
        """Reads what :meth:`genotype` wrote.  Raises TypeError or ValueError on anything else."""
        width, inner, *rest = data
        names = rest[0] if rest else []
        if len(rest) > 1 or (rest and not names) or [t for t in TRAITS if t in names] != names:
            raise ValueError(f"traits {rest!r:.80} of a stage: a list of some of {', '.join(TRAITS)}, in this order")
        return cls(integer(width), tuple(integer(i) for i in inner), *(trait in names for trait in TRAITS))


@dataclass(frozen=True)
class ResidualArchitecture(Architecture):
    """Genotype of the residual family.

    Attributes:
        input_shape: (height, width, channels).
        classes: number of outputs.
        stem_width, stem_stride: the first 3x3 convolution.
        stages: from high to low resolution.
        links: sorted, without repetition.
        norm: ``batch`` or ``none``.
        bias: whether convolutions carry a bias.
    """

    family: ClassVar[str] = "residual"

    input_shape: tuple[int, int, int]
    classes: int
    stem_width: int
    stem_stride: int
    stages: tuple[Stage, ...]
    links: tuple[Link, ...] = ()
    norm: str = "batch"
    bias: bool = False

    def __post_init__(self) -> None:
        widths = [self.stem_width, *(w for s in self.stages for w in (s.width, *s.inner))]
        if not self.stages or any(not s.inner for s in self.stages):
            raise InputError("a residual network needs at least one stage, and every stage at least one block")
        if min(widths) < 1 or min(self.input_shape) < 1 or self.classes < 2:
            raise InputError(f"widths {widths}, input {self.input_shape} and {self.classes} classes: must be positive")
        if self.stem_stride not in (1, 2):
            raise InputError(f"stem stride {self.stem_stride}; use 1 or 2")
        if self.norm not in ("batch", "none"):
            raise InputError(f"normalisation {self.norm!r}; use batch or none")
        if self.stages[0].pooled:
            raise InputError("the first stage keeps its resolution and cannot be pooled")
        for link in self.links:
            if not (link.source < link.target and self._has(*link.source) and self._has(*link.target)):
                raise InputError(f"link {link} does not lead from an earlier block to a later one of this network")
        if tuple(sorted(set(self.links))) != self.links:
            raise InputError("links must be sorted and without repetition")

    def _has(self, stage: int, block: int) -> bool:
        return 0 <= stage < len(self.stages) and 0 <= block < len(self.stages[stage].inner)

    def genotype(self) -> dict[str, Any]:
        """All that decides the network."""
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "stem": [self.stem_width, self.stem_stride],
            "stages": [s.genotype() for s in self.stages],
            "links": [list(link) for link in self.links],
            "norm": self.norm,
            "bias": self.bias,
        }

    @classmethod
    def from_genotype(cls, data: Mapping[str, Any]) -> Self:
        """Reads what :meth:`genotype` wrote.  Raises DecodeError on anything else."""
        fields = {"input_shape", "classes", "stem", "stages", "links", "norm", "bias"}
        if set(data) != fields:
            wrong = ", ".join(sorted(set(data) ^ fields))
            raise DecodeError(f"residual architecture with missing or unknown fields: {wrong}")
        try:
            height, width, channels = (integer(v) for v in data["input_shape"])
            stem_width, stem_stride = data["stem"]
            return cls(
                input_shape=(height, width, channels),
                classes=integer(data["classes"]),
                stem_width=integer(stem_width),
                stem_stride=integer(stem_stride),
                stages=tuple(Stage.from_genotype(stage) for stage in data["stages"]),
                links=tuple(Link(*(integer(v) for v in link)) for link in data["links"]),
                norm=field(data, "norm", str),
                bias=field(data, "bias", bool),
            )
        except (TypeError, ValueError, LookupError, AttributeError, InputError) as error:
            raise DecodeError(f"not a residual architecture: {error}") from error

    def graph(self) -> Graph:
        """The operators, named by stage and block from 1."""
        return _Expansion(self).graph()


class _Expansion:
    """Writes the operators of one architecture."""

    def __init__(self, a: ResidualArchitecture) -> None:
        self._a = a
        self._g = GraphBuilder(a.input_shape)
        self._out: dict[tuple[int, int], int] = {}  # output operator of every finished block

    def graph(self) -> Graph:
        a = self._a
        sources: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for link in a.links:
            sources.setdefault(link.target, []).append(link.source)
        x = self._conv(0, "stem", a.stem_width, kernel=3, stride=a.stem_stride)
        x = self._g.relu(x, "stem_relu")
        for s, stage in enumerate(a.stages):
            for b, inner in enumerate(stage.inner):
                stride = 2 if s > 0 and b == 0 else 1
                x = self._block(x, s, b, inner, stride, sources.get((s, b), []))
                self._out[s, b] = x
        return self._g.classifier(x, a.classes)

    def _conv(self, x: int, name: str, width: int, *, kernel: int, stride: int = 1, zero: bool = False) -> int:
        a = self._a
        if a.norm == "none":
            return self._g.conv(x, name, width, kernel=kernel, stride=stride, bias=a.bias, zero=zero)
        x = self._g.conv(x, name, width, kernel=kernel, stride=stride, bias=a.bias)
        return self._g.bn(x, name + "_bn", zero=zero)

    def _conv3(self, x: int, stage: Stage, name: str, width: int, stride: int = 1) -> int:
        """A 3x3 convolution of the stage's kind."""
        if not stage.separable:
            return self._conv(x, name, width, kernel=3, stride=stride)
        x = self._g.depthwise(x, name + "_depthwise", kernel=3, stride=stride, bias=False)
        return self._conv(x, name, width, kernel=1)

    def _block(self, x: int, s: int, b: int, inner: int, stride: int, sources: list[tuple[int, int]]) -> int:
        g, stage = self._g, self._a.stages[s]
        name, width = f"s{s + 1}b{b + 1}", stage.width
        strided = 1 if stage.pooled else stride
        y = g.relu(self._conv3(x, stage, name + "_conv1", inner, strided), name + "_relu1")
        y = self._conv3(y, stage, name + "_conv2", width)
        if stride != strided:
            y = g.pool(y, name + "_shrink", kernel=3, stride=stride, mode="max")
        if stride != 1 or g.shape(x)[2] != width:
            if stride != 1:
                x = g.pool(x, name + "_subsample", kernel=1, stride=stride, mode="max")
            x = self._conv(x, name + "_project", width, kernel=1)
        y = g.add(y, x, name + "_add")
        if sources:
            y = g.add(y, self._link(name, s, width, sources), name + "_join")
        return g.relu(y, name + "_out")

    def _link(self, name: str, stage: int, width: int, sources: list[tuple[int, int]]) -> int:
        g = self._g
        resized = []
        for s, b in sources:
            x = self._out[s, b]
            if s != stage:
                factor = 2 ** (stage - s)
                x = g.pool(x, f"{name}_from_s{s + 1}b{b + 1}", kernel=factor, stride=factor, mode="avg")
            resized.append(x)
        x = resized[0] if len(resized) == 1 else g.concat(resized, name + "_concat")
        return self._conv(x, name + "_link", width, kernel=1, zero=True)
