"""Weight inheritance: outputs of real tf_keras networks, values of arrays, and laws over random pairs of relatives."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_family import ChainArchitecture, ChainSpace

from nas.architecture import Architecture, EditKind
from nas.data.dataset import Dataset
from nas.errors import InputError
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.graph import Graph, GraphBuilder
from nas.networks.build import build_model, get_weights, set_weights
from nas.networks.changes import ChangeKind
from nas.networks.channels import continued, groups_of, importance_of
from nas.networks.inherit import Inherited, inherit, shapes_of
from nas.networks.moments import moments
from nas.networks.relatives import distance, nearest
from nas.space import load_space

Arrays = dict[str, npt.NDArray[np.float32]]
EXACT = 1e-5
GROWING = (EditKind.WIDEN, EditKind.ADD_BLOCK, EditKind.ADD_LINK)
TINY = ResidualArchitecture((16, 16, 1), 3, 4, 1, (Stage(8, (4, 8)), Stage(12, (8,))), (Link(0, 0, 1, 0),))


def lived_in(graph: Graph, rng: np.random.Generator) -> Arrays:
    """Random weights of a plausible scale with statistics that are not trivial, for every variable of ``graph``."""
    out: Arrays = {}
    for name, shape in shapes_of(graph).items():
        if name.endswith("kernel"):
            fan = np.prod(shape[:-1]) if "depthwise" not in name else np.prod(shape[:2])
            value = rng.normal(0, np.sqrt(2 / fan), shape)
        elif name.endswith("variance"):
            value = rng.uniform(0.3, 3, shape)
        elif name.endswith("gamma"):
            value = rng.uniform(0.2, 1.5, shape)
        else:
            value = rng.normal(0, 0.5, shape)
        out[name] = value.astype(np.float32)
    classifier = next(op.name for op in reversed(graph.ops) if op.kind in ("dense", "conv"))
    out[f"{classifier}/kernel"] *= np.float32(0.1)  # a saturated softmax would hide every difference
    return out


def images(graph: Graph, n: int = 4) -> npt.NDArray[np.float32]:
    return np.random.default_rng(9).uniform(0, 1, (n, *graph.input_shape)).astype(np.float32)


def model_of(graph: Graph, weights: Arrays | None = None, seed: int = 2) -> Any:
    import tf_keras

    model = build_model(graph, tf_keras, seed=seed)
    if weights is not None:
        set_weights(model, weights)
    return model


def outputs(graph: Graph, weights: Any, training: bool = False) -> npt.NDArray[np.float32]:
    return np.asarray(model_of(graph, weights)(images(graph), training=training))


def born(parent: Graph, weights: Arrays, child: Graph, **options: Any) -> tuple[Any, Inherited]:
    """(model with the inherited weights, what was inherited)."""
    model = model_of(child)
    inherited = inherit(parent, weights, child, get_weights(model), **{"seed": 0, **options})
    set_weights(model, inherited.weights)
    return model, inherited


def edits_of(space: Any, architecture: Architecture, per_kind: int, rng: np.random.Generator) -> list[Any]:
    by_kind: dict[EditKind, list[Any]] = {}
    for edit in space.edits(architecture):
        by_kind.setdefault(edit.kind, []).append(edit)
    return [edits[k] for edits in by_kind.values() for k in rng.permutation(len(edits))[:per_kind]]


def expected_to_preserve(parent: ResidualArchitecture, child: ResidualArchitecture, kind: EditKind) -> bool:
    """Growth preserves unless the network's shape forbids it.

    It does where the stem reaches its stage's width, so that the projection between them goes, and where a block comes
    in before a strided block into which a link leads: the link then leads into the new block, behind a ReLU.
    """
    if kind not in GROWING:
        return False
    had, has = (a.stem_width != a.stages[0].width for a in (parent, child))
    moved = [
        s
        for s, (old, new) in enumerate(zip(parent.stages, child.stages, strict=True))
        if len(new.inner) > len(old.inner)
        and (s > 0 or had)
        and any(link.target == (s, 0) for link in parent.links)
        and not any(link.target == (s, 0) for link in child.links)
    ]
    return not (had and not has) and not moved


KINDS = set(EditKind) - {EditKind.RETYPE}  # of spaces that leave no trait open


def check_edits(name: str, seed: int, per_kind: int) -> set[EditKind]:
    """Compares outputs, proof and list of changes for some edits of each kind; returns the kinds there were."""
    space, rng = load_space(name), np.random.default_rng(seed)
    parent = space.sample(rng)
    assert isinstance(parent, ResidualArchitecture)
    graph = parent.graph()
    weights = lived_in(graph, rng)
    before = outputs(graph, weights)
    assert before.max() < 0.999
    edits = edits_of(space, parent, per_kind, rng)
    for edit in edits:
        child = edit.apply(parent)
        model, inherited = born(graph, weights, child.graph())
        change = float(np.abs(np.asarray(model(images(graph), training=False)) - before).max())
        assert inherited.preserving == expected_to_preserve(parent, child, edit.kind), (str(edit), inherited.changes)
        assert inherited.preserving == all(c.preserving for c in inherited.changes), (str(edit), inherited.changes)
        assert ChangeKind.OTHER not in {c.kind for c in inherited.changes}
        assert edit.kind.value in {c.kind.value for c in inherited.changes}, (str(edit), inherited.changes)
        assert change <= EXACT if inherited.preserving else change > EXACT, (str(edit), change)
    return {edit.kind for edit in edits}


def test_every_kind_of_edit_of_the_tiny_space_at_the_outputs() -> None:
    assert {kind for seed in (1, 3) for kind in check_edits("tiny", seed, 2)} == KINDS


def test_every_kind_of_edit_of_emotionnet_nano_at_the_outputs() -> None:
    assert set(check_edits("emotionnet-nano", 3, 2)) == KINDS


def test_traits_keep_what_weights_fit_and_never_claim_to_preserve() -> None:
    space, rng = load_space("emotionnet-micro"), np.random.default_rng(0)
    parent = space.sample(rng)
    graph = parent.graph()
    weights = lived_in(graph, rng)
    before, retypes = outputs(graph, weights), [e for e in space.edits(parent) if e.kind is EditKind.RETYPE]
    assert len({e.target for e in retypes}) == 4
    for edit in retypes[::2]:
        model, inherited = born(graph, weights, edit.apply(parent).graph())
        assert not inherited.preserving and inherited.inherited_share > 0.1, str(edit)
        assert np.abs(np.asarray(model(images(graph), training=False)) - before).max() > EXACT, str(edit)


@pytest.mark.parametrize(("norm", "bias"), [("none", True), ("none", False), ("batch", True)])
def test_growth_preserves_without_normalisation_and_with_bias(norm: str, bias: bool) -> None:
    parent = replace(TINY, norm=norm, bias=bias, stem_width=8)
    graph, rng = parent.graph(), np.random.default_rng(0)
    weights = lived_in(graph, rng)
    child = replace(
        parent,
        stages=(Stage(12, (4, 10, 6)), Stage(16, (8,))),
        links=(Link(0, 0, 1, 0), Link(0, 1, 1, 0)),
    ).graph()
    model = model_of(child)
    inherited = inherit(graph, weights, child, lived_in(child, rng), seed=0)  # also where fresh offsets are not zero
    set_weights(model, inherited.weights)
    assert inherited.preserving, inherited.changes
    kinds = {c.kind for c in inherited.changes}
    assert kinds == {ChangeKind.WIDEN, ChangeKind.ADD_BLOCK, ChangeKind.ADD_LINK, ChangeKind.ADD_BRANCH}
    assert np.abs(np.asarray(model(images(graph))) - outputs(graph, weights)).max() <= EXACT


def test_growth_also_preserves_with_the_statistics_of_the_batch() -> None:
    graph = TINY.graph()
    weights = lived_in(graph, np.random.default_rng(0))
    child = replace(TINY, stages=(Stage(12, (8, 8, 8)), Stage(16, (12,))), links=(*TINY.links, Link(0, 2, 1, 0)))
    model, inherited = born(graph, weights, child.graph())
    assert inherited.preserving
    after = np.asarray(model(images(graph), training=True))
    assert np.abs(after - outputs(graph, weights, training=True)).max() <= 1e-4


def wider_stage(a: ResidualArchitecture) -> ResidualArchitecture:
    return replace(a, stages=(Stage(12, (8, 16)), a.stages[1]))


def wider_stem(a: ResidualArchitecture) -> ResidualArchitecture:
    return replace(a, stem_width=12)


def another_block(a: ResidualArchitecture) -> ResidualArchitecture:
    return replace(a, stages=(a.stages[0], Stage(12, (8, 8))))


def another_link(a: ResidualArchitecture) -> ResidualArchitecture:
    return replace(a, links=(Link(0, 0, 0, 1), *a.links))


def another_source(a: ResidualArchitecture) -> ResidualArchitecture:
    return replace(a, links=(*a.links, Link(0, 1, 1, 0)))


def step(model: Any, graph: Graph, rate: float = 0.5) -> Arrays:
    """One step of stochastic gradient descent on the cross-entropy; the gradients by ``operator/variable``."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        chosen = tf.gather(model(images(graph, 16), training=True), np.arange(16) % graph.classes, batch_dims=1)
        loss = -tf.reduce_mean(tf.math.log(chosen + 1e-7))
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        variable.assign_sub(rate * gradient)
    names = [v.name.split(":")[0] for v in model.trainable_variables]
    return dict(zip(names, (np.abs(g.numpy()) for g in gradients), strict=True))


