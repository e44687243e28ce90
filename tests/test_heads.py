"""Networks with a second input and more than one answer, on the operator graph."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import toy_family
from handmade import trained
from make_run import make_run

from nas.architecture import Architecture, EditKind
from nas.comparison.known import known_network
from nas.compression.compress import CompressOrder, Unwatched, compress
from nas.compression.methods import parse_methods
from nas.cost import cost_of
from nas.deploy.compared import Answers, compare
from nas.deploy.export import WEIGHTS, export_candidate
from nas.deploy.export_variant import VariantOrder, export_variant
from nas.deploy.formats import FORMATS
from nas.deploy.held import HeldImages
from nas.deploy.latency import LatencyProtocol, measure_latency
from nas.deploy.metadata import read
from nas.deploy.order import ExportOrder
from nas.deploy.tolerance import TOLERANCES
from nas.errors import DecodeError, InputError
from nas.evaluation.augment import Augmentation
from nas.evaluation.extras import Extras
from nas.evaluation.train import Recipe
from nas.families.headed import HeadedArchitecture
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.graph import Graph, GraphBuilder, Op
from nas.head import Head, head_of, with_head
from nas.indicator import Constraint, Indicator
from nas.networks.build import build_model, get_weights, set_weights
from nas.networks.changes import ChangeKind
from nas.networks.inherit import inherit
from nas.networks.probes import probe
from nas.networks.tflite import (
    ConversionError,
    check_same_output,
    listed,
    open_interpreter,
    order_of_answers,
    order_of_inputs,
    run_tflite,
    to_tflite,
)
from nas.reach import check_reachable
from nas.run.candidate import Candidate
from nas.run.directory import RunDirectory
from nas.run.variants import Variant
from nas.settings import Settings, fitted_space
from nas.shrink import shrunk
from nas.space import ProvableSpace, SearchSpace, fit_to_data, load_space

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


def test_known_networks_with_a_head() -> None:
    plain, headed = (known_network("mini-xception", (48, 48, 1), 7, head=h) for h in (Head(7), Head(7, 2, 68, (32,))))
    assert plain == known_network("mini-xception", (48, 48, 1), 7)
    assert isinstance(headed.network, Graph) and headed.network.outputs == ("softmax", "values")
    assert headed.id != plain.id and headed.failure is None
    mobile = known_network("mobilenet-v2", (48, 48, 1), 7, head=Head(7, 2))
    assert mobile.network is None and mobile.failure is not None and "classifier of images alone" in mobile.failure


def test_a_plain_head_leaves_a_classifier_as_it_is() -> None:
    for graph in (TRUNK.graph(), mini_xception()):
        assert with_head(graph, Head(graph.classes)) is graph
    assert with_head(TRUNK.graph(), Head(5)) == replace(TRUNK, classes=5).graph()


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


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return fit_to_data(load_space("tiny"), (16, 16, 1), 8, Head(8, 2, 5))


def test_a_space_for_any_head(space: SearchSpace) -> None:
    assert space.prototype.graph() == with_head(load_space("tiny").prototype.graph(), Head(8, 2, 5, (32,)))
    assert set(space.distributions()) - set(load_space("tiny").distributions()) == {
        *("landmarks_layers", "landmarks_width1", "landmarks_width2")
    }
    params = space.to_params(space.prototype)
    assert [params[f"landmarks_{name}"] for name in ("layers", "width1", "width2")] == [1, 32, 32]
    two = space.from_params({**params, "landmarks_layers": 2, "landmarks_width2": 8})
    assert head_of(two.graph()) == Head(8, 2, 5, (32, 8))
    own = [str(e) for e in space.edits(two) if "points" in str(e)]
    assert own == [
        *("narrow points1 32->16", "narrow points1 32->24", "widen points1 32->40", "widen points1 32->64"),
        *("remove_block points1", "widen points2 8->16", "remove_block points2"),
    ]
    assert [str(e) for e in space.edits(space.prototype)][-1] == "add_block points2"
    with pytest.raises(InputError, match="branch"):
        space.from_params({**params, "landmarks_width1": 9})
    with pytest.raises(InputError, match="landmarks_layers"):
        space.from_params({k: v for k, v in params.items() if k != "landmarks_layers"})


def test_an_ordinary_task_leaves_spaces_and_ids_as_they_were() -> None:
    for side in (32, 48, 64, 67):
        fitted = fit_to_data(load_space("emotionnet-nano"), (side, side, 3), 8, Head(8))
        assert type(fitted.prototype) is ResidualArchitecture and fitted.prototype.classes == 8
    assert fit_to_data(load_space("tiny"), (16, 16, 1), 3).prototype.id == load_space("tiny").prototype.id


def test_a_space_that_nobody_can_adapt_gets_a_head_all_the_same() -> None:
    class Fixed(toy_family.ChainSpace):
        adapted = None

    fitted = fit_to_data(Fixed(), (16, 16, 1), 0, Head(0, 2))
    assert fitted.prototype.graph().outputs == ("values",)
    with pytest.raises(InputError, match="adapted"):
        fit_to_data(Fixed(), (24, 24, 1), 0, Head(0, 2))


def test_bounds_that_no_headed_network_can_meet(space: SearchSpace) -> None:
    assert isinstance(space, ProvableSpace)
    least = min(a.cost().params for a in space.cheapest())
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng).cost() for _ in range(60)]
    assert least <= min(c.params for c in drawn)
    assert max(c.macs for c in drawn) <= max(a.cost().macs for a in space.dearest())
    check_reachable(space, Indicator((Constraint("params", least, upper=True),)))
    with pytest.raises(InputError, match="no architecture"):
        check_reachable(space, Indicator((Constraint("params", least - 1, upper=True),)))


@pytest.mark.parametrize("family", ["residual", "chain"])
def test_peaks_of_shrunk_networks_lie_between_the_extremes(family: str) -> None:
    trunk = load_space("tiny") if family == "residual" else toy_family.space
    fitted = fit_to_data(trunk, (140, 140, 3), 3)
    assert isinstance(fitted, ProvableSpace) is (family == "residual")
    if isinstance(fitted, ProvableSpace):
        rng = np.random.default_rng(1)
        peaks = [fitted.sample(rng).cost().peak_activation_bytes for _ in range(60)]
        assert min(a.cost().peak_activation_bytes for a in fitted.cheapest()) <= min(peaks)
        assert max(peaks) <= max(a.cost().peak_activation_bytes for a in fitted.dearest())


SIDES = {32: 0, 48: 0, 64: 0, 96: 1, 112: 1, 160: 2, 224: 2}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIDES)
def test_large_images_cost_what_small_ones_do(side: int, channels: int) -> None:
    space = load_space("emotionnet-nano")
    graph = fit_to_data(space, (side, side, channels), 7).prototype.graph()
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    assert graph.input_shape == (side, side, channels)
    first = {op.name: op.shape[0] for op in graph.ops}["s1b1_conv1"]
    assert first == -(-side // 2 ** SIDES[side])
    assert 33 < first < 68 or side < 48
    # An area of 68x68 at most in place of 48x48: about twice the multiply-accumulates.
    assert cost_of(graph).macs < 2.1 * space.prototype.cost().macs


def test_runs_of_earlier_versions_go_on_with_the_stems_that_they_had(tmp_path: Path, npz: Path) -> None:
    settings = make_run(tmp_path / "run", npz).settings
    assert settings.shrinks and Settings.from_json(settings.to_json()).shrinks
    known = settings.to_json()
    earlier = Settings.from_json({name: known[name] for name in known if name not in ("task", "shrinks")})
    assert not earlier.shrinks
    space, large = load_space("tiny"), {"height": 96, "width": 96, "channels": 1, "classes": dict.fromkeys("abc", 9)}
    then = replace(space.prototype, input_shape=(96, 96, 1), classes=3)
    assert fitted_space({"data": large}, earlier, space).prototype == then
    now = fitted_space({"data": large}, settings, space).prototype
    assert now.cost().macs < 0.3 * then.cost().macs


def test_shrinking_by_the_stem_and_pooling_behind_it() -> None:
    graph = fit_to_data(load_space("emotionnet-nano"), (224, 224, 3), 7).prototype.graph()
    ops = {op.name: op for op in graph.ops}
    assert (ops["stem"].stride, ops["stem"].shape) == (2, (112, 112, 16))
    pool = ops["stem_shrink1"]
    assert (pool.mode, pool.kernel, pool.stride, pool.shape) == ("max", 3, 2, (56, 56, 16))
    assert graph.ops[pool.inputs[0]].name == "stem_relu"
    strided = shrunk(TRUNK.graph(), 0), shrunk(replace(TRUNK, stem_stride=2).graph(), 1)
    assert strided[0] == TRUNK.graph()
    assert {op.name: op.shape for op in strided[1].ops}["stem_shrink1"] == (4, 4, 8)  # steps of 2 already
    g = GraphBuilder((64, 64, 1))
    x = g.add(g.conv(0, "a", 4, kernel=3, bias=True), g.conv(0, "b", 4, kernel=3, bias=True), "sum")
    averaged = shrunk(g.classifier(x, 3), 2)
    assert averaged.ops[1] == Op("shrink", "pool", (0,), (16, 16, 1), 4, 4, mode="avg")
    assert {op.name: op.inputs for op in averaged.ops}["b"] == (1,)


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data.pop("branch"),
        lambda data: data.update(branch=[True]),
        lambda data: data.update(targets=-1),
        lambda data: data.update(shrink=10**9),
        lambda data: data.update(trunk={"family": "nobody"}),
        lambda data: data.update(trunk=[]),
        lambda data: data.update(trunk={k: v for k, v in data.items()}),
    ],
)
def test_damaged_genotypes_are_refused(space: SearchSpace, harm: Any) -> None:
    data = json.loads(space.prototype.to_json())
    harm(data)
    with pytest.raises(DecodeError):
        Architecture.from_json(json.dumps(data))


def test_children_inherit_both_answers(space: SearchSpace) -> None:
    import tf_keras

    rng = np.random.default_rng(5)
    parent = space.sample(rng)
    model = build_model(parent.graph(), tf_keras)
    lived_in(model)
    weights, inputs = get_weights(model), feeds(parent.graph())
    expected = answers(model, inputs)
    edits = {str(e): e for e in space.edits(parent) if "points" in str(e)}
    inner = [e for e in space.edits(parent) if e.kind is EditKind.WIDEN and str(e).startswith("widen s2b")]
    chosen = [*edits.values(), *inner[:2]]
    assert len(chosen) > len(edits) > 3
    for edit in chosen:
        child = edit.apply(parent).graph()
        heir = build_model(child, tf_keras, seed=3)
        inherited = inherit(parent.graph(), weights, child, get_weights(heir), seed=0)
        set_weights(heir, inherited.weights)
        assert inherited.preserving is (edit.kind is EditKind.WIDEN), str(edit)
        if inherited.preserving:
            for a, b in zip(expected, answers(heir, inputs), strict=True):
                np.testing.assert_allclose(a, b, atol=1e-4)
        assert inherited.inherited_share > 0.3, str(edit)


def test_a_plain_network_hands_its_trunk_to_one_with_a_head() -> None:
    import tf_keras

    parent, child = TRUNK.graph(), with_head(TRUNK.graph(), Head(3, 2, 5, (8,)))
    model, heir = build_model(parent, tf_keras), build_model(child, tf_keras)
    lived_in(model)
    weights = get_weights(model)
    inherited = inherit(parent, weights, child, get_weights(heir), seed=0)
    assert not inherited.preserving
    assert {c.kind for c in inherited.changes} >= {ChangeKind.TARGETS, ChangeKind.LANDMARKS}
    np.testing.assert_array_equal(inherited.weights["s2b1_conv2/kernel"], weights["s2b1_conv2/kernel"])
    np.testing.assert_array_equal(inherited.weights["logits/kernel"][:12], weights["logits/kernel"])
    assert not inherited.weights["logits/kernel"][12:].any()
    assert set(inherited.fresh) == {"points1_dense", "values"}


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


def test_probes_of_a_network_with_two_answers() -> None:
    import tf_keras

    graph = with_head(TRUNK.graph(), Head(3, 2, 5, (8,)))
    model = build_model(graph, tf_keras)
    lived_in(model)
    rng = np.random.default_rng(2)
    images, points = feeds(graph, 8)
    labels, targets = rng.integers(0, 3, 8), rng.normal(size=(8, 2)).astype(np.float32)
    found = probe(model, graph, images, labels, landmarks=points, targets=targets)
    shares, values = answers(model, [images, points])
    square = ((values - targets) ** 2).mean(1)
    assert found.loss == pytest.approx(float((square - np.log(shares[np.arange(8), labels])).mean()), rel=1e-4)
    assert found.fisher["points1_dense"].shape == (8,) and found.dead["points1_relu"].shape == (8,)
    # Taking a channel of the branch out of both layers that read it, to first order: activation times gradient.
    kernels = [layer.kernel.numpy()[12:] for layer in (model.get_layer("logits"), model.get_layer("values"))]
    hidden = np.maximum(points @ model.get_layer("points1_dense").kernel + model.get_layer("points1_dense").bias, 0)
    by_logits, by_values = shares - np.eye(3)[labels], values - targets
    slope = hidden * (by_logits @ kernels[0].T + by_values @ kernels[1].T)
    np.testing.assert_allclose(found.fisher["points1_dense"], 0.5 * (slope**2).mean(0), rtol=1e-3, atol=1e-6)
    with pytest.raises(InputError, match="landmarks"):
        probe(model, graph, images, labels, targets=targets)


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_tflite_files_answer_what_the_network_does(head: Head) -> None:
    import tf_keras

    graph = with_head(TRUNK.graph(), head)
    model = build_model(graph, tf_keras)
    lived_in(model)
    inputs = feeds(graph, 40)
    given = inputs if head.landmarks else inputs[0]
    expected = answers(model, inputs)
    content = to_tflite(model)
    assert check_same_output(model, content, given) < 1e-5
    for got, own in zip(listed(run_tflite(content, given)), expected, strict=True):
        np.testing.assert_allclose(got, own, atol=1e-5)
    int8 = to_tflite(model, calibration=given)
    for got, own in zip(listed(run_tflite(int8, given)), expected, strict=True):
        np.testing.assert_allclose(got, own, atol=0.03)
        assert np.corrcoef(got.ravel(), own.ravel())[0, 1] > 0.97
    details = open_interpreter(int8).get_input_details()
    assert {d["dtype"] for d in details} == {np.int8} and len(details) == len(inputs)
    latency = measure_latency(content, int8, LatencyProtocol(5, 0.001, 1, 0.01, 0.2))
    assert latency.median_ms > 0
    if head.landmarks:
        with pytest.raises(ConversionError, match="the file takes"):
            run_tflite(content, inputs[0])


def test_answers_are_told_apart_by_name_not_by_place() -> None:
    assert order_of_answers(["Identity_1", "Identity"]) == [1, 0]
    assert order_of_answers(["StatefulPartitionedCall/Identity", "Identity_1:0"]) == [0, 1]
    assert order_of_answers(["anything"]) == [0]
    assert order_of_inputs(["landmarks", "input"]) == [1, 0]
    for names in (["softmax", "Identity"], ["Identity", "Identity"]):
        with pytest.raises(ConversionError, match="cannot be told"):
            order_of_answers(names)


def test_224_pixels_in_colour_convert() -> None:
    import tf_keras

    graph = fit_to_data(load_space("tiny"), (224, 224, 3), 7).prototype.graph()
    model = build_model(graph, tf_keras)
    images = feeds(graph, 2)[0]
    assert check_same_output(model, to_tflite(model), images) < 1e-4
    assert run_tflite(to_tflite(model, calibration=images), images).shape == (2, 7)


def held_for(graph: Graph, model: Any, n: int = 60) -> HeldImages:
    """Held-out images with landmarks, and targets near to what the network answers; every fifth one's label is off."""
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (n, *graph.input_shape)).astype(np.uint8)
    points = rng.random((n, 10), dtype=np.float32)
    held = HeldImages(images, images, np.zeros(n, np.int64), calibration_landmarks=points, landmarks=points)
    held = replace(held, targets=np.zeros((n, graph.targets), np.float32) if graph.targets else None)
    got = Answers.of(graph.outputs, model(held.fit_for(graph).given(), training=False))
    if got.values is not None:
        values = np.asarray(got.values)
        held = replace(held, targets=(values + rng.normal(0, 0.1, values.shape)).astype(np.float32))
    if got.probabilities is not None:
        labels = np.asarray(got.probabilities).argmax(1)
        labels[::5] = (labels[::5] + 1) % graph.classes
        held = replace(held, labels=labels)
    return held


