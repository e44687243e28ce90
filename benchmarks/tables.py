"""Tabular benchmarks: every network of a small space, trained several times."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution

from nas.pareto import hypervolume, non_dominated

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """All networks of a space.

    Attributes:
        name: for the report.
        distributions: Optuna's, of its parameters.
        index: parameter values, in the order of the distributions, to row.
        trainings: (n, t) accuracy of every training, in percent.
        means: (n,) what a network is worth.
        params: (n,) its cost.
    """

    name: str
    distributions: Mapping[str, BaseDistribution]
    index: Mapping[tuple[Any, ...], int]
    trainings: Vector
    means: Vector
    params: Vector

    def row(self, params: Mapping[str, Any]) -> int:
        """The row of a network."""
        return self.index[tuple(params[name] for name in self.distributions)]

    def observed(self, row: int, seed: int) -> float:
        """The accuracy of one training, drawn by seed: the same for every sampler."""
        pick = np.random.default_rng([seed, row]).integers(self.trainings.shape[1])
        return float(self.trainings[row, pick])

    def losses(self, accuracy: Vector, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """(n, 2): minus accuracy, log10 of the cost."""
        return np.stack([-accuracy, np.log10(self.params[rows])], axis=1)

    def reference(self, cap: float | None = None) -> Vector:
        """Accuracy at the 20th percentile of the table; the largest cost, or the cap."""
        return np.array([-np.percentile(self.means, 20), np.log10(cap or self.params.max())])

    @cached_property
    def _front(self) -> npt.NDArray[np.intp]:
        rows = np.arange(len(self.means))
        order = np.lexsort((-self.means, self.params))
        best = np.concatenate([[-np.inf], np.maximum.accumulate(self.means[order])[:-1]])
        return rows[order][self.means[order] > best]

    def full_volume(self, cap: float | None = None) -> float:
        """Hypervolume of the true front."""
        return hypervolume(self.losses(self.means[self._front], self._front), self.reference(cap))

    def ratio(self, rows: npt.NDArray[np.intp], accuracy: Vector, cap: float | None = None) -> float:
        """Hypervolume of the front picked on what was observed, scored on the means, as a share of the true one."""
        if cap:
            inside = self.params[rows] <= cap
            rows, accuracy = rows[inside], accuracy[inside]
        if not len(rows):
            return 0.0
        picked = rows[non_dominated(self.losses(accuracy, rows))]
        return hypervolume(self.losses(self.means[picked], picked), self.reference(cap)) / self.full_volume(cap)

    def regret(self, rows: npt.NDArray[np.intp], accuracy: Vector, cap: float) -> float:
        """Points of accuracy that the best observed network under the cap lacks; NaN where none is under it."""
        inside = self.params[rows] <= cap
        if not inside.any():
            return float("nan")
        best = rows[inside][accuracy[inside].argmax()]
        return float(self.means[self.params <= cap].max() - self.means[best])


def read_table(path: Path, cost: str = "params") -> Table:
    """NAS-Bench-Macro as published (JSON), or as CSV with columns arch, acc0 .., acc_mean, params; .gz or not.

    Every digit of ``arch`` is a categorical parameter, so tables of other spaces can be given in the same form.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        if path.name.removesuffix(".gz").endswith(".json"):
            data = json.load(file)
            rows = [(arch, v["test_acc"], v["mean_acc"], v[cost]) for arch, v in data.items()]
        else:
            rows = []
            for line in csv.DictReader(file):
                trainings = [float(v) for k, v in line.items() if k.startswith("acc") and k[3:].isdigit()]
                rows.append((line["arch"], trainings, float(line["acc_mean"]), float(line[cost])))
    choices = [tuple(sorted({int(arch[i]) for arch, *_ in rows})) for i in range(len(rows[0][0]))]
    return Table(
        name=path.name.split(".")[0],
        distributions={f"layer{i}": CategoricalDistribution(c) for i, c in enumerate(choices)},
        index={tuple(int(d) for d in arch): k for k, (arch, *_) in enumerate(rows)},
        trainings=np.array([r[1] for r in rows], dtype=np.float64),
        means=np.array([r[2] for r in rows], dtype=np.float64),
        params=np.array([r[3] for r in rows], dtype=np.float64),
    )
