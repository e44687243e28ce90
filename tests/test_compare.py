"""The front beside known networks: the networks themselves, what is trained, and what the table says."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import blobs
from fabricated import nas_
from make_run import make_run

from nas.api import Run, open_run
from nas.certificates.results import Pooled
from nas.comparison.files import Converted
from nas.comparison.known import KNOWN, known_network, known_networks
from nas.comparison.protocol import ComparisonProtocol
from nas.comparison.result import Comparison
from nas.comparison.rows import Row, difference, luck_of
from nas.comparison.statements import statements
from nas.comparison.table import COLUMNS, cell
from nas.cost import cost_of
from nas.deploy.converted import FLOAT, INT8, converted_files
from nas.deploy.latency import SEARCH, THOROUGH, Latency, LatencyProtocol, measure_latency
from nas.errors import DecodeError, EnvironmentStopError, InputError, NothingEvaluatedError
from nas.evaluation.bundle import Bundle
from nas.evaluation.evaluate import Evaluation
from nas.evaluation.job import Job, Setup
from nas.evaluation.quiet import Quiet
from nas.evaluation.train import Recipe, Trainer
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.graph import Graph, GraphBuilder, Op, check_graph
from nas.indicator import Indicator
from nas.measurement import Measurement
from nas.networks.applications import APPLICATIONS, Application, WeightsError, counted_macs, take_body
from nas.networks.build import BN_MOMENTUM, build_model, get_weights
from nas.networks.network import build_network, network_from_json
from nas.networks.tflite import to_tflite
from nas.run.candidate import Outcome, State
from nas.run.predictions import Predictions
from nas.rung import Rung
from nas.statistics.accuracy import SeedNoise, accuracy_estimate
from nas.statistics.paired import paired_difference

FACES = (48, 48, 1)
SMALL: dict[str, Any] = {"folds": 2, "epochs": 1}
NETWORKS = ["mini-xception", "tiny-xception"]
Answer = Callable[[Job, Bundle, np.ndarray], np.ndarray]


def graph_of(name: str, shape: tuple[int, int, int] = FACES, classes: int = 7) -> Graph:
    network = known_network(name, shape, classes).network
    assert isinstance(network, Graph)
    return network


# The networks


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("nano-b-redrawn", 141_098, 44_209_600),
        ("resnet20", 273_559, 91_165_120),
        ("mini-xception", 58_423, 5_520_448),
        ("tiny-xception", 18_314, 1_847_492),
    ],
)
def test_published_parameter_counts(name: str, params: int, macs: int) -> None:
    cost = cost_of(graph_of(name))
    assert (cost.params, cost.macs) == (params, macs)


@pytest.mark.parametrize("name", [n for n in KNOWN if n not in APPLICATIONS])
def test_costs_of_graphs_are_those_of_their_keras_models(name: str) -> None:
    """Counted twice, from the operators and from the layers; at a size that no stride divides."""
    import tf_keras

    graph = graph_of(name, (45, 39, 2), 5)
    model = build_model(graph, tf_keras)
    assert (cost_of(graph).params, cost_of(graph).macs) == (model.count_params(), counted_macs(model))
    shapes = {layer.name: tuple(layer.output_shape[1:]) for layer in model.layers[1:]}
    assert all(shapes[op.name] in (op.shape, op.shape[2:]) for op in graph.ops[1:])


def test_mini_xception_computes_what_its_paper_draws() -> None:
    """Beside the same network written with Keras' separable and strided convolutions."""
    import tf_keras

    layers = tf_keras.layers
    image = x = tf_keras.Input(FACES)
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(x)))
    for width in (16, 32, 64, 128):
        beside = layers.BatchNormalization()(layers.Conv2D(width, 1, 2, "same", use_bias=False)(x))
        x = layers.BatchNormalization()(layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(x))
        x = layers.ReLU()(x)
        x = layers.BatchNormalization()(layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(x))
        x = layers.Add()([layers.MaxPooling2D(3, 2, "same")(x), beside])
    maps = layers.Conv2D(7, 3, padding="same")(x)
    drawn = tf_keras.Model(image, layers.Softmax()(layers.GlobalAveragePooling2D()(maps)))
    ours = build_model(graph_of("mini-xception"), tf_keras, seed=3)
    assert drawn.count_params() == ours.count_params() == 58_423
    values = [value for kernels in _in_drawn_order(get_weights(ours)) for value in kernels]
    rng = np.random.default_rng(0)
    values = [v + rng.normal(0, 0.1, v.shape).astype(np.float32) ** 2 for v in values]  # statistics that matter
    _assign(drawn, values)
    _assign_named(ours, values)
    images = rng.random((4, *FACES), dtype=np.float32)
    assert np.asarray(drawn(images)) == pytest.approx(np.asarray(ours(images)), abs=1e-5)


