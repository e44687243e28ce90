"""Compressed files are what their names say, are measured as they are, and are made once."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import blobs, fill
from fabricated import nas_
from handmade import trained
from make_run import make_run

from nas.api import Run
from nas.cli.compress import _again
from nas.compression.compress import CompressOrder, Unwatched, compress
from nas.compression.contents import float_operators, kernels_of, zip_bytes
from nas.compression.make import CompressionError, check
from nas.compression.methods import Method, parse_methods
from nas.data.folds import make_split
from nas.deploy.export import WEIGHTS
from nas.deploy.held import HeldImages, as_input
from nas.deploy.metadata import read
from nas.errors import EnvironmentStopError, InputError
from nas.evaluation.bundle import Bundle
from nas.evaluation.evaluate import Evaluation
from nas.evaluation.job import Job, Setup
from nas.evaluation.quiet import Quiet
from nas.evaluation.train import Fitter, Recipe, Trainer
from nas.families.residual import Link, ResidualArchitecture, Stage
from nas.graph import Graph
from nas.indicator import Indicator
from nas.networks.build import build_model, get_weights, set_weights
from nas.networks.tflite import open_interpreter, run_tflite, to_tflite
from nas.run.candidate import Candidate
from nas.run.directory import RunDirectory
from nas.run.predictions import Predictions
from nas.run.variants import VARIANT, Variant, keep_variant, read_variant, variant_file, variants_of
from nas.rung import Rung
from nas.settings import Settings
from nas.statistics.paired import paired_difference

# Links over both resolutions, two of them concatenated.
LINKED = ResidualArchitecture(
    *((16, 16, 1), 3, 8, 1),
    stages=(Stage(8, (8,)), Stage(12, (8, 8))),
    links=(Link(0, 0, 1, 0), Link(0, 0, 1, 1), Link(1, 0, 1, 1)),
)
RECIPE = Recipe(batch=16, learning_rate=4e-3)
SLOW = ("prune:0.8", "prune-int8:0.8", "prune-qat:0.5", "cluster:16", "cluster-qat:16", "qat")


def weights_of(graph: Graph, data: tuple[Any, Any], epochs: int = 8) -> bytes:
    """The weights of a network trained on uint8 images and their labels, as a run keeps them."""
    trainer = Trainer(graph, RECIPE, 0)
    trainer.fit(*data, epochs, 0)
    buffer = io.BytesIO()
    np.savez(buffer, **get_weights(trainer.model))
    return buffer.getvalue()


@dataclass
class Told:
    """A watcher that remembers, and stops after ``stop`` variants."""

    stop: int = 99
    begun_: list[str] = field(default_factory=list)
    kept: int = 0
    epochs: list[tuple[str, int, int]] = field(default_factory=list)

    def planned(self, total: int, kept: int) -> None:
        self.kept = kept

    def begun(self, label: str) -> None:
        self.begun_.append(label.partition(":")[2])

    def trained(self, stage: str, epoch: int, epochs: int) -> None:
        self.epochs.append((stage, epoch, epochs))

    def made(self, variant: Variant) -> None:
        if len(self.begun_) == self.stop:
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Bench:
    """A trained network with links, and what it is compressed with."""

    candidate: Candidate
    order: CompressOrder

    def make(self, *methods: str, told: Any = None, **changes: Any) -> dict[str, Variant]:
        order = replace(self.order, methods=parse_methods(methods), **changes)
        return {v.name: v for v in compress([self.candidate], order, told or Unwatched())}

    def content(self, variant: Variant) -> bytes:
        found = read_variant(self.order.directory, variant)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def weights() -> bytes:
    images, labels = _fold()[0].calibration, _fold()[1]
    return weights_of(LINKED.graph(), (images, labels), epochs=16)


def _fold() -> tuple[HeldImages, Any]:
    data = blobs()
    split = make_split(data, folds=4, holdout=0.2, seed=0)
    return HeldImages.of_data(data, split), data.labels[split.folds[0].train]


def bench_in(folder: Path, weights: bytes, a: ResidualArchitecture = LINKED) -> Bench:
    directory = RunDirectory(folder)
    candidate = replace(trained(3, 0.9), id=a.id, architecture=a.to_json(), cost=a.cost())
    directory.store(candidate.id, {WEIGHTS: weights})
    return Bench(candidate, CompressOrder(directory, (), RECIPE, 4, *_fold()))


@pytest.fixture
def bench(tmp_path: Path, weights: bytes) -> Bench:
    return bench_in(tmp_path, weights)


@pytest.mark.parametrize(
    ("text", "name", "base", "number"),
    [
        ("ptq", "ptq-int8", "none", "int8"),
        ("prune:0.80", "prune-0.8", "prune", "float32"),
        ("cluster-qat:16", "cluster-qat-16", "cluster", "qat"),
    ],
)
def test_methods_are_read_as_they_are_written(text: str, name: str, base: str, number: str) -> None:
    method = Method.parse(text)
    assert (method.name, method.base, method.number) == (name, base, number)
    assert Method.parse(str(method)) == method


@pytest.mark.parametrize("text", ["", "shrink", "prune", "prune:1", "prune:nan", "cluster:1", "cluster:2.5", "qat:8"])
def test_a_wrong_method_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match=repr(text)):
        Method.parse(text)


def test_methods_are_wanted_once_each() -> None:
    assert [m.name for m in parse_methods(["qat", "ptq", "ptq-int8", "qat"])] == ["qat", "ptq-int8"]


def test_a_fitter_trains_what_it_is_given_as_the_search_does() -> None:
    import tf_keras

    graph = ResidualArchitecture((16, 16, 1), 3, 8, 1, (Stage(8, (4,)),)).graph()
    images, labels = _fold()[0].calibration[:48], _fold()[1][:48]
    trainer = Trainer(graph, RECIPE, 5)
    trainer.fit(images, labels, 2, 0)
    model = build_model(graph, tf_keras, seed=5)
    two = tf_keras.Model(model.input, [model.layers[-2].output, model.output])
    Fitter(model, two, RECIPE, 5).fit(images, labels, 2, 0)
    ours, theirs = get_weights(model), get_weights(trainer.model)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_what_a_file_holds_is_read_from_the_file() -> None:
    """Zeros and equal values put in by hand are found, in float and in int8."""
    import tf_keras

    graph = LINKED.graph()
    model = build_model(graph, tf_keras)
    values = get_weights(model)
    name = "s2b2_conv1/kernel"
    height, width, inputs, outputs = values[name].shape
    pattern = np.where(np.arange(values[name].size) % 4, 0, 0.5).reshape(outputs, height, width, inputs)
    values[name] = pattern.transpose(1, 2, 3, 0).astype(np.float32)
    set_weights(model, values)
    content = to_tflite(model)
    kernels = kernels_of(content)
    assert sum(k.weights for k in kernels) == sum(v.size for key, v in values.items() if key.endswith("/kernel"))
    quarter = [k for k in kernels if k.zeros == k.weights * 3 // 4 and k.values_per_channel == 2]
    assert [k.weights for k in quarter] == [values[name].size]
    assert {"CONV_2D", "ADD", "CONCATENATION", "SOFTMAX"} <= set(float_operators(content))
    assert float_operators(to_tflite(model, calibration=as_input(_fold()[0].spread()))) == []


def test_the_zip_is_a_zip() -> None:
    content = bytes(10_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("model.tflite", content)
    assert zip_bytes(content) == len(buffer.getvalue()) < 200
    assert zip_bytes(np.random.default_rng(0).bytes(10_000)) > 10_000


def test_a_variant_that_is_not_what_it_is_called_is_refused() -> None:
    import tf_keras

    content = to_tflite(build_model(LINKED.graph(), tf_keras))
    kernels, weights = kernels_of(content), {"a/kernel": np.array([0.0, 0.0, 0.0, 1.0, 2.0])}
    check(Method.parse("prune:0.6"), weights, [], [])
    with pytest.raises(CompressionError, match="3 zeros among 10 weights, asked for were 60%"):
        check(Method.parse("prune:0.6"), {"a/kernel": np.r_[np.zeros(3), np.ones(7)]}, [], [])
    with pytest.raises(CompressionError, match="in the file has 0 zeros"):
        check(Method.parse("prune:0.6"), weights, kernels, [])
    with pytest.raises(CompressionError, match="a/kernel has 3 values"):
        check(Method.parse("cluster:2"), weights, [], [])
    with pytest.raises(CompressionError, match="in floating point in CONV_2D"):
        check(Method.parse("qat"), {}, [], ["CONV_2D"])


def test_int8_after_training(bench: Bench) -> None:
    """Every figure is that of the file; the difference is the paired one."""
    v = bench.make("ptq")["ptq-int8"]
    content, images = bench.content(v), bench.order.images
    original = _float_file(bench)
    hits = [run_tflite(c, as_input(images.test)).argmax(1) == images.labels for c in (content, original)]
    expected = paired_difference(*hits, images.groups)
    found = v.measurements["difference"]
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    assert v.measurements["accuracy"].value == hits[0].mean() > 0.6
    assert v.original["accuracy"].value == hits[1].mean()
    assert v.value("size_bytes") == len(content) < len(original) == v.original["size_bytes"].value
    assert v.value("zip_bytes") == zip_bytes(content)
    assert v.value("agreement") == _agreement(content, original, images)
    assert v.details["float_operators"] == [] and {k["number"] for k in v.details["kernels"]} == {"int8"}
    assert 0 < v.measurements["latency_ms"].low <= v.measurements["latency_ratio"].value * 100
    assert v.epochs == 0 and v.failure is None


def _float_file(bench: Bench) -> bytes:
    import tf_keras

    model = build_model(LINKED.graph(), tf_keras)
    with np.load(bench.order.directory.model_file(LINKED.id, WEIGHTS)) as file:
        set_weights(model, dict(file))
    return to_tflite(model)


def _agreement(first: bytes, second: bytes, images: HeldImages) -> float:
    answers = [run_tflite(c, as_input(images.test)).argmax(1) for c in (first, second)]
    return float((answers[0] == answers[1]).mean())


def test_what_is_there_is_not_made_again(bench: Bench) -> None:
    first = bench.make("ptq")["ptq-int8"]
    told = Told()
    assert bench.make("ptq", told=told)["ptq-int8"] == first and (told.kept, told.begun_) == (1, [])
    path = variant_file(bench.order.directory, LINKED.id, "ptq-int8")
    path.write_bytes(path.read_bytes()[:-1])  # cut short
    told = Told()
    mended = bench.make("ptq", told=told)["ptq-int8"]
    assert (told.kept, told.begun_) == (0, ["ptq-int8"]) and mended.file_sha256 == first.file_sha256
    told = Told()
    bench.make("ptq", told=told, again=True)
    assert told.begun_ == ["ptq-int8"]
    assert len(bench.order.directory.events(VARIANT)) == 3
    assert [v.name for v in variants_of(bench.order.directory)[LINKED.id]] == ["ptq-int8"]


def test_records_survive_a_torn_line_and_an_older_hand(bench: Bench) -> None:
    made = bench.make("ptq")["ptq-int8"]
    with (bench.order.directory.path / "events.jsonl").open("a") as file:
        file.write('{"event": "variant", "variant": {"id": "x"}}\n{"event": "variant", "vari')
    assert variants_of(bench.order.directory) == {LINKED.id: (made,)}
    assert Variant.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_a_full_disk_leaves_no_record(small_disk: Path, weights: bytes) -> None:
    bench = bench_in(small_disk, weights)
    bench.make("ptq")
    filler = fill(small_disk)
    with pytest.raises(EnvironmentStopError, match="cannot be written"):
        bench.make("ptq", again=True)
    filler.unlink()
    assert len(bench.order.directory.events(VARIANT)) == 1
    told = Told()
    bench.make("ptq", told=told)
    assert told.kept == 1


def test_a_failure_is_recorded_and_the_others_go_on(bench: Bench) -> None:
    """Pruning at an absurd learning rate diverges; it is tried again next time."""
    recipe = replace(RECIPE, learning_rate=1e30)
    made = bench.make("prune:0.5", "ptq", recipe=recipe)
    failed = made["prune-0.5"]
    assert (
        failed.failure is not None
        and failed.failure["kind"] == "diverged"
        and "loss became" in failed.failure["reason"]
    )
    assert failed.file_sha256 is None and not failed.measurements
    assert not variant_file(bench.order.directory, LINKED.id, "prune-0.5").exists()
    assert made["ptq-int8"].failure is None
    assert [v.failure is None for v in variants_of(bench.order.directory)[LINKED.id]] == [False, True]


def test_wrong_orders_are_refused(bench: Bench) -> None:
    with pytest.raises(InputError, match="epochs 0"):
        bench.make("qat", epochs=0)
    bench.order.directory.model_file(LINKED.id, WEIGHTS).unlink()
    with pytest.raises(InputError, match="no weights"):
        bench.make("ptq")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, npz: Path) -> Iterator[Run]:
    """A run with made-up measurements and one member's real weights."""
    run = make_run(tmp_path_factory.mktemp("runs") / "run", npz)
    member = run.front.members[0]
    data = blobs()
    train = make_split(data, folds=5, holdout=0.2, seed=0).folds[0].train
    weights = weights_of(member.network().graph(), (data.images[train], data.labels[train]))
    run.directory.store(member.id, {WEIGHTS: weights})
    yield run


