"""Exported files compute what the trained network computes, and their card tells the truth."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import fill
from handmade import bare, trained
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.deploy import formats as formats_module
from nas.deploy import onnx_named
from nas.deploy.compared import Answers, compare
from nas.deploy.export import WEIGHTS, export_candidate
from nas.deploy.formats import FORMATS, Trained, check_formats
from nas.deploy.held import CALIBRATION, HeldImages, as_input
from nas.deploy.metadata import Metadata, read
from nas.deploy.order import ExportOrder
from nas.deploy.pick import pick
from nas.deploy.shipped import check_file, ship
from nas.deploy.tflite_signed import signed
from nas.deploy.tolerance import TOLERANCES, surely_below
from nas.errors import DecodeError, EnvironmentStopError, InputError
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.indicator import Constraint, Indicator
from nas.networks.build import build_model, get_weights, set_weights
from nas.networks.tflite import ConversionError, check_same_output, open_interpreter, run_tflite, to_tflite
from nas.pareto import objectives_of
from nas.run.candidate import Candidate, Outcome, State
from nas.run.directory import RunDirectory
from nas.run.front import Front, front_of
from nas.statistics.accuracy import accuracy_estimate
from nas.statistics.paired import paired_difference

CAPTION = "synthetic faces, CK+ protocol; says nothing about CK+ itself"
CLASSES = ("dark", "grey", "bright")
TFLITE = tuple(name for name in FORMATS if name.startswith("tflite"))
INDICATOR = Indicator((Constraint("params", 1e5, True), Constraint("accuracy", 0.8, False)))
# Links out of the first stage and into the last, over both resolutions, two of them concatenated.
LINKED = ResidualArchitecture(
    *((16, 16, 1), 3, 8, 1),
    stages=(Stage(8, (8,)), Stage(12, (8,)), Stage(16, (12, 8))),
    links=(Link(0, 0, 1, 0), Link(0, 0, 2, 1), Link(1, 0, 2, 0), Link(1, 0, 2, 1)),
)


def _encodes(text: str) -> bool:
    return text.isprintable()


def _images(n: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Noise of three brightnesses, and which."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return (rng.integers(0, 110, (n, 16, 16, 1)) + 70 * labels[:, None, None, None]).astype(np.uint8), labels


def _awake(graph: Any) -> Any:
    """A network with random weights throughout: links contribute nothing at birth, and errors would not show."""
    import tf_keras

    model = build_model(graph, tf_keras)
    rng = np.random.default_rng(1)
    weights = get_weights(model)
    for name, w in weights.items():
        if name.endswith("gamma"):
            weights[name] = rng.uniform(0.5, 1.5, w.shape).astype(np.float32)
        elif name.endswith(("beta", "moving_mean")):
            weights[name] = rng.normal(0, 0.2, w.shape).astype(np.float32)
    set_weights(model, weights)
    return model


@dataclass(frozen=True)
class Case:
    """One exported candidate."""

    candidate: Candidate
    order: ExportOrder
    paths: Mapping[str, Path]
    model: Any

    @property
    def card(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.paths["card"].read_text())
        return data


def _candidate() -> Candidate:
    c = replace(
        trained(7, 0.9, latency_ms=0.4, indicator=INDICATOR),
        id=LINKED.id,
        architecture=LINKED.to_json(),
        cost=LINKED.cost(),
        parent="0123456789ab",
        edits=("add link s1b1->s3b2",),
    )
    assert c.outcome is not None
    return replace(c, outcome=replace(c.outcome, effort="1x8"))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A briefly trained network, exported in every format."""
    import tf_keras

    folder = tmp_path_factory.mktemp("run")
    images, labels = _images(300, 0)
    model = _awake(LINKED.graph())
    model.compile(tf_keras.optimizers.legacy.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(as_input(images[:240]), labels[:240], epochs=4, batch_size=32, verbose=0)
    directory, candidate = RunDirectory(folder), _candidate()
    held = HeldImages.of_fold(images, labels, (np.arange(240), np.arange(240, 300)))
    buffer = io.BytesIO()
    np.savez(buffer, **get_weights(model))
    directory.store(candidate.id, {WEIGHTS: buffer.getvalue()})
    order = ExportOrder(
        directory=directory,
        out=folder / "exported",
        formats=("all",),
        class_names=CLASSES,
        caption=CAPTION,
        indicator=INDICATOR,
        prototype=trained(0, 0.95, latency_ms=1.8),
        images=replace(held, groups=np.arange(60) // 4, group_kind="subjects"),
    )
    return Case(candidate, order, export_candidate(candidate, order), model)


def _probabilities(case: Case) -> npt.NDArray[np.float32]:
    assert case.order.images is not None
    return np.asarray(case.model(as_input(case.order.images.test), training=False))


def test_layout(case: Case) -> None:
    folder = case.order.out / case.candidate.id
    tflite = {f"model{kind}.tflite" for kind in ("", ".f16", ".dynamic", ".int8")}
    others = {"model.keras", "model.onnx", "card.json", "card.md", "architecture.json"}
    assert {p.name for p in folder.iterdir()} == tflite | others
    assert case.paths["tflite-int8"] == folder / "model.int8.tflite"
    assert (folder / "architecture.json").read_text() == LINKED.to_json()


def test_float_file_computes_the_network(case: Case) -> None:
    assert case.order.images is not None
    got = run_tflite(case.paths["tflite"].read_bytes(), as_input(case.order.images.test))
    expected = _probabilities(case)
    assert np.ptp(expected, axis=0).min() > 0.2, "the images are told apart, or the comparison says nothing"
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_keras_file_opens_in_a_fresh_process_without_us(case: Case, tmp_path: Path) -> None:
    assert case.order.images is not None
    np.save(tmp_path / "in.npy", as_input(case.order.images.test))
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))\n"
        "assert keras.__version__[0] == '3' and not {'nas', 'tf_keras'} & set(sys.modules)\n"
    )
    arguments = [str(case.paths["keras"]), str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), _probabilities(case), atol=1e-4)