def _in_drawn_order(weights: dict[str, np.ndarray]) -> list[list[np.ndarray]]:
    return [[weights[name] for name in names] for names in _NAMES]


def _bn(name: str) -> list[str]:
    return [f"{name}/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")]


_NAMES: list[list[str]] = []  # of our weights, by layer of the drawn network in order of making
for _stem in (1, 2):
    _NAMES += [[f"stem{_stem}_conv/kernel"], _bn(f"stem{_stem}_bn")]
for _m in (1, 2, 3, 4):
    _NAMES += [[f"module{_m}_project/kernel"], _bn(f"module{_m}_project_bn")]
    for _s in (1, 2):
        _part = f"module{_m}_separable{_s}"
        _NAMES += [[f"{_part}_depthwise/depthwise_kernel", f"{_part}_pointwise/kernel"], _bn(f"{_part}_bn")]
_NAMES += [["maps/kernel", "maps/bias"]]


def _assign(model: Any, values: list[np.ndarray]) -> None:
    """To the layers of the drawn network, in the order in which they were made: names carry their numbers."""
    layers = sorted((layer for layer in model.layers if layer.weights), key=_made)
    place = iter(values)
    by_kind: dict[str, list[Any]] = {}
    for layer in layers:
        by_kind.setdefault(type(layer).__name__, []).append(layer)
    order = {"stem": "Conv2D", "module_project": "Conv2D", "separable": "SeparableConv2D", "maps": "Conv2D"}
    for names in _NAMES:
        first = names[0]
        kind = "BatchNormalization" if first.endswith("gamma") else order[_kind_of(first)]
        layer = by_kind[kind].pop(0)
        layer.set_weights([next(place) for _ in names])


def _kind_of(name: str) -> str:
    return "separable" if "depthwise" in name else "maps" if "maps" in name else "stem"


def _made(layer: Any) -> int:
    tail = layer.name.rsplit("_", 1)[-1]
    return int(tail) if tail.isdecimal() else 0


def _assign_named(model: Any, values: list[np.ndarray]) -> None:
    from nas.networks.build import set_weights

    names = [name for layer in _NAMES for name in layer]
    set_weights(model, dict(zip(names, values, strict=True)))


def test_a_convolution_without_padding_in_a_graph() -> None:
    g = GraphBuilder((9, 8, 2))
    x = g.inner_conv(g.input, "a", 3, kernel=4, bias=True)
    assert g.shape(x) == (6, 5, 3)
    graph = g.classifier(x, 2)
    assert cost_of(graph).macs == 4 * 4 * 2 * 3 * 6 * 5 + 3 * 2
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    same = [op if op.name != "a" else op._replace(padding="same") for op in graph.ops]
    with pytest.raises(InputError, match=r"output \(6, 5, 3\) does not follow"):
        check_graph(same)
    with pytest.raises(InputError, match="does not fit"):
        GraphBuilder((3, 9, 1)).inner_conv(0, "a", 3, kernel=4, bias=False)
    image, end = Op("input", "input", (), (4, 4, 1)), Op("softmax", "softmax", (1,), (4, 4, 1))
    for padding, kind in (("valid", "pool"), ("full", "conv")):
        with pytest.raises(InputError, match="padding"):
            check_graph([image, Op("p", kind, (0,), (4, 4, 1), mode="max", padding=padding), end])


def test_files_are_as_large_as_those_of_a_trained_network() -> None:
    """Weights that are zero or equal at birth, as a link's, would be merged or left out."""
    import tf_keras

    stages = (Stage(8, (8,)), Stage(8, (8,)))
    graph = ResidualArchitecture((16, 16, 1), 3, 8, 1, stages, (Link(0, 0, 1, 0),)).graph()
    images = blobs(2).images
    files = converted_files(graph, (images,), "told.json", seed=1)
    model = build_model(graph, tf_keras)
    fresh = len(to_tflite(model))
    rng = np.random.default_rng(0)
    model.set_weights([rng.random(w.shape) for w in model.get_weights()])
    assert fresh < len(files[FLOAT]) == len(to_tflite(model))
    told = json.loads(files["told.json"])
    assert (told["params"], told["macs"], told["int8_failure"]) == (cost_of(graph).params, cost_of(graph).macs, None)


