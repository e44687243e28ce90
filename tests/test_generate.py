"""New architectures from what a run has learned: its generators, after the search and in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from fabricated import Fabrication, begin, nas_
from optuna.distributions import FloatDistribution, IntDistribution
from PIL import Image

import nas
from nas.architecture import Architecture
from nas.cost import cost_of
from nas.errors import InputError
from nas.generators import Generators
from nas.graph import Graph
from nas.indicator import Constraint, Indicator
from nas.loop import Plan, Search
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.report.widths import Drawn, layers_of, pointwise_of
from nas.run.candidate import Outcome, State
from nas.run.directory import RunDirectory
from nas.run.study import RunStudy, told_study
from nas.rung import EFFORT, Rung
from nas.space import load_space
from nas.synthesis.encoding import Encoding
from nas.synthesis.generator import Generator, first_generator
from nas.synthesis.history import effort_of
from nas.synthesis.sampler import SynthesisSampler
from nas.synthesis.samplers import NAMES, sampler_for
from nas.units import format_count

SPACE = load_space("emotionnet-nano")
BOUND = Indicator((Constraint("params", 300_000, True),))
NAMED = ("accuracy", "params")
OBJECTIVES = objectives_of(NAMED)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, RunStudy, SynthesisSampler]:
    """Forty made-up evaluations: more parameters help."""
    folder = tmp_path_factory.mktemp("searched")
    plan = Plan(SPACE, BOUND, OBJECTIVES, (0.1, 1e6), (Rung(2, 3),), 0, 40)
    study, sampler = RunStudy(folder / "study.journal", OBJECTIVES), sampler_for(plan, "synthesis", 3, 0)
    assert isinstance(sampler, SynthesisSampler)
    study.use(sampler)
    search = Search(plan, study, RunDirectory(folder))
    while (job := search.propose()) is not None:
        value = 1 - 2 / np.log10(search.candidates[job.trial].cost.params) ** 2
        measured = {"accuracy": Measurement(value, value - 0.1, value + 0.1, "share", 9, "made up")}
        failed = Outcome(State.FAILED, failure={"kind": "diverged", "reason": "no number", "log": ""})
        search.finish(job, failed if job.trial == 5 else Outcome(State.TRAINED, (), measured, "2x3"))
    return search, study, sampler


@pytest.fixture(scope="module")
def learned(searched: tuple[Search, RunStudy, SynthesisSampler]) -> Generators:
    return Generators(searched[0].candidates, SPACE, BOUND, NAMED, 3)


def test_the_generators_come_out_as_they_were_in_the_search(
    searched: tuple[Search, RunStudy, SynthesisSampler], learned: Generators
) -> None:
    _, study, sampler = searched
    live = [g.to_json() for g in sampler.generators(study._memory)]
    assert [g.to_json() for g in learned.all] == live
    assert [g["learned_from"]["finished"] for g in live] == [0, 10, 20, 30]
    kept = json.loads(json.dumps(learned.to_json()))
    assert kept["objectives"] == list(NAMED)
    for written, generator in zip(kept["generators"], learned.all, strict=True):
        again = Generator.from_json(written)
        assert again.elites == generator.elites
        assert all(np.array_equal(again.theta[name], table) for name, table in generator.theta.items())


def test_a_told_study_is_what_the_sampler_saw(searched: tuple[Search, RunStudy, SynthesisSampler]) -> None:
    search, study, _ = searched
    rebuilt = told_study(search.candidates, OBJECTIVES, SPACE).get_trials(deepcopy=False)
    for mine, seen in zip(rebuilt, study._memory.get_trials(deepcopy=False), strict=True):
        assert (mine.number, mine.state, mine.values, mine.params) == (
            seen.number,
            seen.state,
            seen.values,
            seen.params,
        )
        assert mine.constraints == seen.constraints
        assert mine.user_attrs.get(EFFORT) == seen.user_attrs.get(EFFORT)
    assert rebuilt[5].values is None
    assert effort_of(rebuilt[6].user_attrs) == pytest.approx(np.log1p([2, 3, 0]))
    assert effort_of(rebuilt[5].user_attrs) == pytest.approx([0, 0, 0])


def test_what_is_drawn_is_new_allowed_and_follows_the_preference(
    searched: tuple[Search, RunStudy, SynthesisSampler], learned: Generators
) -> None:
    tried = {c.id for c in searched[0].candidates}
    medians = {}
    for name in NAMED:
        drawn = learned.draw(-1, {name: 1.0}, 100)
        assert len({a.id for a in drawn}) == 100
        assert not {a.id for a in drawn} & tried
        assert all(a.cost().params <= 300_000 for a in drawn)
        medians[name] = np.median([a.cost().params for a in drawn])
    assert medians["params"] < 0.7 * medians["accuracy"]
    assert learned.draw(0, {"params": 1.0}, 50) == learned.draw(0, {"accuracy": 1.0}, 50)  # it has learned nothing
    assert learned.draw(-1, None, 40)[:7] == learned.draw(-1, None, 7)  # more of them begins with fewer
    assert learned.draw(-1, {"accuracy": 1e308, "params": 1e308}, 7) == learned.draw(-1, None, 7)
    assert [a.id for a in learned.draw(-1, None, 5)] == [a.id for a in learned.draw(3, None, 5)]
    assert [a.id for a in learned.draw(-1, None, 5)] != [a.id for a in learned.draw(-1, None, 5, seed=1)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((4,), "there are 0 to 3"),
        ((-5,), "there are 0 to 3"),
        ((0, None, 0), "from 1 to 10,000"),
        ((0, None, 10_001), "from 1 to 10,000"),
        ((0, None, 3, -1), "seed -1"),
        ((0, {"accuracy": float("inf")}), "at least 0"),
        ((0, {}), "one of them above"),
        ((0, {"macs": 1.0}), "'macs' is no objective; use some of accuracy, params"),
        ((0, {"accuracy": -1.0}), "at least 0"),
    ],
)
def test_impossible_draws_are_refused(learned: Generators, arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        learned.draw(*arguments)  # type: ignore[arg-type]


# ---- the command


@pytest.fixture
def run(tmp_path: Path, npz: Path, made_up: Fabrication) -> Path:
    assert begin(tmp_path / "run", npz, budget=24).exit_code == 0
    return tmp_path / "run"


def test_a_search_leaves_its_generators_and_the_command_draws_from_them(run: Path, tmp_path: Path) -> None:
    kept = json.loads((run / "generators.json").read_text())
    assert [g["learned_from"]["finished"] for g in kept["generators"]] == [0, 10, 20]
    assert json.loads(nas_("generate", run, "--list", "--json").stdout) == kept
    assert nas_("generate", run, "--list").stdout.splitlines()[-1].startswith("generator 2: learned from the first 20")
    command = ("generate", run, "--preference", "accuracy=0.8,params=0.2", "-n", 6, "--json")
    shown = nas_(*command, "--out", tmp_path / "drawn")
    told = json.loads(shown.stdout)
    assert told["generator"] == 2
    assert told["preference"] == {"accuracy": 0.8, "params": 0.2}
    described = told["architectures"]
    assert len(described) == 6
    for one in described:
        text = (tmp_path / "drawn" / f"{one['id']}.json").read_text()
        architecture = Architecture.from_json(text)
        assert (architecture.id, architecture.cost().params) == (one["id"], one["params"])
        assert json.loads(text) == one["architecture"]
    assert not {one["id"] for one in described} & {c.id for c in nas.open_run(run).candidates}
    again = [sys.executable, "-m", "nas.cli.main", *map(str, command)]
    elsewhere = subprocess.run(
        again, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": "5"}
    )
    assert json.loads(elsewhere.stdout) == told
    other = json.loads(nas_(*command, "--seed", 1).stdout)["architectures"]
    assert [one["id"] for one in other] != [one["id"] for one in described]
    (run / "generators.json").unlink()
    assert nas_("front", run, "--rebuild").exit_code == 0
    assert json.loads((run / "generators.json").read_text()) == kept


def test_the_table_tells_the_costs(run: Path) -> None:
    lines = nas_("generate", run, "-n", 3, "--generator", 1).stdout.splitlines()
    assert "drawn from generator 1, not trained" in lines[0]
    drawn = nas.open_run(run).generators().draw(1, None, 3)
    for architecture, line in zip(drawn, lines[4:7], strict=True):
        cost, layers = architecture.cost(), sum(op.kind in ("conv", "dense") for op in architecture.graph().ops)
        cells = [architecture.id, format_count(cost.params), format_count(cost.macs), str(layers)]
        assert [cell.strip() for cell in line.strip("│").split("│")] == cells


@pytest.mark.parametrize("text", ["accuracy", "accuracy=x", "accuracy=1,accuracy=2", "size=1", "accuracy=0", "=1", ""])
def test_a_preference_that_is_none_is_refused(run: Path, text: str) -> None:
    result = nas_("generate", run, "--preference", text)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_a_tight_bound_gives_what_there_is(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    bound = tmp_path / "bound.yaml"
    bound.write_text("constraints:\n  - {metric: params, max: 1100}\n")
    assert begin(tmp_path / "run", npz, "--constraints", bound, budget=4).exit_code == 0
    result = nas_("generate", tmp_path / "run", "-n", 60, "--generator", 0, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)["architectures"]
    assert 0 < len(found) < 60
    assert all(one["params"] <= 1100 for one in found)
    assert result.stderr.startswith(f"{len(found)} of 60: two thousand draws")
    assert nas_("generate", tmp_path / "run", "--out", bound).exit_code == 2  # a file


def test_any_strategys_run_teaches_generators(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    assert begin(tmp_path / "run", npz, "--sampler", "random", budget=12).exit_code == 0
    assert not (tmp_path / "run" / "generators.json").exists()  # the search made no use of them
    assert (told := nas_("generate", tmp_path / "run", "--list").stdout).count("generator ") == 2
    assert "random proposed without them" in told


def test_a_run_without_results_knows_nothing(run: Path) -> None:
    (run / "study.journal").unlink()
    (run / "front.json").unlink()
    assert len(json.loads(nas_("generate", run, "--json", "-n", 2).stdout)["architectures"]) == 2
    assert nas_("generate", run, "--generator", 1).exit_code == 2


@pytest.mark.parametrize("name", [n for n in NAMES if n != "gp"])
def test_every_strategy_proposes_behind_the_filter(name: str, tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    """At a bound that half of the space's own samples violate."""
    bound = tmp_path / "bound.yaml"
    bound.write_text("constraints:\n  - {metric: params, max: 3000}\n")
    out = tmp_path / "run"
    assert begin(out, npz, "--constraints", bound, "--sampler", name, budget=15).exit_code == 0
    refused = [c for c in nas.open_run(out).candidates[1:] if c.cost.params > 3000]
    assert len(refused) <= (6 if name == "evolution" else 0)  # the prototype lies beyond it: evolution walks there