@pytest.mark.parametrize("grow", [wider_stage, wider_stem, another_block, another_link, another_source])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_all_that_is_new_learns(grow: Callable[[ResidualArchitecture], ResidualArchitecture], norm: str) -> None:
    """A gradient reaches every input and output channel of every tensor within two steps, zeros at birth included."""
    parent = replace(TINY, norm=norm, stem_width=8)
    weights = lived_in(parent.graph(), np.random.default_rng(0))
    child = grow(parent).graph()
    model, inherited = born(parent.graph(), weights, child)
    assert inherited.preserving
    first, second = step(model, child), step(model, child)
    step(model, child)
    after = get_weights(model)
    assert not [name for name in after if np.array_equal(after[name], inherited.weights[name])]
    if norm == "none":  # some ReLU of a random network without normalisation is always off
        return
    for name, gradient in first.items():
        either = gradient + second[name]
        assert either.reshape(-1, either.shape[-1]).max(0).min() > 0, name
        if name.endswith("kernel"):
            assert np.moveaxis(either, -2, 0).reshape(either.shape[-2], -1).max(1).min() > 0, name


def test_copies_of_a_channel_part_in_training() -> None:
    parent, child = TINY.graph(), replace(TINY, stages=(Stage(8, (4, 16)), TINY.stages[1])).graph()
    weights = lived_in(parent, np.random.default_rng(0))
    model, inherited = born(parent, weights, child)
    name = "s1b2_conv1/kernel"
    copied = continued(importance_of(parent, weights)["s1b2_conv1"], 16)[8:]
    assert np.array_equal(inherited.weights[name][..., 8:], inherited.weights[name][..., copied])
    for _ in range(3):
        step(model, child)
    after = get_weights(model)[name]
    apart = np.abs(after[..., 8:] - after[..., copied]).max((0, 1, 2))
    moved = np.abs(after - inherited.weights[name])[..., copied].max((0, 1, 2))
    assert np.all(apart > 0.01 * moved)