def test_names_and_ids() -> None:
    assert len(KNOWN) == 12
    everything = known_networks(["all", "resnet20"], FACES, 7)
    assert [c.name for c in everything] == list(KNOWN)
    assert len({c.id for c in everything}) == len(KNOWN)
    assert known_network("resnet20", FACES, 7).id == known_network("resnet20", FACES, 7).id
    assert known_network("resnet20", FACES, 8).id != known_network("resnet20", FACES, 7).id
    pretrained = known_network("mobilenet-v2", FACES, 7, "imagenet")
    assert pretrained.name == "mobilenet-v2 (imagenet)"
    assert pretrained.id != known_network("mobilenet-v2", FACES, 7).id
    small = known_network("mobilenet-v2", (28, 28, 1), 10)
    assert small.network is None and "at least 32x32, not 28x28" in str(small.failure)


def test_a_job_carries_either_kind_of_network() -> None:
    for network in (graph_of("mini-xception"), Application("mobilenet-v2", FACES, 7, "imagenet")):
        job = Job(3, "x", network, (Rung(1, 2),), 5, True, None, (1,), "kept.npz", converts=True)
        assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert job.converts
    with pytest.raises(ValueError, match="no operator graph"):
        _ = job.graph
    for wrong in ({"name": "x"}, {"name": "x", "input_shape": [9, 9, 1], "classes": 2}, "text", 3):
        with pytest.raises(DecodeError):
            network_from_json(wrong)  # type: ignore[arg-type]


# Networks of tf_keras.applications


@pytest.mark.slow
def test_applications_are_the_published_ones() -> None:
    """Parameters that Keras documents for 1,000 classes and RGB; ours differ by head and first kernel alone."""
    import tf_keras

    published = {
        "mobilenet-v1": 4_253_864,
        "mobilenet-v2": 3_538_984,
        "mobilenet-v3-small": 2_554_968,
        "efficientnet-b0": 5_330_571,
    }
    for name, params in published.items():
        model = build_network(Application(name, (32, 32, 3), 1000), tf_keras)
        assert model.count_params() == params
        norms = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
        assert norms and {layer.momentum for layer in norms} == {BN_MOMENTUM}
        dropout = any(isinstance(layer, tf_keras.layers.Dropout) for layer in model.layers)
        assert dropout is (name != "mobilenet-v2")  # Keras has none there
        tf_keras.backend.clear_session()


@pytest.mark.slow
def test_macs_of_an_application() -> None:
    """MobileNet at 224x224: 569 million multiply-adds (Howard et al. 2017, table 4), MobileNetV2 300 (2018)."""
    import tf_keras

    for name, millions in (("mobilenet-v1", 569), ("mobilenet-v2", 300)):
        model = build_network(Application(name, (224, 224, 3), 1000), tf_keras)
        assert counted_macs(model) / 1e6 == pytest.approx(millions, rel=0.01)
        tf_keras.backend.clear_session()


@pytest.mark.slow
def test_an_evaluator_trains_an_application_by_its_seed(tmp_path: Path) -> None:
    data = blobs(4, 32)
    train, test = np.arange(16), np.arange(16, 24)
    bundle = Bundle(data.images, data.labels, np.arange(len(data)), ((train, test),), 3, "images")
    network, graph = Application("mobilenet-v3-small", (32, 32, 1), 3), graph_of("tiny-xception", (32, 32, 1), 3)
    evaluation = Evaluation(bundle, Setup(graph, Indicator(), Recipe()), False, Quiet(True, tmp_path))
    found = []
    for _ in range(2):
        ended = evaluation.run(Job(0, "x", network, (Rung(1, 1),), 1, True, folds=(0,), keep="kept.npz"))
        assert ended is not None
        outcome, files = ended
        assert outcome.state is State.TRAINED and list(files) == ["kept.npz"]
        with np.load(io.BytesIO(files["kept.npz"])) as kept:
            assert np.array_equal(kept["index"], test) and np.array_equal(kept["labels"], data.labels[test])
            found.append(kept["probabilities"])
    assert found[0].sum(1) == pytest.approx(1, abs=1e-5)
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    kernels = [Trainer(network, Recipe(), seed).initial["Conv/kernel"] for seed in (1, 2)]
    assert not np.array_equal(*kernels)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet-v2", "efficientnet-b0"])
