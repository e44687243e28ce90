"""One step of training effort."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nas.errors import InputError

EFFORT: Final = "effort"  # a trial's user attribute, by which samplers tell short trainings from long ones
EFFORT_PARTS: Final = ("folds", "epochs", "inherited")  # its keys; epochs that came with inherited weights are the last


@dataclass(frozen=True)
class Rung:
    """A candidate is trained on the first ``folds`` folds for ``epochs`` epochs each; written ``1x8``."""

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