@dataclass(frozen=True)
class Exported:
    """A network with two inputs and two answers, in every format."""

    graph: Graph
    model: Any
    order: ExportOrder
    candidate: Candidate
    paths: Mapping[str, Path]

    @property
    def card(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.paths["card"].read_text())
        return data


def exported(folder: Path, head: Head, formats: tuple[str, ...]) -> Exported:
    import tf_keras

    a = HeadedArchitecture(TRUNK, head)
    graph = a.graph()
    model = build_model(graph, tf_keras)
    lived_in(model)
    directory = RunDirectory(folder)
    candidate = replace(trained(3, 0.8), id=a.id, architecture=a.to_json(), cost=a.cost())
    buffer = io.BytesIO()
    np.savez(buffer, **get_weights(model))
    directory.store(a.id, {WEIGHTS: buffer.getvalue()})
    names = tuple("abcdefgh"[: head.classes or 7])
    order = ExportOrder(
        *(directory, folder / "out", formats, names, "random noise", Indicator(()), trained(0, 0.9)),
        images=held_for(graph, model),
        target_names=("valence", "arousal")[: head.targets],
    )
    return Exported(graph, model, order, candidate, export_candidate(candidate, order))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(tmp_path_factory.mktemp("run"), Head(8, 2, 5, (8,)), ("all",))