def test_pretrained_weights_see_what_they_were_trained_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for what is downloaded: the features of a grey image are those of the original network."""
    import tf_keras

    function = {"mobilenet-v2": "MobileNetV2", "efficientnet-b0": "EfficientNetB0"}[name]
    source = getattr(tf_keras.applications, function)(include_top=False, weights=None, input_shape=(32, 32, 3))
    rng = np.random.default_rng(0)
    source.set_weights([w * (1 + 0.2 * rng.random(w.shape)) for w in source.get_weights()])
    monkeypatch.setattr(Application, "_pretrained", lambda self, keras: source)
    model = Application(name, (32, 32, 1), 7, "imagenet").build(tf_keras)
    grey = rng.random((2, 32, 32, 1), dtype=np.float32)
    colours = np.repeat(grey, 3, axis=3)
    deviations = np.sqrt(np.array([0.229, 0.224, 0.225], np.float32))
    told = colours * 2 - 1 if name == "mobilenet-v2" else colours * 255 / deviations
    pooling = next(x for x in reversed(model.layers) if isinstance(x, tf_keras.layers.GlobalAveragePooling2D))
    features = tf_keras.Model(model.input, pooling.output)(grey)
    expected = np.asarray(source(told)).mean((1, 2))
    assert np.asarray(features) == pytest.approx(expected, rel=1e-3, abs=1e-3 * float(np.abs(expected).max()))
    other = tf_keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3))
    with pytest.raises(WeightsError, match="is not the"):
        take_body(name, model, other)


def test_resnet50_is_turned_from_blue_green_red() -> None:
    from nas.networks.applications import _first_kernel

    kernel = np.arange(2 * 2 * 3 * 4, dtype=np.float32).reshape(2, 2, 3, 4)
    assert np.array_equal(_first_kernel("resnet50", kernel)[:, :, 0], kernel[:, :, 2])
    assert np.array_equal(_first_kernel("mobilenet-v1", kernel), kernel)


def without_network(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("HOME", str(home))  # without weights of an earlier download


# What is trained, and what the table says; the executors are taken the place of, all else is real


def right(job: Job, bundle: Bundle, test: np.ndarray) -> np.ndarray:
    return bundle.labels[test]


def better_members(job: Job, bundle: Bundle, test: np.ndarray) -> np.ndarray:
    """Members are right on nine of ten, known networks on six of ten."""
    rng = np.random.default_rng([job.seed, *(job.folds or ())])
    share = 0.6 if "-" in job.id else 0.9
    return np.where(rng.random(len(test)) < share, bundle.labels[test], (bundle.labels[test] + 1) % bundle.classes)


_CONVERTED: dict[tuple[str, bytes], dict[str, bytes]] = {}
_TIMED: dict[tuple[bytes, bytes | None], Latency] = {}


def converted_once(job: Job, bundle: Bundle) -> dict[str, bytes]:
    """Real files; the same for all tests with the same images."""
    key = json.dumps([job.network.to_json(), job.seed]), bundle.images.tobytes()
    if key not in _CONVERTED:
        _CONVERTED[key] = converted_files(job.network, (bundle.images,), str(job.keep), seed=job.seed)
    return _CONVERTED[key]


def timed_once(content: bytes, reference: bytes | None = None, protocol: LatencyProtocol = SEARCH) -> Latency:
    """A real latency; the same for all tests with the same files, and for a second look at them."""
    key = content, reference
    if key not in _TIMED:
        _TIMED[key] = measure_latency(content, reference)
    return _TIMED[key]


class Bench:
    """Conversions and latencies are real, predictions are made up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: Answer = better_members
        self.trained: list[str] = []
        self.judged_int8: set[bool] = set()
        self.failing: Callable[[Job], str | None] = lambda job: None
        monkeypatch.setattr("nas.execution.trained.drive", self._drive)
        monkeypatch.setattr("nas.comparison.files.measure_latency", timed_once)

    def _drive(self, state: Any, setup: Any, path: Path, *more: Any) -> None:
        bundle = Bundle.load(path)
        self.judged_int8.add(setup.quantized)
        while (job := state.propose()) is not None:
            assert job.keep is not None
            reason = self.failing(job)
            if reason is not None:
                state.finish(job, Outcome(State.FAILED, failure={"kind": "diverged", "reason": reason}))
                continue
            self.trained.append(f"{job.id}/{job.keep}")
            try:
                files = self._files(job, bundle)
            except (InputError, WeightsError) as error:
                failure = {"kind": type(error).__name__, "reason": str(error)}
                state.finish(job, Outcome(State.FAILED, failure=failure))
                continue
            state.finish(job, Outcome(State.TRAINED, seconds={"train": 1.0}), files)

    def _files(self, job: Job, bundle: Bundle) -> dict[str, bytes]:
        assert job.keep is not None and job.folds is not None
        if job.converts:
            return converted_once(job, bundle)
        _, test = bundle.folds[job.folds[0]]
        shares = np.eye(bundle.classes, dtype=np.float32)[self.answer(job, bundle, test)]
        return {job.keep: Predictions(test, shares, bundle.labels[test], bundle.groups[test]).to_bytes()}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


