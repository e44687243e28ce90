"""The command line as a user meets it: exit codes, messages, no tracebacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.api import open_run

CARDS = ("architecture.json", "card.md", "card.json")


def nas(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nas.cli.main", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("error:")]) == 1


def test_help_teaches(tmp_path: Path) -> None:
    for command in ([], ["search"], ["resume"], ["export"], ["data", "synth"]):
        result = nas(*command, "--help")
        assert result.returncode == 0
    assert "nas search --data" in nas("search", "--help").stdout
    assert nas("--version").stdout.startswith("nanosynth ")


def test_presets_resolve_from_any_folder(tmp_path: Path) -> None:
    listed = nas("spaces", cwd=tmp_path).stdout
    assert "273,559 parameters" in listed and "\n    inverted bottlenecks (MobileNetV2" in listed
    shown = nas("spaces", "show", "tiny", cwd=tmp_path)
    assert shown.stdout == (Path(__file__).parents[1] / "search_spaces" / "tiny.yaml").read_text()
    assert "accuracy >= 0.92" in nas("constraints", cwd=tmp_path).stdout
    refused(nas("spaces", "show", "tinny"), "did you mean 'tiny'")


def test_a_missing_path(tmp_path: Path) -> None:
    refused(nas("search", "--data", tmp_path / "nothing", "--out", tmp_path / "run"), "nothing")
    assert not (tmp_path / "run").exists()


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(nas("search", "--data", tmp_path / "empty", "--out", tmp_path / "run"), "empty")
    assert not (tmp_path / "run").exists()


def test_a_wrong_yaml_key(tmp_path: Path, npz: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("constraints:\n  - {metric: params, maximum: 3}\n")
    refused(nas("search", "--data", npz, "--constraints", path, "--out", tmp_path / "run"), f"{path}:2", "maximum")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--effort", "8"], ["FOLDSxEPOCHS"]),
        (["--effort", "9x1"], ["5 folds"]),
        (["--time", "soon"], ["quantity"]),
        (["--budget", "0"], ["at least 1"]),
        (["--objectives", "beauty"], ["beauty", "accuracy"]),
        (["--sampler", "annealing"], ["annealing", "evolution"]),
        (["--space", "no.module:thing"], ["package.module:object"]),
        (["--workers", "0"], ["workers 0"]),
        (["--holdout", "0.9"], ["holdout"]),
    ],
)
def test_options_out_of_range(tmp_path: Path, npz: Path, options: list[str], words: list[str]) -> None:
    refused(nas("search", "--data", npz, "--space", "tiny", "--out", tmp_path / "run", *options), *words)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_none(tmp_path: Path) -> None:
    for command in ("resume", "front", "explain", "plot", "export"):
        refused(nas(command, tmp_path / "nowhere"), "no such run")
    (tmp_path / "run.yaml").write_text("schema: 99\n")
    refused(nas("front", tmp_path), "upgrade")
    (tmp_path / "run.yaml").write_text("schema: [\n")
    refused(nas("front", tmp_path), "not valid YAML")


def test_an_output_folder_that_is_not_empty(tmp_path: Path, npz: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    refused(nas("search", "--data", npz, "--out", tmp_path), "not empty")
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_inspect_as_json(npz: Path) -> None:
    found = json.loads(nas("data", "inspect", npz, "--json").stdout)
    keys = ["kind", "images", "height", "width", "channels", "classes", "subjects", "sequences", "fingerprint"]
    assert list(found)[:10] == [*keys, "warnings"]
    assert (found["kind"], found["images"], found["subjects"]) == ("npz", 240, 20)
    assert found["classes"] == {"across": 80, "down": 80, "square": 80}


@pytest.mark.slow
def test_a_search_on_class_folders_from_plain_lines_to_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 128)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(low, low + 128, (20, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    out = tmp_path / "run"
    result = nas(
        *("search", "--space", "tiny", "--data", tmp_path / "photos", "--constraints", "none", "--out", out),
        *(
            "--budget",
            2,
            "--effort",
            "1x2",
            "--executor",
            "local",
            "--workers",
            1,
            "--objectives",
            "accuracy,latency_ms",
        ),
    )
    assert result.returncode == 0, result.stderr
    assert "not subject-independent" in result.stdout
    assert f"nas resume {out}" in result.stdout
    front = json.loads(nas("front", out, "--json").stdout)
    assert front == json.loads((out / "front.json").read_text())
    assert [o["name"] for o in front["objectives"]] == ["accuracy", "latency_ms"]
    table = nas("front", out, "--csv").stdout.splitlines()
    assert len(table) == 1 + len(front["members"])
    assert "trained" in nas("explain", out).stdout
    assert front["members"][0]["id"] in nas("explain", out, front["members"][0]["id"]).stdout
    refused(nas("explain", out, "zzzz"), "no candidate")
    refused(nas("export", out, "--pick", "best"), "best")
    refused(nas("export", out, "--format", "caffe"), "caffe", "tflite")
    refused(nas("resume", out), "budget of 2 candidates is used")
    made = nas("export", out, "--pick", "all", "--format", "all", "--out", tmp_path / "shipped").stdout.splitlines()
    assert all(Path(line).is_file() for line in made)
    files = ("keras", "tflite", "f16.tflite", "dynamic.tflite", "int8.tflite", "onnx")
    assert {Path(line).name for line in made} == {*(f"model.{end}" for end in files), *CARDS}
    assert len(made) == 9 * len(front["members"])
    card = json.loads(Path(made[-1]).read_text())
    assert [f["compared_on"] for f in card["files"].values()] == ["out-of-fold images of fold 0"] * 6
    (tmp_path / "photos").rename(tmp_path / "moved")
    refused(nas("export", out, "--format", "tflite-int8"), "photos", "--data")
    run = open_run(out)
    made = run.export("smallest", ["tflite-f16"], tmp_path / "noise")
    assert "photos: the run's data is not there" in json.loads(made[-1].read_text())["not_run_on_data"]
    made = run.export("smallest", ["tflite-f16"], tmp_path / "noise", dataset=tmp_path / "moved")
    card = json.loads(made[-1].read_text())
    assert "not_run_on_data" not in card and "accuracy" in card["files"]["tflite-f16"]
