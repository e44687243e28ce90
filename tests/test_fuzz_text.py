"""Mutated YAML and JSON: spaces, constraints, settings, architectures, graphs, candidates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fuzzing import altered, damaged, fuzz, law, odd_values
from handmade import trained
from hypothesis import given
from hypothesis import strategies as st

from nas.architecture import Architecture
from nas.errors import InputError
from nas.graph import Graph
from nas.indicator import METRICS, Indicator, load_indicator
from nas.reach import check_reachable
from nas.run.candidate import Candidate, Outcome
from nas.run.directory import RunDirectory
from nas.settings import Settings
from nas.space import check_prototype, load_space

TOP = Path(__file__).parents[1]
TINY = (TOP / "search_spaces" / "tiny.yaml").read_bytes()
NANO = (TOP / "constraints" / "emotionnet-nano.yaml").read_bytes()
RUN = (TOP / "results" / "reference-synthetic" / "run.yaml").read_bytes()
NETWORK = load_space("emotionnet-nano").sample(np.random.default_rng(1))
CANDIDATE = trained(3, 0.8, latency_ms=0.5, indicator=load_indicator("emotionnet-nano"))

snippets = st.sampled_from(
    [
        *(b"&a ", b"*a", b"!!python/object/apply:os.system ['true']", b"!!binary ", b"!!int ''", b"<<: {a: 1}"),
        *(b"\x00", b"\xff\xfe", b"\xed\xb2\x80", b"[" * 600, b"{a: " * 200, b"9" * 5000, b"1:1:1:1.5", b"? [a]\n"),
        *(b"1e999", b".nan", b"-.inf", b"---\n", b"...\n", b"%YAML 9.9\n", b"\t", b"2026-99-99", b"=", b"|\n"),
        b"0x" + b"f" * 900,
    ]
)


@st.composite
def yaml_bytes(draw: st.DrawFn, valid: bytes) -> bytes:
    """A YAML file: damaged bytes, something put in, or values altered."""
    what = draw(st.sampled_from(["damaged", "snippet", "altered", "altered", "any"]))
    if what == "damaged":
        return draw(damaged(valid))
    if what == "snippet":
        at = draw(st.integers(0, len(valid)))
        return valid[:at] + draw(snippets) + valid[at:]
    if what == "altered":
        return yaml.safe_dump(draw(altered(yaml.safe_load(valid))), allow_unicode=draw(st.booleans())).encode(
            errors="surrogatepass"
        )
    return draw(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode(errors="ignore"))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@fuzz
@given(content=yaml_bytes(TINY))
def test_space_files(folder: Path, content: bytes) -> None:
    path = folder / "space.yaml"
    path.write_bytes(content)

    def read() -> Any:
        space = load_space(path)
        check_prototype(space)
        check_reachable(space, Indicator())
        return space

    space = law("space YAML", content, read)
    if space is not None:  # then it is one that can be searched
        a = space.sample(np.random.default_rng(0))
        assert space.from_params(space.to_params(a)) == a
        assert space.prototype.cost().params > 0


@st.composite
def constraint_files(draw: st.DrawFn) -> bytes:
    entries = []
    for _ in range(draw(st.integers(0, 3))):
        metric = draw(st.sampled_from([*METRICS, "beauty"]))
        side = draw(st.sampled_from(["max", "min", "max_ratio_to_prototype"]))
        numbers = st.one_of(st.integers(-3, 10**7), st.floats(-2, 2), st.floats())
        units = st.sampled_from(["", "k", "M", " ms", "kB", "%", "KiB", " furlongs"])
        bound = draw(st.one_of(numbers, st.builds("{}{}".format, numbers, units), odd_values))
        entry = {"metric": metric, side: bound}
        if draw(st.integers(0, 4)) == 0:
            entry["confidence"] = draw(st.one_of(st.floats(), odd_values))
        entries.append(entry)
    return yaml.safe_dump({"constraints": entries}).encode(errors="surrogatepass")


@fuzz
@given(content=st.one_of(constraint_files(), constraint_files(), yaml_bytes(NANO)))
def test_constraint_files(folder: Path, content: bytes) -> None:
    path = folder / "constraints.yaml"
    path.write_bytes(content)

    def read() -> Indicator:
        indicator = load_indicator(path)
        check_reachable(load_space("tiny"), indicator)
        return indicator

    indicator = law("constraints YAML", content, read)
    if indicator is not None:
        assert Indicator.from_json(json.loads(json.dumps(indicator.to_json()))) == indicator
        assert all(0 < c.limit < float("inf") or not c.upper for c in indicator.constraints)


@fuzz
@given(content=yaml_bytes(RUN))
def test_run_files(folder: Path, content: bytes) -> None:
    (folder / "run.yaml").write_bytes(content)

    def read() -> Settings:
        return Settings.from_json(RunDirectory(folder).settings()["settings"])

    settings = law("run.yaml", content, read)
    if settings is not None:
        assert Settings.from_json(settings.to_json()) == settings


def json_texts(valid: Any) -> st.SearchStrategy[str]:
    text = json.dumps(valid)
    bytes_ = damaged(text.encode()).map(lambda b: b.decode(errors="surrogateescape"))
    deep = st.sampled_from(["[" * 100_000, '{"a":' * 50_000, "1" * 5000, '"\\ud800"', "NaN", "1e999", "null", ""])
    return st.one_of(altered(valid).map(json.dumps), altered(valid).map(json.dumps), bytes_, deep)


@fuzz
@given(text=json_texts(json.loads(NETWORK.to_json())))
def test_architectures(text: str) -> None:
    a = law("architecture JSON", text, lambda: Architecture.from_json(text))
    if a is not None:
        assert Architecture.from_json(a.to_json()) == a
        assert a.cost().params > 0


def loaded(text: str) -> Any:
    """What a journal's line holds; text that is no JSON never gets so far."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@fuzz
@given(text=json_texts(load_space("tiny").prototype.graph().to_json()))
def test_graphs(text: str) -> None:
    graph = law("graph JSON", text, lambda: Graph.from_json(loaded(text)))
    if graph is not None:
        assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


@fuzz
@given(text=json_texts(CANDIDATE.start_json()))
def test_candidates(text: str) -> None:
    c = law("candidate JSON", text, lambda: Candidate.from_json(3, loaded(text), None))
    if c is not None:
        assert Candidate.from_json(3, c.start_json(), None) == c


@fuzz
@given(text=json_texts(CANDIDATE.outcome.to_json() if CANDIDATE.outcome else None))
def test_outcomes(text: str) -> None:
    outcome = law("outcome JSON", text, lambda: Outcome.from_json(loaded(text)))
    if outcome is not None:
        assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))).state is outcome.state


@fuzz
@given(text=json_texts(load_indicator("emotionnet-nano").to_json()))
def test_indicators(text: str) -> None:
    indicator = law("indicator JSON", text, lambda: Indicator.from_json(loaded(text)))
    assert indicator is None or Indicator.from_json(indicator.to_json()) == indicator


def test_the_valid_ones_are_valid(tmp_path: Path) -> None:
    for name, content in (("space", TINY), ("constraints", NANO), ("run", RUN)):
        (tmp_path / f"{name}.yaml").write_bytes(content)
    assert load_space(tmp_path / "space.yaml").prototype.cost().params == load_space("tiny").prototype.cost().params
    assert len(load_indicator(tmp_path / "constraints.yaml").constraints) == 3
    assert Settings.from_json(RunDirectory(tmp_path).settings()["settings"]).seed == 0
    with pytest.raises(InputError):
        Architecture.from_json("[" * 100_000)