@pytest.fixture
def run(tmp_path: Path, npz: Path) -> Run:
    return make_run(tmp_path / "run", npz)


def rows_of(found: Comparison) -> dict[str, Row]:
    return {row.name: row for row in found.rows}


def test_the_table_and_what_it_rests_on(run: Run, bench: Bench) -> None:
    found = run.compare(NETWORKS, **SMALL)
    members = [m.id for m in run.front.members]
    assert [row.name for row in found.rows] == [*members, *NETWORKS]
    folder = run.path / "compare"
    rows = rows_of(found)
    row = rows["tiny-xception"]
    graph = graph_of("tiny-xception", (16, 16, 1), 3)
    assert row.value("params") == cost_of(graph).params
    assert row.value("macs") == cost_of(graph).macs
    for name, figure in ((FLOAT, "size_bytes"), (INT8, "int8_size_bytes")):
        assert row.value(figure) == (folder / "models" / row.id / name).stat().st_size
    hit, groups = [], []
    for path in sorted((folder / "models" / row.id).glob("compared-2x1-fold*.npz")):
        with np.load(path) as kept:
            hit.append(kept["probabilities"].argmax(1) == kept["labels"])
            groups.append(kept["groups"])
    estimate = accuracy_estimate(np.concatenate(hit), np.concatenate(groups))
    accuracy = row.figures["accuracy"]
    expected = estimate.value, estimate.low(0.975), estimate.high(0.975)
    assert (accuracy.value, accuracy.low, accuracy.high) == pytest.approx(expected)
    for row in found.rows:
        latency, fps = row.figures["latency_ms"], row.figures["fps"]
        assert 0 < latency.low <= latency.value <= latency.high
        assert fps.value == pytest.approx(1000 / latency.value) and fps.low == pytest.approx(1000 / latency.high)
        assert row.figures["latency_ratio"].low > 0 and row.figures["int8_latency_ms"].value > 0
        assert row.failures == ()
        assert {"balanced_accuracy", "macro_f1"} <= set(row.figures)
    _check_files(found, folder)


def test_a_latency_in_doubt_is_measured_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = {
        SEARCH: Latency(2.0, 1.8, 2.2, 50, 0.5, 0.4, 0.6, doubt="load"),
        THOROUGH: Latency(2.1, 2.0, 2.4, 90, 0.55, 0.5, 0.7, doubt="load"),
    }
    monkeypatch.setattr("nas.comparison.files.measure_latency", lambda _, __, protocol=SEARCH: looks[protocol])
    files = Converted(1, 1, "the graph", {FLOAT: b"file"}, None)
    found, failures = files.latencies(b"reference")
    assert failures == [] and all(m.doubt is None for m in found.values())
    ms, ratio = found["latency_ms"], found["latency_ratio"]
    assert (ms.value, ms.low, ms.high) == pytest.approx((2.1, 1.8 * 0.75, 2.4 * 1.25))
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.55, 0.4 * 0.75, 0.7 * 1.25))
    assert found["fps"].low == pytest.approx(1000 / (2.4 * 1.25)) and "measured twice" in ms.provenance

    looks[THOROUGH] = replace(looks[THOROUGH], doubt=None)
    second, _ = files.latencies(b"reference")
    assert (second["latency_ratio"].low, second["latency_ratio"].high) == (0.5, 0.7)
    assert "latency_ratio" not in files.latencies(None)[0]


