"""The parts of generative synthesis, each by its law."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.optimize import approx_fprime

from nas.errors import DecodeError, InputError
from nas.pareto import hypervolume
from nas.synthesis.encoding import Encoding
from nas.synthesis.gain import hypervolume_gain
from nas.synthesis.generator import Generator, first_generator, learn, milestones
from nas.synthesis.gp import Posterior, Scale, _negative_log_posterior, fit, prior_of
from nas.synthesis.inquisitor import LARGEST, chosen
from nas.synthesis.kernel import Design
from nas.synthesis.preference import anchor_weights, anchors, as_preference, scalarised

ENCODING = Encoding(
    {
        "a": IntDistribution(2, 20, step=3),
        "b": IntDistribution(1, 1000, log=True),
        "c": FloatDistribution(-1.0, 2.0),
        "d": FloatDistribution(0.0, 0.9, step=0.3),
        "e": CategoricalDistribution((1, 2.0, "1", None)),
        "f": CategoricalDistribution(("only",)),
        "g": IntDistribution(0, 10_000),
    }
)


def test_rows_and_parameters_are_the_same_thing() -> None:
    rng = np.random.default_rng(0)
    first = first_generator(ENCODING, 2)
    for row in first.rows(ENCODING, np.array([0.5, 0.5]), 200, rng):
        params = ENCODING.decode(row)
        for name, distribution in ENCODING.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(params[name]))
        again = ENCODING.decode(ENCODING.encode(params))
        assert again == pytest.approx(params) and [type(v) for v in again.values()] == [
            type(v) for v in params.values()
        ]
    with pytest.raises(ValueError, match="outside"):
        ENCODING.encode({**params, "a": 23})


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(0, 10_000))
def test_a_gain_is_the_growth_of_the_hypervolume(objectives: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    front, points = rng.random((6, objectives)), rng.random((5, objectives)) * 1.2
    reference = np.full(objectives, 0.9)
    gains = hypervolume_gain(front, points, reference, rng)
    exact = [hypervolume(np.vstack([front, p]), reference) - hypervolume(front, reference) for p in points]
    assert gains == pytest.approx(exact, abs=1e-9 if objectives < 3 else 0.06)


def test_gradients_of_the_marginal_likelihood() -> None:
    rng = np.random.default_rng(1)
    rows = first_generator(ENCODING, 1).rows(ENCODING, np.ones(1), 25, rng)
    design = Design(ENCODING, 1)
    features = design.features(rows, rng.uniform(-1, 1, (25, 1)))
    y = rng.standard_normal(25)
    prior = prior_of(design)
    at = prior[:, 0] + 0.3 * rng.standard_normal(len(prior))
    _, gradient = _negative_log_posterior(at, design, features, y, prior)
    numeric = approx_fprime(at, lambda v: _negative_log_posterior(v, design, features, y, prior)[0], 1e-6)
    assert gradient == pytest.approx(numeric, rel=1e-3, abs=1e-3)


def test_the_surrogate_finds_pair_effects_and_knows_what_it_does_not_know() -> None:
    encoding = Encoding({f"x{i}": CategoricalDistribution((0, 1, 2)) for i in range(6)})
    points = np.array(list(product(range(3), repeat=6)), dtype=np.float64)
    truth = points @ np.array([3.0, 2, 1, 0, 0, 1]) + 3 * (points[:, 1] == points[:, 2]) - points[:, 0] * points[:, 1]
    rng = np.random.default_rng(0)
    seen = rng.permutation(len(points))[:90]
    design = Design(encoding, 0)
    features = design.features(points, np.empty((len(points), 0)))
    y = truth[seen] + 0.1 * rng.standard_normal(len(seen))
    values = (y - y.mean()) / y.std()
    posterior = Posterior.of(design, fit(design, features.take(seen), values), features.take(seen), values)
    mean, sd = posterior.predict(features)
    error = y.mean() + y.std() * mean - truth
    unseen = np.setdiff1d(np.arange(len(points)), seen)
    assert 1 - error[unseen].var() / truth.var() > 0.97
    assert 0.5 < np.sqrt(np.mean((error[unseen] / (sd[unseen] * y.std())) ** 2)) < 1.6
    assert sd[unseen].mean() > sd[seen].mean()
    draws = posterior.sample(features.take(unseen[:50]), 4000, rng)
    assert draws.mean(0) == pytest.approx(mean[unseen[:50]], abs=0.05)
    assert draws.std(0) == pytest.approx(sd[unseen[:50]], rel=0.1, abs=0.01)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=3, max_size=30), st.floats(-1e6, 1e6))
def test_a_scale_is_undone(losses: list[int], value: float) -> None:
    scale = Scale.of(np.array(losses, dtype=np.float64))
    back = scale.unwarp(scale.warp(np.array([value])))[0]
    assert back == pytest.approx(value, rel=1e-6, abs=1e-6 * max(1.0, scale.spread))


def test_learning_moves_to_the_elites_and_keeps_a_floor() -> None:
    encoding = Encoding({"x": CategoricalDistribution(tuple("abcd")), "y": IntDistribution(0, 3)})
    first = first_generator(encoding, 2)
    rows = np.array(list(product(range(4), range(4))), dtype=np.float64)
    losses = rows + 0.0  # the first objective wants "a", the second 0
    learned = first
    for _ in range(4):
        learned = learn(learned, first, encoding, (rows, losses, np.arange(16)), 0.6)
    likely = {tuple(p): learned.mixed(p) for p in (np.array([1.0, 0.0]), np.array([0.0, 1.0]))}
    assert likely[1.0, 0.0]["x"].argmax() == 0
    assert likely[0.0, 1.0]["y"].argmax() == 0
    assert likely[1.0, 0.0]["x"][0] > likely[0.0, 1.0]["x"][0] + 0.1
    assert all(t.min() >= 0.1 * 0.25 - 1e-9 for t in learned.theta.values())
    assert learned.index == 4


def test_draws_are_different_and_allowed() -> None:
    encoding = Encoding({f"x{i}": IntDistribution(0, 4) for i in range(3)})
    g = first_generator(encoding, 1)
    rng = np.random.default_rng(0)
    found = g.draw(encoding, np.ones(1), 30, rng, lambda p: sum(p.values()) <= 6)
    assert len({tuple(p.values()) for p in found}) == 30
    assert all(sum(p.values()) <= 6 for p in found)
    assert len(g.draw(encoding, np.ones(1), 5, rng, lambda p: p == {"x0": 0, "x1": 0, "x2": 0})) == 1


def test_what_is_no_generator_is_refused() -> None:
    for data in ({}, {"schema": 2}, {"schema": 1, "index": "a"}):
        with pytest.raises(DecodeError):
            Generator.from_json(data)


def test_preferences() -> None:
    assert as_preference({"accuracy": 4, "params": 1}, ("accuracy", "params")) == pytest.approx([0.8, 0.2])
    for wrong in ({"size": 1.0}, {"accuracy": -1.0}, {"accuracy": 0.0}):
        with pytest.raises(InputError):
            as_preference(wrong, ("accuracy", "params"))
    for m in (1, 2, 3, 4):
        lattice = anchors(m)
        assert lattice.sum(1) == pytest.approx(np.ones(len(lattice)))
        assert all(anchor_weights(a, lattice).argmax() == i for i, a in enumerate(lattice))
    ranks = np.array([[0.0, 1.0], [1.0, 0.0], [0.4, 0.4]])
    assert [scalarised(ranks, np.array(p)).argmin() for p in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))] == [0, 1, 2]


def test_milestones_and_the_bounded_set() -> None:
    assert milestones(9) == []
    assert milestones(35) == [10, 20, 30]
    steps = np.diff(milestones(20_000))
    assert steps.min() >= 10 and len(steps) < 80
    rng = np.random.default_rng(0)
    losses = rng.random((5_000, 2))
    finished, front = np.arange(5_000), np.array([3, 700, 4_000])
    picked = chosen(finished, front, losses)
    assert len(picked) <= LARGEST and set(front) <= set(picked) and 4_999 in picked
    assert (
        chosen(finished[:200], front[:1], losses) is not None and len(chosen(finished[:200], front[:1], losses)) == 200
    )