def test_int8_file_is_measured_on_the_images_it_has_not_seen(case: Case) -> None:
    assert case.order.images is not None
    content = case.paths["tflite-int8"].read_bytes()
    got = run_tflite(content, as_input(case.order.images.test)).argmax(1)
    expected = _probabilities(case).argmax(1)
    entry = case.card["files"]["tflite-int8"]
    assert entry["accuracy"] == pytest.approx((got == case.order.images.labels).mean())
    assert entry["float_accuracy"] == pytest.approx((expected == case.order.images.labels).mean())
    assert entry["agreement_with_float"] == pytest.approx((got == expected).mean())
    assert entry["agreement_with_float"] > 0.9
    assert (entry["compared_images"], entry["calibration_images"]) == (60, CALIBRATION)
    source = open_interpreter(content).get_input_details()[0]
    assert (entry["input"]["scale"], entry["input"]["zero_point"]) == pytest.approx(source["quantization"])
    assert entry["input"]["dtype"] == entry["output"]["dtype"] == "int8"
    _assert_all_int8(content)


def test_card(case: Case) -> None:
    card = case.card
    assert (card["id"], card["trial"], card["status"], card["effort"]) == (LINKED.id, 7, "met", "1x8")
    assert card["measured_on"] == CAPTION
    assert "out-of-fold images of fold 0" in card["how_measured"] and "8 epochs" in card["how_measured"]
    assert card["costs"]["params"] == LINKED.cost().params == case.model.count_params()
    assert set(card["costs"]) == {"params", "macs", "weight_bytes", "peak_activation_bytes"}
    accuracy = card["measurements"]["accuracy"]
    assert (accuracy["value"], accuracy["low"], accuracy["high"]) == (0.9, 0.87, 0.93)
    assert card["measurements"]["latency_ms"]["provenance"] == "this machine, 1 thread"
    assert [(v["metric"], v["status"]) for v in card["verdicts"]] == [("params", "met"), ("accuracy", "met")]
    assert card["classes"] == list(CLASSES)
    assert card["input"]["range"] == [0.0, 1.0] and card["input"]["colour"] == "grey"
    assert (card["input"]["height"], card["input"]["width"], card["input"]["dtype"]) == (16, 16, "float32")
    assert card["lineage"] == {"parent": "0123456789ab", "edits": ["add link s1b1->s3b2"], "seed": 0}
    assert card["prototype"]["latency_ms"] == 1.8
    assert {"python", "tensorflow", "keras", "tf-keras", "numpy"} <= set(card["versions"])
    for name, entry in card["files"].items():
        assert entry["size_bytes"] == case.paths[name].stat().st_size
    assert card["files"]["keras"]["largest_difference"] <= 1e-4
    assert card["files"]["tflite"]["largest_difference"] <= 1e-4


