"""The state machine of a search in the tiny space, driven by hand."""

from __future__ import annotations

from pathlib import Path

from nas.indicator import Indicator
from nas.loop import Plan, Search, Silent
from nas.pareto import objectives_of
from nas.run.directory import RunDirectory
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.space import load_space
from nas.synthesis.evolution import EvolutionSampler

OBJECTIVES = objectives_of(["accuracy", "params"])
SPACE = load_space("tiny")


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def noticed(self, message: str) -> None:
        self.notes.append(message)


def machine(folder: Path, budget: int = 30, notes: Notes | None = None, lag: int | None = None) -> Search:
    plan = Plan(SPACE, Indicator(), OBJECTIVES, (0.1, 20_000.0), (Rung(1, 1),), 0, budget, lag)
    study = RunStudy(folder / "study.journal", OBJECTIVES, EvolutionSampler(SPACE, seed=0))
    return Search(plan, study, RunDirectory(folder), notes)