def test_from_the_command_line_to_the_front_and_out(run: Run, tmp_path: Path) -> None:
    member = run.front.members[0].id
    result = nas_("compress", run.path, "--pick", member, "--method", "ptq", "--json")
    assert result.exit_code == 0, result.output
    (told,) = json.loads(result.stdout)
    assert told["id"] == member and told["measurements"]["size_bytes"]["value"] < 30_000
    front = json.loads((run.path / "front.json").read_text())
    rows = {m["id"]: m["variants"] for m in front["members"]}
    assert [row["name"] for row in rows.pop(member)] == ["ptq-int8"] and not any(rows.values())
    assert (run.path / "plots" / "accuracy_bytes.png").read_bytes().startswith(b"\x89PNG")
    assert all("variants" in m and m["variants"] == [] for m in _history(run)[-1]["members"])
    shown = nas_("front", run.path).stdout
    assert "ptq-int8" in shown and f"{told['measurements']['accuracy']['value']:.1%}" in shown
    assert json.loads(nas_("front", run.path, "--json").stdout) == front

    again = nas_("compress", run.path, "--pick", member, "--method", "ptq", "--json")
    assert json.loads(again.stdout) == [told]
    refused = nas_("export", run.path, "--pick", f"{member}:ptq-int8", "--format", "keras", "--out", tmp_path)
    assert refused.exit_code == 2 and "the TFLite file itself" in refused.stderr and not any(tmp_path.iterdir())
    assert nas_("export", run.path, "--pick", f"{member}:qat", "--format", "tflite", "--out", tmp_path).exit_code == 2
    out = nas_("export", run.path, "--pick", f"{member}:ptq-int8", "--format", "tflite", "--out", tmp_path)
    assert out.exit_code == 0, out.output
    folder = tmp_path / member / "variants" / "ptq-int8"
    card = json.loads((folder / "card.json").read_text())
    files = [folder / "model.tflite", variant_file(run.directory, member, "ptq-int8")]
    ours, theirs = (run_tflite(p.read_bytes(), as_input(blobs().images[:20])) for p in files)
    assert np.array_equal(ours, theirs) and read(files[0]).classes == ("across", "down", "square")
    assert card["sha256"] == hashlib.sha256(files[0].read_bytes()).hexdigest()
    assert card["classes"] == ["across", "down", "square"] and card["file_sha256"] == told["file_sha256"]