def _check_files(found: Comparison, folder: Path) -> None:
    told = json.loads((folder / "compare.json").read_text())
    assert [r["name"] for r in told["rows"]] == [r.name for r in found.rows]
    assert told["baseline"] == "mini-xception" and told["protocol"]["name"] == "2x1"
    with (folder / "compare.csv").open() as file:
        lines = list(csv.DictReader(file))
    for line, row in zip(lines, found.rows, strict=True):
        assert float(line["accuracy_low"]) == row.figures["accuracy"].low
        assert (line["difference"] == "") == (row.name == "mini-xception")
    text = (folder / "table.md").read_text()
    accuracy = found.rows[0].figures["accuracy"]
    assert f"{100 * accuracy.value:.1f} [{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]" in text
    assert all(statement.text in text for statement in found.statements)
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert "tiny-xception" in (folder / "compare.svg").read_text() or (folder / "compare.svg").stat().st_size > 10_000


def test_what_is_trained_is_not_trained_again(run: Run, bench: Bench) -> None:
    run.compare("tiny-xception", pick="smallest", **SMALL)
    first, bench.trained = bench.trained, []
    assert len(first) == len(set(first)) == 3 + 2 * 2  # the prototype's files, two networks' files, two folds each
    run.compare("tiny-xception", pick="smallest", **SMALL)
    assert bench.trained == []
    run.compare("tiny-xception", pick="smallest", seeds=2, **SMALL)
    assert len(bench.trained) == 2 * 2  # the second seed alone
    bench.trained = []
    folder = run.path / "compare" / "models" / known_network("tiny-xception", (16, 16, 1), 3).id
    changed = folder / "compared-2x1-fold01-seed1000003.npz"
    changed.write_bytes(changed.read_bytes()[:-30])
    (folder / INT8).write_bytes(b"other")
    run.compare(["tiny-xception"], pick="smallest", seeds=2, **SMALL)
    assert bench.trained == [f"{folder.name}/converted.json", f"{folder.name}/{changed.name}"]
    assert run.certificates == [] and not run.directory.events("comparison_trained")


def test_a_search_of_int8_files_is_compared_by_them(run: Run, bench: Bench) -> None:
    run.compare("tiny-xception", pick="smallest", **SMALL)
    assert bench.judged_int8 == {False}
    recorded = run.path / "run.yaml"
    recorded.write_text(recorded.read_text().replace("quantized: false", "quantized: true"))
    bench.trained, bench.judged_int8 = [], set()
    found = open_run(run.path).compare("tiny-xception", pick="smallest", **SMALL)
    assert bench.judged_int8 == {True}
    # What float models said is not taken for what int8 files say; the files themselves are as they were.
    assert len(bench.trained) == 2 * 2 and all("/compared-int8-2x1-fold" in name for name in bench.trained)
    assert "accuracy, size and latency are those of int8 files" in found.about["caption"]