def test_card_for_people(case: Case) -> None:
    text = case.paths["card-md"].read_text()
    entry = case.card["files"]["tflite-int8"]
    for part in (
        f"# Network {LINKED.id}",
        f"Measured on: **{CAPTION}**",
        "0.87 .. 0.93",
        f"| `model.int8.tflite` | TFLite, int8 throughout, quantized after training | {entry['size_bytes']:,} |",
        f"| {entry['accuracy']:.4f} [{entry['accuracy_low']:.4f}, {entry['accuracy_high']:.4f}] (float ",
        f"| {entry['agreement_with_float']:.2%} | {entry['largest_difference']:.2g} | ",
        "calibrated on 200 training images of fold 0, none of whose subjects is in the test",
        "| not measured: LiteRT times TFLite files alone |",
        "accuracy >= 0.8: **met** (0.9)",
        "float32 in [0, 1]: pixel values 0..255 divided by 255",
        f"real = (q - {entry['input']['zero_point']}) *",
        "0 dark, 1 grey, 2 bright",
        "edit: add link s1b1->s3b2",
        "variance between training seeds is not in it",
    ):
        assert part in text


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_says_what_it_is(case: Case, name: str) -> None:
    found = read(case.paths[name])
    assert (found.network, found.classes, found.measured_on) == (LINKED.id, CLASSES, CAPTION)
    assert found.input["range"] == [0.0, 1.0] and found.input["height"] == 16
    assert found.quantization == case.card["files"][name]["quantization"] == FORMATS[name].quantization
    assert read(case.paths[name].read_bytes()) == found


@pytest.mark.parametrize("name", TFLITE)
def test_tflite_files_are_called_by_name(case: Case, name: str) -> None:
    """As an application does: no index of a tensor, no order of inputs."""
    assert case.order.images is not None
    interpreter = open_interpreter(case.paths[name].read_bytes())
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}}
    call, entry = interpreter.get_signature_runner("serving_default"), case.card["files"][name]
    images, got = as_input(case.order.images.test[:10]), []
    for image in images:
        value = image[None]
        if "input" in entry:
            q = entry["input"]
            value = np.clip(np.rint(value / q["scale"] + q["zero_point"]), -128, 127).astype(np.int8)
        out = call(image=value)["probabilities"][0]
        q = entry.get("output", {"zero_point": 0, "scale": 1.0})
        got.append((out.astype(np.float32) - q["zero_point"]) * q["scale"])
    most = {"tflite": 1e-5, "tflite-f16": 0.03, "tflite-dynamic": 0.25, "tflite-int8": 0.25}[name]
    np.testing.assert_allclose(np.array(got), _probabilities(case)[:10], atol=most)
    assert ("input" in entry) == (name == "tflite-int8")


@pytest.mark.parametrize("name", TFLITE)
def test_weights_lie_where_the_schema_wants_them(case: Case, name: str) -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = np.frombuffer(case.paths[name].read_bytes(), np.uint8)
    model = schema.Model.GetRootAs(content.tobytes())
    held = [model.Buffers(i).DataAsNumpy() for i in range(model.BuffersLength())]
    full = [np.asarray(data) for data in held if not isinstance(data, int) and len(data) >= 16]
    assert len(full) > 10
    base = np.frombuffer(model._tab.Bytes, np.uint8).ctypes.data
    assert {int(data.ctypes.data - base) % 16 for data in full} == {0}


def test_keras_file_holds_layers_of_keras_alone(case: Case) -> None:
    with zipfile.ZipFile(case.paths["keras"]) as archive:
        config = json.loads(archive.read("config.json"))
    assert config["config"]["name"] == f"network_{LINKED.id}"
    layers = [*config["config"]["layers"], config]
    assert {layer["module"].split(".")[0] for layer in layers} == {"keras"}
    assert {layer.get("registered_name") or layer["class_name"] for layer in layers} <= {
        *("Functional", "InputLayer", "Conv2D", "BatchNormalization", "ReLU", "Add", "Concatenate", "Dense"),
        *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "Activation"),
    }


def test_entries_of_earlier_versions_stay_on_the_card(case: Case, tmp_path: Path) -> None:
    order = replace(case.order, out=tmp_path, formats=("tflite",))
    paths = export_candidate(case.candidate, order)
    card = json.loads(paths["card"].read_text())
    known = ("file", "what", "size_bytes", "sha256", "largest_difference", "compared_images", "compared_on")
    older = {name: card["files"]["tflite"][name] for name in known}
    paths["card"].write_text(json.dumps(card | {"files": {"tflite": older}}))
    paths = export_candidate(case.candidate, replace(order, formats=("keras",)))
    assert json.loads(paths["card"].read_text())["files"]["tflite"] == older
    row = f"| `model.tflite` | TFLite, float32 | {older['size_bytes']:,} | not measured |  |  | "
    assert row in paths["card-md"].read_text()