def test_variants_stay_listed_when_latencies_are_measured_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    member = run.front.members[0].id
    keep_variant(run.directory, Variant(member, "qat", "qat", 1, "0" * 64, failure={"reason": "made up"}), None)
    monkeypatch.setattr("nas.remeasuring.remeasure", lambda *given, file: [])
    run.remeasure(member)
    rows = {m["id"]: m["variants"] for m in json.loads((run.path / "front.json").read_text())["members"]}
    assert [row["failure"] for row in rows[member] if row["name"] == "qat"] == ["made up"]


@pytest.mark.parametrize(
    ("anew", "end"), [(False, "--epochs 20 --data 'my faces.npz'"), (True, "--epochs 20 --data 'my faces.npz' --again")]
)
def test_an_interrupted_command_says_with_what_it_goes_on(anew: bool, end: str) -> None:
    given = {"pick": "knee", "method": "qat,prune:0.5", "epochs": 20, "data": "my faces.npz"}
    assert _again("RUN", given, anew=anew) == f"nas compress RUN --pick knee --method qat,prune:0.5 {end}"


def _history(run: Run) -> list[dict[str, Any]]:
    return [json.loads(p.read_text()) for p in sorted((run.path / "fronts").glob("*.json"))]


def test_nothing_is_begun_on_bad_input(run: Run) -> None:
    before = (run.path / "events.jsonl").read_bytes()
    for arguments in (["--method", "shrink"], ["--method", "prune:2"], ["--pick", "nobody"], ["--epochs", "0"]):
        result = nas_("compress", run.path, *arguments)
        assert result.exit_code == 2 and "error:" in result.stderr, arguments
    assert (run.path / "events.jsonl").read_bytes() == before


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory, weights: bytes) -> tuple[Bench, dict[str, Variant], Told]:
    """All that trains, with the first interrupted after it."""
    bench, told = bench_in(tmp_path_factory.mktemp("compressed"), weights), Told(stop=1)
    with pytest.raises(KeyboardInterrupt):
        bench.make(*SLOW, told=told)
    assert told.begun_ == ["prune-0.8"]
    told = Told()
    return bench, bench.make(*SLOW, told=told), told


