"""One step of training effort."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nas.errors import InputError


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

    def __str__(self) -> str:
        return f"{self.folds}x{self.epochs}"
