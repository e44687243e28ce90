"""``nas data convert``: what is written is what was read."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lookalikes import frames, write_ck48
from typer.testing import CliRunner

from nas.cli.main import app
from nas.data.dataset import PER_IMAGE, Dataset
from nas.data.folds import make_split
from nas.data.gather import gathered
from nas.data.recognise import load_dataset
from nas.data.stored import store
from nas.errors import EnvironmentStopError, InputError
from nas.evaluation.bundle import Bundle
from nas.evaluation.mapped import mapped_member

text = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn")), min_size=1, max_size=12)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Any data set, with any of what may be known of its images."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    count, channels = draw(st.integers(2, 9)), draw(st.sampled_from([1, 3]))
    names = tuple(draw(st.lists(text, min_size=2, max_size=4, unique=True)))
    labels = np.concatenate([[0, 1], rng.integers(0, len(names), count - 2)]).astype(np.int64)
    soft = rng.random((count, len(names))).astype(np.float32)
    ids = st.lists(text, min_size=count, max_size=count).map(lambda values: np.array(values, np.str_))
    known = {name: draw(st.none() | ids) for name in ("subjects", "sequences", "names")}
    known["parts"] = draw(st.sampled_from([None, rng.choice(["train", "validation", "test"], count)]))
    targets = draw(st.sampled_from([(), ("valence", "arousal")]))
    return Dataset(
        rng.integers(0, 256, (count, draw(st.integers(1, 7)), 5, channels), dtype=np.uint8),
        labels,
        names,
        caption=draw(text),
        warnings=tuple(draw(st.lists(text, max_size=2))),
        targets=rng.normal(size=(count, 2)).astype(np.float32) if targets else None,
        target_names=targets,
        landmarks=draw(st.sampled_from([None, rng.random((count, 68, 2)).astype(np.float32)])),
        soft_labels=draw(st.sampled_from([None, soft / soft.sum(axis=1, keepdims=True)])),
        sequence_kind=draw(st.sampled_from(["sequence", "near-duplicate group"])),
        **known,
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(datasets())
def test_a_folder_keeps_everything(tmp_path: Path, data: Dataset) -> None:
    store(data, tmp_path / "stored", force=True)
    read = load_dataset(tmp_path / "stored")
    assert (read.kind, read.fingerprint) == ("nas", data.fingerprint)
    for field in fields(Dataset):
        before, after = getattr(data, field.name), getattr(read, field.name)
        if field.name in ("images", "labels", *PER_IMAGE) and before is not None:
            assert before.dtype.kind == after.dtype.kind
            np.testing.assert_array_equal(before, after)
        elif field.name != "kind":
            assert before == after, field.name


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(datasets())
def test_a_file_keeps_everything_or_is_refused(tmp_path: Path, data: Dataset) -> None:
    lost = [name for name in ("targets", "landmarks", "soft_labels", "parts") if getattr(data, name) is not None]
    if lost:
        with pytest.raises(InputError, match=f"{', '.join(lost)} of this data would be lost"):
            store(data, tmp_path / "data.npz", force=True)
        return
    store(data, tmp_path / "data.npz", force=True)
    assert load_dataset(tmp_path / "data.npz").fingerprint == data.fingerprint


def test_images_stay_on_disk_until_they_are_used(tmp_path: Path) -> None:
    data = frames(4)
    store(data, tmp_path / "stored")
    read = load_dataset(tmp_path / "stored")
    assert isinstance(read.images, np.memmap) and not read.images.flags.writeable
    smaller = load_dataset(tmp_path / "stored", image_size=24)
    assert smaller.input_shape == (24, 24, 1) and smaller.names is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stored"]  # nothing temporary is left


def test_the_command_converts_ck48(tmp_path: Path) -> None:
    root = write_ck48(tmp_path / "CK+48", frames(6), keep_names=True)
    result = CliRunner().invoke(app, ["data", "convert", str(root), str(tmp_path / "out"), "--image-size", "24"])
    assert result.exit_code == 0 and "54 images, CK+48 (54 images, 6 subjects)" in " ".join(result.output.split())
    read, before = load_dataset(tmp_path / "out"), load_dataset(root, image_size=24)
    assert read.fingerprint == before.fingerprint and read.caption == before.caption
    meta = yaml.safe_load((tmp_path / "out/meta.yaml").read_text())
    assert (meta["source"], meta["fingerprint"], meta["format"]) == ("ck+48", before.fingerprint, 1)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    data, other = frames(2), frames(3)
    store(data, tmp_path / "stored")
    with pytest.raises(InputError, match="is there already; choose another name, or replace it with --force"):
        store(other, tmp_path / "stored")
    assert load_dataset(tmp_path / "stored").fingerprint == data.fingerprint
    store(other, tmp_path / "stored", force=True)
    assert load_dataset(tmp_path / "stored").fingerprint == other.fingerprint
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/dear.txt").write_text("dear")
    with pytest.raises(InputError, match="is no converted data, and is not replaced"):
        store(data, tmp_path / "photos", force=True)
    assert (tmp_path / "photos/dear.txt").read_text() == "dear"


def test_a_full_disk_leaves_what_was_there(small_disk: Path) -> None:
    data = frames(2)
    store(data, small_disk / "stored")
    large = replace(frames(2, side=48), images=np.zeros((18, 480, 480, 1), np.uint8))
    with pytest.raises(EnvironmentStopError, match="stored: cannot be written"):
        store(large, small_disk / "stored", force=True)
    assert load_dataset(small_disk / "stored").fingerprint == data.fingerprint
    assert [path.name for path in small_disk.iterdir()] == ["stored"]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda root: (root / "labels.npy").unlink(), r"labels.npy: cannot be read \(No such file"),
        (lambda root: (root / "images.npy").write_bytes(b"\x93NUMPY"), "images.npy: cannot be read"),
        (lambda root: np.save(root / "images.npy", np.zeros((3, 4, 4, 1), np.uint8)), "3 images but 18 labels"),
        (lambda root: np.save(root / "labels.npy", np.zeros(18)), "is no array of labels"),
        (lambda root: np.save(root / "names.npy", np.array(["a"] * 18, object)), "names.npy: cannot be read"),
        (lambda root: (root / "meta.yaml").write_text("format: 2"), "format"),
        (lambda root: _truncate(root / "images.npy"), "images.npy: cannot be read"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: object, fault: str) -> None:
    store(frames(2), tmp_path / "stored")
    damage(tmp_path / "stored")  # type: ignore[operator]
    with pytest.raises(InputError, match=fault):
        load_dataset(tmp_path / "stored")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_large_subsets_lie_in_a_file_and_hold_the_same() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 9, 7, 3), dtype=np.uint8)
    chosen = np.array([3, 49, 0, 7, 7])
    for indices in (chosen, np.arange(50) % 3 == 0, np.empty(0, np.int64)):
        small = gathered(images, indices)
        large = gathered(images, indices, large_bytes=100)
        np.testing.assert_array_equal(small, images[indices])
        np.testing.assert_array_equal(large, images[indices])
        assert isinstance(large, np.memmap) is bool(len(small))


def test_evaluators_map_the_images_of_a_run(tmp_path: Path) -> None:
    data = frames(20)
    bundle = Bundle.of(data, make_split(data))
    bundle.save(tmp_path / "bundle.npz")
    read = Bundle.load(tmp_path / "bundle.npz")
    assert isinstance(read.images, np.memmap) and not read.images.flags.writeable
    np.testing.assert_array_equal(read.images, bundle.images)
    np.testing.assert_array_equal(read.labels, bundle.labels)
    (tmp_path / "bundle.npz").unlink()  # as when the search ends while an evaluator still trains
    assert read.images.sum() == bundle.images.sum()


def test_only_plain_uncompressed_members_are_mapped(tmp_path: Path) -> None:
    values = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    np.savez(tmp_path / "a.npz", first=np.arange(5), values=values, none=np.empty((0, 3)))
    np.testing.assert_array_equal(mapped_member(tmp_path / "a.npz", "values"), values)
    assert mapped_member(tmp_path / "a.npz", "none").shape == (0, 3)
    with pytest.raises(KeyError):
        mapped_member(tmp_path / "a.npz", "other")
    np.savez_compressed(tmp_path / "b.npz", values=values)
    with pytest.raises(ValueError, match="is compressed"):
        mapped_member(tmp_path / "b.npz", "values")
    np.savez(tmp_path / "c.npz", values=np.array([{}], object))
    with pytest.raises(ValueError, match="Python objects"):
        mapped_member(tmp_path / "c.npz", "values")


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("")
    with pytest.raises(InputError, match="notes is a file and no folder; choose another name"):
        store(frames(2), tmp_path / "notes" / "deep" / "out")


def test_after_ctrl_c_nothing_is_there_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, array: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    faces = write_ck48(tmp_path / "CK+48", frames(2), keep_names=True)
    (tmp_path / "there").mkdir()
    monkeypatch.setattr("nas.data.stored._save", interrupted)
    result = CliRunner().invoke(app, ["data", "convert", str(faces), str(tmp_path / "there" / "out")])
    assert result.exit_code == 130 and "interrupted: " in result.output and "is as it was before" in result.output
    assert list((tmp_path / "there").iterdir()) == []