@pytest.mark.slow
def test_an_interrupted_compression_goes_on(compressed: tuple[Bench, dict[str, Variant], Told]) -> None:
    _, made, told = compressed
    assert told.kept == 1 and told.begun_ == [Method.parse(m).name for m in SLOW[1:]]
    assert all(v.failure is None for v in made.values())
    # One pruning to 80 %, one to 50 %, one clustering and three trainings with the rounding, of four epochs each.
    assert [e for e in told.epochs if e[1] == 4] == [
        ("pruning to 80%", 4, 4),
        ("pruning to 50%", 4, 4),
        ("quantization-aware training", 4, 4),
        ("clustering to 16 values", 4, 4),
        ("quantization-aware training", 4, 4),
        ("quantization-aware training", 4, 4),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("prune-0.8", 0.8), ("prune-int8-0.8", 0.8), ("prune-qat-0.5", 0.5)])
def test_pruned_kernels_are_sparse_in_the_file(
    compressed: tuple[Bench, dict[str, Variant], Told], name: str, share: float
) -> None:
    bench, made, _ = compressed
    kernels = kernels_of(bench.content(made[name]))
    assert len(kernels) == sum(op.kind in ("conv", "dense") for op in LINKED.graph().ops)
    for k in kernels:
        assert k.zeros >= k.weights - round(k.weights * (1 - share)) - 1, k
    assert made[name].value("sparsity") == pytest.approx(share, abs=0.02)


