from __future__ import annotations

import numpy as np
import optuna
import pytest

from nas.architecture import EditKind
from nas.errors import InputError
from nas.space import load_space
from nas.synthesis.evolution import EvolutionSampler, breed
from nas.synthesis.parents import Parents
from nas.synthesis.samplers import NAMES, make_sampler

SPACE = load_space("emotionnet-nano")
optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_a_quarter_of_the_children_carry_a_link_edit() -> None:
    rng = np.random.default_rng(0)
    parent = SPACE.prototype
    with_link = 0
    for _ in range(400):
        child, edits = breed(SPACE, parent, rng)
        assert 1 <= len(edits) <= 2
        assert child.id != parent.id
        with_link += any(e.kind in (EditKind.ADD_LINK, EditKind.REMOVE_LINK) for e in edits)
        parent = child
    assert with_link / 400 >= 0.25


def study(sampler: optuna.samplers.BaseSampler, trials: int) -> optuna.Study:
    """A made-up trade-off: accuracy grows with the logarithm of the parameters, links help a little."""
    s = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    s.enqueue_trial(SPACE.to_params(SPACE.prototype))
    for _ in range(trials):
        trial = s.ask(SPACE.distributions())
        a = SPACE.from_params(trial.params)
        params = a.cost().params
        accuracy = 1 - 2 / np.log10(params) ** 2 + 0.002 * len(a.links)
        trial.set_constraint("params", (params - 400_000) / 400_000)
        s.tell(trial, [accuracy, params])
    return s


def test_the_same_results_give_the_same_proposals_and_none_twice() -> None:
    runs = [study(EvolutionSampler(SPACE, seed=4), 60) for _ in range(2)]
    ids = [[SPACE.from_params(t.params).id for t in run.trials] for run in runs]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 60
    other = study(EvolutionSampler(SPACE, seed=5), 60)
    assert [SPACE.from_params(t.params).id for t in other.trials][1:] != ids[0][1:]


def test_parents_read_as_they_come_are_those_read_at_once() -> None:
    """Whatever is still running at each look, and whether or not anything is allowed."""
    rng = np.random.default_rng(7)
    for allowed_share in (0.0, 0.02, 0.5):
        s = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=1))
        step_by_step = Parents(s.directions)
        running: list[optuna.Trial] = []
        for _ in range(120):
            running.append(s.ask({"x": optuna.distributions.FloatDistribution(0, 1)}))
            step_by_step.see(s.trials)
            while len(running) > 4:
                trial = running.pop(int(rng.integers(len(running))))
                trial.set_constraint("c", -1.0 if rng.random() < allowed_share else float(rng.integers(1, 9)))
                if rng.random() < 0.3:
                    s.tell(trial, state=optuna.trial.TrialState.PRUNED)
                else:
                    s.tell(trial, [float(rng.integers(9)), float(rng.integers(9))])
        step_by_step.see(s.trials)
        at_once = Parents(s.directions)
        at_once.see(s.trials)
        assert [t.number for t in step_by_step.now()] == [t.number for t in at_once.now()]
        if allowed_share == 0.5:
            feasible = [t for t in s.trials if t.values and t.constraints["c"] <= 0]
            best = {tuple(t.values) for t in s.best_trials}
            assert {tuple(t.values) for t in at_once.now()} == best
            assert len(feasible) > len(best)


def test_parents_are_the_front_of_what_is_allowed() -> None:
    run = study(EvolutionSampler(SPACE, seed=1), 40)
    best = {tuple(t.values) for t in run.best_trials}
    parents = Parents(run.directions)
    parents.see(run.trials)
    assert {tuple(t.values) for t in parents.now()} == best  # of equal ones the first
    lineages = [t.user_attrs["lineage"] for t in run.trials[1:]]
    known = {SPACE.from_params(t.params).id for t in run.trials}
    assert all(lineage["parent"] in known for lineage in lineages)


def test_the_front_moves_on_from_the_prototype() -> None:
    from nas.pareto import hypervolume

    def volume(trials: list[optuna.trial.FrozenTrial]) -> float:
        losses = np.array([[-t.values[0], np.log10(t.values[1])] for t in trials])
        return hypervolume(losses, np.array([-0.8, 6.0]))

    for seed in range(3):
        trials = study(EvolutionSampler(SPACE, seed=seed), 80).trials
        assert volume(trials[:1]) < volume(trials[:20]) < volume(trials)
        assert min(t.values[1] for t in trials) < SPACE.prototype.cost().params / 2


@pytest.mark.parametrize("name", [n for n in NAMES if n != "gp"])
def test_every_sampler_by_name_proposes(name: str) -> None:
    assert len(study(make_sampler(name, SPACE, 0), 6).trials) == 6


def test_unknown_and_uninstalled_samplers() -> None:
    with pytest.raises(InputError, match="use one of"):
        make_sampler("annealing", SPACE, 0)
    try:
        import torch  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"nanosynth\[gp\]"):
            make_sampler("gp", SPACE, 0)
