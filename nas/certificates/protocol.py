"""How a finalist is trained and tested for its certificate."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import count, islice
from typing import Final

from nas.errors import InputError

FULL: Final = (10, 200, 3)  # folds and epochs of Lee, Wang, Wong 2021; their one training becomes three
QUICK: Final = (3, 20, 1)
_FIRST_SEED: Final = 1_000_003  # above the search's own
_SEEDS: Final = 2**32


@dataclass(frozen=True)
class CertifyProtocol:
    """Trainings from scratch on every fold, each with several seeds.

    Attributes:
        folds: that the subjects are divided into; every subject is tested by networks that have not seen it.
        epochs: of each training.
        seeds: trainings of each fold.
        everyone: whether the subjects set aside are among them, as in the paper's protocol; it spends the hold-out.
    """

    folds: int = FULL[0]
    epochs: int = FULL[1]
    seeds: int = FULL[2]
    everyone: bool = False

    def __post_init__(self) -> None:
        ranges = (("folds", self.folds, 2, 100), ("epochs", self.epochs, 1, 100_000), ("seeds", self.seeds, 1, 100))
        for name, value, low, high in ranges:
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(f"{name} {value!r:.80}: give a whole number in {low}..{high}")

    @property
    def name(self) -> str:
        """Such as ``10x200x3`` or ``paper-10x200x3``; it tells files of one protocol from those of another."""
        return ("paper-" if self.everyone else "") + f"{self.folds}x{self.epochs}x{self.seeds}"

    @property
    def reduced(self) -> bool:
        """Whether it asks for less than the full one."""
        return any(mine < full for mine, full in zip((self.folds, self.epochs, self.seeds), FULL, strict=True))

    @property
    def file_name(self) -> str:
        """Of the certificate: ``certificate.json`` is that of the full protocol."""
        full = (self.folds, self.epochs, self.seeds) == FULL and not self.everyone
        return "certificate.json" if full else f"certificate-{self.name}.json"

    def predictions_name(self, fold: int | None, seed: int) -> str:
        """Of the predictions of one training; ``fold`` None is the one that the subjects set aside are tested by."""
        part = "holdout" if fold is None else f"fold{fold:02d}"
        return f"certified-{self.name}-{part}-seed{seed}.npz"


def fresh_seeds(search_seed: int, used: Collection[int], number: int) -> tuple[int, ...]:
    """``number`` training seeds that are not among ``used``; the same ones for the same search."""
    candidates = ((search_seed + _FIRST_SEED + k) % _SEEDS for k in count())
    return tuple(islice((s for s in candidates if s not in used and s != search_seed), number))
