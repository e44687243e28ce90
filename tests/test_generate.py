"""New architectures from what a run has learned: the family of generators, after the search and in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fabricated import Fabrication, begin, nas_

import nas
from nas.architecture import Architecture
from nas.errors import InputError
from nas.family import GeneratorFamily
from nas.graph import Graph
from nas.indicator import Constraint, Indicator
from nas.loop import Plan, Search
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.report.widths import Drawn, layers_of, pointwise_of
from nas.run.candidate import Outcome, State
from nas.run.directory import RunDirectory
from nas.run.study import EFFORT, RunStudy, told_study
from nas.rung import Rung
from nas.space import load_space
from nas.synthesis.generator import Generator
from nas.synthesis.history import effort_of
from nas.synthesis.sampler import SynthesisSampler
from nas.synthesis.samplers import NAMES, sampler_for

SPACE = load_space("emotionnet-nano")
BOUND = Indicator((Constraint("params", 300_000, True),))
NAMED = ("accuracy", "params")
OBJECTIVES = objectives_of(NAMED)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, RunStudy, SynthesisSampler]:
    """Forty made-up evaluations: more parameters help."""
    folder = tmp_path_factory.mktemp("searched")
    plan = Plan(SPACE, BOUND, OBJECTIVES, (0.1, 1e6), Rung(2, 3), 0, 40)
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
def family(searched: tuple[Search, RunStudy, SynthesisSampler]) -> GeneratorFamily:
    return GeneratorFamily(searched[0].candidates, SPACE, BOUND, NAMED, 3)


def test_the_family_comes_out_as_it_was_in_the_search(
    searched: tuple[Search, RunStudy, SynthesisSampler], family: GeneratorFamily
) -> None:
    _, study, sampler = searched
    live = [g.to_json() for g in sampler.generators(study._memory)]
    assert [g.to_json() for g in family.generators] == live
    assert [g["learned_from"]["finished"] for g in live] == [0, 10, 20, 30]
    kept = json.loads(json.dumps(family.to_json()))
    assert kept["objectives"] == list(NAMED)
    for written, generator in zip(kept["generators"], family.generators, strict=True):
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
    searched: tuple[Search, RunStudy, SynthesisSampler], family: GeneratorFamily
) -> None:
    tried = {c.id for c in searched[0].candidates}
    medians = {}
    for name in NAMED:
        drawn = family.draw(-1, {name: 1.0}, 100)
        assert len({a.id for a in drawn}) == 100
        assert not {a.id for a in drawn} & tried
        assert all(a.cost().params <= 300_000 for a in drawn)
        medians[name] = np.median([a.cost().params for a in drawn])
    assert medians["params"] < 0.7 * medians["accuracy"]
    first = [np.median([a.cost().params for a in family.draw(0, {name: 1.0}, 100)]) for name in NAMED]
    assert first[0] == pytest.approx(first[1], rel=0.35)  # it has learned nothing
    assert [a.id for a in family.draw(-1, None, 5)] == [a.id for a in family.draw(3, None, 5)]
    assert [a.id for a in family.draw(-1, None, 5)] != [a.id for a in family.draw(-1, None, 5, seed=1)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((4,), "this run has 0 to 3"),
        ((-5,), "this run has 0 to 3"),
        ((0, None, 0), "from 1 to 10,000"),
        ((0, {"macs": 1.0}), "'macs' is no objective; use some of accuracy, params"),
        ((0, {"accuracy": -1.0}), "at least 0"),
    ],
)
def test_impossible_draws_are_refused(family: GeneratorFamily, arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        family.draw(*arguments)  # type: ignore[arg-type]


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
    described = json.loads(shown.stdout)
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
    assert json.loads(elsewhere.stdout) == described
    table = nas_("generate", run, "-n", 3).stdout
    assert "drawn from generator 2, not trained" in table


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
    found = json.loads(result.stdout)
    assert 0 < len(found) < 60
    assert all(one["params"] <= 1100 for one in found)
    assert f"only {len(found)} of 60" in result.stderr


def test_any_strategys_run_teaches_generators(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    assert begin(tmp_path / "run", npz, "--sampler", "random", budget=12).exit_code == 0
    assert not (tmp_path / "run" / "generators.json").exists()  # the search made no use of them
    assert nas_("generate", tmp_path / "run", "--list").stdout.count("generator") == 2


def test_a_run_without_results_knows_nothing(run: Path) -> None:
    (run / "study.journal").unlink()
    (run / "front.json").unlink()
    assert len(json.loads(nas_("generate", run, "--json", "-n", 2).stdout)) == 2
    assert nas_("generate", run, "--generator", 1).exit_code == 2


@pytest.mark.parametrize("name", [n for n in NAMES if n != "gp"])
def test_every_strategy_proposes_behind_the_filter(name: str, tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    bound = tmp_path / "bound.yaml"
    bound.write_text("constraints:\n  - {metric: params, max: 6000}\n")
    out = tmp_path / "run"
    assert begin(out, npz, "--constraints", bound, "--sampler", name, budget=15).exit_code == 0
    refused = [c for c in nas.open_run(out).candidates[1:] if c.cost.params > 6000]
    assert not refused


# ---- the plot


def graphs(count: int) -> list[Graph]:
    rng = np.random.default_rng(0)
    return [SPACE.sample(rng).graph() for _ in range(count)]


def test_layers_come_in_the_order_of_execution() -> None:
    drawn = [Drawn("some", graphs(60))]
    layers, pointwise = layers_of(drawn), pointwise_of(drawn)
    blocks = [f"s{s}b{b}" for s in (1, 2, 3) for b in (1, 2, 3, 4)]
    assert layers == ["stem", *(f"{block}_conv{c}" for block in blocks for c in (1, 2))]
    assert [n for n in pointwise if n.endswith("_link")] == sorted(n for n in pointwise if n.endswith("_link"))


def test_widths_are_those_of_the_networks() -> None:
    some = graphs(40)
    drawn = Drawn("some", some)
    for layer, width in zip(layers_of([drawn]), drawn.widths(layers_of([drawn])), strict=True):
        channels = [op.shape[2] for g in some for op in g.ops if op.name == layer]
        assert width is not None
        assert width.share == len(channels) / 40
        assert (width.low, width.middle, width.high) == tuple(np.quantile(channels, [0.25, 0.5, 0.75]))
    assert drawn.widths(["no such layer"]) == [None]


def test_the_plot_is_drawn_from_the_first_update_on(family: GeneratorFamily, tmp_path: Path) -> None:
    files = family.write_plot(tmp_path, "made up")
    assert [p.name for p in files] == ["generator.png", "generator.svg"]
    assert family.write_plot(tmp_path / "again", "made up")[1].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith(b"\x89PNG")
    untaught = GeneratorFamily([], SPACE, BOUND, NAMED, 3)
    assert untaught.write_plot(tmp_path / "none", "made up") == []
