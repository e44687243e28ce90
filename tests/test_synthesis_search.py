"""Generative synthesis in the engine's own search spaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.indicator import Constraint, Indicator
from nas.loop import Plan, Search
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.run.candidate import Outcome, State
from nas.run.directory import RunDirectory
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.space import SearchSpace, load_space
from nas.synthesis.free import FreeKnowledge
from nas.synthesis.samplers import sampler_for

OBJECTIVES = objectives_of(["accuracy", "params"])
SPACE = load_space("emotionnet-nano")
BOUND = Indicator((Constraint("params", 200_000, True),))


def session(folder: Path, budget: int, space: SearchSpace, params: int) -> Search:
    """Made-up accuracies: more parameters help, links and additions help a little."""
    bound = Indicator((Constraint("params", params, True),))
    plan = Plan(space, bound, OBJECTIVES, (0.1, 1e6), (Rung(1, 1),), 0, budget)
    study = RunStudy(folder / "study.journal", OBJECTIVES)
    study.use(sampler_for(plan, "synthesis", 3, study.past))
    search = Search(plan, study, RunDirectory(folder))
    while (job := search.propose()) is not None:
        candidate = search.candidates[job.trial]
        joined = sum(op.kind in ("add", "concat") for op in candidate.network().graph().ops)
        value = 1 - 2 / np.log10(candidate.cost.params) ** 2 + 0.001 * joined
        measured = {"accuracy": Measurement(value, value - 0.1, value + 0.1, "share", 9, "made up")}
        search.finish(job, Outcome(State.TRAINED, (), measured, "1x1", {"train": 1.0}))
    return search


def test_free_knowledge_is_exact() -> None:
    free = FreeKnowledge(SPACE, BOUND, OBJECTIVES)
    rng = np.random.default_rng(0)
    for _ in range(20):
        a = SPACE.sample(rng)
        assert free.known_objectives(SPACE.to_params(a)) == (None, a.cost().params)
        assert free.feasible(SPACE.to_params(a)) == (a.cost().params <= 200_000)
    accuracy_alone = FreeKnowledge(SPACE, Indicator(), objectives_of(["accuracy"]))
    assert accuracy_alone.known_objectives({}) == (None,)
    assert accuracy_alone.feasible({})


@pytest.mark.parametrize(("preset", "params"), [("emotionnet-nano", 200_000), ("inverted", 60_000)])
def test_a_resumed_search_proposes_what_an_undisturbed_one_does(tmp_path: Path, preset: str, params: int) -> None:
    for name in ("whole", "halves"):
        (tmp_path / name).mkdir()
    space = load_space(preset)
    whole = session(tmp_path / "whole", 24, space, params)
    session(tmp_path / "halves", 11, space, params)
    halves = session(tmp_path / "halves", 24, space, params)
    assert [c.id for c in halves.candidates] == [c.id for c in whole.candidates]
    children = [c for c in whole.candidates if c.parent is not None]
    assert len(children) >= 8
    known = {c.id: c for c in whole.candidates}
    for child in children:
        assert 1 <= len(child.edits) <= 2
        assert known[child.parent or ""].trial < child.trial
    refused = [c for c in whole.candidates[1:] if c.cost.params > params]
    assert not refused  # the filter spares the journal what costs nothing to know
    assert len({c.id for c in whole.candidates}) == len(whole.candidates)
