"""Damaged run directories: everything that reads one, and the reading half of a resume."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fuzzing import altered, damaged, fuzz, law, odd_values
from hypothesis import given
from hypothesis import strategies as st
from make_run import make_run
from sklearn.model_selection import StratifiedKFold  # noqa: F401 - imported here, so that no input is blamed for it

from nas.api import open_run
from nas.loop import Plan, Search
from nas.pareto import objectives_of
from nas.report.explain_text import candidate_lines, summary_lines
from nas.run.candidate import State
from nas.run.predictions import PREDICTIONS, Predictions
from nas.run.study import RunStudy
from nas.settings import materials_of
from nas.synthesis.samplers import make_sampler

NUMBER = itertools.count()


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory, npz: Path) -> Path:
    return make_run(tmp_path_factory.mktemp("run") / "valid", npz).path


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def copied(valid: Path, top: Path) -> Path:
    """A copy of the valid run; the one before it goes."""
    number = next(NUMBER)
    shutil.rmtree(top / str(number - 1), ignore_errors=True)
    return Path(shutil.copytree(valid, top / str(number)))


def read_all(path: Path) -> int:
    """All that the commands front, explain and resume read of a run; returns the number of candidates."""
    run = open_run(path)
    front = run.front
    json.dumps(front.to_json(), allow_nan=False)
    front.to_csv().encode()
    assert front.headline() and run.caption
    assert run.baseline is None or 0 <= run.baseline <= 1
    assert summary_lines(run.explain())
    assert run.holding() is None or run.alike() is None or len(run.alike() or ()) == 2
    candidates = run.candidates
    for candidate in candidates[-2:]:
        assert candidate_lines(json.loads(json.dumps(run.explain(candidate.id))))
    return len(candidates)


def read_for_resume(path: Path) -> int:
    """What a resume reads before it starts anything."""
    run = open_run(path)
    settings = run._extended(3, None)
    materials = materials_of(settings)
    objectives = objectives_of(settings.objectives)
    sampler = make_sampler(settings.sampler, materials.space, settings.seed)
    study = RunStudy(run.directory.journal, objectives, sampler)
    point = run._reference_point(len(objectives))
    plan = Plan(materials.space, materials.indicator, objectives, point, settings.ladder, settings.seed, None, 1)
    return len(Search(plan, study, run.directory).candidates)


def check(target: str, given_here: object, valid: Path, top: Path, write: Any) -> None:
    for name, read in (("read", read_all), ("resume", read_for_resume)):
        path = copied(valid, top)
        write(path)
        law(f"{target}, {name}", given_here, lambda: read(path))  # noqa: B023 - called at once


@st.composite
def run_files(draw: st.DrawFn, content: bytes) -> bytes:
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(content, most=2))
    data = draw(altered(yaml.safe_load(content), most=2))
    return yaml.safe_dump(data, allow_unicode=True).encode(errors="surrogatepass")


@fuzz
@given(data=st.data())
def test_run_yaml(valid: Path, top: Path, data: st.DataObject) -> None:
    content = data.draw(run_files((valid / "run.yaml").read_bytes()))
    check("run.yaml of a run", content, valid, top, lambda path: (path / "run.yaml").write_bytes(content))


@st.composite
def journals(draw: st.DrawFn, content: bytes) -> bytes:
    """Lines altered, swapped, repeated or left out; foreign ones put in; bytes damaged."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(content, most=2))
    lines: list[bytes] = content.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(lines) - 1))
        what = draw(st.sampled_from(["alter", "alter", "alter", "swap", "repeat", "remove", "foreign"]))
        if what == "alter":
            lines[at] = json.dumps(draw(altered(json.loads(lines[at]), most=2))).encode() + b"\n"
        elif what == "swap":
            lines[at], lines[0] = lines[0], lines[at]
        elif what == "repeat":
            lines.insert(at, lines[at])
        elif what == "remove" and len(lines) > 1:
            del lines[at]
        else:
            foreign = draw(
                st.one_of(
                    odd_values.map(json.dumps), st.sampled_from(["[" * 5000 + "]" * 5000, "{}", '{"op_code": 99}'])
                )
            )
            lines.insert(at, foreign.encode() + b"\n")
    return b"".join(lines)


