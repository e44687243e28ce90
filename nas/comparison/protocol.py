"""How the networks of a comparison are trained and tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nas.errors import InputError

EPOCHS: Final = 60
_RANGES: Final = (("folds", 2, 100), ("epochs", 1, 100_000), ("seeds", 1, 100))


@dataclass(frozen=True)
class ComparisonProtocol:
    """Every network from scratch on every fold, with every seed.

    Attributes:
        folds: that the subjects of the search are divided into.
        epochs: of each training.
        seeds: trainings of each fold.
    """

    folds: int
    epochs: int = EPOCHS
    seeds: int = 1

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(f"{name} {value!r:.80}: give a whole number in {low}..{high}")

    @property
    def name(self) -> str:
        """Such as ``5x60``: more seeds of the same folds and epochs are trained on top of those that there are."""
        return f"{self.folds}x{self.epochs}"

    def predictions_name(self, fold: int, seed: int) -> str:
        """Of the predictions of one training."""
        return f"compared-{self.name}-fold{fold:02d}-seed{seed}.npz"