def kept_of(importance: npt.NDArray[np.float64], width: int) -> list[int]:
    return sorted(sorted(range(len(importance)), key=lambda c: -importance[c])[:width])


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=20), st.integers(1, 40))
def test_continued_channels(importance: list[float], width: int) -> None:
    chosen = continued(np.array(importance), width)
    assert len(chosen) == width
    if width <= len(importance):
        assert chosen.tolist() == kept_of(np.array(importance), width)
    else:
        counts = np.bincount(chosen, minlength=len(importance))
        assert chosen[: len(importance)].tolist() == list(range(len(importance)))
        assert counts.max() - counts.min() <= 1
        more, fewer = (np.array(importance)[counts == n] for n in (counts.max(), counts.min()))
        assert counts.max() == counts.min() or min(more) >= max(fewer)


def test_narrowing_keeps_the_most_important_channels_of_the_whole_tied_group() -> None:
    """Stage 1 has three producers and feeds two blocks, a projection and two sources of one concatenation."""
    parent = replace(TINY, links=(Link(0, 0, 1, 0), Link(0, 1, 1, 0)))
    child = replace(parent, stages=(Stage(5, (4, 8)), TINY.stages[1]))
    graph, rng = parent.graph(), np.random.default_rng(3)
    weights, importance = lived_in(graph, rng), rng.uniform(0, 1, 8)
    group = "s1b1_conv2"
    assert graph.channel_groups()[group] == ("s1b1_conv2", "s1b1_project", "s1b2_conv2")
    _, inherited = born(graph, weights, child.graph(), importance={group: importance})
    kept = kept_of(importance, 5)
    got = inherited.weights
    for producer in graph.channel_groups()[group]:
        assert np.array_equal(got[f"{producer}/kernel"], weights[f"{producer}/kernel"][..., kept])
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            assert np.array_equal(got[f"{producer}_bn/{name}"], weights[f"{producer}_bn/{name}"][kept])
    for consumer in ("s1b2_conv1", "s2b1_conv1", "s2b1_project"):
        assert np.array_equal(got[f"{consumer}/kernel"], weights[f"{consumer}/kernel"][:, :, kept])
    both = kept + [8 + c for c in kept]
    assert np.array_equal(got["s2b1_link/kernel"], weights["s2b1_link/kernel"][:, :, both])
    untouched = [name for name in got if got[name].shape == weights[name].shape]
    assert len(got) - len(untouched) == 19  # three producers with their normalisation, four readers
    assert all(np.array_equal(got[name], weights[name]) for name in untouched)
    assert [(c.kind, c.target, c.before, c.after) for c in inherited.changes] == [(ChangeKind.NARROW, group, 8, 5)]
    assert not inherited.preserving
    assert inherited.inherited_share == 1.0
    lost = sum(v.size for v in weights.values()) - sum(v.size for v in got.values())
    assert inherited.kept_share == pytest.approx(1 - lost / sum(v.size for v in weights.values()))


