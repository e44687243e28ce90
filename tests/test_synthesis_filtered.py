"""Every strategy behind the free part of the indicator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from nas.space import load_space
from nas.synthesis.filtered import FilteredSampler
from nas.synthesis.samplers import make_sampler

optuna.logging.set_verbosity(optuna.logging.WARNING)
NETWORKS = load_space("tiny")


def size(params: Mapping[str, Any]) -> int:
    return NETWORKS.from_params(params).cost().params


LIMIT = 2 * size(NETWORKS.to_params(NETWORKS.prototype)) // 3


def allowed(params: Mapping[str, Any]) -> bool:
    return size(params) <= LIMIT


@pytest.mark.parametrize("name", ["evolution", "synthesis", "nsga2", "nsga3", "tpe", "random"])
def test_strategies_by_name_keep_to_the_filter(name: str) -> None:
    sampler = make_sampler(name, NETWORKS, 1, known_objectives=lambda p: (None, size(p)), feasible=allowed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.enqueue_trial(NETWORKS.to_params(NETWORKS.prototype))
    for _ in range(14):
        trial = study.ask(NETWORKS.distributions())
        study.tell(trial, [float(len(trial.params)), float(size(trial.params))])
    kept = [allowed(t.params) for t in study.trials[1:]]
    assert sum(kept) >= len(kept) - 1


def test_it_asks_again_and_gives_up_after_so_many_tries() -> None:
    space = {"x": IntDistribution(0, 9), "y": CategoricalDistribution(("a", "b"))}
    tried: list[int] = []

    def even(params: Mapping[str, Any]) -> bool:
        tried.append(params["x"])
        return params["x"] % 2 == 0 and params["y"] == "b"

    sampler = FilteredSampler(optuna.samplers.RandomSampler(seed=0), space, even, tries=50)
    study = optuna.create_study(sampler=sampler)
    for _ in range(20):
        trial = study.ask(dict(space))
        assert even(trial.params)
        study.tell(trial, 0.0)
    tried.clear()
    study.sampler = FilteredSampler(
        optuna.samplers.RandomSampler(seed=0), space, lambda p: bool(tried.append(1)), tries=7
    )
    assert study.ask(dict(space)).params["x"] in range(10)
    assert len(tried) == 7
