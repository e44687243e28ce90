"""Rare classes may weigh more, and the mean recall of classes may be what is searched for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import blobs
from typer.testing import CliRunner

from nas import api
from nas.cli.main import app
from nas.data.dataset import Dataset
from nas.errors import DecodeError, InputError
from nas.evaluation.job import recipe_from_json
from nas.evaluation.train import Recipe, Trainer, balanced_weights
from nas.recipes import read_recipe
from nas.space import fit_to_data, load_space


def lopsided() -> Dataset:
    """Bars across are five times as common as each of the others."""
    data = blobs(30)
    person = np.char.replace(data.subjects, "S", "").astype(int) if data.subjects is not None else np.empty(0, int)
    return data.subset(np.flatnonzero((data.labels == 0) | (np.arange(len(data)) % 12 < 3) & (person < 26)))


def test_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 7 + [1] * 2 + [3])
    weights = balanced_weights(labels, 5)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    np.testing.assert_allclose(weights[[0, 1, 3]], expected, rtol=1e-6)
    assert (weights[2], weights[4]) == (1, 1)  # none of these is there
    assert weights[labels].mean() == pytest.approx(1)


def test_the_loss_is_weighed_and_equal_classes_weigh_the_same() -> None:
    space = fit_to_data(load_space("tiny"), (16, 16, 1), 3)
    data = blobs(4)
    few = data.subset(np.flatnonzero((data.labels == 0) | (np.arange(48) < 6)))
    losses = {}
    for weights in ("none", "balanced"):
        trainer = Trainer(space.prototype.graph(), Recipe(batch=100, learning_rate=1e-9, class_weights=weights), 0)
        for name, images in (("even", data), ("lopsided", few)):
            losses[name, weights] = trainer.fit(images.images, images.labels, 1, 0)
    assert losses["even", "none"] == pytest.approx(losses["even", "balanced"], rel=1e-6)
    assert losses["lopsided", "none"] != pytest.approx(losses["lopsided", "balanced"], rel=1e-3)


def test_a_recipe_file_names_them(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("recipe: {class_weights: balanced}")
    assert read_recipe(path) == Recipe(class_weights="balanced")
    path.write_text("recipe: {class_weights: some}")
    with pytest.raises(InputError, match=r":1: recipe\.class_weights"):
        read_recipe(path)
    assert recipe_from_json({"augmentation": {}}).class_weights == "none"


@pytest.mark.slow
def test_balanced_accuracy_is_searched_for(tmp_path: Path) -> None:
    data, out = lopsided(), tmp_path / "run"
    np.savez(tmp_path / "d.npz", x=data.images, y=data.labels, subject=data.subjects, classes=list(data.class_names))
    options = ["--space", "tiny", "--constraints", "none", "--executor", "local", "--workers", "1", "--folds", "3"]
    options += ["--objectives", "balanced_accuracy,params", "--class-weights", "balanced", "--sampler", "random"]
    options += ["--budget", "1", "--effort", "1x6", "--no-probe", "--data", str(tmp_path / "d.npz"), "--out", str(out)]
    result = CliRunner().invoke(app, ["search", *options])
    assert result.exit_code == 0, result.output
    run = api.open_run(out)
    assert run.settings.recipe.class_weights == "balanced"
    front = run.front.to_json({}, {})
    assert front["objectives"][0] == {"name": "balanced_accuracy", "direction": "maximize"}
    assert front["reference_point"][0] == pytest.approx(1 / 3)
    for member in run.front.members:
        recall = run.explain(member.id)["by_class"]["recall"]
        assert member.value("balanced_accuracy") == pytest.approx(np.mean(recall))
    recorded = yaml.safe_load((out / "run.yaml").read_text())
    recorded["settings"]["recipe"]["class_weights"] = "odd"
    with pytest.raises(DecodeError, match="class_weights 'odd' is neither none nor balanced"):
        type(run.settings).from_json(recorded["settings"])