def test_a_duplicated_channel_and_a_zero_channel_go_unnoticed() -> None:
    parent, child = TINY.graph(), replace(TINY, stages=(Stage(6, (4, 7)), TINY.stages[1])).graph()
    weights = lived_in(parent, np.random.default_rng(3))
    for conv in ("s1b1_conv2", "s1b1_project", "s1b2_conv2", "s1b2_conv1"):  # channel 5 as 1, and 7 always zero
        weights[f"{conv}/kernel"][..., 5] = weights[f"{conv}/kernel"][..., 1]
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            weights[f"{conv}_bn/{name}"][5] = weights[f"{conv}_bn/{name}"][1]
        weights[f"{conv}_bn/gamma"][7] = weights[f"{conv}_bn/beta"][7] = 0
    last = {"s1b1_conv2": np.array([3, 2, 3, 3, 3, 1, 3, 0]), "s1b2_conv1": np.array([3, 2, 3, 3, 3, 3, 3, 0])}
    model, inherited = born(parent, weights, child, importance=last)
    assert inherited.preserving
    assert [c.preserving for c in inherited.changes] == [True, True]
    assert np.abs(np.asarray(model(images(parent))) - outputs(parent, weights)).max() <= EXACT
    others = {**last, "s1b1_conv2": np.array([0, 2, 3, 3, 3, 1, 3, 3])}  # a channel that nothing stands in for
    model, inherited = born(parent, weights, child, importance=others)
    assert not inherited.preserving
    assert [c.preserving for c in inherited.changes] == [False, True]
    assert np.abs(np.asarray(model(images(parent))) - outputs(parent, weights)).max() > EXACT


def test_removing_what_still_adds_nothing_goes_unnoticed() -> None:
    parent = replace(TINY, stages=(Stage(8, (4, 8, 8)), Stage(12, (8, 8))), links=(Link(0, 0, 0, 2), Link(0, 0, 1, 1)))
    graph = parent.graph()
    weights = lived_in(graph, np.random.default_rng(1))
    for name in ("s1b3_conv2_bn", "s1b3_link_bn", "s2b2_link_bn"):
        weights[name + "/gamma"][:] = weights[name + "/beta"][:] = 0
    child = replace(parent, stages=(Stage(8, (4, 8)), Stage(12, (8, 8))), links=()).graph()
    model, inherited = born(graph, weights, child)
    assert inherited.preserving, inherited.changes
    kinds = sorted(c.kind.value for c in inherited.changes)
    assert kinds == ["remove_block", "remove_link"]
    assert np.abs(np.asarray(model(images(graph))) - outputs(graph, weights)).max() <= EXACT


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_network_inherits_itself(norm: str) -> None:
    space = load_space("emotionnet-nano")
    for seed in range(3):
        architecture = space.sample(np.random.default_rng(seed))
        assert isinstance(architecture, ResidualArchitecture)
        graph = replace(architecture, norm=norm).graph()
        weights = lived_in(graph, np.random.default_rng(seed))
        inherited = inherit(graph, weights, graph, lived_in(graph, np.random.default_rng(99)), seed=seed)
        assert inherited.preserving
        assert not inherited.changes
        assert not inherited.fresh
        assert (inherited.inherited_share, inherited.kept_share) == (1.0, 1.0)
        assert inherited.weights.keys() == weights.keys()
        assert all(np.array_equal(inherited.weights[name], weights[name]) for name in weights)


