"""Probes of trained networks: what was planted is found, and gradients are those of networks that were really built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from planted import (
    CANDIDATES,
    DEEP,
    SIDE,
    USEFUL,
    Apprentice,
    Arrays,
    Batch,
    broken_path,
    cross_entropy,
    cut,
    gratings,
    lived_in,
)
from scipy.stats import spearmanr
from toy_family import ChainSpace

from nas.errors import DecodeError, InputError
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.graph import Graph, GraphBuilder
from nas.networks.build import BN_EPSILON, build_model, get_weights, set_weights
from nas.networks.channels import continued, groups_of, importance_of
from nas.networks.inherit import inherit, shapes_of
from nas.networks.links import links_of, pooling_factor, possible_links
from nas.networks.probes import Probes, probe
from nas.networks.spectra import Scatter, dispensed, effective_rank, whitened_energy
from nas.space import load_space

LINKED = ResidualArchitecture(
    (16, 16, 2), 3, 6, 1, (Stage(6, (5, 8)), Stage(8, (7,)), Stage(10, (6, 6))), (Link(0, 0, 2, 0), Link(1, 0, 2, 0))
)


@lru_cache(maxsize=4)
def built(graph: Graph) -> Any:
    import tf_keras

    return build_model(graph, tf_keras)


def model_of(graph: Graph, weights: Any) -> Any:
    """One model a graph, given these weights."""
    model = built(graph)
    set_weights(model, weights)
    return model


def random_net(architecture: ResidualArchitecture, seed: int) -> tuple[Graph, Arrays]:
    graph = architecture.graph()
    return graph, lived_in(shapes_of(graph), np.random.default_rng(seed))


def noise(graph: Graph, count: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 1, (count, *graph.input_shape)).astype(np.float32)
    return images, rng.integers(0, graph.classes, count)


def probed(graph: Graph, weights: Any, batch: Batch, pairs: Sequence[tuple[str, str]] = ()) -> Probes:
    return probe(model_of(graph, weights), graph, *batch, pairs)


@pytest.fixture(scope="module")
def broken() -> Apprentice:
    """DEEP, whose main path loses half of the label behind the first block."""
    return Apprentice(DEEP.graph(), broken_path())


# A useful link.


def test_a_planted_link_ranks_first_in_at_least_8_of_10_seeds(broken: Apprentice) -> None:
    first, first_by_plain_norm = 0, 0
    for seed in range(10):
        images, labels = gratings(seed, 768)
        model = broken.train(broken.fresh(seed), (images, labels), 3, seed)
        gains = probe(model, DEEP.graph(), images[:256], labels[:256], CANDIDATES).gains
        first += max(gains, key=lambda pair: gains[pair].gain) == USEFUL
        first_by_plain_norm += max(gains, key=lambda pair: gains[pair].gradient) == USEFUL
    assert first >= 8
    assert first_by_plain_norm <= 2  # what the normalisation is for: wide and loud sources win otherwise


@pytest.mark.slow
def test_the_planted_link_is_the_one_that_helps_when_it_is_built_and_trained(broken: Apprentice) -> None:
    batch, held_out = gratings(0, 768), gratings(1000, 768)
    model = broken.train(broken.fresh(0), batch, 3, 0)
    weights = get_weights(model)
    losses = {}
    for pair in CANDIDATES:
        (a, b), (c, d) = ((int(name[1]) - 1, int(name[3]) - 1) for name in pair)
        child = replace(DEEP, links=(Link(a, b, c, d),)).graph()
        apprentice = Apprentice(child, broken_path())
        start = inherit(DEEP.graph(), weights, child, apprentice.fresh(0), seed=0).weights
        losses[pair] = cross_entropy(apprentice.train(start, batch, 3, 0), held_out)
    assert min(losses, key=lambda pair: losses[pair]) == USEFUL
    assert losses[USEFUL] < 0.5 * sorted(losses.values())[1]


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_gradient_is_that_of_the_link_really_built_at_zero(norm: str) -> None:
    """Also where the target has a link already, whose convolution then reads one source more."""
    import tensorflow as tf

    architecture = replace(LINKED, norm=norm, bias=norm == "none", links=LINKED.links if norm == "none" else ())
    graph, weights = random_net(architecture, 3)
    images, labels = noise(graph, 48)
    blocks = [(s, b) for s, stage in enumerate(LINKED.stages) for b in range(len(stage.inner))]
    new = [Link(*p, *q) for p in blocks for q in blocks if p < q and Link(*p, *q) not in architecture.links]
    pairs = {link: (f"s{link[0] + 1}b{link[1] + 1}_out", f"s{link[2] + 1}b{link[3] + 1}_add") for link in new}
    found = probed(graph, weights, (images, labels), list(pairs.values()))
    for link, pair in list(pairs.items())[:: 1 if norm == "none" else 3]:
        child = replace(architecture, links=tuple(sorted((*architecture.links, link)))).graph()
        name = links_of(child)[pair]
        silent, rows = _with_silent_link(graph, weights, child, name, pair)
        model = model_of(child, silent)
        logits = __import__("tf_keras").Model(model.input, model.layers[-2].output)
        kernel = model.get_layer(name).kernel
        with tf.GradientTape() as tape:
            values = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(images, training=False))
            loss = tf.reduce_mean(values)
        gradient = tape.gradient(loss, kernel).numpy()[0, 0][rows]
        assert found.loss == pytest.approx(float(loss), rel=1e-5)
        assert found.gains[pair].gradient == pytest.approx(float(np.linalg.norm(gradient)), rel=1e-4), pair


def _with_silent_link(
    graph: Graph, weights: Arrays, child: Graph, name: str, pair: tuple[str, str]
) -> tuple[Arrays, npt.NDArray[np.int64]]:
    """The parent's weights and a new link of weight 0 (batch normalisation passes it on); the rows of its kernel."""
    widths = {op.name: op.shape[2] for op in child.ops}
    sources = [source for (source, target), conv in links_of(child).items() if conv == name]
    ends = np.cumsum([0, *(widths[s] for s in sources)])
    rows = np.arange(ends[sources.index(pair[0])], ends[sources.index(pair[0]) + 1])
    built = {key: np.zeros(shape, np.float32) for key, shape in shapes_of(child).items()} | weights
    kernel = np.zeros((1, 1, ends[-1], widths[name]), np.float32)
    if f"{name}/kernel" in weights:
        kernel[:, :, np.setdiff1d(np.arange(ends[-1]), rows)] = weights[f"{name}/kernel"]
    built[f"{name}/kernel"] = kernel
    if f"{name}_bn/gamma" in built:
        built[f"{name}_bn/gamma"] = np.full(widths[name], np.sqrt(1 + BN_EPSILON), np.float32)
        built[f"{name}_bn/moving_variance"] = np.ones(widths[name], np.float32)
    return built, rows


