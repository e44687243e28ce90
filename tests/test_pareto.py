from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.errors import InputError
from nas.pareto import ParetoArchive, as_losses, hypervolume, non_dominated, objectives_of

points = st.integers(1, 3).flatmap(
    lambda m: arrays(np.float64, st.tuples(st.integers(1, 24), st.just(m)), elements=st.integers(0, 8).map(float))
)


def dominated(p: np.ndarray, q: np.ndarray) -> bool:
    return bool(np.all(q <= p) and np.any(q < p))


@given(points)
@settings(max_examples=150, deadline=None)
def test_the_front_by_definition(losses: np.ndarray) -> None:
    keep = non_dominated(losses)
    for i, p in enumerate(losses):
        beaten = any(dominated(p, q) for q in losses)
        repeated = any(np.array_equal(p, losses[j]) for j in range(i))
        assert keep[i] == (not beaten and not repeated)


@given(points, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_an_archive_holds_the_front_whatever_the_order(losses: np.ndarray, order: Random) -> None:
    archive: ParetoArchive[str] = ParetoArchive()
    numbers = list(range(len(losses)))
    order.shuffle(numbers)
    for number in numbers:
        before = [p.number for p in archive.by_number()]
        changed = archive.insert(tuple(losses[number]), number, f"item {number}")
        assert changed == ([p.number for p in archive.by_number()] != before)
    kept = np.flatnonzero(non_dominated(losses)).tolist()
    assert [p.number for p in archive.by_number()] == kept
    assert [p.item for p in archive.by_number()] == [f"item {n}" for n in kept]
    assert [p.losses for p in archive.by_losses()] == sorted(tuple(losses[n]) for n in kept)


@given(points)
@settings(max_examples=100, deadline=None)
def test_hypervolume_counts_the_cells(losses: np.ndarray) -> None:
    """On whole numbers below 9 the volume is the number of dominated unit cells."""
    m = losses.shape[1]
    cells = np.stack(np.meshgrid(*[np.arange(9.0)] * m, indexing="ij"), -1).reshape(-1, m)
    expected = sum(bool(np.any(np.all(losses <= cell, axis=1))) for cell in cells)
    assert hypervolume(losses, np.full(m, 9.0)) == pytest.approx(expected)


def test_a_volume_worked_by_hand() -> None:
    losses = as_losses(np.array([[0.9, 100.0], [0.8, 50.0], [0.7, 200.0]]), objectives_of(["accuracy", "params"]))
    reference = as_losses(np.array([[0.5, 150.0]]), objectives_of(["accuracy", "params"]))[0]
    assert hypervolume(losses, reference) == pytest.approx(0.4 * 50 + 0.3 * 50)


def test_objectives_are_metrics() -> None:
    with pytest.raises(InputError, match="no metric"):
        objectives_of(["acc"])
    with pytest.raises(InputError, match="one to four"):
        objectives_of([])
    assert objectives_of(["latency_ms"])[0].direction == "minimize"