def test_tensorflow_is_not_needed() -> None:
    program = "import sys, nas.networks.inherit, nas.networks.relatives; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"False\n"


def test_the_seed_decides() -> None:
    graph, child = TINY.graph(), wider_stage(TINY).graph()
    weights, fresh = (lived_in(g, np.random.default_rng(0)) for g in (graph, child))
    first, again, other = (inherit(graph, weights, child, fresh, seed=seed).weights for seed in (5, 5, 6))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_neither_the_parents_nor_the_fresh_arrays_are_changed_or_shared() -> None:
    graph, child = TINY.graph(), replace(another_block(TINY), stem_width=8).graph()
    weights, fresh = (lived_in(g, np.random.default_rng(0)) for g in (graph, child))
    before = {name: value.copy() for name, value in (weights | fresh).items()}
    inherited = inherit(graph, weights, child, fresh, seed=0)
    for value in inherited.weights.values():
        assert not any(np.shares_memory(value, other) for other in (*weights.values(), *fresh.values()))
    assert all(np.array_equal((weights | fresh)[name], before[name]) for name in before)


def test_other_classes_get_a_fresh_classifier_and_the_rest_is_inherited() -> None:
    graph, child = TINY.graph(), replace(TINY, classes=5).graph()
    weights, fresh = (lived_in(g, np.random.default_rng(k)) for k, g in enumerate((graph, child)))
    inherited = inherit(graph, weights, child, fresh, seed=0)
    assert inherited.fresh == ("logits",)
    assert not inherited.preserving
    assert [(c.kind, c.before, c.after) for c in inherited.changes] == [(ChangeKind.CLASSES, 3, 5)]
    for name, value in inherited.weights.items():
        assert np.array_equal(value, (fresh if name.startswith("logits") else weights)[name])


def test_moments_of_rectified_gaussians_and_their_sums() -> None:
    graph = TINY.graph()
    weights = lived_in(graph, np.random.default_rng(0))
    index = {op.name: i for i, op in enumerate(graph.ops)}
    rng = np.random.default_rng(1)
    draws = {
        name: rng.normal(weights[name + "/beta"], weights[name + "/gamma"], (200_000, 8))
        for name in ("s1b1_conv2_bn", "s1b1_project_bn")
    }
    total = np.maximum(sum(draws.values()), 0)
    mean, variance = moments(graph, weights, index["s1b1_out"])
    assert mean == pytest.approx(total.mean(0), abs=0.02)
    assert variance == pytest.approx(total.var(0), rel=0.05)


def test_importance_counts_what_goes_out_and_what_is_read() -> None:
    graph = TINY.graph()
    weights = lived_in(graph, np.random.default_rng(0))
    weights["s1b2_conv1_bn/gamma"][2] = 0
    weights["s1b2_conv2/kernel"][:, :, 3] = 0
    weights["s1b2_conv2/kernel"][:, :, 4] *= 1000
    values = importance_of(graph, weights)
    assert values.keys() == graph.channel_groups().keys()
    assert values["s1b2_conv1"][[2, 3]].tolist() == [0, 0]
    assert values["s1b2_conv1"].argmax() == 4
    assert np.all(values["s1b1_conv2"] > 0)


