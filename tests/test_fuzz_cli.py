"""Options and arguments of every command that reads something, in one process; nothing is ever trained."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzzing import fuzz, law
from hypothesis import given
from hypothesis import strategies as st
from make_run import make_run
from sklearn.model_selection import StratifiedKFold  # noqa: F401 - imported here, so that no input is blamed for it
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import InputError

IMPOSSIBLE = "constraints:\n  - {metric: params, max: 1}\n"
PROVED = "constraint params <= 1:"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, npz: Path) -> Iterator[Path]:
    """A folder to stand in, with data, a run and a constraint that nothing can meet."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "data.npz").write_bytes(npz.read_bytes())
    (folder / "impossible.yaml").write_text(IMPOSSIBLE)
    make_run(folder / "run", folder / "data.npz")
    (folder / "file").write_text("a file")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def invoke(arguments: list[str]) -> str:
    """Standard output; a refusal as the InputError that it printed.  Anything else breaks the law."""
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code == 0:
        return result.output
    assert result.exit_code == 2, (result.exit_code, result.output)
    told = result.stderr.splitlines()
    if told and told[0].startswith("Usage:"):  # what typer itself refuses
        raise InputError(" ".join(result.stderr.split()).encode("ascii", "replace").decode()[:2000])
    assert len(told) == 1 and told[0].startswith("error: "), result.stderr
    raise InputError(told[0])


numbers = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.integers(-3, 12).map(str),
    st.floats().map(str),
    st.sampled_from(["nan", "-inf", "1e400", "", " ", "0x10", "١٢", "1_000", "--", "-", "1M", "½", "9" * 5000]),
)
durations = st.one_of(
    numbers, st.builds("{}{}".format, numbers, st.sampled_from(["s", "m", "h", "ms", "d", "y", "µs"]))
)
words = st.one_of(
    st.sampled_from(
        ["", " ", "a b", "a\nb", "é", "\udcff", "[bold]", "[/x]", ":smile:", "\x1b[31m", "../..", "/", "~", "-"]
    ),
    st.sampled_from(
        ["data.npz", "run", "file", "file/x", "/proc/x", "/dev/zero", "x" * 300, "tiny", "a:b", ":", "a:", "nas:x"]
    ),
    st.text(max_size=8),
)
objectives = st.lists(
    st.sampled_from(["accuracy", "params", "latency_ms", "", " macs", "beauty", "é"]), max_size=5
).map(",".join)
efforts = st.one_of(st.builds("{}x{}".format, numbers, numbers), words)
OPTIONS: dict[str, st.SearchStrategy[str]] = {
    **{"--budget": numbers, "--workers": numbers, "--seed": numbers, "--folds": numbers, "--image-size": numbers},
    **{"--cpus-per-worker": numbers, "--gpus-per-worker": numbers, "--holdout": numbers},
    **{"--time": durations, "--effort": efforts, "--objectives": objectives},
    **{"--executor": st.sampled_from(["ray", "local", "cloud", ""]), "--ray-address": words},
    **{"--sampler": st.one_of(st.sampled_from(["random", "tpe", "nsga3", "evolution"]), words), "--space": words},
    **{"--data": words, "--out": words, "--constraints": words},
}


@st.composite
def searches(draw: st.DrawFn) -> list[str]:
    """Options of a search that must be refused, since its constraint cannot be met, if for no other reason."""
    given_here = {"--data": "data.npz", "--space": "tiny", "--out": "new"}
    for name in draw(st.lists(st.sampled_from(sorted(OPTIONS)), min_size=1, max_size=3, unique=True)):
        given_here[name] = draw(OPTIONS[name])
    if given_here.get("--constraints") is None or given_here["--constraints"] in ("none", "emotionnet-nano"):
        given_here["--constraints"] = "impossible.yaml"
    return ["search", *(part for pair in given_here.items() for part in pair)]


@fuzz
@given(arguments=searches())
def test_searches(here: Path, arguments: list[str]) -> None:
    before = sorted(p.name for p in here.iterdir())

    def run() -> None:
        try:
            invoke(arguments)
        except InputError as error:
            if PROVED in str(error):
                return  # every option was accepted: the proof comes last
            raise
        raise AssertionError("a search was carried out")

    law("search options", arguments, run)
    assert sorted(p.name for p in here.iterdir()) == before  # no half-made run, nor the folders above it


others: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("front"), words, st.sampled_from(["--json", "--csv", "--rubbish"])),
    st.tuples(st.just("front"), words),
    st.tuples(st.just("explain"), words, words),
    st.tuples(st.just("explain"), st.just("run"), st.one_of(words, numbers)),
    st.tuples(st.just("data"), st.just("inspect"), words.filter(lambda w: w not in ("/", "../.."))),
    st.tuples(st.just("spaces"), st.just("show"), words),
    st.tuples(st.just("constraints"), st.just("show"), words),
    st.tuples(st.just("resume"), words.filter(lambda w: w != "run"), st.just("--budget"), numbers),
    st.tuples(st.just("resume"), st.just("run"), st.just("--workers"), st.sampled_from(["0", "-1", "nan", "", "x"])),
    st.tuples(
        st.just("resume"), st.just("run"), st.just("--time"), st.sampled_from(["0", "-1", "nan", "", "x", "1e400"])
    ),
    st.tuples(words, words),
)


@fuzz
@given(arguments=others.map(list))
def test_other_commands(here: Path, arguments: list[str]) -> None:
    law("other commands", arguments, lambda: invoke(arguments))


def test_the_valid_ones_are_valid(here: Path) -> None:
    assert "hypervolume" in invoke(["front", "run"])
    assert "trained" in invoke(["explain", "run"])
    assert "240 images" in invoke(["data", "inspect", "data.npz"])
    with pytest.raises(InputError, match=PROVED):
        invoke(["search", "--data", "data.npz", "--space", "tiny", "--constraints", "impossible.yaml", "--out", "new"])