def test_differences_are_paired_on_the_same_images(run: Run, bench: Bench) -> None:
    found = run.compare(NETWORKS, baseline="tiny-xception", seeds=2, **SMALL)
    rows = rows_of(found)
    member, base = found.rows[0], rows["tiny-xception"]
    assert member.pooled is not None and base.pooled is not None
    noise = luck_of(found.rows)
    assert noise is not None and noise.df == len(found.rows)  # one degree of freedom each
    images = np.unique(base.pooled.index)
    here, there = (np.array([p.hits[p.index == i].mean() for i in images]) for p in (member.pooled, base.pooled))
    groups = np.array([base.pooled.groups[base.pooled.index == i][0] for i in images])
    expected = paired_difference(here, there, groups, noise=SeedNoise(noise.variance / 2, noise.df))
    told = member.figures["difference"]
    assert (told.value, told.low, told.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert "difference" not in base.figures
    assert member.figures["accuracy"].value - base.figures["accuracy"].value == pytest.approx(told.value)


def test_a_network_that_fails_is_a_row_with_the_reason(run: Run, bench: Bench) -> None:
    mini = known_network("mini-xception", (16, 16, 1), 3).id
    bench.failing = lambda job: "the loss became nan" if job.id == mini and not job.converts else None
    found = run.compare(["tiny-xception", "mini-xception", "mobilenet-v2"], pick="smallest", **SMALL)
    rows = rows_of(found)
    assert rows["mobilenet-v2"].figures == {}
    assert "at least 32x32, not 16x16" in rows["mobilenet-v2"].failures[0]
    assert rows["mini-xception"].failures == ("fold 0, seed 1000003: the loss became nan",)
    assert rows["mini-xception"].value("params") is not None and rows["mini-xception"].value("accuracy") is None
    assert rows["tiny-xception"].value("accuracy") is not None
    text = (run.path / "compare" / "table.md").read_text()
    assert "- mobilenet-v2: cannot be built for this data" in text
    assert [s.shown for s in found.statements if s.rival != "tiny-xception"] == [False, False]
    bench.failing = lambda job: None if job.converts else "the loss became nan"
    with pytest.raises(NothingEvaluatedError, match="became nan"):
        run.compare("nano-b-redrawn", pick="most-accurate", folds=3, epochs=1)


# Statements


def made_row(name: str, figures: tuple[float, float], hits: np.ndarray, *, member: bool) -> Row:
    """Parameters and latency ratio, the latter within 1 %; one image a subject, of two classes."""
    params, ratio = figures
    n = len(hits)
    labels = np.arange(n) % 2
    pooled = Pooled(np.arange(n), labels, np.where(hits, labels, 1 - labels), np.arange(n), np.zeros(n, np.int64), 2)
    exact = {"params": params, "accuracy": float(hits.mean()), "latency_ms": ratio}
    told = {key: Measurement.exact(value, "", "made up") for key, value in exact.items()}
    told["latency_ratio"] = Measurement(ratio, 0.99 * ratio, 1.01 * ratio, "ratio", 5, "made up")
    return Row(name, name, member, told, (), pooled)


def right_on(share: float, n: int = 1000) -> np.ndarray:
    return np.arange(n) < share * n


@pytest.mark.parametrize(
    ("member", "shown", "better", "word"),
    [
        ((90, 0.5, 0.80), True, True, "shown, and better"),
        ((90, 0.5, 0.70), True, False, ": shown."),
        ((90, 0.5, 0.66), False, False, "not shown (the interval reaches beyond -1)"),
        ((90, 0.995, 0.80), False, False, "none of those with fewer parameters is surely faster"),
        ((100, 0.5, 0.80), False, False, "no member has fewer parameters"),
    ],
)
def test_statements(member: tuple[float, float, float], shown: bool, better: bool, word: str) -> None:
    rival = made_row("rival", (100, 1.0), right_on(0.70), member=False)
    row = made_row("m", member[:2], right_on(member[2]), member=True)
    (statement,) = statements([row, rival], None)
    assert (statement.shown, statement.better) == (shown, better)
    assert word in statement.text


def test_statements_count_how_many_members_were_tried() -> None:
    """The bound is the one-sided one at 1 - .05 / 3; a slower member and a larger one are not tried."""
    rng = np.random.default_rng(0)
    rival = made_row("rival", (100, 1.0), rng.random(300) < 0.7, member=False)
    tried = [made_row(f"m{k}", (90 - k, 0.5), rng.random(300) < 0.7, member=True) for k in range(3)]
    others = [made_row("slow", (50, 2.0), right_on(1.0, 300), member=True)]
    others += [made_row("large", (200, 0.1), right_on(1.0, 300), member=True)]
    (statement,) = statements([*tried, *others, rival], None)
    bounds = []
    for row in tried:
        found = difference(row, rival, None, 2 * (1 - 0.05 / 3) - 1)
        assert found is not None
        bounds.append(found.low)
    assert f"interval from {100 * max(bounds):+.1f} on (one-sided 95%, corrected for 3 members)" in statement.text
    assert statement.member == f"m{int(np.argmax(bounds))}"
    (with_luck,) = statements([*tried, rival], SeedNoise(0.02**2, 4))
    assert "shown, and better" not in with_luck.text


def test_who_guesses_shows_nothing() -> None:
    guessing, learned = right_on(0.5), right_on(0.7)
    rival = made_row("rival", (100, 1.0), guessing, member=False)
    (none,) = statements([made_row("m", (90, 0.5), guessing, member=True), rival], None)
    assert not none.shown and none.member is None and "train longer" in none.text
    (one,) = statements([made_row("m", (90, 0.5), learned, member=True), rival], None)
    assert one.better and one.text.endswith("rival itself cannot be told from guessing: it has hardly learned")


def test_cells() -> None:
    percent = next(c for c in COLUMNS if c.figure == "accuracy")
    assert cell(percent, Measurement(0.9234, 0.8, 1.0, "share", 9, "")) == ("92.3", "[80.0, 100.0]")
    assert cell(COLUMNS[0], Measurement.exact(58_423, "", "")) == ("58,423", "")
    assert cell(COLUMNS[0], None) == ("-", "")


# The command


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--with", "resnet19"], ["'resnet19'", *KNOWN]),
        ([], ["--with NAME...", *KNOWN]),
        (["--with", "resnet20", "--folds", "1"], ["folds 1", "2..100"]),
        (["--with", "resnet20", "--epochs", "0"], ["epochs 0"]),
        (["--with", "resnet20", "--folds", "40"], ["folds"]),
        (["--with", "resnet20", "--pick", "ffff"], ["ffff"]),
        (["--with", "resnet20", "--pick", ","], ["--pick"]),
        (["--with", "resnet20", "--weights", "places"], ["places", "imagenet"]),
        (["--with", "resnet20", "--baseline", "nobody"], ["nobody", "resnet20"]),
        (["--with", "resnet20", "--out", "/dev/null/x"], ["/dev/null/x", "--out"]),
    ],
)
def test_bad_input(run: Run, bench: Bench, options: list[str], said: list[str]) -> None:
    result = nas_("compare", run.path, *options)
    assert result.exit_code == 2, result.output
    assert all(text in result.output for text in said)
    assert bench.trained == []


