"""What no architecture of a space can meet is refused before training, and nothing else is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_family
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture import Architecture
from nas.errors import InputError
from nas.indicator import COSTS, Constraint, Indicator
from nas.reach import check_reachable, kernel_bytes
from nas.space import FAMILIES, ProvableSpace, load_space


@st.composite
def ranges(draw: st.DrawFn, most: int) -> dict[str, int]:
    low, step = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    high = low + step * draw(st.integers(0, most))
    return {"prototype": low, "low": low, "high": high, "step": step}


@st.composite
def strides(draw: st.DrawFn) -> dict[str, Any]:
    choices = draw(st.sampled_from([[1], [2], [1, 2], [2, 1]]))
    return {"prototype": choices[0], "choices": choices}


@st.composite
def depths(draw: st.DrawFn) -> dict[str, int]:
    low = draw(st.integers(1, 2))
    return {"prototype": low, "low": low, "high": low + draw(st.integers(0, 2))}


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    choices = draw(st.sampled_from([[3], [5], [3, 5]]))
    return {"prototype": choices[0], "choices": choices}


@st.composite
def inputs(draw: st.DrawFn, least: int = 1) -> list[int]:
    return [draw(st.integers(least, 20)), draw(st.integers(least, 20)), draw(st.sampled_from([1, 3]))]


@st.composite
def residual(draw: st.DrawFn) -> dict[str, Any]:
    stages: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 3))):
        stages.append({"width": draw(ranges(3)), "inner": draw(ranges(2)), "blocks": draw(depths())})
        for trait in ("separable", "pooled")[: 1 if len(stages) == 1 else 2]:
            kinds = draw(st.sampled_from([None, [True], [False, True]]))
            if kinds:
                stages[-1][trait] = {"prototype": kinds[0], "choices": kinds}
    return {
        "family": "residual",
        "input": draw(inputs()),
        "classes": draw(st.integers(2, 9)),
        "normalisation": draw(st.sampled_from(["batch", "none"])),
        "bias": draw(st.booleans()),
        "stem": {"width": draw(ranges(3)), "stride": draw(strides())},
        "stages": stages,
        "links": draw(st.booleans()),
    }


@st.composite
def xception(draw: st.DrawFn) -> dict[str, Any]:
    kinds = draw(st.sampled_from([[True], [False], [False, True]]))
    stage = st.fixed_dictionaries({"width": ranges(3), "inner": ranges(2), "blocks": depths(), "kernel": windows()})
    return {
        "family": "xception",
        "input": draw(inputs(least=7)),
        "classes": draw(st.integers(2, 9)),
        "stem": {"width": draw(ranges(3)), "second": draw(ranges(3)), "stride": draw(strides())},
        "stages": draw(st.lists(stage, min_size=1, max_size=3)),
        "last": {"separable": {"prototype": kinds[0], "choices": kinds}},
    }


@st.composite
def inverted(draw: st.DrawFn) -> dict[str, Any]:
    stage = {"width": ranges(3), "stride": strides(), "blocks": depths(), "expansion": ranges(2), "kernel": windows()}
    return {
        "family": "inverted",
        "input": draw(inputs()),
        "classes": draw(st.integers(2, 9)),
        "stem": {"width": draw(ranges(3)), "stride": draw(strides())},
        "stages": draw(st.lists(st.fixed_dictionaries(stage), min_size=1, max_size=3)),
        "last": {"width": draw(ranges(3))},
    }


def spaces() -> st.SearchStrategy[ProvableSpace]:
    return st.one_of(residual(), xception(), inverted()).map(_space)


def _space(spec: dict[str, Any]) -> ProvableSpace:
    space = FAMILIES[spec["family"]].model_validate(spec).space()
    assert isinstance(space, ProvableSpace)
    return space


def bounds_of(space: ProvableSpace) -> dict[str, tuple[int, int]]:
    """The least and the most of each cost, by the ends of the space."""
    cheap, dear = ([a.cost() for a in ends] for ends in (space.cheapest(), space.dearest()))
    return {name: (min(getattr(c, name) for c in cheap), max(getattr(c, name) for c in dear)) for name in COSTS}


def check_within(bounds: dict[str, tuple[int, int]], a: Architecture, how: str = "drawn") -> None:
    cost = a.cost()
    for name, (low, high) in bounds.items():
        assert low <= getattr(cost, name) <= high, (how, name)


@given(spaces(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_no_architecture_is_cheaper_than_the_cheapest_or_dearer_than_the_dearest(
    space: ProvableSpace, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ends = space.cheapest(), space.dearest()
    for end in (*ends[0], *ends[1]):
        assert space.from_params(space.to_params(end)) == end  # each is a member: the bounds are reached
    drawn = [space.sample(rng) for _ in range(12)]
    for a in drawn[:4]:
        for _ in range(8):  # towards the ends, where a mistake would show
            near = [e.apply(a) for e in space.edits(a)]
            a = near[int(rng.integers(len(near)))] if near else a
            drawn.append(a)
    bounds, least_bytes = bounds_of(space), min(map(kernel_bytes, ends[0]))
    for a in drawn:
        check_within(bounds, a)
        assert least_bytes <= kernel_bytes(a)


@given(spaces())
@settings(max_examples=25, deadline=None)
def test_neighbours_of_the_ends_lie_between_them(space: ProvableSpace) -> None:
    bounds = bounds_of(space)
    for end in (*space.cheapest(), *space.dearest()):
        for edit in space.edits(end)[:60]:
            check_within(bounds, edit.apply(end), str(edit))


@pytest.mark.parametrize("metric", COSTS)
def test_a_bound_at_the_least_passes_and_one_below_it_does_not(metric: str) -> None:
    space = load_space("tiny")
    assert isinstance(space, ProvableSpace)
    least = min(getattr(a.cost(), metric) for a in space.cheapest())
    most = max(getattr(a.cost(), metric) for a in space.dearest())
    check_reachable(space, Indicator((Constraint(metric, least, True), Constraint(metric, least, False))))
    check_reachable(space, Indicator((Constraint(metric, most, False),)))
    with pytest.raises(InputError, match=f"constraint {metric} <= .*at least {least:,} .*raise the bound to {least} "):
        check_reachable(space, Indicator((Constraint(metric, least - 1, True),)))
    with pytest.raises(InputError, match=f"constraint {metric} >= .*at most {most:,} .*lower the bound to {most} "):
        check_reachable(space, Indicator((Constraint(metric, most + 1, False),)))


def test_a_file_is_no_smaller_than_its_kernels() -> None:
    space = load_space("tiny")
    assert isinstance(space, ProvableSpace)
    least = min(map(kernel_bytes, space.cheapest()))
    stem, first, second, logits = 9 * 4, 2 * 9 * 4 * 4, 9 * 4 * 4 + 9 * 4 * 8 + 4 * 8, 8 * 3
    assert least == 4 * (stem + first + second + logits)
    assert least < min(a.cost().weight_bytes for a in space.cheapest())
    check_reachable(space, Indicator((Constraint("size_bytes", least, True),)))
    with pytest.raises(InputError, match=f"kernels, all of which are in its file, of at least {least:,} bytes"):
        check_reachable(space, Indicator((Constraint("size_bytes", least - 1, True),)))


def test_what_cannot_be_proved_passes() -> None:
    unmet = Indicator((Constraint("params", 1, True), Constraint("accuracy", 0.999, False)))
    check_reachable(toy_family.space, unmet)  # it does not know its extremes
    with pytest.raises(InputError, match="params <= 1:"):
        check_reachable(load_space("tiny"), unmet)
    hopeful = Indicator((Constraint("latency_ms", 1e-9, True), Constraint("accuracy", 0.999, False)))
    check_reachable(load_space("tiny"), hopeful)


def test_the_proof_takes_no_time_in_the_largest_space(tmp_path: Path) -> None:
    stage = "  - {width: {prototype: 8, low: 8, high: 64}, inner: {prototype: 8, low: 8, high: 64}, "
    stage += "blocks: {prototype: 1, low: 1, high: 12}}\n"
    path = tmp_path / "large.yaml"
    path.write_text(
        "family: residual\ninput: [48, 48, 1]\nclasses: 7\nstem: {width: {prototype: 8, low: 8, high: 64}, "
        "stride: {prototype: 1, choices: [1, 2]}}\nstages:\n" + 8 * stage
    )
    begin = time.perf_counter()
    with pytest.raises(InputError, match="at most"):
        check_reachable(load_space(path), Indicator((Constraint("params", 10**12, False),)))
    assert time.perf_counter() - begin < 5