def chain(width: int) -> Graph:
    g = GraphBuilder((8, 8, 2))
    x = g.input
    for name, channels in (("a", width), ("b", 6)):
        x = g.bn(g.conv(x, name, channels, kernel=3, bias=False), f"{name}_bn")
        x = g.relu(x, f"{name}_relu")
    return g.classifier(x, 3)


def test_the_gain_does_not_change_with_the_scale_of_its_source() -> None:
    graph = chain(5)
    weights = lived_in(shapes_of(graph), np.random.default_rng(0))
    louder = dict(weights)
    scale = np.array([0.1, 1, 3, 10, 0.3], np.float32)
    for name in ("a_bn/gamma", "a_bn/beta"):
        louder[name] = weights[name] * scale
    louder["b/kernel"] = weights["b/kernel"] / scale[:, None]
    pair = ("a_relu", "b_bn")
    a, b = (probed(graph, w, noise(graph, 64), [pair]).gains[pair] for w in (weights, louder))
    assert b.gradient > 2 * a.gradient
    assert b.gain == pytest.approx(a.gain, rel=1e-3)


def test_noise_does_not_make_the_gain_of_a_wide_source_larger() -> None:
    """Sources without any relation to the gradients: the estimate is 0 on average, the plain square is not."""
    rng = np.random.default_rng(0)
    unbiased, biased = [], []
    for _ in range(200):
        x, g = rng.standard_normal((64, 20)), rng.standard_normal((64, 4))
        parts = [x[i : i + 8].T @ g[i : i + 8] for i in range(0, 64, 8)]
        together = whitened_energy(np.sum(parts, 0), np.cov(x.T))
        biased.append(together / 64**2)
        unbiased.append((together - sum(whitened_energy(p, np.cov(x.T)) for p in parts)) / (64**2 - 8 * 8**2))
    assert abs(np.mean(unbiased)) < 0.05 * np.mean(biased)


def test_sorting_the_images_by_class_changes_little() -> None:
    graph, weights = random_net(replace(LINKED, links=()), 1)
    images, labels = noise(graph, 128)
    order = np.argsort(labels, kind="stable")
    pair = ("s1b1_out", "s2b1_add")
    a, b = (probed(graph, weights, (images[o], labels[o]), [pair]) for o in (np.arange(128), order))
    assert a.loss == pytest.approx(b.loss, rel=1e-5)
    assert b.gains[pair].gain == pytest.approx(a.gains[pair].gain, rel=0.5)
    for group, values in a.fisher.items():
        np.testing.assert_allclose(b.fisher[group], values, rtol=1e-3, atol=1e-8)