def test_onnx_file_runs_batches_elsewhere(case: Case) -> None:
    import onnxruntime

    assert case.order.images is not None
    session = onnxruntime.InferenceSession(case.paths["onnx"], providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("image", ["batch", 16, 16, 1])]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("probabilities", ["batch", 3])]
    for n in (1, 7):
        got = session.run(None, {"image": as_input(case.order.images.test[:n])})[0]
        np.testing.assert_allclose(got, _probabilities(case)[:n], atol=1e-5)


def test_smaller_files_store_what_they_say(case: Case) -> None:
    kinds = {}
    for name in TFLITE:
        details = open_interpreter(case.paths[name].read_bytes()).get_tensor_details()
        kinds[name] = {np.dtype(d["dtype"]).name for d in details}
    assert "float16" in kinds["tflite-f16"] and "int8" not in kinds["tflite-f16"]
    assert {"int8", "float32"} <= kinds["tflite-dynamic"] and "float16" not in kinds["tflite-dynamic"]
    assert kinds["tflite"] == {"float32", "int32"}
    size = {name: case.paths[name].stat().st_size for name in TFLITE}
    assert size["tflite-f16"] < size["tflite"] and size["tflite-dynamic"] < size["tflite"]


@pytest.mark.parametrize("name", FORMATS)
def test_what_the_card_says_of_a_file(case: Case, name: str) -> None:
    assert case.order.images is not None
    images, labels = as_input(case.order.images.test), case.order.images.labels
    got, expected = FORMATS[name].run(case.paths[name].read_bytes(), images), _probabilities(case)
    entry, groups = case.card["files"][name], np.arange(60) // 4
    hit, reference = got.argmax(1) == labels, expected.argmax(1) == labels
    assert entry["run_by"] == FORMATS[name].by
    assert entry["accuracy"] == pytest.approx(hit.mean())
    estimate = accuracy_estimate(hit, groups)
    assert (entry["accuracy_low"], entry["accuracy_high"]) == pytest.approx((estimate.low(0.975), estimate.high(0.975)))
    difference = paired_difference(hit, reference, groups)
    assert entry["accuracy_difference"] == pytest.approx(hit.mean() - reference.mean())
    ends = entry["accuracy_difference_low"], entry["accuracy_difference_high"]
    assert ends == pytest.approx((difference.low, difference.high))
    assert entry["agreement_with_float"] == pytest.approx((got.argmax(1) == expected.argmax(1)).mean())
    assert entry["largest_difference"] == pytest.approx(np.abs(got - expected).max(), abs=1e-6)
    assert (entry["compared_images"], entry["compared_on"]) == (60, "out-of-fold images of fold 0")
    assert entry["tolerance"] == TOLERANCES[name].to_json()
    if name in TFLITE:
        found = entry["latency"]
        assert 0 < found["low_ms"] <= found["median_ms"] <= found["high_ms"] and found["ratio"] > 0
        assert found["beside"] == ("sentinel-1" if name == "tflite" else "model.tflite")
        assert f"of `{found['beside']}`'s" in case.paths["card-md"].read_text()
    else:
        assert "latency" not in entry and "LiteRT" in entry["latency_missing"]


