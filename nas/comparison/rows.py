"""What a comparison found of each network: its figures, each with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.certificates.results import Pooled
from nas.measurement import Measurement
from nas.statistics.accuracy import SeedNoise, pooled_noise, seed_noise
from nas.statistics.paired import Difference, paired_difference

CONFIDENCE: Final = 0.95  # two-sided, of every interval of an accuracy
METRICS: Final = ("accuracy", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True, eq=False)
class Row:
    """One network.

    Attributes:
        id, name: of it.
        member: whether it is of the run's front.
        figures: by name; what is not known is absent.
        failures: why something is absent.
        pooled: its predictions of all folds and seeds; None where a training failed.
    """

    id: str
    name: str
    member: bool
    figures: Mapping[str, Measurement]
    failures: tuple[str, ...] = ()
    pooled: Pooled | None = field(default=None, repr=False)

    def value(self, name: str) -> float | None:
        """Of a figure; None where it is absent."""
        found = self.figures.get(name)
        return None if found is None else found.value

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "id": self.id,
            "name": self.name,
            "member": self.member,
            "figures": {name: m.to_json() for name, m in self.figures.items()},
            "failures": list(self.failures),
        }


def accuracies(pooled: Pooled, group_kind: str) -> dict[str, Measurement]:
    """Accuracy, balanced accuracy and macro-F1 with two-sided intervals over groups and, where repeated, trainings."""
    side = (1 + CONFIDENCE) / 2
    seeds, groups = len(pooled.seeds), len(np.unique(pooled.groups))
    luck = f"and {seeds} trainings" if seeds > 1 else "of one training, whose luck is not in it"
    how = f"{CONFIDENCE:.0%} over {groups} {group_kind} {luck}"
    return {
        name: Measurement(e.value, e.low(side), e.high(side), "share", len(np.unique(pooled.index)), how)
        for name, e in pooled.estimates().items()
    }


def luck_of(rows: Sequence[Row]) -> SeedNoise | None:
    """Variance between trainings of one network, from all rows whose trainings were repeated; None where none was."""
    found = (seed_noise(r.pooled.hits, r.pooled.groups, r.pooled.trainings) for r in rows if r.pooled is not None)
    return pooled_noise(n for n in found if n is not None)


def difference(first: Row, second: Row, noise: SeedNoise | None, confidence: float = CONFIDENCE) -> Difference | None:
    """Accuracy of one network less that of the other, paired by subject; None where one has no predictions.

    Args:
        first, second: both tested on the same images, with the same seeds.
        noise: between trainings of one network.
        confidence: two-sided.
    """
    if first.pooled is None or second.pooled is None:
        return None
    here, groups = _shares(first.pooled)
    there, _ = _shares(second.pooled)
    averaged = None if noise is None else SeedNoise(noise.variance / len(first.pooled.seeds), noise.df)
    return paired_difference(here, there, groups, confidence=confidence, noise=averaged)


def _shares(pooled: Pooled) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Of each image in order: in which share of the trainings it was recognised, and its group; shapes (n,)."""
    images, first, number = np.unique(pooled.index, return_index=True, return_inverse=True)
    counts = np.bincount(number, minlength=len(images))
    return np.bincount(number, weights=pooled.hits) / counts, pooled.groups[first]
