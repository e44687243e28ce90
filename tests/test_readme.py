"""README's commands, word for word but for the size of the search and the names of the user's files."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data.dataset import Dataset
from nas.deploy.sentinel import sentinel
from nas.evaluation.augment import Augmentation
from nas.evaluation.train import Recipe
from nas.indicator import load_indicator
from nas.recipes import read_recipe

README = (Path(__file__).parents[1] / "README.md").read_text()
SMALL = ["--effort", "1x2", "--executor", "local"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(part) for line in lines for part in line.split("&&") if part.strip()]


def test_the_two_commands_are_those_that_ci_runs() -> None:
    words = [" ".join(c) for c in commands()]
    assert "pip install ." in words
    assert "nas search" in words
    assert "pytest" in words
    ci = (Path(__file__).parents[1] / ".ci" / "run").read_text()
    assert "'.[dev]'" in ci
    assert re.findall(r"pytest [^\n]*tests\.log.*", ci) == [
        'pytest 2>&1 | tee "$work/tests.log" || status=$?'
    ]  # all of it
    assert ci.rstrip().endswith('tail -n 3 "$work/tests.log"\nexit $status')


def test_the_constraints_shown_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(blocks("yaml")[0])
    assert [c.metric for c in load_indicator(path).constraints] == ["params", "latency_ms", "accuracy"]


def test_the_recipe_shown_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(blocks("yaml")[1])
    assert read_recipe(path) == Recipe(
        learning_rate=0.003, label_smoothing=0.1, augmentation=Augmentation(rotation=0.1, flip=False)
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    """The files that README's user has."""
    root = tmp_path_factory.mktemp("user")
    for i, (image, label) in enumerate(zip(dataset.images, dataset.labels, strict=True)):
        folder = root / "photos" / dataset.class_names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(folder / f"{i}.png")
    np.savez(root / "faces.npz", x=dataset.images, y=dataset.labels, classes=np.array(dataset.class_names))
    (root / "model.tflite").write_bytes(sentinel())
    top = Path(__file__).parents[1]
    (root / "my-space.yaml").write_text((top / "search_spaces" / "tiny.yaml").read_text())
    (root / "my-limits.yaml").write_text((top / "constraints" / "emotionnet-nano.yaml").read_text())
    return root


def smaller(words: list[str]) -> list[str]:
    """The same command at the size of a test."""
    if words[:2] == ["nas", "search"]:
        words = [w for i, w in enumerate(words) if w not in ("--budget", "--time", "--effort") and
                 words[i - 1] not in ("--budget", "--time", "--effort")]  # fmt: skip
        words += [*SMALL, "--budget", "2"]
        words += [] if "--space" in words else ["--space", "tiny"]
        words += [] if "--data" in words else ["--data", "faces.npz"]
    if words[:2] == ["nas", "tune"]:
        words = [
            *words,
            "--trials",
            "2",
            "--effort",
            "1x1",
            "--space",
            "tiny",
        ]  # of an option given twice the last counts
    if words[:2] == ["nas", "resume"]:
        words = [*words[:3], "--budget", "+1"]
    if words[:2] == ["nas", "certify"] and "--check" not in words:
        words += ["--folds", "2", "--epochs", "1", "--seeds", "1", "--executor", "local"]
    if words[:2] == ["nas", "compress"]:
        words += ["--epochs", "1", "--method", "prune:0.8"]
    if words[:2] == ["nas", "compare"]:
        words += ["--epochs", "1", "--folds", "2", "--pick", "smallest", "--executor", "local"]
    if words[:2] == ["nas", "export"]:
        words = ["smallest" if word == "all" and words[i - 1] == "--pick" else word for i, word in enumerate(words)]
    return words


@pytest.mark.slow
def test_every_nas_command_runs(workplace: Path) -> None:
    run = ""
    ran = 0
    for words in commands():
        if words[0] != "nas" or "CKPLUS" in words or "--ray-address" in words:  # tests/test_cluster.py has a cluster
            continue
        issued = sorted((workplace / (run or "none")).glob("models/*/certificate*.json"))
        places = {"RUN": run, "CERTIFICATE": str(issued[0]) if issued else ""}
        actual = smaller([places.get(w, w) for w in words])
        result = subprocess.run(
            [sys.executable, "-m", "nas.cli.main", *actual[1:]], capture_output=True, text=True, cwd=workplace
        )
        assert result.returncode == 0, f"{actual}: {result.stderr}"
        if words == ["nas", "search"]:
            run = re.findall(r"^run: (\S+)", result.stdout, re.MULTILINE)[0]
        ran += 1
    assert ran >= 9


def test_the_sampler_works_in_a_study_as_shown() -> None:
    shown: list[object] = []
    exec(blocks("python")[1], {"print": shown.append})  # our own README
    assert shown[0] == 20  # every width is a trade-off of its own, and none is tried twice


@pytest.mark.slow
def test_the_python_shown_runs(workplace: Path) -> None:
    code = blocks("python")[0]
    assert 'space="emotionnet-nano"' in code
    code = code.replace('space="emotionnet-nano"', 'space="tiny"').replace('"synthetic"', '"faces.npz"')
    code = code.replace("time_s=300", 'budget=2, executor="local"').replace("time_s=3600", "budget=1")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=workplace)
    assert result.returncode == 0, result.stderr
    members = [line.split() for line in result.stdout.splitlines()]
    assert members and all(0 <= float(accuracy) <= 1 and int(params) > 0 for _, accuracy, params, _ in members)
