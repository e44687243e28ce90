"""Networks with a second input and more than one answer, on the operator graph."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nas.comparison.known import known_network
from nas.cost import cost_of
from nas.errors import DecodeError, InputError
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.graph import Graph, GraphBuilder, Op
from nas.head import Head, head_of, with_head
from nas.networks.build import build_model, get_weights, set_weights

TRUNK = ResidualArchitecture(
    (16, 16, 1), 3, 8, 1, (Stage(8, (4,)), Stage(12, (8,))), (Link(0, 0, 1, 0),), "batch", False
)
BOTH = Head(classes=8, targets=2, landmarks=68, branch=(16, 8))
HEADS = (BOTH, Head(0, 2), Head(3, 1), Head(4, 0, 5), Head(0, 3, 5, (6,)))


def mini_xception() -> Graph:
    graph = known_network("mini-xception", (16, 16, 1), 7).network
    assert isinstance(graph, Graph)
    return graph


def feeds(graph: Graph, n: int = 4) -> list[npt.NDArray[np.float32]]:
    """Random images, and random landmarks where the network takes them."""
    rng = np.random.default_rng(3)
    shapes = [graph.input_shape, *([(2 * graph.points,)] if graph.points else [])]
    return [rng.random((n, *shape), dtype=np.float32) for shape in shapes]


def answers(model: Any, inputs: list[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
    """What a Keras model puts out, always as a list."""
    out = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(x) for x in (out if isinstance(out, list | tuple) else [out])]


def lived_in(model: Any) -> None:
    """Weights that give answers of some size, statistics that are not trivial."""
    rng = np.random.default_rng(7)
    weights = {
        name: (rng.uniform(0.4, 1.6, w.shape) if "variance" in name or "gamma" in name else rng.normal(0, 0.2, w.shape))
        for name, w in get_weights(model).items()
    }
    set_weights(model, {name: w.astype(np.float32) for name, w in weights.items()})


def test_a_head_on_a_residual_trunk() -> None:
    plain = TRUNK.graph()
    graph = with_head(plain, BOTH)
    assert (graph.inputs, graph.outputs) == (("input", "landmarks"), ("softmax", "values"))
    assert (graph.classes, graph.targets, graph.points) == (8, 2, 68)
    assert graph.ops[: len(plain.ops) - 2] == plain.ops[:-2]
    names = [op.name for op in graph.ops[len(plain.ops) - 2 :]]
    points = ["points1_dense", "points1_relu", "points2_dense", "points2_relu"]
    assert names == ["landmarks", *points, "joined", "values", "logits", "softmax"]
    assert {op.name: op.shape for op in graph.ops}["joined"] == (1, 1, 12 + 8)
    branch = 136 * 16 + 16 * 8
    assert cost_of(graph).macs == cost_of(plain).macs - 12 * 3 + branch + 20 * (2 + 8)
    assert cost_of(graph).params == cost_of(plain).params - (12 * 3 + 3) + branch + 16 + 8 + 20 * 10 + 10


def test_a_head_on_a_network_that_ends_in_maps() -> None:
    plain = mini_xception()
    graph = with_head(plain, Head(4, 2))
    assert graph.outputs == ("softmax", "values") and graph.inputs == ("input",)
    assert graph.ops[: len(plain.ops) - 3] == plain.ops[:-3]  # all but the maps, their average and the softmax
    assert [op.name for op in graph.ops[len(plain.ops) - 3 :]] == ["pool", "values", "logits", "softmax"]
    assert cost_of(graph).params == cost_of(plain).params - (9 * 128 * 7 + 7) + 129 * 6


def test_a_plain_head_leaves_a_classifier_as_it_is() -> None:
    for graph in (TRUNK.graph(), mini_xception()):
        assert with_head(graph, Head(graph.classes)) is graph
    other = with_head(TRUNK.graph(), Head(5))
    assert other == ResidualArchitecture(*list(vars(TRUNK).values())[:1], 5, *list(vars(TRUNK).values())[2:]).graph()


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_what_a_head_is_can_be_read_from_the_graph(head: Head) -> None:
    graph = with_head(TRUNK.graph(), head)
    assert head_of(graph) == head
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_keras_3_and_tf_keras_build_the_same_network(head: Head) -> None:
    import keras
    import tf_keras

    graph = with_head(TRUNK.graph(), head)
    ours, theirs = build_model(graph, tf_keras), build_model(graph, keras)
    lived_in(ours)
    set_weights(theirs, get_weights(ours))
    assert ours.count_params() == theirs.count_params() == cost_of(graph).params
    inputs = feeds(graph)
    first, second = answers(ours, inputs), answers(theirs, inputs)
    assert [x.shape for x in first] == [(4, w) for w in (head.classes, head.targets) if w]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    if head.landmarks:
        moved = answers(ours, [inputs[0], inputs[1][::-1]])
        assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(first, moved, strict=True))


def test_peak_with_a_second_input_counted_by_hand() -> None:
    g = GraphBuilder((4, 4, 1))
    x = g.relu(g.conv(0, "a", 3, kernel=3, bias=True), "a_relu")
    graph = with_head(g.classifier(x, 3), Head(3, 2, landmarks=5))
    # the image, its maps, and the landmarks, which wait from the start
    assert cost_of(graph).peak_activation_bytes == 4 * (16 + 48 + 10)
    narrow = GraphBuilder((1, 1, 1))
    x = narrow.relu(narrow.conv(0, "a", 1, kernel=1, bias=True), "a_relu")
    # joined 11, values 20, logits 3: values wait till the end
    assert cost_of(with_head(narrow.classifier(x, 3), Head(3, 20, 5))).peak_activation_bytes == 4 * (11 + 20 + 3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((1,), "classes"),
        ((-2,), "classes"),
        ((0,), "answers nothing"),
        ((3, -1), "targets"),
        ((3, 0, 10**9), "landmarks"),
        ((3, 0, 0, (4,)), "branch"),
        ((3, 0, 4, (0,)), "branch"),
        ((3, True), "whole"),
    ],
)
def test_heads_that_make_no_sense_are_refused(fields: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Head(*fields)


def test_an_answer_that_cannot_be_cut_off_is_refused() -> None:
    with pytest.raises(InputError, match="already"):
        with_head(with_head(TRUNK.graph(), BOTH), BOTH)
    g = GraphBuilder((8, 8, 1))
    with pytest.raises(InputError, match="cut off"):
        with_head(g.pooled_classifier(g.depthwise(0, "d", kernel=3, bias=True)), BOTH)
    g = GraphBuilder((8, 8, 1))
    with pytest.raises(InputError, match="share a name"):
        with_head(g.classifier(g.conv(0, "joined", 4, kernel=3, bias=True), 3), BOTH)


def _place(ops: list[Op], name: str) -> int:
    return next(i for i, op in enumerate(ops) if op.name == name)


def _changed(ops: list[Op], which: str, **fields: Any) -> list[Op]:
    return [op._replace(**fields) if op.name == which else op for op in ops]


@pytest.mark.parametrize(
    "harm",
    [
        lambda ops: ops[:-1],  # an end that is no answer
        lambda ops: _changed(ops, "landmarks", name="more"),
        lambda ops: _changed(ops, "landmarks", shape=(1, 1, 135)),
        lambda ops: _changed(ops, "landmarks", shape=(2, 1, 136)),
        lambda ops: _changed(ops, "values", name="numbers"),
        lambda ops: _changed(ops, "values", kind="softmax"),
        lambda ops: _changed(ops, "input", name="landmarks"),
        lambda ops: [*ops[:-1], Op("late", "relu", (len(ops) - 3,), (1, 1, 2)), ops[-1]],  # reads the values
        lambda ops: [*ops[:-1], Op("late", "input", (), (1, 1, 4)), ops[-1]],
        lambda ops: [*ops[:-1], Op("dangling", "relu", (1,), ops[1].shape), ops[-1]],
        lambda ops: _changed(ops, "points1_dense", kind="conv"),  # a convolution of a vector
        lambda ops: _changed(ops, "logits", inputs=(0,)),
        lambda ops: _changed(ops, "joined", inputs=(_place(ops, "pool"), 0), shape=(1, 1, 13)),
        lambda ops: _changed(ops, "softmax", inputs=(_place(ops, "values"),)),
    ],
)
def test_illegal_graphs_with_two_ends_are_refused(harm: Any) -> None:
    ops = list(with_head(TRUNK.graph(), BOTH).ops)
    with pytest.raises(DecodeError):
        Graph.from_json(json.loads(json.dumps(Graph(tuple(harm(ops))).to_json())))