@fuzz
@given(data=st.data())
def test_journals(valid: Path, top: Path, data: st.DataObject) -> None:
    content = data.draw(journals((valid / "study.journal").read_bytes()))
    check("study.journal", content, valid, top, lambda path: (path / "study.journal").write_bytes(content))


@pytest.fixture(scope="module")
def predicted(valid: Path, top: Path) -> Path:
    """The valid run, with predictions of its trained candidates."""
    path = Path(shutil.copytree(valid, top / "predicted"))
    run = open_run(path)
    shares = np.random.default_rng(0).random((60, 3)).astype(np.float32)
    kept = Predictions(np.arange(60), shares, shares.argmax(1).astype(np.int64), np.arange(60) // 6)
    for candidate in run.candidates:
        if candidate.state is State.TRAINED:
            run.directory.store(candidate.id, {PREDICTIONS: kept.to_bytes()})
    return path


@fuzz
@given(data=st.data())
def test_predictions(predicted: Path, top: Path, data: st.DataObject) -> None:
    run = open_run(predicted)
    chosen = [c.id for c in run.candidates if c.state is State.TRAINED]
    assert run.explain(chosen[-1])["by_class"]["recall"] == [1.0, 1.0, 1.0]
    place = run.directory.model_file(data.draw(st.sampled_from(chosen)), PREDICTIONS).relative_to(predicted)
    content = data.draw(damaged((predicted / place).read_bytes(), most=3))

    def explain_all() -> None:
        path = copied(predicted, top)
        (path / place).write_bytes(content)
        read_all(path)
        for name in chosen:
            assert candidate_lines(json.loads(json.dumps(open_run(path).explain(name), allow_nan=False)))

    law("predictions.npz", content, explain_all)


names = st.one_of(
    st.sampled_from(
        ["front.json", "front.csv", "events.jsonl", "fronts/0000.json", "fronts/9.json", "models/x", "plots"]
    ),
    st.sampled_from(
        ["models", "fronts", ".lock", "study.journal", "run.yaml", "models/../x", "models/a b/architecture.json"]
    ),
    st.text(min_size=1, max_size=6).map(lambda t: f"models/{t}").filter(lambda t: "\0" not in t),
    st.text("0123456789²١", min_size=1, max_size=300).map(lambda t: f"fronts/{t}.json"),
)
kinds = st.sampled_from(["junk", "empty", "folder", "self", "dangling", "out", "pipe"])


def put(path: Path, name: str, kind: str, outside: Path) -> None:
    place = path / name
    try:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            place.mkdir()
        elif kind in ("junk", "empty"):
            place.write_bytes(b"\xff[{]\n" if kind == "junk" else b"")
        elif kind == "pipe":
            os.mkfifo(place)
        else:
            place.symlink_to({"self": place.name, "dangling": "nowhere", "out": str(outside)}[kind])
    except (OSError, UnicodeError):
        return


@fuzz
@given(foreign=st.lists(st.tuples(names, kinds), min_size=1, max_size=4))
def test_foreign_files(valid: Path, top: Path, foreign: list[tuple[str, str]]) -> None:
    outside = top / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "model.tflite").write_bytes(b"mine")

    def write(path: Path) -> None:
        for name, kind in foreign:
            put(path, name, kind, outside)

    check("foreign files", foreign, valid, top, write)
    assert (outside / "model.tflite").read_bytes() == b"mine"


def test_the_valid_one_is_valid(valid: Path, top: Path) -> None:
    assert read_all(copied(valid, top)) == read_for_resume(copied(valid, top)) == 5