# Channels.


def test_importance_predicts_what_taking_a_channel_out_costs() -> None:
    """All channels of the network, by the loss on images that it never saw, and better than the weights alone say."""
    graph = DEEP.graph()
    apprentice = Apprentice(graph, {})
    probes, by_weights = [], []
    for seed in range(3):
        batch, held_out = gratings(seed, 768), gratings(99, 256)
        model = apprentice.train(apprentice.fresh(seed), batch, 3, seed)
        weights = get_weights(model)
        found = probe(model, graph, batch[0][:256], batch[1][:256])
        sizes = importance_of(graph, weights)
        costs, ranked, plain = [], [], []
        for group, values in found.importance.items():
            for channel, value in enumerate(values):
                set_weights(model, cut(graph, weights, group, channel))
                costs.append(cross_entropy(model, held_out))
                ranked.append(value)
                plain.append(sizes[group][channel])
        probes.append(spearmanr(ranked, costs).statistic)
        by_weights.append(spearmanr(plain, costs).statistic)
    assert min(probes) >= 0.5
    assert np.mean(probes) > np.mean(by_weights)


def test_fisher_is_half_the_mean_square_of_the_numeric_derivative() -> None:
    """By a gate on one channel of a tied group, in all kernels that read it, image by image."""
    graph, weights = random_net(LINKED, 5)
    batch = noise(graph, 6)
    found = probed(graph, weights, batch)
    model, step = model_of(graph, weights), 1e-2
    for group, channel in (("stem", 2), ("s2b1_conv2", 1), ("s3b1_conv1", 4)):
        gone = cut(graph, weights, group, channel)
        losses = []
        for factor in (1 + step, 1 - step):
            set_weights(model, {k: v + (factor - 1) * (v - gone[k]) for k, v in weights.items()})
            losses.append(_losses(model, batch))
        derivative = (losses[0] - losses[1]) / (2 * step)
        assert found.fisher[group][channel] == pytest.approx(0.5 * np.mean(derivative**2), rel=0.02), group


def _losses(model: Any, batch: Batch) -> npt.NDArray[np.float64]:
    probabilities = np.asarray(model(batch[0], training=False), np.float64)
    return np.asarray(-np.log(probabilities[np.arange(len(batch[1])), batch[1]]))


@pytest.mark.parametrize("group", ["s2b1_conv1", "s1b1_conv2", "s3b1_conv2"])
def test_a_duplicated_channel_goes_first_and_its_twin_then_stays(group: str) -> None:
    """Inner and tied groups; the copy is of the channel that matters most, so that both matter by any other score."""
    plainly_last = 0
    architecture = replace(LINKED, stem_width=4)
    for seed in range(10):
        graph, weights = random_net(architecture, seed)
        batch = noise(graph, 64, seed)
        found = probed(graph, weights, batch)
        best = int(np.argmax(found.fisher[group]))
        copy = int(np.argmin(found.fisher[group]))
        for op, name in zip(graph.ops, groups_of(graph), strict=True):
            if name == group and op.kind in ("conv", "bn"):
                for variable in ("kernel", "gamma", "beta", "moving_mean", "moving_variance"):
                    if (key := f"{op.name}/{variable}") in weights:
                        weights[key][..., copy] = weights[key][..., best]
        found = probed(graph, weights, batch)
        order = np.argsort(found.importance[group], kind="stable")
        assert order[0] in (best, copy), (group, seed)
        assert order[1] not in (best, copy), (group, seed)
        plainly_last += np.argmin(found.fisher[group]) in (best, copy)
    assert plainly_last <= 2


def test_the_order_of_elimination_holds_for_any_number_of_channels_that_go() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 5))
    x[:, 3] = 2 * x[:, 0]
    x[:, 4] = 7.0  # constant
    covariance = np.cov(x.T)
    importance = dispensed([np.ones(5)], [covariance], np.array([5.0, 1.0, 2.0, 4.0, 9.0]))
    assert np.argsort(importance).tolist() == [4, 3, 1, 2, 0]
    assert len(set(importance)) == 5
    assert continued(importance, 3).tolist() == [0, 1, 2]
    assert dispensed([np.zeros(3)], [np.zeros((3, 3))], np.zeros(3)).argsort().tolist() == [0, 1, 2]