@pytest.mark.parametrize("name", FORMATS)
def test_another_networks_file_is_refused(case: Case, name: str) -> None:
    """The same shapes, other weights: what a converter that mixes them up would give."""
    other = _awake(LINKED.graph())
    trained_ = Trained.of(LINKED.graph(), get_weights(other), case.order.images)
    content = case.paths[name].read_bytes()
    with pytest.raises(ConversionError, match="differs from the trained network in"):
        check_file(name, content, trained_)
    own = Trained.of(LINKED.graph(), get_weights(case.model), case.order.images)
    assert check_file(name, content, own)["compared_images"] == 60
    small = ResidualArchitecture((8, 8, 1), 3, 8, 1, (Stage(8, (8,)),)).graph()
    import tf_keras

    elsewhere = Trained.of(small, get_weights(build_model(small, tf_keras)), None)
    with pytest.raises(ConversionError, match=r"the file takes|ONNX Runtime cannot run it"):
        check_file(name, content, elsewhere)
    with pytest.raises(ConversionError, match=r"not a TFLite file|cannot load it|cannot run it"):
        check_file(name, content[: len(content) // 2], own)


def test_int8_calibrated_on_something_else_is_refused(case: Case) -> None:
    assert case.order.images is not None
    black = replace(case.order.images, calibration=np.zeros_like(case.order.images.calibration))
    own = Trained.of(LINKED.graph(), get_weights(case.model), black)
    with pytest.raises(ConversionError, match=f"network {LINKED.id}, format tflite-int8: .* (accuracy|answers)"):
        ship("tflite-int8", LINKED.id, own, case.order)


def test_operators_that_a_converter_cannot_take(case: Case) -> None:
    import tensorflow as tf
    import tf_keras

    class Odd(tf_keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return tf.reduce_sum(tf.math.special.bessel_j0(x), axis=(1, 2))

    inputs = tf_keras.Input((16, 16, 1))
    model = tf_keras.Model(inputs, Odd()(tf_keras.layers.Conv2D(3, 3)(inputs)))
    odd = Trained(LINKED.graph(), {}, model, None)
    for name in ("tflite", "onnx"):
        with pytest.raises(ConversionError, match=f"network abc, format {name}: .*cannot take operator BesselJ0"):
            ship(name, "abc", odd, case.order)


def test_onnx_without_its_packages(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_named, "PACKAGES", ("tf2onnx", "no_such_package"))
    with pytest.raises(InputError, match=r"needs no_such_package: pip install 'nanosynth\[onnx\]'") as refused:
        export_candidate(case.candidate, replace(case.order, out=tmp_path, formats=("keras", "onnx")))
    assert refused.value.exit_code == 2 and list(tmp_path.iterdir()) == []
    assert check_formats(("all",)) == ("keras", *TFLITE)
    with pytest.raises(InputError, match=r"to read ONNX: pip install"):
        read(case.paths["onnx"])


def test_without_data_floats_are_compared_on_noise_and_the_card_says_so(case: Case, tmp_path: Path) -> None:
    names = tuple(name for name in FORMATS if name != "tflite-int8")
    order = replace(case.order, out=tmp_path, formats=names, images=None, no_images="faces/: there is no such folder")
    paths = export_candidate(case.candidate, order)
    card = json.loads(paths["card"].read_text())
    for entry in card["files"].values():
        assert (entry["compared_images"], entry["compared_on"]) == (64, "images of random noise")
        assert "accuracy" not in entry and "accuracy_difference" not in entry
    assert card["not_run_on_data"] == "faces/: there is no such folder"
    assert "- not run on held-out images: faces/: there is no such folder" in paths["card-md"].read_text()
    assert "not_run_on_data" not in case.card


def test_a_full_disk_leaves_what_was_there(case: Case, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = replace(case.order, out=small_disk / "out", formats=("tflite",))
    folder = order.out / case.candidate.id
    export_candidate(case.candidate, order)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    filler = fill(small_disk)
    os.truncate(filler, filler.stat().st_size - 100_000)  # room for the first file, and not for all
    with pytest.raises(EnvironmentStopError, match="No space left"):
        export_candidate(case.candidate, replace(order, formats=("keras", "tflite", "tflite-f16")))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    with pytest.raises(EnvironmentStopError, match="No space left"):
        export_candidate(case.candidate, replace(order, out=small_disk / "new" / "er", formats=("keras",)))
    assert not (small_disk / "new").exists()
    fill(small_disk / "out")
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with pytest.raises(EnvironmentStopError, match="make room, or set TMPDIR"):
        export_candidate(case.candidate, replace(order, out=case.order.out.parent / "none", formats=("keras",)))
    assert not (case.order.out.parent / "none").exists()


def _weights_file(case: Case, folder: Path, **changed: npt.NDArray[Any]) -> RunDirectory:
    directory, buffer = RunDirectory(folder), io.BytesIO()
    np.savez(buffer, **{**get_weights(case.model), **changed})
    directory.store(case.candidate.id, {WEIGHTS: buffer.getvalue()})
    return directory


def test_weights_that_are_no_numbers(case: Case, tmp_path: Path) -> None:
    name, w = next((n, w) for n, w in get_weights(case.model).items() if n.endswith("kernel"))
    for i, wrong in enumerate((np.full_like(w, np.nan), w.astype(np.float64), np.full(w.shape, "a"))):
        directory = _weights_file(case, tmp_path / str(i), **{name: wrong})
        with pytest.raises(DecodeError, match=f"{name} holds no numbers"):
            export_candidate(case.candidate, replace(case.order, directory=directory, out=tmp_path / "out"))
    directory = _weights_file(case, tmp_path / "shape", **{name: w[..., :1]})
    with pytest.raises(InputError, match="weights of another network"):
        export_candidate(case.candidate, replace(case.order, directory=directory, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    classes=st.lists(st.text(max_size=20).filter(_encodes), min_size=1, max_size=9),
    how=st.text(max_size=9).filter(_encodes),
)
def test_any_class_names_come_back(case: Case, classes: list[str], how: str) -> None:
    metadata = Metadata("abc", tuple(classes), {"height": 1}, how, CAPTION)
    assert Metadata.from_json(metadata.to_json()) == metadata
    content = case.paths["tflite"].read_bytes()
    again = signed(content, metadata)
    assert read(again) == metadata, "and the earlier metadata are gone"
    images = as_input(case.order.images.test[:2]) if case.order.images else None
    np.testing.assert_array_equal(run_tflite(again, images), run_tflite(content, images))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["tflite", "tflite-int8", "keras", "onnx"]), data=st.data())
def test_damaged_files_are_read_or_refused(case: Case, name: str, data: st.DataObject) -> None:
    content = bytearray(case.paths[name].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        near_an_end = data.draw(st.booleans())
        at = data.draw(st.integers(0, 400 if near_an_end else len(content) - 1))
        content[at if data.draw(st.booleans()) else -at - 1] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content), len(content) // 2, 9, 3, 0]))
    with contextlib.suppress(DecodeError):
        assert isinstance(read(bytes(content[:cut])), Metadata)


def test_a_file_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="cannot be read"):
        read(tmp_path / "model.tflite")
    with pytest.raises(DecodeError, match="without metadata of this engine"):
        read(to_tflite(_awake(LINKED.graph())))
    with pytest.raises(DecodeError, match="give an exported one"):
        read(b"hello, this is some text")


SHARES = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(SHARES, st.floats(0.5, 0.999))
def test_only_surely_different_files_are_refused(same_of: tuple[int, int], bound: float) -> None:
    same, n = same_of
    refused = surely_below(same / n, n, bound)
    assert not (refused and same / n >= bound)
    if refused and same:
        assert surely_below((same - 1) / n, n, bound), "one more other answer is no better"
        assert surely_below(same / n, n, min(bound + 0.0005, 0.9995)), "nor is a higher bound"
    if same == 0 and n >= 5:
        assert refused, "every answer another"


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.floats(0, 0.5))
def test_laws_of_a_comparison(seed: int, n: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    a = rng.dirichlet(np.ones(4), n).astype(np.float32)
    b = (a + noise * rng.random(a.shape)).astype(np.float32)
    blank = np.zeros((n, 2, 2, 1), np.uint8)
    held = HeldImages(blank, blank, rng.integers(0, 4, n), rng.integers(0, 5, n), "subjects")
    first, second = Answers(a), Answers(b)
    one, back, self_ = compare(first, second, held), compare(second, first, held), compare(first, first, held)
    assert one.difference and back.difference and self_.difference
    assert one.difference.value == pytest.approx(-back.difference.value)
    assert (one.difference.low, one.difference.high) == pytest.approx((-back.difference.high, -back.difference.low))
    assert (one.agreement, one.largest_difference) == (back.agreement, back.largest_difference)
    assert abs(one.difference.value) <= 1 - one.agreement + 1e-9, "only other answers change the accuracy"
    assert (self_.agreement, self_.largest_difference, self_.difference.value) == (1, 0, 0)
    for tolerance in TOLERANCES.values():
        tolerance.check(self_)
    b[0, 0] = np.nan
    with pytest.raises(ConversionError, match="not all numbers"):
        compare(second, first, held)


def test_second_export_keeps_what_the_first_one_left(case: Case, tmp_path: Path) -> None:
    order = replace(case.order, out=tmp_path, formats=("tflite", "tflite"))
    export_candidate(case.candidate, order)
    paths = export_candidate(case.candidate, replace(order, formats=("keras",), images=None))
    assert set(paths) == {"keras", "architecture", "card", "card-md"}
    card = json.loads(paths["card"].read_text())
    assert set(card["files"]) == {"keras", "tflite"}
    assert card["files"]["keras"]["compared_on"] == "images of random noise"
    (tmp_path / case.candidate.id / "model.tflite").write_bytes(b"something else")
    card = json.loads(export_candidate(case.candidate, replace(order, formats=("keras",)))["card"].read_text())
    assert set(card["files"]) == {"keras"}


def test_nothing_is_written_when_a_file_is_wrong(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats_module, "to_tflite", lambda model: case.paths["tflite-int8"].read_bytes())
    with pytest.raises(ConversionError, match=f"network {LINKED.id}, format tflite: .* differs .* in a probability"):
        export_candidate(case.candidate, replace(case.order, out=tmp_path / "out", formats=("keras", "tflite")))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        (("gguf",), "'gguf' is not known; available: keras, tflite, tflite-f16, tflite-dynamic, tflite-int8, onnx"),
        (("all", "savedmodel"), "'savedmodel' is not known; available: keras"),
        ((), "no format named; available"),
    ],
)
def test_formats_that_there_are_not(case: Case, tmp_path: Path, formats: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_candidate(case.candidate, replace(case.order, out=tmp_path, formats=formats))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported(case: Case, tmp_path: Path) -> None:
    order = replace(case.order, out=tmp_path, formats=("tflite",))
    with pytest.raises(InputError, match="only members of the current front and the prototype keep theirs"):
        export_candidate(trained(3, 0.9), order)
    with pytest.raises(InputError, match="running: only a trained one has weights"):
        export_candidate(bare(3), order)
    with pytest.raises(InputError, match="2 class names for a network with 3 outputs"):
        export_candidate(case.candidate, replace(order, class_names=("a", "b")))
    with pytest.raises(InputError, match="give the data, or leave the format out"):
        export_candidate(case.candidate, replace(order, formats=("tflite-int8",), images=None))
    wrong = HeldImages(np.zeros((2, 8, 8, 1), np.uint8), np.zeros((1, 8, 8, 1), np.uint8), np.zeros(1, np.int64))
    with pytest.raises(InputError, match=r"the images are \(8, 8, 1\), the network takes \(16, 16, 1\)"):
        export_candidate(case.candidate, replace(order, images=wrong))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not an archive"])
def test_damaged_weights(case: Case, tmp_path: Path, content: bytes) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.store(case.candidate.id, {WEIGHTS: content})
    with pytest.raises(DecodeError, match="damaged"):
        export_candidate(case.candidate, replace(case.order, directory=directory, out=tmp_path / "out"))


def test_held_images_come_from_their_own_side_of_the_fold() -> None:
    images, labels = np.arange(500, dtype=np.int64)[:, None, None, None].astype(np.uint8), np.arange(500)
    held = HeldImages.of_fold(images, labels, (np.arange(100, 500), np.arange(100)))
    assert (len(held.calibration), len(held.test), len(held.spread())) == (400, 100, CALIBRATION)
    assert [int(v) for v in held.spread()[[0, 100, -1], 0, 0, 0]] == [100, (100 + 200) % 256, 499 % 256]
    assert list(held.labels) == list(range(100))
    few = HeldImages.of_fold(images, labels, (np.array([3, 9]), np.array([1])))
    assert few.spread().ravel().tolist() == [3, 9]
    with pytest.raises(InputError, match="no image to calibrate with"):
        HeldImages(images[:0], images[:1], labels[:1])


def test_links_across_all_stages_survive_conversion_untrained() -> None:
    model = _awake(LINKED.graph())
    images = np.random.default_rng(3).random((16, 16, 16, 1), dtype=np.float32)
    content = to_tflite(model)
    assert check_same_output(model, content, images) <= 1e-5
    before = np.asarray(model(images, training=False))
    silenced = get_weights(model)
    for name in list(silenced):
        if "_link" in name and name.endswith(("gamma", "beta")):
            silenced[name] = np.zeros_like(silenced[name])
    set_weights(model, silenced)
    assert np.abs(np.asarray(model(images, training=False)) - before).max() > 0.01, "the links carry something"
    with pytest.raises(ConversionError):
        check_same_output(model, content, images)


def _assert_all_int8(content: bytes) -> None:
    """Every tensor is int8, but for one-dimensional int32 constants: biases, and the axes of the mean."""
    details = open_interpreter(content).get_tensor_details()
    kinds = {np.dtype(d["dtype"]).name for d in details}
    assert kinds == {"int8", "int32"}
    assert all(len(d["shape"]) <= 1 for d in details if d["dtype"] == np.int32)


def test_quantization_aware_training_reaches_an_all_int8_file() -> None:
    """tfmot takes the whole network, links and all."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    raw, labels = _images(96, 5)
    images = as_input(raw)
    model = tfmot.quantization.keras.quantize_model(_awake(LINKED.graph()))
    model.compile(tf_keras.optimizers.legacy.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(images, labels, epochs=4, batch_size=32, verbose=0)
    content = to_tflite(model, calibration=images[:32])
    _assert_all_int8(content)
    operators = {o["op_name"] for o in open_interpreter(content)._get_ops_details()}
    assert "DEQUANTIZE" not in operators and {"CONV_2D", "ADD", "CONCATENATION"} <= operators
    expected, got = np.asarray(model(images, training=False)), run_tflite(content, images)
    assert len(np.unique(expected.argmax(1))) > 1
    assert (expected.argmax(1) == got.argmax(1)).mean() >= 0.95
    assert np.abs(expected - got).max() < 0.15


def _front(rows: list[tuple[float, int]], objectives: tuple[str, ...] = ("accuracy", "params")) -> Front:
    members = [trained(i, accuracy, params=params) for i, (accuracy, params) in enumerate(rows)]
    return front_of(members, objectives_of(objectives), (0.3, 1e6)[: len(objectives)])


def test_pick_by_word() -> None:
    front = _front([(0.95, 300_000), (0.93, 100_000), (0.90, 80_000), (0.60, 10_000)])
    trials = {
        word: [c.trial for c in pick(front, front.members, word)] for word in ("smallest", "most-accurate", "all")
    }
    assert trials == {"smallest": [3], "most-accurate": [0], "all": [0, 1, 2, 3]}
    # Scaled losses of the middle two: (.02/.35, 90/290) and (.05/.35, 70/290); 1 less their sums: .633 and .616.
    assert [c.trial for c in pick(front, front.members, "knee")] == [1]


def test_knee_of_few_members_and_of_a_hollow_front() -> None:
    one = _front([(0.9, 1000)])
    assert pick(one, one.members, "knee") == [one.members[0]]
    two = _front([(0.9, 1000), (0.8, 500)])
    assert [c.trial for c in pick(two, two.members, "knee")] == [0]
    # The middle one lies beyond the chord: farther from the ideal than either end, and no knee.
    hollow = _front([(0.9, 1000), (0.71, 950), (0.7, 100)])
    assert [c.trial for c in pick(hollow, hollow.members, "knee")] == [0]
    single = _front([(0.9, 1000), (0.8, 500)], ("accuracy",))
    assert [c.trial for c in pick(single, single.members, "knee")] == [0]


def test_pick_by_id() -> None:
    front = _front([(0.9, 1000), (0.8, 500)])
    beaten = trained(5, 0.5, params=2000)
    refused = replace(bare(6), outcome=Outcome(State.REJECTED))
    everyone = [*front.members, beaten, replace(beaten, trial=8, repeat_of=5), refused]
    assert pick(front, everyone, beaten.id) == [beaten]
    assert pick(front, everyone, beaten.id[:4]) == [beaten]
    with pytest.raises(InputError, match=f"neither one of knee.*members of the front: {front.members[0].id}"):
        pick(front, everyone, beaten.id[:3])
    with pytest.raises(InputError, match="rejected, not trained"):
        pick(front, everyone, refused.id)
    twin = replace(beaten, id=beaten.id[:6] + "ffffff", trial=9)
    with pytest.raises(InputError, match=f"is the beginning of {beaten.id}, {twin.id}"):
        pick(front, [*everyone, twin], beaten.id[:6])
    assert pick(front, [*everyone, twin], twin.id) == [twin]


@pytest.mark.parametrize("word", ["all", "knee", "smallest", "most-accurate"])
def test_pick_from_an_empty_front(word: str) -> None:
    with pytest.raises(InputError, match="no candidate has been trained yet"):
        pick(_front([]), [], word)


def test_the_code_of_the_documentation_runs(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "docs" / "deploy" / "export.md").read_text()
    monkeypatch.chdir(case.paths["tflite"].parent)
    shown: list[tuple[Any, ...]] = []
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        names: dict[str, Any] = {"print": lambda *what: shown.append(what)}
        exec(block, names)  # our own documentation
        if "probabilities" in names:
            assert names["probabilities"].shape == (1, 3) and names["probabilities"].sum() == pytest.approx(1, abs=1e-5)
    assert [(network, classes) for _, network, classes, _ in shown] == [(LINKED.id, CLASSES)] * 3


def test_the_tolerances_of_the_documentation_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[1] / "docs" / "deploy" / "export.md").read_text()
    table = text[text.index("| format | largest difference") :].split("\n\n")[0].splitlines()[2:]
    told = {}
    for line in table:
        names, difference, agreement, loss, error = (cell.strip() for cell in line.strip("|").split("|"))
        bounds = {
            "largest_difference": float(difference or "nan"),
            "agreement": float(agreement.rstrip(" %") or "nan") / 100,
            "accuracy_loss": float(loss.removesuffix(" points") or "nan") / 100,
            "rmse_loss": float(error.rstrip(" %") or "nan") / 100,
        }
        told |= {name.strip("` "): {k: v for k, v in bounds.items() if not np.isnan(v)} for name in names.split(",")}
    assert told == {name: tolerance.to_json() for name, tolerance in TOLERANCES.items()}
