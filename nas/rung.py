"""One step of training effort, and the ladder of them that a candidate climbs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from nas.errors import InputError

_MAX_RUNGS: Final = 10
EFFORT: Final = "effort"  # a trial's user attribute, by which samplers tell short trainings from long ones
EFFORT_PARTS: Final = ("folds", "epochs", "inherited")  # its keys; epochs that came with inherited weights are the last


@dataclass(frozen=True, order=True)
class Rung:
    """A candidate is trained on the first ``folds`` folds for ``epochs`` epochs each; written ``1x8``.

    Rungs are ordered as they follow each other on a ladder: by folds, then by epochs.
    """

    folds: int
    epochs: int

    def __post_init__(self) -> None:
        if not (1 <= self.folds <= 100 and 1 <= self.epochs <= 100_000):
            raise InputError(f"effort {self}: folds must lie in 1..100 and epochs in 1..100000")

    @classmethod
    def parse(cls, text: str) -> Rung:
        """Reads ``FOLDSxEPOCHS``.  Raises InputError on anything else."""
        match = re.fullmatch(r"\s*(\d{1,6})\s*[xX]\s*(\d{1,6})\s*", text)
        if match is None:
            raise InputError(f"effort {text!r}: write FOLDSxEPOCHS, such as 1x8")
        return cls(int(match[1]), int(match[2]))

    def as_effort(self, inherited: int = 0) -> Mapping[str, int]:
        """The value of :data:`EFFORT`.

        Args:
            inherited: epochs that the weights had been trained for when they were taken over.
        """
        return dict(zip(EFFORT_PARTS, (self.folds, self.epochs, inherited), strict=True))

    def __str__(self) -> str:
        return f"{self.folds}x{self.epochs}"


Ladder = tuple[Rung, ...]  # each rung holds the one before it: a candidate goes on with the weights that it has


def parse_ladder(text: str) -> Ladder:
    """Reads rungs from the cheapest to the full one, such as ``1x8,1x24,3x24``; one alone is a ladder too.

    Raises:
        InputError: not such a text, or a rung that is not more than the one before it.
    """
    return checked_ladder(tuple(Rung.parse(part) for part in text.split(",")))


def checked_ladder(ladder: Ladder) -> Ladder:
    """The ladder itself.  Raises InputError for one that does not lead upwards."""
    if not 1 <= len(ladder) <= _MAX_RUNGS:
        raise InputError(f"a ladder of {len(ladder)} rungs: use 1 to {_MAX_RUNGS}")
    for low, high in pairwise(ladder):
        if high == low or high.folds < low.folds or high.epochs < low.epochs:
            raise InputError(
                f"rung {high} after {low}: each must have at least the folds and epochs of the one before it, and more "
                "of one; such as 1x8,1x24,3x24"
            )
    return ladder


def ladder_text(ladder: Ladder) -> str:
    """What :func:`parse_ladder` reads."""
    return ",".join(map(str, ladder))
