"""Plays a sampler against a table, as an Optuna study of accuracy and cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.samplers import BaseSampler
from tables import Table

FREE_REPEATS = 20  # repeats a charged evaluation, before a sampler counts as stuck


@dataclass(frozen=True)
class Trace:
    """What a search evaluated.

    Attributes:
        rows: (n,) networks in order, each once.
        accuracy: (n,) what was observed of them.
        proposal_ms: (n,) time of the proposals that led to each (repeats included).
        study: with every trial.
    """

    rows: npt.NDArray[np.intp]
    accuracy: npt.NDArray[np.float64]
    proposal_ms: npt.NDArray[np.float64]
    study: optuna.Study


def replay(sampler: BaseSampler, table: Table, budget: int, seed: int) -> Trace:
    """Evaluates ``budget`` different networks; a repeat is told what was seen before and costs nothing."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    seen: dict[int, float] = {}
    times: list[float] = []
    spent = 0.0
    for _ in range(budget * FREE_REPEATS):
        start = time.perf_counter()
        trial = study.ask(dict(table.distributions))
        spent += 1e3 * (time.perf_counter() - start)
        row = table.row(trial.params)
        if row not in seen:
            seen[row] = table.observed(row, seed)
            times.append(spent)
            spent = 0.0
        study.tell(trial, [seen[row], float(table.params[row])])
        if len(seen) == budget:
            break
    rows = np.array(list(seen), dtype=np.intp)
    return Trace(rows, np.array(list(seen.values())), np.array(times), study)


def known_cost(table: Table) -> Callable[[Mapping[str, Any]], tuple[None, float]]:
    """The free knowledge of a table: the cost, not the accuracy."""
    return lambda params: (None, float(table.params[table.row(params)]))