def test_every_format_has_both_answers(both: Exported) -> None:
    assert both.order.images is not None
    given = both.order.images.fit_for(both.graph).given()
    expected = [np.asarray(x) for x in both.model(given, training=False)]
    for name in set(both.paths) & set(FORMATS):
        got = FORMATS[name].run(both.paths[name].read_bytes(), given)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4 if name in ("keras", "tflite", "onnx") else 0.05)
        found = read(both.paths[name])
        assert (found.classes, found.targets) == (tuple("abcdefgh"), ("valence", "arousal"))
        assert found.landmarks is not None and found.landmarks["points"] == 5
        entry = both.card["files"][name]
        assert entry["float_accuracy"] == pytest.approx(0.8)
        assert entry["float_rmse"] == pytest.approx(0.1, abs=0.02)
        assert abs(entry["rmse_difference"]) < 0.02
        assert entry["values_largest_difference"] >= entry["values_rms_difference"] >= 0
    assert set(FORMATS) - set(both.paths) <= {"onnx"}


def test_the_signature_names_inputs_and_answers(both: Exported) -> None:
    assert both.order.images is not None
    image, points = both.order.images.fit_for(both.graph).given(1)
    runner = open_interpreter(both.paths["tflite"].read_bytes()).get_signature_runner("serving_default")
    got = runner(landmarks=points, image=image)
    expected = [np.asarray(x) for x in both.model([image, points], training=False)]
    np.testing.assert_allclose(got["probabilities"], expected[0], atol=1e-5)
    np.testing.assert_allclose(got["values"], expected[1], atol=1e-5)


