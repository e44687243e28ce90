"""What is to be done to each image, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from nas.data.resize import check_image_size
from nas.preparation.view import Pixels, Points

Missing = Literal["drop", "keep"]
PlacedBy = Literal["landmarks", "detector", "whole"]
Colour = Literal["grey", "colour"]
DEFAULT_SIDE: Final = 48


@dataclass(frozen=True)
class Plan:
    """What is to be done to each image.

    Attributes:
        detect: cut out the face; else the whole image is taken, its edges repeated to make it square.
        align: and turn, scale and shift it so that its eyes come to fixed places.
        size: side of the results, pixels.
        missing: what becomes of an image in which no face (for ``align``: no eyes) was found: left out, or whole.
        colour: of the results; None leaves it as the data set has it.
    """

    detect: bool = False
    align: bool = False
    size: int = DEFAULT_SIDE
    missing: Missing = "drop"
    colour: Colour | None = None

    def __post_init__(self) -> None:
        check_image_size(self.size)

    @property
    def wants_face(self) -> bool:
        """Whether a face must be found."""
        return self.detect or self.align


@dataclass(frozen=True, eq=False)
class Prepared:
    """One image that was made.

    Attributes:
        pixels: uint8, shape (size, size, 1 or 3).
        landmarks: where its landmarks are now, shares of its sides, shape (68, 2); None where it has none.
        placed_by: ``landmarks``, ``detector``, or ``whole``.
        enlarged: whether it has more pixels than what it shows had.
        by_model: whether a model enlarged it.
        several: whether more than one face was found.
        missed: whether a face was to be found and was not; then the image is whole.
    """

    pixels: Pixels
    landmarks: Points | None
    placed_by: PlacedBy
    enlarged: bool
    by_model: bool
    several: bool
    missed: bool


@dataclass
class Report:
    """What became of all images; lists hold names.

    Attributes:
        made: images that were written.
        placed_by: how many of them were placed by what.
        missed: without a face (or without eyes that could be used), by class.
        unreadable: files that could not be read.
        several: in which more than one face was found, and the largest taken.
        enlarged, by_model: how many were enlarged at all, and by a model.
        without_landmarks: how many have none.
        lost: what is known of the data and was not written.
    """

    made: int = 0
    placed_by: dict[str, int] = field(default_factory=dict)
    missed: dict[str, list[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    enlarged: int = 0
    by_model: int = 0
    without_landmarks: int = 0
    lost: list[str] = field(default_factory=list)

    def add(self, name: str, prepared: Prepared) -> None:
        """Counts an image that was made."""
        self.made += 1
        self.placed_by[prepared.placed_by] = self.placed_by.get(prepared.placed_by, 0) + 1
        self.enlarged += prepared.enlarged
        self.by_model += prepared.by_model
        self.without_landmarks += prepared.landmarks is None
        if prepared.several:
            self.several.append(name)

    @property
    def missed_names(self) -> list[str]:
        """Of all classes, sorted."""
        return sorted(name for names in self.missed.values() for name in names)