def random_pair(seed: int, name: str = "emotionnet-nano", steps: int = 4) -> tuple[Any, Any, np.random.Generator]:
    """A random architecture and what a few random edits make of it."""
    space, rng = load_space(name), np.random.default_rng(seed)
    parent = child = space.sample(rng)
    for _ in range(int(rng.integers(1, steps + 1))):
        edits = space.edits(child)
        child = edits[int(rng.integers(len(edits)))].apply(child)
    return parent, child, rng


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["tiny", "emotionnet-nano"]), st.booleans())
def test_laws_of_several_edits_at_once_and_of_strangers(seed: int, name: str, strangers: bool) -> None:
    """Every array is there and finite, the proof and the list of changes agree, new zeros are gammas or kernel rows."""
    parent, child, rng = random_pair(seed, name)
    child = load_space(name).sample(rng) if strangers else child
    graphs = parent.graph(), child.graph()
    weights, fresh = (lived_in(graph, rng) for graph in graphs)
    inherited = inherit(graphs[0], weights, graphs[1], fresh, seed=seed)
    assert {n: v.shape for n, v in inherited.weights.items()} == shapes_of(graphs[1])
    assert all(v.dtype == np.float32 and np.all(np.isfinite(v)) for v in inherited.weights.values())
    assert inherited.preserving == all(c.preserving for c in inherited.changes), inherited.changes
    assert bool(inherited.changes) == (parent != child)
    assert 0 < inherited.inherited_share <= 1
    assert 0 < inherited.kept_share <= 1
    kernels = {n: v for n, v in inherited.weights.items() if n.endswith("kernel")}
    assert not [n for n, v in kernels.items() if np.any(np.all(v.reshape(-1, v.shape[-1]) == 0, axis=0))]
    zero = {n.split("/")[0] for n, v in inherited.weights.items() if n.endswith("gamma") and np.any(v == 0)}
    assert zero <= set(inherited.fresh)


def test_several_edits_at_once_at_the_outputs() -> None:
    proven = 0
    for seed in range(8):
        parent, child, rng = random_pair(seed, "tiny", steps=3)
        graph = parent.graph()
        weights = lived_in(graph, rng)
        model, inherited = born(graph, weights, child.graph())
        change = np.abs(np.asarray(model(images(graph))) - outputs(graph, weights)).max()
        assert (change <= EXACT) == inherited.preserving, (seed, inherited.changes)
        proven += inherited.preserving
    assert proven >= 2


def test_another_family_with_depthwise_convolutions() -> None:
    space = ChainSpace()
    parent = space.prototype
    graph = parent.graph()
    weights = lived_in(graph, np.random.default_rng(0))
    before = outputs(graph, weights)
    for edit in space.edits(parent):
        model, inherited = born(graph, weights, edit.apply(parent).graph())
        assert inherited.preserving == (edit.kind is EditKind.WIDEN)
        assert (np.abs(np.asarray(model(images(graph))) - before).max() <= EXACT) == inherited.preserving
    grown = ChainArchitecture(parent.shape, parent.classes, (8, 16, 16))
    _, inherited = born(graph, weights, grown.graph())
    assert set(inherited.fresh) == {"b2_depth", "b2_depth_bn", "b2_point", "b2_point_bn", "logits"}


def test_a_family_whose_blocks_begin_at_zero_inherits_them_trained() -> None:
    g = GraphBuilder((8, 8, 1))
    x = g.relu(g.bn(g.conv(g.input, "stem", 4, kernel=3, bias=False), "stem_bn"), "stem_relu")
    y = g.relu(g.bn(g.conv(x, "b1_conv1", 6, kernel=3, bias=False), "b1_conv1_bn"), "b1_relu1")
    y = g.bn(g.conv(y, "b1_conv2", 4, kernel=3, bias=False), "b1_conv2_bn", zero=True)
    graph = g.classifier(g.relu(g.add(y, x, "b1_add"), "b1_out"), 3)
    weights = lived_in(graph, np.random.default_rng(0))
    inherited = inherit(graph, weights, graph, lived_in(graph, np.random.default_rng(1)), seed=0)
    assert inherited.preserving
    assert all(np.array_equal(inherited.weights[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"child": replace(TINY, input_shape=(16, 16, 3)).graph()}, r"\(16, 16, 3\) images cannot inherit"),
        ({"weights": {}}, "the parent's weights are of another network: .* on one side only"),
        ({"fresh": lived_in(replace(TINY, stem_width=6).graph(), np.random.default_rng(0))}, "initial weights .* is"),
        ({"importance": {"s9": np.ones(3)}}, "no such channel group; it has stem"),
        ({"importance": {"stem": np.ones(3)}}, "give 4 finite numbers"),
        ({"importance": {"stem": np.full(4, np.nan)}}, "give 4 finite numbers"),
    ],
)
def test_what_does_not_belong_together_is_refused(change: dict[str, Any], message: str) -> None:
    graph = TINY.graph()
    weights = lived_in(graph, np.random.default_rng(0))
    arguments: dict[str, Any] = {"parent": graph, "weights": weights, "child": graph, "fresh": weights, "seed": 0}
    with pytest.raises(InputError, match=message):
        inherit(**{**arguments, **change})