def test_the_card_says_what_goes_in_and_what_comes_out(both: Exported) -> None:
    card = both.card
    assert card["task"] == "classification into 8 classes and regression of 2 values, from an image and 5 landmarks"
    assert card["targets"] == ["valence", "arousal"] and set(card["outputs"]) == {"probabilities", "values"}
    assert card["landmarks"]["points"] == 5 and "share of the image's width" in card["landmarks"]["how"]
    int8 = card["files"]["tflite-int8"]
    assert {int8[name]["dtype"] for name in ("input", "landmarks", "output", "values")} == {"int8"}
    text = both.paths["card-md"].read_text()
    assert "- values: one a target, in this order: 0 valence, 1 arousal" in text
    assert "| accuracy | less the network's | same answer | answers differ by |" in text
    assert f"rmse {int8['rmse']:.4f} (float {int8['float_rmse']:.4f})" in text
    with pytest.raises(InputError, match="target names"):
        export_candidate(both.candidate, replace(both.order, target_names=("valence",)))
    with pytest.raises(InputError, match="landmarks"):
        export_candidate(both.candidate, replace(both.order, images=replace(both.order.images, landmarks=None)))


def test_a_network_of_values_alone_is_exported(tmp_path: Path) -> None:
    alone = exported(tmp_path, Head(0, 2), ("tflite", "tflite-int8"))
    card = alone.card
    assert card["classes"] == [] and card["targets"] == ["valence", "arousal"]
    for name in ("tflite", "tflite-int8"):
        entry = card["files"][name]
        assert "accuracy" not in entry and "agreement_with_float" not in entry
        assert entry["rmse"] == pytest.approx(0.1, abs=0.02)
        assert read(alone.paths[name]).outputs == ("values",)
    text = alone.paths["card-md"].read_text()
    entry = card["files"]["tflite-int8"]
    assert f"| {entry['rmse']:.4f} (float {entry['float_rmse']:.4f}) | {entry['rmse_difference']:+.4f} |" in text
    assert card["caveats"][0].startswith("The error was measured") and "accuracy" not in " ".join(card["caveats"])
    again = export_candidate(alone.candidate, replace(alone.order, images=None, formats=("tflite",)))
    assert json.loads(again["card"].read_text())["files"]["tflite"]["compared_on"] == "images of random noise"