@pytest.mark.slow
def test_pruning_shows_in_the_zip_alone(compressed: tuple[Bench, dict[str, Variant], Told]) -> None:
    _, made, _ = compressed
    pruned = made["prune-0.8"]
    assert pruned.value("size_bytes") == pytest.approx(pruned.original["size_bytes"].value, rel=0.02)
    assert (pruned.value("zip_bytes") or 1e9) < 0.75 * pruned.original["zip_bytes"].value
    assert (made["prune-int8-0.8"].value("zip_bytes") or 1e9) < 0.95 * (made["qat"].value("zip_bytes") or 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cluster-16", "cluster-qat-16"])
def test_clustered_kernels_have_few_values(compressed: tuple[Bench, dict[str, Variant], Told], name: str) -> None:
    bench, made, _ = compressed
    kernels = kernels_of(bench.content(made[name]))
    assert max(k.values_per_channel for k in kernels) <= 16
    plain = kernels_of(bench.content(made["qat"]))
    assert max(k.values_per_channel for k in plain) > 16


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qat", "prune-qat-0.5", "cluster-qat-16", "prune-int8-0.8"])
def test_int8_files_compute_in_int8(compressed: tuple[Bench, dict[str, Variant], Told], name: str) -> None:
    bench, made, _ = compressed
    content = bench.content(made[name])
    assert float_operators(content) == []
    assert {k.number for k in kernels_of(content)} == {"int8"}
    assert (made[name].value("size_bytes") or 1e9) < made[name].original["size_bytes"].value


@pytest.mark.slow
def test_separable_and_pooled_stages_are_pruned_and_compute_in_int8(tmp_path: Path) -> None:
    """No normalisation lies between a depthwise convolution and the 1x1 convolution behind it."""
    stages = Stage(8, (8,), separable=True), Stage(12, (8,), separable=True, pooled=True)
    a = ResidualArchitecture((16, 16, 1), 3, 8, 1, stages, (Link(0, 0, 1, 0),))
    images, labels = _fold()
    bench = bench_in(tmp_path, weights_of(a.graph(), (images.calibration, labels), epochs=1), a)
    made = bench.make("prune-qat:0.5", epochs=2)["prune-qat-0.5"]
    assert made.failure is None
    kernels = kernels_of(bench.content(made))
    assert float_operators(bench.content(made)) == [] and {k.number for k in kernels} == {"int8"}
    assert [k.operator for k in kernels].count("DEPTHWISE_CONV_2D") == 4
    assert all(k.zeros >= k.weights // 2 for k in kernels if k.operator == "CONV_2D" and k.weights > 9)


@pytest.mark.slow
def test_training_with_the_rounding_keeps_the_accuracy(compressed: tuple[Bench, dict[str, Variant], Told]) -> None:
    _, made, _ = compressed
    for name in ("qat", "cluster-16", "cluster-qat-16"):
        v = made[name]
        assert v.measurements["accuracy"].value >= v.original["accuracy"].value - 0.1, name
        stages = v.details["stages"]
        assert {s["learning_rate"] for s in stages.values()} == {RECIPE.learning_rate / 10}


@pytest.mark.slow
def test_a_quantized_search_judges_the_int8_file(tmp_path: Path) -> None:
    """Predictions, accuracy, size and latency are those of the file that is kept, float at no step of the way."""
    data = blobs(12)
    split = make_split(data, folds=3, holdout=0.2, seed=0)
    bundle = Bundle.of(data, split)
    graph = ResidualArchitecture((16, 16, 1), 3, 8, 1, (Stage(8, (4,)),)).graph()
    setup = Setup(graph, Indicator(()), RECIPE, quantized=True)
    assert Setup.from_json(setup.to_json()) == setup
    with contextlib.closing(Quiet(True, tmp_path)) as quiet:
        done = Evaluation(bundle, setup, True, quiet).run(Job(0, "a", graph, (Rung(1, 3),), 0, True))
    assert done is not None
    outcome, files = done
    content, measured = files["model.int8.tflite"], outcome.measurements
    assert "model.tflite" not in files and float_operators(content) == []
    (tmp_path / "predictions.npz").write_bytes(files["predictions.npz"])
    predictions = Predictions.read(tmp_path / "predictions.npz")
    inputs = as_input(bundle.images[bundle.folds[0][1]])
    np.testing.assert_array_equal(predictions.probabilities, run_tflite(content, inputs))
    assert measured["accuracy"].value == (predictions.predicted == bundle.labels[bundle.folds[0][1]]).mean()
    assert measured["size_bytes"].value == len(content) and "int8" in measured["size_bytes"].provenance
    assert all("int8 TFLite file" in measured[name].provenance for name in ("accuracy", "latency_ms", "macro_f1"))
    assert 0 < outcome.worker["agreement_with_float"] <= 1


def test_the_int8_file_at_birth_is_as_large_and_as_fast_as_a_trained_one(tmp_path: Path, weights: bytes) -> None:
    """A link that is closed at birth has no range, and XNNPACK would not take what adds it."""
    import tf_keras

    data = blobs()
    bundle = Bundle.of(data, make_split(data, folds=3, holdout=0.2, seed=0))
    setup = Setup(LINKED.graph(), Indicator(()), RECIPE, quantized=True)
    model = build_model(LINKED.graph(), tf_keras)
    before = model.get_weights()
    with contextlib.closing(Quiet(True, tmp_path)) as quiet:
        newborn = Evaluation(bundle, setup, True, quiet)._newborn(model)
    assert all(np.array_equal(now, then) for now, then in zip(model.get_weights(), before, strict=True))
    with np.load(io.BytesIO(weights)) as file:
        set_weights(model, dict(file))
    trained_one = to_tflite(model, calibration=as_input(bundle.images[:50]))
    assert len(newborn) == pytest.approx(len(trained_one), rel=0.01)
    kernels = [Counter(op["op_name"] for op in open_interpreter(c)._get_ops_details()) for c in (newborn, trained_one)]
    assert kernels[0] == kernels[1] and kernels[0]["DELEGATE"] > 0


def test_a_run_says_that_it_is_quantized(run: Run) -> None:
    assert not run.settings.quantized and "int8" not in run.caption
    settings = replace(run.settings, quantized=True)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert "those of int8 files" in settings.judged_file
    older = {name: value for name, value in settings.to_json().items() if name != "quantized"}
    assert not Settings.from_json(older).quantized


@pytest.mark.slow
def test_rounding_begins_with_the_ranges_that_activations_have(weights: bytes) -> None:
    """tfmot's own are -6..6 everywhere, and hardly move in a short training."""
    import tf_keras

    from nas.compression.wrap import quantizable

    model = build_model(LINKED.graph(), tf_keras)
    with np.load(io.BytesIO(weights)) as file:
        set_weights(model, dict(file))
    inputs = as_input(_fold()[0].spread())
    expected = np.asarray(model(inputs, training=False))
    moments = {v.name: v.numpy() for v in model.weights if "moving_" in v.name}
    outputs = tf_keras.Model(model.input, {n: model.get_layer(n).output for n in ("stem_relu", "s2b1_out", "pool")})
    largest = {name: float(np.max(a)) for name, a in outputs(inputs, training=True).items()}
    for v in model.weights:
        if v.name in moments:
            v.assign(moments[v.name])
    wrapped = quantizable(model, "none", inputs)
    ranges = {v.name: float(v.numpy()) for v in wrapped.weights if "output_m" in v.name or "activation_m" in v.name}
    assert len(ranges) > 20 and not any(abs(abs(v) - 6) < 1e-6 for v in ranges.values())
    for name, value in largest.items():
        assert ranges[f"quant_{name}/output_max:0"] == pytest.approx(value, rel=0.1), name
        assert ranges[f"quant_{name}/output_min:0"] == pytest.approx(0, abs=1e-6)
    kept = {v.name.split("quant_")[-1]: v.numpy() for v in wrapped.weights if "moving_" in v.name}
    for name, value in moments.items():
        np.testing.assert_array_equal(kept[name], value)
    got = np.asarray(wrapped(inputs, training=False))
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.95
