"""The families of stages: prototypes against published and hand-counted networks, and what edits and weights do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from test_inherit import EXACT, born, images, lived_in, outputs

from nas.architecture import Architecture, EditKind
from nas.comparison.known import known_network
from nas.errors import DecodeError, InputError
from nas.families.inverted import InvertedArchitecture
from nas.families.staged import Place, Stage, StagedArchitecture, StagedEdit
from nas.families.xception import XceptionArchitecture
from nas.graph import Graph
from nas.networks.links import links_of, possible_links
from nas.space import AdaptableSpace, load_space

STAGED = ("mini-xception", "inverted")
SMALL_XCEPTION = XceptionArchitecture((16, 16, 1), 3, (4, 4, 1, 0), (Stage((8, 3), ((8,), (4,))),))
SEPARABLE_XCEPTION = XceptionArchitecture((16, 16, 1), 3, (4, 4, 2, 1), (Stage((8, 5), ((8,), (4,))),))
SMALL_INVERTED = InvertedArchitecture(
    (16, 16, 1), 3, (8, 2, 16), (Stage((4, 1), ((1, 3),)), Stage((8, 2), ((3, 3), (2, 5))))
)


def prototype_of(name: str) -> StagedArchitecture:
    prototype = load_space(name).prototype
    assert isinstance(prototype, StagedArchitecture)
    return prototype


def edits_by_text(name: str) -> dict[str, Any]:
    space = load_space(name)
    return {str(edit): edit for edit in space.edits(space.prototype)}


def drawn(graph: Graph) -> tuple[Any, ...]:
    """The output with all that it is made of, without names and without the order in which branches are written."""
    made: list[tuple[Any, ...]] = []
    for op in graph.ops:
        made.append((op._replace(name="", inputs=()), *(made[i] for i in op.inputs)))
    return made[-1]


def test_the_prototype_of_mini_xception_is_the_published_network() -> None:
    prototype = prototype_of("mini-xception")
    published = known_network("mini-xception", (64, 64, 1), 7).network
    assert isinstance(published, Graph)
    assert drawn(prototype.graph()) == drawn(published)
    assert prototype.cost().params == 58_423  # Arriaga, Valdenegro-Toro, Ploeger 2017


def test_the_prototype_of_inverted_by_hand() -> None:
    def block(inputs: int, inner: int, width: int) -> int:  # kernels, and four numbers a channel of normalisation
        expand = 0 if inner == inputs else inputs * inner + 4 * inner
        return expand + 9 * inner + 4 * inner + inner * width + 4 * width

    blocks = (16, 16, 8), (8, 48, 12), (12, 72, 12), (12, 72, 16), (16, 96, 16), (16, 96, 32), (32, 192, 32)
    counted = 9 * 16 + 4 * 16 + sum(block(*b) for b in (*blocks, (32, 192, 48))) + 48 * 160 + 4 * 160 + 160 * 7 + 7
    assert prototype_of("inverted").cost().params == counted == 63_783


def test_the_prototype_for_microcontrollers_by_hand() -> None:
    cost = load_space("microcontroller").prototype.cost()
    stem, first = 9 * 16 + 64, 2 * (9 * 16 * 16 + 64)
    second = 9 * 16 * 32 + 128 + 9 * 32 * 32 + 128 + 16 * 32 + 128
    third = 9 * 32 * 64 + 256 + 9 * 64 * 64 + 256 + 32 * 64 + 256
    assert cost.params == stem + first + second + third + 64 * 7 + 7 == 78_231
    assert cost.peak_activation_bytes == 4 * 3 * 16 * 16 * 16  # the two sides of the first add and their sum


@pytest.mark.parametrize("name", [*STAGED, "microcontroller", "emotionnet-micro"])
def test_parameters_are_those_that_keras_counts_and_both_kerases_answer_alike(name: str) -> None:
    import keras
    import tf_keras

    from nas.networks.build import build_model, get_weights, set_weights

    prototype = load_space(name).prototype
    model = build_model(prototype.graph(), tf_keras)
    assert prototype.cost().params == model.count_params()
    # What is taken home is Keras 3: the same weights by the same names, and the same answers.
    taken_home = build_model(prototype.graph(), keras)
    set_weights(taken_home, get_weights(model))
    images = np.random.default_rng(0).random((2, *prototype.graph().input_shape), np.float32)
    assert np.asarray(taken_home(images)) == pytest.approx(np.asarray(model(images)), abs=1e-5)


def shapes(a: Architecture) -> dict[str, tuple[str, int, int, tuple[int, int, int]]]:
    return {op.name: (op.kind, op.kernel, op.stride, op.shape) for op in a.graph().ops}


def test_what_an_xception_block_is_made_of() -> None:
    ops = shapes(XceptionArchitecture((20, 20, 1), 5, (4, 8, 2, 1), (Stage((16, 5), ((12,), (24,))),)))
    assert ops["stem"] == ("conv", 3, 2, (9, 9, 4)) and ops["stem_conv2"] == ("conv", 3, 1, (7, 7, 8))
    assert ops["s1b1_subsample"] == ("pool", 1, 2, (4, 4, 8)) and ops["s1b1_project"] == ("conv", 1, 1, (4, 4, 16))
    assert ops["s1b1_conv1_depthwise"] == ("depthwise", 5, 1, (7, 7, 8)) and ops["s1b1_conv1"][3] == (7, 7, 12)
    assert ops["s1b1_shrink"] == ("pool", 3, 2, (4, 4, 16)) and ops["s1b1_add"][3] == (4, 4, 16)
    assert ops["s1b2_conv1"] == ("conv", 1, 1, (4, 4, 24)) and ops["s1b2_add"][3] == (4, 4, 16)
    assert "s1b2_project" not in ops and "s1b2_shrink" not in ops
    assert ops["maps_depthwise"] == ("depthwise", 3, 1, (4, 4, 16)) and ops["maps"] == ("conv", 1, 1, (4, 4, 5))


def test_what_a_bottleneck_is_made_of() -> None:
    ops = shapes(SMALL_INVERTED)
    assert ops["stem"] == ("conv", 3, 2, (8, 8, 8))
    assert "s1b1_expand" not in ops and ops["s1b1_depthwise"] == ("depthwise", 3, 1, (8, 8, 8))
    assert ops["s2b1_expand"][3] == (8, 8, 12) and ops["s2b1_depthwise"] == ("depthwise", 3, 2, (4, 4, 12))
    assert ops["s2b2_expand"][3] == (4, 4, 16) and ops["s2b2_depthwise"] == ("depthwise", 5, 1, (4, 4, 16))
    assert [name for name in ops if name.endswith("_add")] == ["s2b2_add"]  # a stage's first block has no shortcut
    assert ops["last"] == ("conv", 1, 1, (4, 4, 16))


def test_edits_change_what_they_say() -> None:
    prototype, edits = prototype_of("mini-xception"), edits_by_text("mini-xception")
    whole = edits["narrow s2* 32->16"]
    assert (whole.scope, whole.apply(prototype).stages[1]) == ("stage", Stage((16, 3), ((16,),)))
    assert edits["retype s3_kernel 3->5"].apply(prototype).stages[2] == Stage((64, 5), ((64,),))
    assert edits["retype last_separable 0->1"].apply(prototype).network == (8, 8, 1, 1)
    assert edits["restride stem_stride 1->2"].kind is EditKind.RESTRIDE
    deeper = edits["add_block s3b2"].apply(prototype)
    assert deeper.stages[2].blocks == ((64,), (64,))
    again = {str(e) for e in load_space("mini-xception").edits(deeper)}
    assert "remove_block s3b2" in again and "remove_block s3b1" not in again  # that which halves the resolution stays
    assert "widen s1b1_expansion 1->2" in edits_by_text("inverted")


def test_edits_of_another_parent_are_refused() -> None:
    edit = edits_by_text("mini-xception")["narrow s2_width 32->16"]
    with pytest.raises(InputError, match="does not fit"):
        edit.apply(edit.apply(prototype_of("mini-xception")))
    with pytest.raises(InputError, match="no such place"):
        StagedEdit(EditKind.NARROW, "s9_width", Place(8, None, 0), 8, 4).apply(SMALL_XCEPTION)
    with pytest.raises(InputError, match="does not fit the 2 blocks of stage 1"):
        StagedEdit(EditKind.ADD_BLOCK, "s1b9", Place(0, 8, 0)).apply(SMALL_XCEPTION)
    with pytest.raises(InputError, match="does not fit a ResidualArchitecture"):
        edit.apply(load_space("tiny").prototype)


def test_what_inherits_computes_the_same_exactly_where_that_is_said() -> None:
    preserved = set()
    for name in STAGED:
        space = load_space(name)
        assert isinstance(space, AdaptableSpace)
        small, rng = space.adapted((16, 16, 1), 3), np.random.default_rng(1)
        parent = small.sample(rng)
        graph = parent.graph()
        weights = lived_in(graph, rng)
        before, seen = outputs(graph, weights), set()
        for edit in small.edits(parent):
            where = str(edit).split()[1].lstrip("s12345b") if edit.kind is EditKind.WIDEN else ""
            kind = edit.kind, where
            if kind not in seen:
                seen.add(kind)
                model, inherited = born(graph, weights, edit.apply(parent).graph())
                change = float(np.abs(np.asarray(model(images(graph), training=False)) - before).max())
                assert inherited.preserving == (change <= EXACT), (str(edit), inherited.changes, change)
                assert inherited.preserving == all(c.preserving for c in inherited.changes), str(edit)
                assert inherited.inherited_share > 0.02, str(edit)
                if inherited.preserving:
                    preserved.add((name, edit.kind))
    growth = {(name, kind) for name in STAGED for kind in (EditKind.WIDEN, EditKind.ADD_BLOCK)}
    assert preserved == growth


@pytest.mark.slow
@pytest.mark.parametrize("a", [SEPARABLE_XCEPTION, SMALL_INVERTED], ids=lambda a: a.family)
def test_training_with_the_rounding_in_it_leaves_nothing_in_float(a: StagedArchitecture) -> None:
    import tf_keras

    from nas.compression.contents import float_operators
    from nas.compression.wrap import quantizable
    from nas.networks.build import build_model
    from nas.networks.tflite import run_tflite, to_tflite

    x = np.random.default_rng(0).uniform(0, 1, (16, *a.input_shape)).astype(np.float32)
    model = build_model(a.graph(), tf_keras)
    content = to_tflite(quantizable(model, "none", x), calibration=x)
    assert float_operators(content) == []
    assert np.abs(run_tflite(content, x) - np.asarray(model(x, training=False))).max() < 0.05


def test_no_links_and_none_to_add() -> None:
    for name in STAGED:
        prototype = prototype_of(name)
        assert links_of(prototype.graph()) == {} and possible_links(load_space(name), prototype) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"stem_width": 8}}, "expected stem_width, stem_second"),
        ({"stages": []}, "at least one stage"),
        ({"stages": [{"width": 16, "kernel": 4, "blocks": [{"inner": 8}]}]}, "kernel 4 must be an odd side"),
        ({"stages": [{"width": 16, "kernel": 3, "blocks": [{"inner": True}]}]}, "not an integer"),
        ({"stages": [{"width": 0, "kernel": 3, "blocks": [{"inner": 8}]}]}, "width 0 must be a width in 1..4096"),
        ({"input_shape": [4, 4, 1]}, "need 5x5; give larger images"),
        ({"links": []}, "unknown fields: links"),
    ],
)
def test_what_is_no_architecture_of_the_family_is_refused(change: dict[str, Any], message: str) -> None:
    data = json.loads(SMALL_XCEPTION.to_json()) | change
    with pytest.raises(DecodeError, match=message):
        Architecture.from_json(json.dumps(data))


def test_a_space_needs_as_many_pixels_as_its_largest_stride_leaves() -> None:
    space = load_space("mini-xception")
    assert isinstance(space, AdaptableSpace)
    assert space.adapted((7, 7, 3), 4).prototype.graph().input_shape == (7, 7, 3)
    with pytest.raises(InputError, match=r"images of 6x7: .* need 7x7; give larger images"):
        space.adapted((6, 7, 1), 4)
    with pytest.raises(InputError, match="at most 1024 pixels"):
        space.adapted((2000, 7, 1), 4)


def test_outside_the_space_is_refused() -> None:
    space = load_space("inverted")
    params = space.to_params(space.prototype)
    for name, value in (("stem_width", 5), ("s2_blocks", 9), ("s2b1_expansion", 7), ("s3b1_kernel", 7)):
        with pytest.raises(InputError, match=f"{name} {value} is not"):
            space.from_params({**params, name: value})
    with pytest.raises(InputError, match="is missing"):
        space.from_params({})
    with pytest.raises(InputError, match="no member of a space of the family inverted"):
        space.to_params(SMALL_XCEPTION)