def test_values_that_a_file_gets_wrong_are_refused() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(50, 2)).astype(np.float32)
    blank = np.zeros((50, 2, 2, 1), np.uint8)
    held = HeldImages(blank, blank, np.zeros(50, np.int64), targets=targets)
    right = compare(Answers(values=targets + 0.01), Answers(values=targets), held)
    assert right.numbers is not None and right.numbers.rmse == pytest.approx(0.01, rel=1e-3)
    assert right.numbers.reference_rmse == 0 and right.agreement is None and right.difference is None
    TOLERANCES["tflite-int8"].check(right)
    wrong = compare(Answers(values=targets[::-1].copy()), Answers(values=targets), held)
    for name in ("tflite", "tflite-int8"):
        with pytest.raises(ConversionError, match="value"):
            TOLERANCES[name].check(wrong)
    with pytest.raises(ConversionError, match="does not answer"):
        compare(Answers(targets), Answers(values=targets), held)


def compressed(both: Exported, methods: tuple[str, ...], epochs: int) -> dict[str, Variant]:
    held = both.order.images
    assert held is not None and held.targets is not None and held.landmarks is not None
    extras = Extras(held.targets, held.landmarks.reshape(len(held.targets), -1, 2))
    recipe = Recipe(augmentation=Augmentation(flip=False))
    order = CompressOrder(both.order.directory, parse_methods(methods), recipe, epochs, held, held.labels, True, extras)
    return {v.name: v for v in compress([both.candidate], order, Unwatched())}


def test_compressed_without_training(both: Exported) -> None:
    made = compressed(both, ("ptq",), 1)
    (variant,) = made.values()
    assert variant.failure is None, variant.failure
    assert variant.measurements["agreement"].value > 0.9
    assert variant.measurements["rmse"].value == pytest.approx(variant.original["rmse"].value, abs=0.02)
    order = VariantOrder(both.order.directory, both.order.out, ("tflite",), tuple("abcdefgh"), "noise", ("v", "a"))
    file, card = export_variant(both.candidate, variant.name, order)
    assert read(file).targets == ("v", "a") and json.loads(card.read_text())["landmarks"]["points"] == 5


@pytest.mark.slow
def test_compressed_with_training(both: Exported) -> None:
    made = compressed(both, ("qat", "prune:0.5", "cluster:8", "prune-qat:0.5"), 2)
    for name, variant in made.items():
        assert variant.failure is None, (name, variant.failure)
        assert 0 < variant.measurements["rmse"].value < 1
    assert made["prune-0.5"].measurements["sparsity"].value > 0.4