@pytest.mark.parametrize("bound", [10_000, 15_000])
def test_a_bound_far_below_the_prototype_is_walked_to(tmp_path: Path, bound: int) -> None:
    """No random network is so small; refusals cost nothing, and lead there."""
    indicator = Indicator((Constraint("params", bound, True),))
    plan = Plan(SPACE, indicator, OBJECTIVES, (0.1, 1e6), (Rung(1, 1),), 0, 20)
    study = RunStudy(tmp_path / "study.journal", OBJECTIVES)
    study.use(sampler_for(plan, "synthesis", 0, 0))
    search = Search(plan, study, RunDirectory(tmp_path))
    while (job := search.propose()) is not None:
        measured = {"accuracy": Measurement(0.5 + job.trial / 1e4, 0.4, 0.9, "share", 9, "made up")}
        search.finish(job, Outcome(State.TRAINED, (), measured, "1x1"))
    allowed = [c.trial for c in search.candidates if c.cost.params <= bound]
    assert len(allowed) == 19  # besides the prototype, which is trained all the same
    assert allowed[0] < 50
    assert len(search.candidates) - allowed[0] < 40


def test_a_space_that_forbids_combinations_is_drawn_from() -> None:
    space = {"a": IntDistribution(0, 9), "b": IntDistribution(0, 9)}
    encoding = Encoding(space)

    def canonical(params: Mapping[str, Any]) -> dict[str, Any]:
        if params["a"] > params["b"]:
            raise InputError("a is at most b")
        return dict(params)

    drawn = first_generator(encoding, 1).draw(encoding, np.ones(1), 40, np.random.default_rng(0), None, canonical)
    assert len(drawn) == 40
    assert all(p["a"] <= p["b"] for p in drawn)


