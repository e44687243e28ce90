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
from nas.families.residual_space import ResidualSpace, ResidualSpaceSpec
from nas.indicator import COSTS, Constraint, Indicator
from nas.reach import check_reachable, kernel_bytes
from nas.space import ProvableSpace, load_space


@st.composite
def ranges(draw: st.DrawFn, most: int) -> dict[str, int]:
    low, step = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    high = low + step * draw(st.integers(0, most))
    return {"prototype": low, "low": low, "high": high, "step": step}


@st.composite
def spaces(draw: st.DrawFn) -> ResidualSpace:
    stages = []
    for _ in range(draw(st.integers(1, 3))):
        low = draw(st.integers(1, 2))
        blocks = {"prototype": low, "low": low, "high": low + draw(st.integers(0, 2))}
        stages.append({"width": draw(ranges(3)), "inner": draw(ranges(2)), "blocks": blocks})
        for trait in ("separable", "pooled")[: 1 if len(stages) == 1 else 2]:
            kinds = draw(st.sampled_from([None, [True], [False, True]]))
            if kinds:
                stages[-1][trait] = {"prototype": kinds[0], "choices": kinds}
    choices = draw(st.sampled_from([[1], [2], [1, 2], [2, 1]]))
    spec: dict[str, Any] = {
        "family": "residual",
        "input": [draw(st.integers(1, 20)), draw(st.integers(1, 20)), draw(st.sampled_from([1, 3]))],
        "classes": draw(st.integers(2, 9)),
        "normalisation": draw(st.sampled_from(["batch", "none"])),
        "bias": draw(st.booleans()),
        "stem": {"width": draw(ranges(3)), "stride": {"prototype": choices[0], "choices": choices}},
        "stages": stages,
        "links": draw(st.booleans()),
    }
    return ResidualSpace(ResidualSpaceSpec.model_validate(spec))


def bounds_of(space: ResidualSpace) -> dict[str, tuple[int, int]]:
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
    space: ResidualSpace, seed: int
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
def test_neighbours_of_the_ends_lie_between_them(space: ResidualSpace) -> None:
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
