"""Images that stay on disk: the same batches, the same training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import blobs
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data import rows
from nas.data.folds import make_split
from nas.data.rows import Rows, rows_of
from nas.evaluation.augment import Augmentation
from nas.evaluation.bundle import Bundle
from nas.evaluation.train import Recipe, Trainer
from nas.networks.build import get_weights
from nas.space import fit_to_data, load_space

STILL = Augmentation(rotation=0, shift=0, zoom=0, flip=False)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 400), st.integers(0, 10**6))
def test_portions_hold_every_batch_in_its_order(count: int, batch: int, portion: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (60, 2, 3, 1), dtype=np.uint8)
    indices = np.sort(rng.choice(60, count, replace=False))
    batch = min(batch, count)
    order = rng.permutation(count)[: count // batch * batch].reshape(-1, batch).astype(np.int32)
    some = Rows(images, indices)
    seen = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rows, "PORTION_BYTES", portion)
        for chosen, local in some.portions(order):
            assert (np.diff(chosen) > 0).all() and local.dtype == np.int32
            assert some[chosen].nbytes <= max(portion, 6 * batch)
            seen.append(some[chosen][local])
    np.testing.assert_array_equal(np.concatenate(seen), images[indices[order]])


def test_only_what_is_large_is_left_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2, 1)
    chosen = np.array([7, 2])
    assert isinstance(rows_of(images, chosen), np.ndarray)
    monkeypatch.setattr(rows, "LARGE_BYTES", 7)
    left = rows_of(images, chosen)
    assert isinstance(left, Rows) and len(left) == 2
    np.testing.assert_array_equal(left[0:1], images[[7]])


def test_training_from_a_file_is_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without augmentation, whose draws differ by portion, weights and predictions come out the same."""
    data = blobs(6)
    bundle = Bundle.of(data, make_split(data, folds=2, holdout=0, seed=0))
    bundle.save(tmp_path / "bundle.npz")
    mapped = Bundle.load(tmp_path / "bundle.npz")
    train, test = bundle.folds[0]
    trainer = Trainer(fit_to_data(load_space("tiny"), (16, 16, 1), 3).prototype.graph(), Recipe(augmentation=STILL), 0)
    loss = trainer.fit(bundle.images[train], bundle.labels[train], 2, 0)
    weights, told = get_weights(trainer.model), trainer.predict(bundle.images[test])
    monkeypatch.setattr(rows, "LARGE_BYTES", 1000)
    monkeypatch.setattr(rows, "PORTION_BYTES", 3 * 8 * 256)  # three batches
    shown = mapped.rows(train)
    assert isinstance(shown, Rows) and isinstance(shown.images, np.memmap)
    assert trainer.fit(shown, mapped.labels[train], 2, 0) == pytest.approx(loss, rel=1e-4)
    again = get_weights(trainer.model)
    for name, values in weights.items():
        np.testing.assert_allclose(again[name], values, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(trainer.predict(mapped.rows(test)), told, atol=1e-4)
