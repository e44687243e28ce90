"""Recipes: what their numbers do, how files of them are read, and how they are tuned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from make_run import make_run
from test_cli import nas, refused

from nas.data.dataset import Dataset
from nas.errors import DecodeError, InputError
from nas.evaluation.augment import Augmentation, augment
from nas.evaluation.job import recipe_from_json
from nas.evaluation.train import Recipe, Trainer, cross_entropy, decayed
from nas.networks.build import get_weights
from nas.recipes import read_recipe, write_recipe
from nas.rung import Rung
from nas.settings import Settings
from nas.space import load_space
from nas.tuning import Tried, TuneOptions, ranges, recipe_of, tune

TUNED = Recipe(8, 1e-3, Augmentation(0.1, 0.05, 0.2, False), label_smoothing=0.1, weight_decay=0.05)


def test_label_smoothing_is_the_cross_entropy_with_smoothed_targets() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 2, (6, 5)).astype(np.float32), rng.integers(0, 5, 6)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    for smoothing in (0.0, 0.1, 0.9):
        targets = (1 - smoothing) * np.eye(5)[labels] + smoothing / 5
        expected = -(targets * log_p).sum(1)
        np.testing.assert_allclose(cross_entropy(labels, logits, smoothing).numpy(), expected, rtol=1e-5)


def operators(recipe: Recipe) -> list[str]:
    """Kinds of the operators of the epoch function, loops included."""
    graph = (
        Trainer(load_space("tiny").prototype.graph(), recipe, 0)
        ._fitter._epoch.get_concrete_function()
        .graph.as_graph_def()
    )
    functions = [node.op for function in graph.library.function for node in function.node_def]
    return sorted([node.op for node in graph.node] + functions)


def test_what_is_zero_is_not_in_the_graph() -> None:
    plain = operators(Recipe())
    assert "LogSoftmax" not in plain
    assert "LogSoftmax" in operators(Recipe(label_smoothing=0.1))
    # Running means and variances are moved by a subtraction too; decay adds one for each kernel.
    kernels = sum(op.kind in ("conv", "depthwise", "dense") for op in load_space("tiny").prototype.graph().ops)
    shrunk = operators(Recipe(weight_decay=0.1)).count("AssignSubVariableOp") - plain.count("AssignSubVariableOp")
    assert shrunk == kernels > 3


def one_step(dataset: Dataset, decay: float) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    trainer = Trainer(load_space("tiny").prototype.graph(), Recipe(batch=24, weight_decay=decay), seed=3)
    before = get_weights(trainer.model)
    trainer.fit(dataset.images[:24], dataset.labels[:24], epochs=1, fold=0)
    return trainer.model, before, get_weights(trainer.model)


def test_weight_decay_takes_its_share_off_the_kernels_alone(dataset: Dataset) -> None:
    model, before, plain = one_step(dataset, 0.0)
    _, _, shrunk = one_step(dataset, 0.5)
    rate = 2e-3 * 0.1  # the only epoch of one lies at 100 of the paper's 200
    kernels = {name for name in before if name.endswith("kernel")}
    assert len(decayed(model.trainable_variables)) == len(kernels)
    for name, value in before.items():
        taken = plain[name] - shrunk[name]
        expected = rate * 0.5 * value if name in kernels else np.zeros_like(value)
        np.testing.assert_allclose(taken, expected, atol=2e-7, err_msg=name)
    assert max(np.abs(plain[n] - shrunk[n]).max() for n in kernels) > 5e-5


def test_augmentation_of_strength_zero_moves_nothing(dataset: Dataset) -> None:
    images = dataset.images[:8].astype(np.float32) / 255
    usual = Augmentation(flip=False)
    np.testing.assert_allclose(augment(images, (1, 2), usual.scaled(0.0)).numpy(), images, atol=1e-6)
    assert np.abs(augment(images, (1, 2), usual.scaled(0.5)).numpy() - images).max() > 0.05
    assert usual.scaled(1.0) == usual
    assert usual.scaled(2.0) == Augmentation(0.34, 0.16, 0.2, False)


def test_recipes_of_older_runs_are_read() -> None:
    old = {"batch": 4, "learning_rate": 0.01, "augmentation": asdict(Augmentation(flip=False))}
    assert recipe_from_json(old) == Recipe(4, 0.01, Augmentation(flip=False), 0.0, 0.0)
    assert recipe_from_json(asdict(TUNED)) == TUNED


def test_run_yaml_keeps_the_recipe_and_refuses_what_is_none(tmp_path: Path, npz: Path) -> None:
    settings = replace(make_run(tmp_path / "run", npz).settings, recipe=TUNED)
    data = settings.to_json()
    assert Settings.from_json(data).recipe == TUNED
    old = {name: value for name, value in data["recipe"].items() if name not in ("label_smoothing", "weight_decay")}
    assert Settings.from_json(data | {"recipe": old}).recipe == replace(TUNED, label_smoothing=0.0, weight_decay=0.0)
    for name, value in (("label_smoothing", 1.0), ("weight_decay", -0.1), ("weight_decay", "much")):
        with pytest.raises(DecodeError, match=name):
            Settings.from_json(data | {"recipe": data["recipe"] | {name: value}})


def test_a_recipe_file_holds_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    write_recipe(path, TUNED, "found\nsomewhere")
    assert path.read_text().startswith("# found\n# somewhere\nrecipe:\n")
    assert read_recipe(path) == TUNED
    path.write_text("recipe: {learning_rate: 0.01}\n")
    assert read_recipe(path) == Recipe(learning_rate=0.01)
    path.write_text("recipe: {learning_rate: 3e-3, weight_decay: 1.5E-4}\n")  # words to YAML 1.1
    assert read_recipe(path) == Recipe(learning_rate=0.003, weight_decay=0.00015)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("recipe: {learning_rate: 0}", ("recipe.learning_rate", "greater than 0")),
        ("recipe: {label_smoothing: 1.0}", ("recipe.label_smoothing", "less than 1")),
        ("recipe:\n  weight_decay: -0.1", (":2:", "recipe.weight_decay", "greater than or equal to 0")),
        ("recipe: {batch: 2.5}", ("recipe.batch", "integer")),
        ("recipe: {augmentation: {zoom: .inf}}", ("recipe.augmentation.zoom", "finite")),
        ("recipe: {momentum: 0.9}", ("recipe.momentum", "unknown key")),
        ("learning_rate: 0.1", ("learning_rate", "unknown key")),
    ],
)
def test_faulty_recipe_files_are_refused(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_recipe(path)
    for word in (str(path), *words):
        assert word in str(error.value)


def test_bad_input_ends_with_exit_code_2(tmp_path: Path, npz: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("recipe: {weight_decay: 7}")
    refused(nas("search", "--data", npz, "--recipe", path, "--out", tmp_path / "run"), f"{path}:1", "weight_decay")
    assert not (tmp_path / "run").exists()
    refused(nas("search", "--data", npz, "--recipe", tmp_path / "none.yaml", "--out", tmp_path / "run"), "none.yaml")
    refused(nas("tune", "--data", npz, "--effort", "9x1", "--out", tmp_path / "t"), "9x1", "5 folds")
    refused(nas("tune", "--data", npz, "--trials", "0", "--out", tmp_path / "t"), "trials 0")
    refused(nas("tune", "--data", npz, "--time", "-3s", "--out", tmp_path / "t"), "-3s")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    refused(nas("tune", "--data", npz, "--space", "tiny", "--out", tmp_path / "mine"), "mine", "no tuning")


def test_the_tuned_values_are_those_of_the_recipe() -> None:
    found = recipe_of(Recipe(), {"learning_rate": 0.01, "label_smoothing": 0.1, "augmentation": 2, "weight_decay": 0.2})
    assert found == Recipe(8, 0.01, Augmentation(0.34, 0.16, 0.2), 0.1, 0.2)
    assert set(ranges()) == {"learning_rate", "label_smoothing", "augmentation", "weight_decay"}


OPTIONS = TuneOptions(effort=Rung(1, 1), folds=3)


@pytest.mark.slow
def test_a_tuning_goes_on_with_the_proposals_it_would_have_made(tmp_path: Path, npz: Path) -> None:
    seen: list[Tried] = []
    whole = tune(space="tiny", dataset=npz, trials=3, out=tmp_path / "a", options=OPTIONS, listener=seen.append)
    assert [t.number for t in seen] == [0, 1, 2]
    assert list(whole.tried) == seen
    assert whole.default == seen[0]
    assert seen[0].recipe == Recipe()
    assert len({t.recipe.learning_rate for t in seen}) == 3
    assert whole.best.accuracy == max(t.accuracy or 0 for t in seen)
    assert read_recipe(whole.path) == whole.best.recipe
    head = (tmp_path / "a" / "recipe.yaml").read_text()
    assert f"{whole.best.accuracy:.1%}" in head and f"{seen[0].accuracy:.1%}" in head and "optimistic" in head

    class Stop(Exception):
        pass

    def stop(tried: Tried) -> None:
        if tried.number == 1:
            raise Stop

    with pytest.raises(Stop):
        tune(space="tiny", dataset=npz, trials=3, out=tmp_path / "b", options=OPTIONS, listener=stop)
    with (tmp_path / "b" / "tune.journal").open("ab") as journal:
        journal.write(b'{"op_code": 5, "wor')  # a power cut
    again = tune(space="tiny", dataset=npz, trials=3, out=tmp_path / "b", options=OPTIONS)
    assert [t.recipe for t in again.tried] == [t.recipe for t in whole.tried]
    assert [t.accuracy for t in again.tried] == [t.accuracy for t in whole.tried]
    more = tune(space="tiny", dataset=npz, trials=3, out=tmp_path / "b", options=OPTIONS)
    assert more == again
    with pytest.raises(InputError, match="another effort"):
        tune(space="tiny", dataset=npz, out=tmp_path / "b", options=replace(OPTIONS, effort=Rung(1, 2)))


@pytest.mark.slow
def test_a_killed_trial_is_tried_again_and_a_search_takes_the_recipe(tmp_path: Path, npz: Path) -> None:
    out, run = tmp_path / "t", tmp_path / "run"
    words = ["tune", "--data", npz, "--space", "tiny", "--effort", "1x1", "--trials", "2", "--out", out, "--no-flip"]
    process = subprocess.Popen([sys.executable, "-m", "nas.cli.main", *map(str, words)], stdout=subprocess.PIPE)
    journal = out / "tune.journal"
    while not (journal.exists() and b"weight_decay" in journal.read_bytes()) and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (out / "recipe.yaml").exists()
    result = nas(*words)
    assert result.returncode == 0, result.stderr
    assert "best of 2 recipes at effort 1x1" in result.stdout
    recipe = read_recipe(out / "recipe.yaml")
    assert not recipe.augmentation.flip
    write_recipe(out / "recipe.yaml", replace(TUNED, batch=16), "changed by hand")
    short = ["--space", "tiny", "--constraints", "none", "--effort", "1x1", "--budget", "1", "--executor", "local"]
    result = nas("search", "--data", npz, *short, "--recipe", out / "recipe.yaml", "--out", run)
    assert result.returncode == 0, result.stderr
    recorded = yaml.safe_load((run / "run.yaml").read_text())["settings"]["recipe"]
    assert recipe_from_json(recorded) == replace(TUNED, batch=16)