def test_distance_is_zero_to_itself_and_below_one() -> None:
    for seed in range(30):
        parent, child, _ = random_pair(seed, steps=8)
        a, b = parent.graph(), child.graph()
        assert distance(a, a) == 0
        assert (0 < distance(a, b) < 1) == (parent != child)


def test_distance_ranks_like_what_is_inherited() -> None:
    from scipy.stats import spearmanr

    space, rng = load_space("emotionnet-nano"), np.random.default_rng(0)
    child = space.sample(rng).graph()
    fresh = lived_in(child, rng)
    distances, shares = [], []
    for seed in range(25):
        relative = random_pair(seed, steps=3)[0].graph()
        inherited = inherit(relative, lived_in(relative, rng), child, fresh, seed=0)
        distances.append(distance(relative, child))
        shares.append(inherited.inherited_share * inherited.kept_share)
    assert spearmanr(distances, shares).statistic < -0.5


def test_the_nearest_relative_is_the_one_an_edit_away() -> None:
    space, rng = load_space("emotionnet-nano"), np.random.default_rng(0)
    relatives = [space.sample(rng) for _ in range(60)]
    graphs = [a.graph() for a in relatives]
    for k in range(0, 60, 4):
        edits: Sequence[Any] = [e for e in space.edits(relatives[k]) if e.kind is not EditKind.RESTRIDE]
        child = edits[int(rng.integers(len(edits)))].apply(relatives[k]).graph()
        found = nearest(child, graphs)
        assert found is not None
        assert found == (k, distance(graphs[k], child))
    assert nearest(graphs[0], []) is None


def test_distance_takes_less_than_a_millisecond() -> None:
    space, rng = load_space("emotionnet-nano"), np.random.default_rng(0)
    graphs = [space.sample(rng).graph() for _ in range(40)]
    nearest(graphs[0], graphs)
    took = []
    for graph in graphs:
        start = time.process_time()
        distance(graphs[0], graph)
        took.append(time.process_time() - start)
    assert np.median(took) < 1e-3


def test_groups_of_operators_are_those_of_the_graph() -> None:
    graph = TINY.graph()
    named = dict(zip((op.name for op in graph.ops), groups_of(graph), strict=True))
    for name, producers in graph.channel_groups().items():
        assert all(named[producer] == name for producer in producers)
    assert named["s1b2_out"] == named["s2b1_subsample"] == "s1b1_conv2"
    assert named["stem_relu"] == named["stem"]
    assert replace(TINY, stem_width=8).graph().channel_groups().keys() != graph.channel_groups().keys()


@pytest.mark.slow
def test_an_inherited_child_is_ahead_of_a_fresh_one_after_an_epoch(dataset: Dataset) -> None:
    """Held-out cross-entropy after one epoch, from the weights of a parent trained for six; by kind of change."""
    parent = replace(TINY, links=())
    children = {
        "grown": replace(parent, stages=(Stage(8, (8, 8)), Stage(16, (8, 16))), links=TINY.links),
        "narrowed": replace(parent, stages=(Stage(8, (4, 4)), Stage(8, (8,)))),
    }
    x = dataset.images.astype(np.float32) / 255
    for name, child in children.items():
        ahead, losses = 0, []
        for seed in range(5):
            held = np.isin(np.arange(len(x)) // 12 % 5, [seed])
            trained = fitted(parent.graph(), None, x[~held], dataset.labels[~held], 6, seed)
            graph = child.graph()
            fresh = get_weights(model_of(graph, seed=seed + 100))
            start = inherit(parent.graph(), get_weights(trained), graph, fresh, seed=seed).weights
            pair = [
                fitted(graph, weights, x[~held], dataset.labels[~held], 1, seed).evaluate(
                    x[held], dataset.labels[held], verbose=0
                )
                for weights in (start, fresh)
            ]
            losses.append(pair)
            ahead += pair[0][0] < pair[1][0] and pair[0][1] >= pair[1][1]
        print(name, np.round(losses, 3).tolist())
        assert ahead >= 4, (name, losses)


def fitted(graph: Graph, weights: Any, x: Any, y: Any, epochs: int, seed: int) -> Any:
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    model = model_of(graph, weights, seed)
    model.compile(tf_keras.optimizers.legacy.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=8, epochs=epochs, verbose=0)
    return model