@pytest.mark.parametrize("told", [(5.0,), (None, 1.0, 2.0), 3.0, None, "ab", (None, float("inf"))])
def test_values_that_known_objectives_cannot_return(told: object) -> None:
    sampler = SynthesisSampler(
        seed=0, known_objectives=lambda params: told, distributions={"x": FloatDistribution(0, 1)}
    )  # type: ignore[arg-type, return-value]
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    with pytest.raises(InputError, match="for each of the 2 objectives"):
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=3)


def test_a_space_that_cannot_be_had_leaves_the_rest_of_a_run(run: Path) -> None:
    settings = run / "run.yaml"
    text = yaml.safe_load(settings.read_text())
    text["settings"]["space"] |= {"spec": None, "source": "no_such_module:space"}
    settings.write_text(yaml.safe_dump(text))
    assert nas_("front", run, "--rebuild").exit_code == 0
    result = nas_("generate", run)
    assert result.exit_code == 2
    assert "no_such_module" in result.stderr


# ---- the plot


def graphs(count: int) -> list[Graph]:
    rng = np.random.default_rng(0)
    return [SPACE.sample(rng).graph() for _ in range(count)]


def test_layers_come_in_the_order_of_execution() -> None:
    drawn = [Drawn("some", graphs(60))]
    layers, pointwise = layers_of(drawn), pointwise_of(drawn)
    blocks = [f"s{s}b{b}" for s in (1, 2, 3) for b in (1, 2, 3, 4)]
    assert layers == ["stem", *(f"{block}_conv{c}" for block in blocks for c in (1, 2))]
    links = [name for name in pointwise if name.endswith("_link")]
    assert links == [f"{block}_link" for block in blocks[1:]]


