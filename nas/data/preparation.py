"""What a search does to its data before it splits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, Final, Literal

from nas import decoding
from nas.data.colour import COLOURS, Colour, coloured
from nas.data.dataset import Dataset
from nas.data.folds import Split
from nas.data.labels import LabelMap, relabelled
from nas.data.leaks import group_near_copies
from nas.errors import DecodeError, InputError

Grouping = Literal["given", "duplicates"]
GROUPINGS: Final[tuple[Grouping, ...]] = ("given", "duplicates")


@dataclass(frozen=True)
class Preparation:
    """How data are prepared; the defaults leave them as they are.

    Attributes:
        labels: the classes that they get; None keeps theirs.
        grouping: what is kept together where subjects are unknown: ``given`` sequences, or near ``duplicates``.
        ignore_parts: whether the official parts are put together, and what is set aside is drawn by chance.
        allow_leaks: whether a split is used that parts many near copies.
        leaky: the share of test images with a near copy in training, where that was allowed.
        colour: ``grey`` or ``rgb`` images, or ``as-stored``.
    """

    labels: LabelMap | None = None
    grouping: Grouping = "given"
    ignore_parts: bool = False
    allow_leaks: bool = False
    leaky: float | None = None
    colour: Colour = "as-stored"

    def __post_init__(self) -> None:
        if self.grouping not in GROUPINGS:
            raise InputError(f"group {self.grouping!r:.80}: use {' or '.join(GROUPINGS)}")
        if self.colour not in COLOURS:
            raise InputError(f"colour {self.colour!r:.80}: use {', '.join(COLOURS)}")

    def prepared(self, dataset: Dataset) -> Dataset:
        """The data, relabelled, grouped and coloured.

        Raises:
            InputError: the label map does not fit, or too many images to be grouped.
        """
        if self.ignore_parts and dataset.parts is not None:
            dataset = replace(dataset, parts=None)
        dataset = coloured(dataset, self.colour)
        if self.labels is not None:
            dataset = relabelled(dataset, self.labels)
        if self.grouping == "duplicates" and dataset.subjects is None:
            dataset = replace(dataset, sequences=group_near_copies(dataset), sequence_kind="near-duplicate group")
        return dataset

    def marked(self, split: Split) -> Split:
        """``split``, called leaky where it is."""
        return split if self.leaky is None or split.unit == "subject" else replace(split, leaky=self.leaky)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {
            "labels": None if self.labels is None else self.labels.to_json(),
            "grouping": self.grouping,
            "ignore_parts": self.ignore_parts,
            "allow_leaks": self.allow_leaks,
            "leaky": self.leaky,
            "colour": self.colour,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preparation:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError for anything else."""
        labels = decoding.of_kind(data.get("labels"), "labels", dict, NoneType)
        leaky = decoding.of_kind(data.get("leaky"), "leaky", int, float, NoneType)
        try:
            return cls(
                None if labels is None else LabelMap.from_json(labels),
                decoding.of_kind(data.get("grouping", "given"), "grouping", str),
                decoding.of_kind(data.get("ignore_parts", False), "ignore_parts", bool),
                decoding.of_kind(data.get("allow_leaks", False), "allow_leaks", bool),
                None if leaky is None else float(leaky),
                decoding.of_kind(data.get("colour", "as-stored"), "colour", str),
            )
        except InputError as error:
            raise DecodeError(f"run.yaml: {error}") from error
