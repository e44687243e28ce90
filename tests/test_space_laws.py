"""The laws that every search space keeps; a new family adds one line here."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import toy_family
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture import Architecture, EditKind
from nas.errors import DecodeError, InputError
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.families.residual_edits import ResidualEdit
from nas.graph import Graph
from nas.head import Head
from nas.presets import preset_names
from nas.space import SearchSpace, fit_to_data, load_space

SPACES: dict[str, SearchSpace] = {name: load_space(name) for name in preset_names("search_spaces")}
SPACES["toy"] = toy_family.space
SPACES["headed"] = fit_to_data(SPACES["tiny"], (16, 16, 1), 8, Head(8, 2, 68))
SPACES["large"] = fit_to_data(toy_family.space, (160, 160, 3), 0, Head(0, 2))
names = st.sampled_from(sorted(SPACES))
seeds = st.integers(0, 2**32 - 1)


def draw_params(space: SearchSpace, rng: np.random.Generator) -> dict[str, object]:
    """A random point, inactive parameters included."""
    params: dict[str, object] = {}
    for name, d in space.distributions().items():
        values = d.choices if hasattr(d, "choices") else range(d.low, d.high + 1, d.step)  # type: ignore[attr-defined]
        params[name] = values[int(rng.integers(len(values)))]
    return params


@given(names, seeds)
@settings(max_examples=60, deadline=None)
def test_a_hundred_edits_stay_legal_and_each_changes_the_id(name: str, seed: int) -> None:
    space, rng = SPACES[name], np.random.default_rng(seed)
    a = space.prototype
    for _ in range(100):
        edits = space.edits(a)
        edit = edits[int(rng.integers(len(edits)))]
        child = edit.apply(a)
        assert child.id != a.id, str(edit)
        assert space.from_params(space.to_params(child)) == child
        a = child
    assert Graph.from_json(json.loads(json.dumps(a.graph().to_json()))) == a.graph()


@given(names, seeds)
@settings(max_examples=60, deadline=None)
def test_encoding_and_decoding(name: str, seed: int) -> None:
    space, rng = SPACES[name], np.random.default_rng(seed)
    a = space.sample(rng)
    assert space.from_params(space.to_params(a)) == a
    params = draw_params(space, rng)
    once = space.to_params(space.from_params(params))
    assert space.to_params(space.from_params(once)) == once
    assert set(once) == set(space.distributions())
    for key, distribution in space.distributions().items():
        assert distribution._contains(distribution.to_internal_repr(once[key])), key


@given(names, seeds)
@settings(max_examples=60, deadline=None)
def test_json_round_trip_and_id_of_the_architecture_alone(name: str, seed: int) -> None:
    a = SPACES[name].sample(np.random.default_rng(seed))
    b = Architecture.from_json(a.to_json())
    assert a == b
    assert (a.id, a.to_json()) == (b.id, b.to_json())
    assert len(a.id) == 12


def test_every_edit_changes_the_id() -> None:
    for space in SPACES.values():
        a = space.sample(np.random.default_rng(3))
        assert all(e.apply(a).id != a.id for e in space.edits(a))


def test_the_id_is_the_same_in_another_process() -> None:
    a = SPACES["emotionnet-nano"].sample(np.random.default_rng(5))
    code = f"from nas.architecture import Architecture; print(Architecture.from_json({a.to_json()!r}).id)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == a.id


def links(*pairs: tuple[int, int, int, int]) -> tuple[Link, ...]:
    return tuple(Link(*p) for p in pairs)


@pytest.fixture
def linked() -> ResidualArchitecture:
    stages = (Stage(8, (8, 12)), Stage(8, (8, 12)))
    return ResidualArchitecture((16, 16, 1), 3, 8, 1, stages, links((0, 0, 1, 1), (0, 1, 1, 0), (1, 0, 1, 1)))


def test_inserting_a_block_moves_the_links_with_their_blocks(linked: ResidualArchitecture) -> None:
    child = ResidualEdit(EditKind.ADD_BLOCK, "s1b2").apply(linked)
    assert child.stages[0].inner == (8, 8, 12)  # a copy of the block before it
    assert child.links == links((0, 0, 1, 1), (0, 2, 1, 0), (1, 0, 1, 1))
    first = ResidualEdit(EditKind.ADD_BLOCK, "s2b1").apply(linked)
    assert first.links == links((0, 0, 1, 2), (0, 1, 1, 1), (1, 1, 1, 2))


def test_removing_a_block_takes_its_links_and_moves_the_others(linked: ResidualArchitecture) -> None:
    child = ResidualEdit(EditKind.REMOVE_BLOCK, "s1b1").apply(linked)
    assert child.stages[0].inner == (12,)
    assert child.links == links((0, 0, 1, 0), (1, 0, 1, 1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"family": "nobody"}',
        '{"family": "residual"}',
        '{"family":"residual","input_shape":[8,8,1],"classes":3,"stem":[4,1],"stages":[[4,["x"]]],"links":[],"norm":"batch","bias":false}',
        '{"family":"residual","input_shape":[8,8,1],"classes":3,"stem":[4,1],"stages":[[4,[4]]],"links":[[0,0,0,0]],"norm":"batch","bias":false}',
    ],
)
def test_what_is_no_architecture_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        Architecture.from_json(text)


def test_outside_the_space_is_refused() -> None:
    space = SPACES["tiny"]
    params = space.to_params(space.prototype)
    for name, value in (("stem_width", 5), ("s1_blocks", 9), ("s1b1_inner", 64)):
        with pytest.raises(InputError, match=str(value)):
            space.from_params({**params, name: value} | {f"s1b{b}_inner": 8 for b in range(2, 10)})
    with pytest.raises(InputError, match="is missing"):
        space.from_params({})


def test_traits_of_a_stage_are_in_the_genotype_the_parameters_and_the_graph() -> None:
    space = SPACES["emotionnet-micro"]
    a = space.prototype
    assert isinstance(a, ResidualArchitecture)
    assert [s.traits for s in a.stages] == [(), ("pooled",), ("separable", "pooled"), ("separable", "pooled")]
    plain = {str(e): e for e in space.edits(a)}["retype s3 not separable"].apply(a)
    assert plain.stages[2].traits == ("pooled",)
    assert plain.genotype()["stages"][2] == [64, [64], ["pooled"]]
    assert space.to_params(plain)["s3_separable"] is False and space.to_params(a)["s3_separable"] is True
    # 9 * 32 + 32 * 64 and 9 * 64 + 64 * 64 in place of 9 * 32 * 64 and 9 * 64 * 64
    assert plain.cost().params - a.cost().params == 9 * 96 * 64 - (9 * 96 + 96 * 64)
    strided = {str(e): e for e in space.edits(a)}["retype s3 not pooled"].apply(a)
    assert strided.cost().params == a.cost().params and strided.cost().macs < a.cost().macs
    shrink = {op.name: op for op in a.graph().ops}["s3b1_shrink"]
    assert (shrink.kernel, shrink.stride, shrink.mode, shrink.shape) == (3, 2, "max", (6, 6, 64))


@pytest.mark.parametrize("traits", [["pooled", "separable"], ["soft"], [], "separable", [["pooled"]]])
def test_unknown_traits_are_refused(traits: object) -> None:
    data = json.loads(SPACES["emotionnet-micro"].prototype.to_json())
    data["stages"][1] = [32, [32], traits]
    with pytest.raises(DecodeError, match="trait"):
        Architecture.from_json(json.dumps(data))


def test_a_network_without_traits_keeps_the_id_that_it_always_had() -> None:
    assert load_space("emotionnet-nano").prototype.id == "9905d4c4b7c7"
