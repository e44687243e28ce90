"""What a space's YAML file may say of one value: a range with steps, or some choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from nas.errors import InputError
from nas.yamlfile import StrictModel

MAX_SIDE: Final = 1024
MAX_CLASSES: Final = 10_000

Width = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=1, le=32)]
InputShape = Annotated[list[Annotated[int, Field(ge=1, le=MAX_SIDE)]], Field(min_length=3, max_length=3)]
Description = Annotated[str, Field(max_length=200)]
Classes = Annotated[int, Field(ge=2, le=MAX_CLASSES)]


def check_fits(input_shape: tuple[int, int, int], classes: int) -> None:
    """Raises InputError for more pixels a side, or more classes, than a space may have."""
    if max(input_shape) > MAX_SIDE or classes > MAX_CLASSES:
        raise InputError(
            f"images of {input_shape[0]}x{input_shape[1]} and {classes} classes: a space takes at most {MAX_SIDE} "
            f"pixels a side and {MAX_CLASSES} classes; give a smaller image size, or fewer classes"
        )


class Range(StrictModel):
    """Allowed widths low, low+step, ..., high, and the prototype's."""

    prototype: Width
    low: Width
    high: Width
    step: Width = 1

    @model_validator(mode="after")
    def _check(self) -> Range:
        if self.high < self.low or (self.high - self.low) % self.step:
            raise ValueError(f"high {self.high} must be low {self.low} plus a multiple of step {self.step}")
        if not self.contains(self.prototype):
            raise ValueError(
                f"prototype {self.prototype} is not among {self.low}, {self.low + self.step} .. {self.high}"
            )
        return self

    @property
    def values(self) -> Sequence[int]:
        """All allowed widths, least first."""
        return range(self.low, self.high + 1, self.step)

    def contains(self, value: int) -> bool:
        """Whether ``value`` is one of the allowed widths."""
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def snap(self, value: float) -> int:
        """The allowed width nearest to ``value``."""
        steps = round((min(max(value, self.low), self.high) - self.low) / self.step)
        return self.low + steps * self.step


class DepthRange(StrictModel):
    """Allowed numbers of blocks."""

    prototype: Depth
    low: Depth
    high: Depth

    @model_validator(mode="after")
    def _check(self) -> DepthRange:
        if not self.low <= self.prototype <= self.high:
            raise ValueError(f"prototype {self.prototype} must lie in {self.low}..{self.high}")
        return self


def check_choices(prototype: int, choices: Sequence[int]) -> None:
    """Raises ValueError where the prototype's is no choice, or one is named twice."""
    if prototype not in choices or len(set(choices)) != len(choices):
        raise ValueError(f"prototype {prototype} must be among the choices {list(choices)}, each named once")


class StrideChoice(StrictModel):
    """Allowed strides of a convolution."""

    prototype: Literal[1, 2]
    choices: Annotated[list[Literal[1, 2]], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> StrideChoice:
        check_choices(self.prototype, self.choices)
        return self

    @property
    def values(self) -> Sequence[int]:
        """All allowed strides."""
        return self.choices


class KernelChoice(StrictModel):
    """Allowed sides of a depthwise window."""

    prototype: Literal[3, 5, 7]
    choices: Annotated[list[Literal[3, 5, 7]], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> KernelChoice:
        check_choices(self.prototype, self.choices)
        return self

    @property
    def values(self) -> Sequence[int]:
        """All allowed sides."""
        return self.choices


class TraitChoice(StrictModel):
    """Whether a part of the network may, or must, have a trait."""

    prototype: bool
    choices: Annotated[list[bool], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> TraitChoice:
        check_choices(self.prototype, self.choices)
        return self

    @property
    def values(self) -> Sequence[int]:
        """0 for without, 1 for with, where allowed."""
        return [int(choice) for choice in self.choices]


Bounds = Range | StrideChoice | KernelChoice | TraitChoice