def test_the_command(run: Run, bench: Bench, tmp_path: Path) -> None:
    options = ["--with", "tiny-xception", "mini-xception", "--folds", 2, "--epochs", 1, "--pick", "smallest"]
    result = nas_("compare", run.path, *options, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "7 trainings" not in result.output and "10 trainings, of which 0 are done already" in result.output
    smallest = min(run.front.members, key=lambda m: m.cost.params).id
    assert smallest in result.output and "tiny-xception: " in result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        *("compare.csv", "compare.json", "compare.png", "compare.svg", "table.md")
    ]
    again = nas_("compare", run.path, *options, "--json")
    assert [r["name"] for r in json.loads(again.stdout)["rows"]] == [smallest, "tiny-xception", "mini-xception"]
    assert "10 trainings, of which 10 are done already" in again.stderr


def test_pretrained_weights_without_a_network(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = blobs(side=32)
    np.savez(tmp_path / "bars.npz", x=data.images, y=data.labels, subject=data.subjects)
    run = make_run(tmp_path / "run", tmp_path / "bars.npz")
    without_network(monkeypatch, tmp_path)
    result = nas_(
        "compare", run.path, "--with", "mobilenet-v1", "--weights", "imagenet", "--folds", 2, "--pick", "knee"
    )
    assert result.exit_code == EnvironmentStopError.exit_code
    assert "the imagenet weights of mobilenet-v1 cannot be had" in result.output
    assert "leave --weights out" in result.output and "go on with:  nas compare" in result.output
    assert not any("compared" in name for name in bench.trained)


def test_protocol() -> None:
    protocol = ComparisonProtocol(5, 60, 3)
    assert protocol.name == "5x60"
    assert protocol.predictions_name(4, 7) == "compared-5x60-fold04-seed7.npz"
    for wrong in ((1, 60, 1), (5, 0, 1), (5, 60, 0), (5, 60, True)):
        with pytest.raises(InputError):
            ComparisonProtocol(*wrong)


# Real trainings


def kept_in(run: Run) -> dict[str, int]:
    """Predictions that are there, with when they were written."""
    return {f"{p.parent.name}/{p.name}": p.stat().st_mtime_ns for p in run.path.glob("compare/models/*/compared-*.npz")}


@pytest.mark.slow
def test_a_killed_comparison_goes_on(run: Run) -> None:
    """A member and a known network, really trained; kill -9 after the first trainings costs none of them."""
    command = [
        sys.executable,
        "-m",
        "nas.cli.main",
        "compare",
        str(run.path),
        "--with",
        "tiny-xception",
        "--folds",
        "3",
    ]
    command += ["--folds", "3", "--epochs", "1", "--pick", "smallest"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    end = time.monotonic() + 240
    while len(kept_in(run)) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = kept_in(run)
    assert 2 <= len(before) < 6
    found = run.compare("tiny-xception", pick="smallest", folds=3, epochs=1)
    after = kept_in(run)
    assert len(after) == 6 and {name: after[name] for name in before} == before
    for row in found.rows:
        assert row.failures == () and 0 < row.figures["accuracy"].value <= 1
    events = [json.loads(line) for line in (run.path / "compare" / "events.jsonl").read_text().splitlines()]
    trained = [e["file"] for e in events if e["event"] == "comparison_trained"]
    assert len([file for file in trained if file != "converted.json"]) in (5, 6)  # one may be killed before it is told
