"""Generative synthesis as a sampler: what it proposes, and that nothing but seed and results decides it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from analytic import analytic_table
from replay import known_cost, replay
from tables import Table

from nas.pareto import hypervolume, non_dominated
from nas.space import load_space
from nas.synthesis import SynthesisSampler
from nas.synthesis.generator import Generator
from nas.synthesis.history import effort_of
from nas.synthesis.mind import Effects

optuna.logging.set_verbosity(optuna.logging.WARNING)
SMALL = Effects(explore=5, children=40, fresh=20, draws=4)
SPACE: Mapping[str, optuna.distributions.BaseDistribution] = {
    "width": IntDistribution(4, 64, step=4),
    "depth": IntDistribution(1, 64, log=True),
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "share": FloatDistribution(0.0, 1.0, step=0.25),
    "kind": CategoricalDistribution(("plain", "residual", "dense")),
    "link": CategoricalDistribution((False, True)),
}


def cost(params: Mapping[str, Any]) -> float:
    return float(params["width"] ** 2 * params["depth"] * (1.2 if params["link"] else 1.0))


def free(params: Mapping[str, Any]) -> tuple[None, float]:
    return None, cost(params)


def accuracy(params: Mapping[str, Any]) -> float:
    kind = {"plain": 0.0, "residual": 3.0, "dense": 1.0}[params["kind"]]
    rate = -((np.log10(params["rate"]) + 2.5) ** 2)
    return float(90 - 30 / params["width"] - 6 / params["depth"] + kind + 2 * rate + params["link"] + params["share"])


def plain_study(sampler: SynthesisSampler, trials: int) -> optuna.Study:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(trials):
        trial = study.ask(dict(SPACE))
        study.tell(trial, [accuracy(trial.params), cost(trial.params)])
    return study


def knowing(seed: int = 3, **more: Any) -> SynthesisSampler:
    return SynthesisSampler(seed=seed, known_objectives=free, distributions=SPACE, effects=SMALL, **more)


PROGRAM = """
import json, test_synthesis as t
print(json.dumps([trial.params for trial in t.plain_study(t.knowing(), 24).trials]))
"""


def test_another_process_proposes_the_same() -> None:
    here = [t.params for t in plain_study(knowing(), 24).trials]
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert json.loads(there.stdout.splitlines()[-1]) == here
    assert [t.params for t in plain_study(knowing(4), 24).trials] != here


def test_a_resumed_study_goes_on_as_if_nothing_had_happened() -> None:
    """A new sampler, given the trials alone, proposes what the old one would have; at a refit and between two."""
    whole = plain_study(knowing(), 36)
    for at in (21, 29, 34):
        resumed = optuna.create_study(directions=["maximize", "minimize"], sampler=knowing())
        resumed.add_trials(whole.trials[:at])
        assert resumed.ask(dict(SPACE)).params == whole.trials[at].params


def test_the_order_in_which_results_come_does_not_matter() -> None:
    def proposal(order: list[int]) -> dict[str, Any]:
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=knowing())
        fixed = plain_study(knowing(9), 14).trials
        for t in fixed:
            study.enqueue_trial(t.params)
        asked = [study.ask(dict(SPACE)) for _ in fixed]
        for i in order:
            study.tell(asked[i], [accuracy(asked[i].params), cost(asked[i].params)])
            study.sampler.generators(study)  # type: ignore[attr-defined]
        return dict(study.ask(dict(SPACE)).params)

    assert proposal(list(range(14))) == proposal(list(reversed(range(14))))


def test_pickling_keeps_the_proposals() -> None:
    study = plain_study(knowing(), 15)
    copy = pickle.loads(pickle.dumps(study.sampler))
    again = optuna.create_study(directions=["maximize", "minimize"], sampler=copy)
    again.add_trials(study.trials)
    assert again.ask(dict(SPACE)).params == study.ask(dict(SPACE)).params


def test_outstanding_asks_are_believed_and_never_repeated() -> None:
    study = plain_study(knowing(), 12)
    asked = [study.ask(dict(SPACE)) for _ in range(12)]
    everything = [tuple(t.params.values()) for t in study.trials]
    assert len(set(everything)) == 24
    for trial in asked[::2]:
        study.tell(trial, [accuracy(trial.params), cost(trial.params)])
    study.tell(asked[1], state=TrialState.FAIL)
    study.tell(asked[3], state=TrialState.PRUNED)
    assert tuple(study.ask(dict(SPACE)).params.values()) not in everything


def test_a_small_space_is_exhausted_without_repeats_and_then_repeats() -> None:
    space = {"a": CategoricalDistribution((1, 2, 3)), "b": CategoricalDistribution((1, None, "1"))}
    study = optuna.create_study(sampler=SynthesisSampler(seed=0, distributions=space, effects=SMALL))
    for _ in range(9):
        trial = study.ask(dict(space))
        study.tell(trial, float(trial.params["a"]))
    assert len({(t.params["a"], str(type(t.params["b"]))) for t in study.trials}) == 9
    assert study.ask(dict(space)).params["a"] in (1, 2, 3)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_it_beats_random_search_with_one_to_four_objectives(objectives: int) -> None:
    """DTLZ2 on a grid: a sphere, and five parameters that push away from it."""
    space = {f"x{i}": IntDistribution(0, 9) for i in range(objectives + 4)}

    def values(x: np.ndarray) -> list[float]:
        away = 1 + float(((x[objectives - 1 :] - 0.6) ** 2).sum())
        angles = x[: objectives - 1] * np.pi / 2
        out = [away * float(np.prod(np.cos(angles[: objectives - 1 - k]))) for k in range(objectives)]
        return [v * float(np.sin(angles[objectives - 1 - k])) if k else v for k, v in enumerate(out)]

    def volume(sampler: optuna.samplers.BaseSampler) -> float:
        study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
        for _ in range(35):
            trial = study.ask(dict(space))
            study.tell(trial, values(np.array(list(trial.params.values())) / 9))
        return hypervolume(np.array([t.values for t in study.trials]), np.full(objectives, 1.5))

    ours = volume(SynthesisSampler(seed=0, distributions=space, effects=SMALL))
    random = np.mean([volume(optuna.samplers.RandomSampler(seed=s)) for s in range(5)])
    assert ours > 1.1 * random


def test_constraints_are_learned() -> None:
    """One random point in a hundred is allowed; after two dozen results many proposals are."""
    space = {f"x{i}": IntDistribution(0, 15) for i in range(6)}
    weights = np.array([3, 2, 1, 1, 1, 1])
    study = optuna.create_study(sampler=SynthesisSampler(seed=1, distributions=space, effects=SMALL))
    for _ in range(45):
        trial = study.ask(dict(space))
        x = np.array(list(trial.params.values()))
        trial.set_constraint("sum", float(x.sum()) - 22)
        study.tell(trial, -float(weights @ x))
    allowed = [t.constraints["sum"] <= 0 for t in study.trials]
    assert np.mean(allowed[25:]) >= 0.3
    assert study.best_value <= -45  # the best of all is -59


def test_where_nothing_is_allowed_it_walks_towards_what_is() -> None:
    space = {f"x{i}": IntDistribution(0, 15) for i in range(6)}
    study = optuna.create_study(sampler=SynthesisSampler(seed=1, distributions=space, effects=SMALL))
    for _ in range(30):
        trial = study.ask(dict(space))
        total = float(sum(trial.params.values()))
        trial.set_constraint("sum", total - 8)
        study.tell(trial, state=TrialState.PRUNED) if total > 40 else study.tell(trial, total)
    sums = [t.constraints["sum"] for t in study.trials]
    assert min(sums[:5]) > 0
    assert min(sums) <= 0


def test_a_free_filter_is_kept_to() -> None:
    study = plain_study(knowing(feasible=lambda p: cost(p) <= 5_000), 25)
    assert all(cost(t.params) <= 5_000 for t in study.trials)


def test_conditional_parameters_and_a_first_trial_without_a_space() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        width = trial.suggest_int("width", 4, 64)
        value = 1 / width
        if trial.suggest_categorical("deep", (False, True)):
            value /= trial.suggest_int("depth", 2, 5)
        return value, float(width)

    study = optuna.create_study(directions=["minimize"] * 2, sampler=SynthesisSampler(seed=0, effects=SMALL))
    study.optimize(objective, n_trials=25)
    assert all(("depth" in t.params) == t.params["deep"] for t in study.trials)
    assert np.mean([t.params["deep"] for t in study.trials[8:]]) > 0.5


def test_effort_is_told_apart() -> None:
    """Half the trials are trained for one epoch and score 20 points lower; the front is nevertheless found."""
    sampler = knowing()
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for i in range(30):
        trial = study.ask(dict(SPACE))
        epochs = 1 if i % 2 else 16
        trial.set_user_attr("effort", {"folds": 1, "epochs": epochs, "inherited": 0})
        study.tell(trial, [accuracy(trial.params) - (20 if epochs == 1 else 0), cost(trial.params)])
    beliefs = sampler.beliefs(study)
    truth = np.array([accuracy(t.params) for t in study.trials])
    error = np.array([b.mean[0] for b in beliefs]) - truth
    assert np.abs(error).mean() < 3  # believed at full effort, although half were seen 20 points below
    assert effort_of({"effort": {"folds": 1, "epochs": 7}}) == pytest.approx([np.log(2), np.log(8), 0])
    assert effort_of({"effort": "1x8"}) == pytest.approx([0, 0, 0])


def test_an_edit_prior_steers_what_is_tried() -> None:
    def links_alone(parent: Mapping[str, Any], edits: Any) -> list[float]:
        return [1.0 if e.startswith("link") else 1e-6 for e in edits]

    sampler = knowing(edit_prior=links_alone)
    from nas.synthesis.mind import Knowledge, Mind

    mind = Mind(SPACE, plain_study(sampler, 1).directions, Knowledge(edit_prior=links_alone), SMALL)
    first = mind.family[0]
    parent = mind.encoding.encode({"width": 8, "depth": 3, "rate": 0.01, "share": 0.5, "kind": "plain", "link": True})
    children = mind._proposals.children(parent, first.mixed(np.array([0.5, 0.5])), 50, np.random.default_rng(0))
    assert {c.edits for c in children} == {("link: True->False",)}


# In the space of architectures.
NETWORKS = load_space("emotionnet-nano")


def network_study(trials: int) -> optuna.Study:
    def size(params: Mapping[str, Any]) -> int:
        return NETWORKS.from_params(params).cost().params

    sampler = SynthesisSampler(
        seed=2,
        space=NETWORKS,
        known_objectives=lambda p: (None, size(p)),
        feasible=lambda p: size(p) <= 200_000,
        effects=Effects(explore=5, children=16, fresh=8, parents=4, draws=4),
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.enqueue_trial(NETWORKS.to_params(NETWORKS.prototype))
    for _ in range(trials):
        trial = study.ask(NETWORKS.distributions())
        a = NETWORKS.from_params(trial.params)
        params = a.cost().params
        study.tell(trial, [1 - 2 / np.log10(params) ** 2 + 0.002 * min(len(a.links), 6), params])
    return study


def test_edits_are_the_spaces_own_and_lineage_is_recorded() -> None:
    study = network_study(25)
    by_id = {NETWORKS.from_params(t.params).id: NETWORKS.from_params(t.params) for t in study.trials}
    assert len(by_id) == 25
    children = 0
    for trial in study.trials[1:]:
        child = NETWORKS.from_params(trial.params)
        assert child.cost().params <= 200_000
        assert NETWORKS.to_params(child) == trial.params
        lineage = trial.user_attrs["lineage"]
        if lineage:
            children += 1
            parents = [by_id[lineage["parent"]]]
            for text in lineage["edits"]:
                parents = [e.apply(p) for p in parents for e in NETWORKS.edits(p) if str(e) == text]
            assert child.id in {p.id for p in parents}
    assert children >= 3


# On the analytic table.
@pytest.fixture(scope="module")
def table() -> Table:
    return analytic_table(3)


@pytest.fixture(scope="module")
def searched(table: Table) -> optuna.Study:
    return replay(
        SynthesisSampler(seed=0, known_objectives=known_cost(table), distributions=table.distributions), table, 60, 0
    ).study


def drawn(study: optuna.Study, table: Table, generator: int, preference: tuple[float, float], n: int) -> np.ndarray:
    return np.array([table.row(p) for p in study.sampler.draw(study, generator, preference, n, new=False)])  # type: ignore[attr-defined]


def test_a_later_generator_is_better_than_the_first(table: Table, searched: optuna.Study) -> None:
    def volume(generator: int) -> float:
        parts = [drawn(searched, table, generator, (w, 1 - w), 40) for w in (0.0, 0.25, 0.5, 0.75, 1.0)]
        rows = np.concatenate(parts)
        losses = table.losses(table.means[rows], rows)
        return hypervolume(losses[non_dominated(losses)], table.reference()) / table.full_volume()

    assert volume(-1) > volume(0) + 0.05


def test_a_preference_for_small_networks_gives_smaller_ones(table: Table, searched: optuna.Study) -> None:
    accurate = np.median(table.params[drawn(searched, table, -1, (1.0, 0.0), 200)])
    small = np.median(table.params[drawn(searched, table, -1, (0.0, 1.0), 200)])
    assert small <= 0.7 * accurate


def test_the_family_says_what_it_was_learned_from_and_survives_json(searched: optuna.Study) -> None:
    family = searched.sampler.generators(searched)  # type: ignore[attr-defined]
    assert [g.index for g in family] == list(range(len(family)))
    assert [g.finished for g in family] == [0, 10, 20, 30, 40, 50, 60]
    best = max(searched.trials, key=lambda t: t.values[0]).number
    assert best in family[-1].elites[-1]  # the anchor of accuracy alone
    for g in family:
        again = Generator.from_json(json.loads(json.dumps(g.to_json())))
        assert again.to_json() == g.to_json()
        assert all(np.allclose(t.sum(1), 1) for t in again.theta.values())


def test_it_needs_half_the_evaluations_of_nsga2(table: Table) -> None:
    def ratio(sampler: optuna.samplers.BaseSampler, budget: int) -> float:
        trace = replay(sampler, table, budget, 0)
        return table.ratio(trace.rows, trace.accuracy)

    ours = SynthesisSampler(seed=0, known_objectives=known_cost(table), distributions=table.distributions)
    assert ratio(ours, 60) > ratio(optuna.samplers.NSGAIISampler(seed=0, population_size=20), 120)


def test_trials_that_were_added_by_others_are_read() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=knowing())
    for t in plain_study(knowing(7), 12).trials:
        study.add_trial(create_trial(params=t.params, distributions=dict(SPACE), values=t.values))
    assert tuple(study.ask(dict(SPACE)).params.values()) not in {tuple(t.params.values()) for t in study.trials[:12]}
    assert len(study.sampler.beliefs(study)) == 12  # type: ignore[attr-defined]