def test_narrowing_takes_the_importance_as_it_is() -> None:
    graph, weights = random_net(LINKED, 2)
    found = probed(graph, weights, noise(graph, 64))
    assert found.importance.keys() == graph.channel_groups().keys() - {"logits"}
    child = replace(LINKED, stages=(LINKED.stages[0], Stage(8, (3,)), LINKED.stages[2])).graph()
    fresh = lived_in(shapes_of(child), np.random.default_rng(0))
    inherited = inherit(graph, weights, child, fresh, seed=0, importance=found.importance)
    kept = np.sort(np.argsort(found.importance["s2b1_conv1"])[-3:])
    np.testing.assert_array_equal(inherited.weights["s2b1_conv1/kernel"], weights["s2b1_conv1/kernel"][..., kept])


def test_dead_channels_are_found_exactly() -> None:
    import tf_keras

    graph, weights = random_net(replace(LINKED, links=()), 4)
    planted = {"s1b2_relu1": [1, 6], "s2b1_relu1": [0], "s3b2_relu1": []}
    for relu, channels in planted.items():
        name = relu.replace("relu", "conv") + "_bn"
        weights[f"{name}/beta"][channels] = -100
    images, labels = noise(graph, 64)
    found = probed(graph, weights, (images, labels))
    model = model_of(graph, weights)
    for relu, dead in found.dead.items():
        seen = np.asarray(tf_keras.Model(model.input, model.get_layer(relu).output)(images, training=False))
        np.testing.assert_array_equal(dead, seen.max((0, 1, 2)) <= 0)
    for relu, channels in planted.items():
        assert np.flatnonzero(found.dead[relu]).tolist() == channels
        assert (found.importance[relu.replace("relu", "conv")][channels] < 1e-300).all()


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_the_effective_rank_of_a_planted_layer_is_about_its_rank(rank: int) -> None:
    g = GraphBuilder((SIDE, SIDE, 1))
    graph = g.classifier(g.relu(g.bn(g.conv(g.input, "layer", 12, kernel=3, bias=False), "layer_bn"), "layer_relu"), 2)
    rng = np.random.default_rng(rank)
    filters = (
        np.linalg.qr(rng.standard_normal((9, 9)))[0][:, :rank] @ np.linalg.qr(rng.standard_normal((12, 12)))[0][:rank]
    )
    weights = get_weights(build_model(graph, __import__("tf_keras")))
    weights["layer/kernel"] = filters.reshape(3, 3, 1, 12).astype(np.float32)
    found = probed(graph, weights, noise(graph, 32))
    assert 0.95 * rank <= found.rank["layer"] <= rank + 1e-3


def test_effective_rank_of_known_spectra() -> None:
    assert effective_rank(np.eye(7)) == pytest.approx(7)
    assert effective_rank(np.diag([3.0, 0, 0])) == pytest.approx(1)
    assert effective_rank(np.diag([0.5, 0.25, 0.25])) == pytest.approx(np.exp(0.5 * np.log(2) + 0.5 * np.log(4)))
    assert effective_rank(np.zeros((3, 3))) == 0


def test_a_covariance_from_parts_is_the_one_of_all() -> None:
    x = np.random.default_rng(0).normal(50, 1, (90, 4))
    scatter = Scatter()
    for part in (x[:7], x[7:60], x[60:]):
        centred = part - part.mean(0)
        scatter.add(len(part), part.mean(0), centred.T @ centred)
    np.testing.assert_allclose(scatter.covariance, np.cov(x.T, bias=True), rtol=1e-10)
    np.testing.assert_allclose(scatter.mean, x.mean(0))


# Branches, links, and what carries them.


def test_a_branch_that_adds_nothing_has_no_importance() -> None:
    graph, weights = random_net(LINKED, 6)
    for name in ("gamma", "beta"):
        weights[f"s1b2_conv2_bn/{name}"] *= 0
    weights["s3b1_link/kernel"][:, :, 6:] = 0  # of the second source, s2b1
    found = probed(graph, weights, noise(graph, 32))
    assert found.branches["s1b2_conv2_bn"] == 0 < min(v for k, v in found.branches.items() if k != "s1b2_conv2_bn")
    assert found.links["s2b1_out", "s3b1_add"] == 0 < found.links["s1b1_out", "s3b1_add"]