def test_widths_are_those_of_the_networks() -> None:
    some = graphs(40)
    drawn = Drawn("some", some)
    for layer, width in zip(layers_of([drawn]), drawn.widths(layers_of([drawn])), strict=True):
        channels = [op.shape[2] for g in some for op in g.ops if op.name == layer]
        assert width is not None
        assert width.share == len(channels) / 40
        assert (width.low, width.middle, width.high) == tuple(np.quantile(channels, [0.25, 0.5, 0.75]))
    assert drawn.widths(["no such layer"]) == [None]


def test_the_plot_shows_the_first_and_the_last(learned: Generators, tmp_path: Path) -> None:
    plotted = learned.plotted()
    labels = [d.label for d in plotted]
    assert labels == [
        f"generator {g} (100 networks)" for g in ("0, knows nothing", "3, even", "3, accuracy", "3, params")
    ]
    sizes = [float(np.median([cost_of(graph).params for graph in d.graphs])) for d in plotted]
    assert sizes[3] < 0.7 * sizes[2]
    files = learned.write_plot(tmp_path, "made up")
    assert [p.name for p in files] == ["generator.png", "generator.svg"]
    assert learned.write_plot(tmp_path / "again", "made up")[1].read_bytes() == files[1].read_bytes()
    with Image.open(files[0]) as image:
        shown = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in ((213, 94, 0), (0, 158, 115), (0, 114, 178), (140, 140, 140)):  # one a set of networks
        assert np.sum(np.abs(shown - colour).max(1) < 12) > 500


def test_nothing_is_drawn_before_a_first_update_or_without_networks(learned: Generators, tmp_path: Path) -> None:
    assert Generators([], SPACE, BOUND, NAMED, 3).write_plot(tmp_path, "made up") == []
    nothing = Indicator((Constraint("params", 1, True),))
    assert Generators(learned._candidates, SPACE, nothing, NAMED, 3).write_plot(tmp_path, "made up") == []
    assert not list(tmp_path.iterdir())