def test_the_links_that_could_be_are_those_of_the_spaces_edits() -> None:
    space = load_space("emotionnet-nano")
    blocks = [f"s{s}b{b}" for s in (1, 2, 3) for b in (1, 2, 3)]
    every = [(f"{p}_out", f"{q}_add") for i, p in enumerate(blocks) for q in blocks[i + 1 :]]
    prototype = space.prototype
    assert isinstance(prototype, ResidualArchitecture)
    assert possible_links(space, prototype) == tuple(every)
    linked = replace(prototype, links=(Link(0, 0, 1, 0), Link(0, 1, 1, 0), Link(1, 0, 1, 1)))
    own = links_of(linked.graph())
    assert own == {
        ("s1b1_out", "s2b1_add"): "s2b1_link",
        ("s1b2_out", "s2b1_add"): "s2b1_link",
        ("s2b1_out", "s2b2_add"): "s2b2_link",
    }
    assert set(possible_links(space, linked)) == set(every) - own.keys()
    assert possible_links(ChainSpace(), ChainSpace().prototype) == ()


def test_sources_are_pooled_as_the_family_pools_them() -> None:
    for side in (16, 25, 48, 5):
        graph = replace(LINKED, input_shape=(side, side, 2)).graph()
        ops = {op.name: op for op in graph.ops}
        for (source, target), name in links_of(graph).items():
            pool = ops[f"{name.removesuffix('_link')}_from_{source.removesuffix('_out')}"]
            assert pooling_factor(ops[source], ops[target]) == pool.stride
    with pytest.raises(InputError, match="lower resolution"):
        pooling_factor(ops["s3b1_out"], ops["s1b1_out"])


def test_a_family_of_depthwise_convolutions_is_probed_too() -> None:
    graph = ChainSpace().prototype.graph()
    weights = lived_in(shapes_of(graph), np.random.default_rng(0))
    found = probed(graph, weights, noise(graph, 32))
    assert found.importance.keys() == graph.channel_groups().keys() - {"logits"}
    assert all(np.isfinite(v).all() and v.max() > 0 for v in found.importance.values())


# The record, and what is refused.


def test_the_record_is_read_as_it_was_written() -> None:
    graph, weights = random_net(LINKED, 7)
    found = probed(graph, weights, noise(graph, 16), [("s1b1_out", "s2b1_add")])
    content = found.to_bytes()
    again = Probes.from_bytes(content)
    assert again.to_bytes() == content
    for group, values in found.importance.items():
        np.testing.assert_array_equal(again.importance[group], values)
    for relu, dead in found.dead.items():
        np.testing.assert_array_equal(again.dead[relu], dead)
    assert (again.gains, again.links, again.branches, again.rank) == (
        found.gains,
        found.links,
        found.branches,
        found.rank,
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"schema":2}',
        b"[" * 100_000,
        b'{"schema":1,"images":"many"}',
        b'{"branches":{},"dead":{"r":[]},"fisher":{},"gains":{},"images":2,"importance":{},"links":{},"loss":1,"rank":{},"schema":1}',
        b'{"branches":{},"dead":{},"fisher":{},"gains":{"a->b":[1]},"images":2,"importance":{},"links":{},"loss":1,"rank":{},"schema":1}',
        b'{"branches":{},"dead":{},"fisher":{},"gains":{},"images":2,"importance":{"a":[NaN]},"links":{},"loss":1,"rank":{},"schema":1}',
        b'{"branches":{},"dead":{"r":[9,3]},"fisher":{},"gains":{},"images":2,"importance":{},"links":{},"loss":1,"rank":{},"schema":1}',
    ],
)
def test_a_faulty_record_is_refused(content: bytes) -> None:
    with pytest.raises(DecodeError, match="not probes"):
        Probes.from_bytes(content)


def test_what_does_not_fit_is_refused_and_the_weights_stay() -> None:
    graph, weights = random_net(LINKED, 8)
    model = model_of(graph, weights)
    images, labels = noise(graph, 8)
    for wrong in (
        lambda: probe(model, graph, images[:1], labels[:1]),
        lambda: probe(model, graph, images[:, :8], labels),
        lambda: probe(model, graph, images, labels[:4]),
        lambda: probe(model, graph, images, labels + 9),
        lambda: probe(model, graph, images, labels, [("s1b1_out", "nothing")]),
        lambda: probe(model, graph, images, labels, [("s2b1_out", "s1b1_add")]),
    ):
        with pytest.raises(InputError):
            wrong()
    probe(model, graph, images, labels, [("s1b1_out", "s2b1_add")])
    after = get_weights(model)
    assert all(np.array_equal(after[name], value) for name, value in weights.items())
    weights["stem/kernel"][:] = np.nan
    with pytest.raises(InputError, match="diverged"):
        probed(graph, weights, (images, labels))
