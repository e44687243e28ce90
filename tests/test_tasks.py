"""What networks answer besides a class, and are told besides an image: targets, landmarks, votes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import blobs
from fabricated import nas_
from handmade import trained

from nas.api import Run, SearchOptions, search
from nas.cli.variants import variants_table
from nas.cli.view import front_table
from nas.data.baseline import value_baseline
from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.data.landmarks import MIRROR
from nas.errors import DecodeError, InputError
from nas.evaluation.bundle import Bundle
from nas.evaluation.extras import Extras
from nas.evaluation.metrics import measure_values
from nas.evaluation.train import Recipe
from nas.indicator import METRICS, Constraint, Indicator, Status, load_indicator
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.probing import gain_at_equal_effort
from nas.race import Race, Seen
from nas.report.claims import claims
from nas.report.panel import AXES, panel_of
from nas.rescoring import drift
from nas.run.candidate import Candidate, RungResult
from nas.run.directory import RunDirectory
from nas.run.front import front_of, member_json, reference_point_of
from nas.run.predictions import PREDICTIONS, Predictions
from nas.run.variants import Variant
from nas.rung import Rung
from nas.space import load_space
from nas.statistics.regression import regression_estimates, regression_scores
from nas.task import Task, check_metrics, default_indicator, deviation_of, task_of
from nas.tuning import TuneOptions, tune

RNG = np.random.default_rng(7)
TRUE = RNG.normal(size=(60, 2))
SAID = 0.6 * TRUE + RNG.normal(size=(60, 2)) * 0.3 + 0.1
GROUPS = np.arange(60) // 5


def with_extras(data: Dataset, seed: int = 0) -> Dataset:
    """Two targets that the brightness of an image tells, and 68 landmarks that its class tells."""
    rng = np.random.default_rng(seed)
    bright = data.images.reshape(len(data), -1).astype(float)
    targets = np.stack([bright.mean(1) / 128 - 1, data.labels / 2 - 0.5], axis=1).astype(np.float32)
    landmarks = 0.5 + 0.2 * (data.labels[:, None, None] - 1) + 0.05 * rng.normal(size=(len(data), 68, 2))
    names = ("valence", "arousal")
    return replace(data, targets=targets, target_names=names, landmarks=landmarks.astype(np.float32))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return with_extras(blobs())


def scored(trial: int, rmse: float, params: int = 5000, rung: float | None = None) -> Candidate:
    """A trained candidate that predicts numbers alone."""
    made = trained(trial, 0.5, params=params)
    assert made.outcome is not None
    measured = {n: m for n, m in made.outcome.measurements.items() if METRICS[n].task is None}
    measured["rmse"] = Measurement(rmse, 0.9 * rmse, 1.1 * rmse, "", 60, "made up")
    rungs = () if rung is None else (RungResult("1x2", {"rmse": rung}),)
    return replace(made, outcome=replace(made.outcome, measurements=measured), rungs=rungs)


def test_figures_of_a_regression_are_those_of_their_formulas() -> None:
    found = regression_scores(TRUE, SAID)
    for k in range(2):
        y, p = TRUE[:, k], SAID[:, k]
        cov = ((y - y.mean()) * (p - p.mean())).mean()
        assert found["rmse"][k] == pytest.approx(np.sqrt(((y - p) ** 2).mean()))
        assert found["pearson"][k] == pytest.approx(np.corrcoef(y, p)[0, 1])
        assert found["ccc"][k] == pytest.approx(2 * cov / (y.var() + p.var() + (y.mean() - p.mean()) ** 2))
        assert abs(found["ccc"][k]) < abs(found["pearson"][k])  # Lin 1989: it is the correlation times a bias factor
    same = regression_scores(TRUE, TRUE)
    assert same["rmse"] == pytest.approx([0, 0], abs=1e-7) and same["ccc"] == pytest.approx([1, 1])
    flat = regression_scores(TRUE, np.full_like(TRUE, 0.3))
    assert flat["ccc"].tolist() == [0, 0] and flat["pearson"].tolist() == [0, 0]
    assert regression_scores(TRUE, 1 - TRUE)["pearson"] == pytest.approx([-1, -1])


def test_intervals_leave_one_subject_out_at_a_time() -> None:
    whole, valence, arousal = regression_estimates(TRUE, SAID, GROUPS)
    for name in ("rmse", "ccc", "pearson"):
        assert whole[name].value == pytest.approx((valence[name].value + arousal[name].value) / 2)
        without = [regression_scores(TRUE[g != GROUPS], SAID[g != GROUPS])[name].mean() for g in range(12)]
        scale = np.log(without) if name == "rmse" else np.arctanh(without)
        assert whole[name].variance == pytest.approx(11 * np.var(scale)) and whole[name].df == 11
        low, high = whole[name].low(0.95), whole[name].high(0.95)
        assert low < whole[name].value < high and whole[name].low(0.99) < low
        assert whole[name].confidence_above(low) == pytest.approx(0.95)
        assert whole[name].confidence_below(high) == pytest.approx(0.95)
    alone = regression_estimates(TRUE, SAID, np.zeros(60, int))[0]["ccc"]
    assert alone.low(0.95) == alone.value == alone.high(0.95) and alone.confidence_above(-0.99) == 0


def test_an_interval_covers_as_often_as_it_says() -> None:
    """Of 200 data sets of 30 subjects, with an error of each subject's own."""
    rng, inside = np.random.default_rng(0), 0
    subject = np.repeat(np.arange(30), 4)
    for _ in range(200):
        y = rng.normal(size=(120, 1))
        p = y + 0.4 * rng.normal(size=(30, 1))[subject] + 0.3 * rng.normal(size=(120, 1))
        e = regression_estimates(y, p, subject)[0]["rmse"]
        inside += e.low(0.95) <= 0.5 <= e.high(0.95)
    assert 0.84 <= inside / 200 <= 0.96  # 90 % two-sided; three standard errors are 0.064


def test_measurements_are_of_all_targets_and_of_each() -> None:
    about = {"names": ("valence", "arousal"), "confidence": 0.95}
    values = TRUE.astype(np.float32), SAID.astype(np.float32)
    found = measure_values(*values, GROUPS, **about, group_kind="subjects")  # type: ignore[arg-type]
    assert {"rmse", "rmse_valence", "ccc_arousal", "pearson"} <= found.keys() and len(found) == 9
    assert found["rmse"].value == pytest.approx((found["rmse_valence"].value + found["rmse_arousal"].value) / 2)
    assert "mean over valence, arousal" in found["rmse"].provenance and "12 subjects" in found["rmse"].provenance
    alone = measure_values(*values, np.zeros(60, int), **about, group_kind="subjects")["rmse"]  # type: ignore[arg-type]
    assert alone.doubt is not None
    assert Constraint("rmse", 9.0, True).judge(alone, 0.0).status is Status.UNDECIDED


def test_a_task_says_what_the_data_must_have(data: Dataset) -> None:
    assert task_of(data) == Task() and Task().plain and Task().primary == "accuracy"
    both = task_of(data, "both", landmarks=True)
    assert both == Task("both", ("valence", "arousal"), 68) and both.wanted == ("targets", "landmarks")
    assert task_of(data, "regression").objectives == ("rmse", "params")
    assert Task.from_json(both.to_json()) == both and Task.from_json(None) == Task()
    for name, landmarks, said in (("regression", False, "no numbers to predict"), ("classification", True, "no landm")):
        with pytest.raises(InputError, match=said):
            task_of(blobs(), name, landmarks)
    with pytest.raises(InputError, match="task 'sorting' is not known; use classification, regression, both"):
        task_of(data, "sorting")
    with pytest.raises(InputError, match="same for every image"):
        task_of(replace(data, targets=np.ones_like(data.targets)), "both")
    damaged: tuple[Any, ...] = (
        *({"name": "both", "targets": [], "landmarks": 0}, {"name": "both"}),
        *({**both.to_json(), "landmarks": True}, {**both.to_json(), "landmarks": -1}),
    )
    for wrong in damaged:
        with pytest.raises(DecodeError):
            Task.from_json(wrong)


def test_objectives_and_constraints_name_the_metrics_of_the_task() -> None:
    regression, rmse = Task("regression", ("valence",)), Indicator((Constraint("rmse", 0.4, True),))
    check_metrics(regression, ("rmse", "ccc", "params"), rmse)
    check_metrics(Task("both", ("valence",)), ("accuracy", "rmse"), rmse)
    with pytest.raises(InputError, match=r"constraint on rmse: .* their task is classification; it has accuracy, "):
        check_metrics(Task(), ("accuracy",), rmse)
    with pytest.raises(InputError, match=r"objective accuracy: .* it has rmse, ccc, pearson\. Name one of these, or "):
        check_metrics(regression, ("accuracy", "params"), Indicator())
    with pytest.raises(InputError, match=r"constraint on accuracy: .*, give --constraints none, or search "):
        check_metrics(regression, ("rmse", "params"), load_indicator("emotionnet-nano"))


def test_variants_of_networks_that_answer_values_show_their_error() -> None:
    def measured(**values: float) -> dict[str, Measurement]:
        return {name: Measurement(v, v, v, "", 60, "made up") for name, v in values.items()}

    def shown(told: dict[str, Measurement]) -> list[list[str]]:
        table = variants_table([Variant("a" * 12, "ptq", "ptq", 0, "0" * 64, measurements=told, original=told)])
        return [[str(column.header), *column.cells] for column in table.columns]

    alone = shown(measured(rmse=0.3456, size_bytes=12_300))
    assert alone[:3] == [["variant", "a" * 12, "  ptq"], ["rmse", "0.3456", "0.3456"], ["bytes", "12.3 kB", "12.3 kB"]]
    both = [column[0] for column in shown(measured(rmse=0.3456, accuracy=0.5, size_bytes=12_300))]
    assert both[:6] == ["variant", "accuracy", "difference", "agrees", "rmse", "bytes"]
    assert "rmse" not in [column[0] for column in shown(measured(accuracy=0.5))]


def test_bounds_by_default_are_on_what_the_networks_have() -> None:
    for task in (Task(), Task("both", ("valence",))):
        assert default_indicator(task) == load_indicator("emotionnet-nano")
    kept = default_indicator(Task("regression", ("valence",)))
    assert [(c.metric, c.limit) for c in kept.constraints] == [("params", 1e6), ("latency_ms", 0.6)]
    check_metrics(Task("regression", ("valence",)), ("rmse", "params"), kept)


def test_a_front_shows_the_metrics_that_were_asked_for() -> None:
    def columns(candidates: list[Candidate], *objectives: str) -> list[str]:
        front = front_of(candidates, objectives_of(objectives), (0.5,) * len(objectives))
        return [str(column.header) for column in front_table(front).columns][1:4]

    assert columns([scored(0, 0.3)], "rmse", "params") == ["rmse", "interval", "ccc"]
    assert columns([trained(0, 0.5)], "accuracy", "params") == ["accuracy", "interval", "params"]
    both = trained(0, 0.5)
    assert both.outcome is not None
    measured = dict.fromkeys(("balanced_accuracy", "rmse"), Measurement(0.4, 0.3, 0.5, "", 60, "made up"))
    both = replace(both, outcome=replace(both.outcome, measurements={**both.outcome.measurements, **measured}))
    assert columns([both], "balanced_accuracy", "params") == ["balanced", "interval", "rmse"]
    assert columns([both], "rmse", "params") == ["rmse", "interval", "accuracy"]


def test_bounds_lie_in_what_a_metric_can_be(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("constraints:\n- {metric: rmse, max: 0.40}\n- {metric: ccc, min: -0.2, confidence: 0.9}\n")
    with pytest.raises(InputError, match="one confidence for all trained metrics"):
        load_indicator(path)
    path.write_text("constraints:\n- {metric: ccc, min: -0.2}\n- {metric: rmse, max: 0.40}\n")
    assert [str(c) for c in load_indicator(path).constraints] == ["rmse <= 0.4", "ccc >= -0.2"]
    for text in (
        "{metric: ccc, min: 1}",
        "{metric: pearson, min: -1.0}",
        "{metric: rmse, max: 0}",
        "{metric: mse, max: 1}",
    ):
        path.write_text(f"constraints:\n- {text}\n")
        with pytest.raises(InputError, match=r"bound|mse"):
            load_indicator(path)
    with pytest.raises(InputError, match=r"ccc: bound 1\.5 must be a number in -1\.\.1"):
        Constraint("ccc", 1.5, False)


def test_a_front_has_less_error_first_and_its_files_say_so() -> None:
    candidates = [scored(0, 0.30, 9000), scored(1, 0.35, 4000), scored(2, 0.40, 6000), scored(3, 0.25, 12_000)]
    objectives = objectives_of(["rmse", "params"])
    front = front_of(candidates, objectives, (0.5, 20_000.0))
    assert [m.trial for m in front.members] == [3, 0, 1]
    area = 0.25 * (20_000 - 12_000) + 0.20 * (12_000 - 9000) + 0.15 * (9000 - 4000)
    assert front.hypervolume == pytest.approx(area)
    row = member_json(front.members[0])
    assert (row["accuracy"], row["rmse"], row["rmse_low"]) == (None, 0.25, pytest.approx(0.225))
    assert row["ccc"] is None and "rmse_high" in front.to_csv().splitlines()[0].split(",")
    cost = candidates[0].cost
    point = reference_point_of(cost, objectives_of(["rmse", "ccc", "accuracy"]), Indicator(), 4, 0.33)
    assert point == (0.33, 0.0, 0.25)


def test_plots_of_an_error_step_down_and_say_what_they_show() -> None:
    candidates = [scored(0, 0.30, 9000), scored(1, 0.35, 4000), scored(2, 0.40, 6000), scored(3, 0.25, 12_000)]
    indicator = Indicator((Constraint("rmse", 0.32, True),))
    front = front_of(candidates, objectives_of(["rmse", "params"]), (0.5, 20_000.0))
    panel = panel_of(AXES[0], front, candidates, indicator)
    assert [p.accuracy for p in panel.steps] == [0.35, 0.30, 0.25] and len(panel.trained) == 4
    assert panel.title == "RMSE and parameters"
    assert panel.accuracy_label == "rmse, less is better (5 folds, 8 epochs)"
    assert [(e.limit, e.beyond, e.label) for e in panel.excluded] == [(0.32, True, "rmse > 0.32")]
    assert 0 <= panel.ylim[0] < 0.225 and 0.40 <= panel.ylim[1] < 1 and panel.outside == ()


def test_the_race_foretells_an_error_as_it_does_an_accuracy() -> None:
    rng = np.random.default_rng(1)
    past = [scored(i, 0.8 * r * np.exp(0.1 * rng.normal()), rung=r) for i, r in enumerate(np.linspace(0.2, 0.6, 12))]
    best = scored(70, 0.2, params=5000)
    race = Race(objectives_of(["rmse", "params"]), Indicator((Constraint("rmse", 0.3, True),)), 0)
    for rmse, doubted in ((0.55, True), (0.22, False)):
        own = scored(50, rmse, params=6000)
        assert own.outcome is not None
        shown = replace(own.outcome, effort="1x2")
        doubt = race.doubt(own, shown, Seen(past, [best]))
        assert (doubt is not None) is doubted, rmse
        if doubt is not None:
            assert doubt.startswith("dominated by ") and " at best against 0.200" in doubt
    verdict = Constraint("rmse", 0.3, True).judge(Measurement(0.55, 0.5, 0.6, "", 60, ""), 0.0)
    own = scored(50, 0.55, params=10)
    assert own.outcome is not None
    refuted = race.doubt(own, replace(own.outcome, effort="1x2", verdicts=(verdict,)), Seen(past, []))
    assert refuted is not None and refuted.startswith("refuted: rmse would be 0.") and "0.300 is wanted" in refuted


def test_gains_and_drifts_of_an_error_have_their_sign() -> None:
    assert gain_at_equal_effort(scored(1, 0.3), scored(0, 0.4)) == pytest.approx(0.1)
    assert scored(1, 0.3).merit > scored(0, 0.4).merit > trained_never().merit
    found = drift([{"metric": "rmse", "rmse": 0.30, "from_scratch": 0.35}])
    assert found is not None and "had scored -0.050 rmse against" in str(found)
    older = drift([{"accuracy": 0.9, "from_scratch": 0.85}])
    assert older is not None and "+5.0 points" in str(older)


def trained_never() -> Candidate:
    return replace(scored(2, 0.3), outcome=None)


def test_claims_hold_for_an_error_too(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    own = scored(0, 0.3)
    values = TRUE.astype(np.float32), SAID.astype(np.float32)
    kept = Predictions(np.arange(60), np.empty((60, 0), np.float32), None, GROUPS, values[1], values[0])
    directory.store(own.id, {PREDICTIONS: kept.to_bytes()})
    estimate = regression_estimates(TRUE, SAID, GROUPS)[0]["rmse"]
    for bound, holds in ((estimate.high(0.999), True), (estimate.value, False)):
        (claim,) = claims(own, Indicator((Constraint("rmse", bound, True),)), directory, 1, None)
        assert claim["holds"] is holds and claim["needed"] == pytest.approx(0.95)


def test_predictions_hold_values_and_old_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    shares = np.full((3, 2), 0.5, np.float32)
    values = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], np.float32)
    labels = np.array([0, 1, 1])
    path.write_bytes(Predictions(np.arange(3), shares, labels, labels, values, values + 1).to_bytes())
    read = Predictions.read(path)
    assert read.values is not None and read.targets is not None
    assert np.array_equal(read.values, values) and np.array_equal(read.targets, values + 1)
    path.write_bytes(Predictions(np.arange(3), np.empty((3, 0), np.float32), labels, labels, values, values).to_bytes())
    alone = Predictions.read(path)
    assert alone.hits is None and alone.probabilities.shape == (3, 0)
    with pytest.raises(DecodeError, match="names no class"):
        alone.predicted  # noqa: B018
    np.savez(path, index=np.arange(3), probabilities=shares)
    assert Predictions.read(path).values is None
    for wrong in (
        {"values": values},
        {"values": values, "targets": values[:2]},
        {"values": values, "targets": values * np.nan},
    ):
        with pytest.raises(DecodeError, match=r"values|targets"):
            Predictions(np.arange(3), shares, labels, labels, **wrong)
    with pytest.raises(DecodeError, match="probabilities"):
        Predictions(np.arange(3), np.empty((3, 0), np.float32), labels)


def test_a_bundle_carries_what_the_task_takes(tmp_path: Path, data: Dataset) -> None:
    votes = np.eye(3, dtype=np.float32)[data.labels]
    voted, split = replace(data, soft_labels=votes), make_split(blobs(), folds=5, holdout=0.2, seed=0)
    plain = Bundle.of(voted, split)
    assert list(plain.extras.arrays()) == ["soft_labels"] and plain.targets == ()
    assert len(plain.inputs(np.arange(4))) == 1
    Bundle.of(voted, split, task_of(data, "both", landmarks=True)).save(tmp_path / "bundle.npz")
    read = Bundle.load(tmp_path / "bundle.npz")
    chosen = np.sort(split.search_indices)
    assert read.targets == ("valence", "arousal")
    assert read.extras.targets is not None and data.targets is not None and data.landmarks is not None
    assert np.array_equal(read.extras.targets, data.targets[chosen])
    images, points = read.inputs(np.array([5, 2]))
    assert np.array_equal(images, data.images[chosen[[5, 2]]])
    assert points.shape == (2, 136) and np.array_equal(points[1, :4], data.landmarks[chosen[2], :2].ravel())
    alone = Bundle.of(voted, split, task_of(data, "regression"))
    assert list(alone.extras.arrays()) == ["targets"]


def test_ridge_regression_on_pixels_is_the_baseline(data: Dataset) -> None:
    split = make_split(data, folds=5, holdout=0.2, seed=0)
    found = value_baseline(data, split, [0, 1])
    assert 0 < found["rmse"] < (deviation_of(data) or 0) and 0 < found["ccc"] < found["pearson"] < 1
    with pytest.raises(InputError, match="no targets"):
        value_baseline(blobs(), split, [0])


def test_landmarks_move_with_their_image() -> None:
    import tensorflow as tf

    from nas.evaluation.augment import Augmentation, augment, augment_with_landmarks

    rng = np.random.default_rng(0)
    points = rng.uniform(0.3, 0.7, (64, 68, 2)).astype(np.float32)
    points[:, 68:] = 0
    images = np.zeros((64, 40, 60, 1), np.float32)
    spot = points[:, 33]  # on the midline: it keeps its number
    y, x = np.mgrid[0:40, 0:60]
    centre = spot * [60, 40] - 0.5
    images[..., 0] = np.exp(-((x - centre[:, 0, None, None]) ** 2 + (y - centre[:, 1, None, None]) ** 2) / 8)
    for flip in (True, False):
        settings = Augmentation(flip=flip)
        moved, told = augment_with_landmarks(tf.constant(images), tf.constant(points), tf.constant([3, 4]), settings)
        alone = augment(tf.constant(images), tf.constant([3, 4]), settings)
        assert np.array_equal(moved.numpy(), alone.numpy())
        weight = moved.numpy()[..., 0]
        weight = np.where(weight > 0.05, weight, 0)
        seen = np.stack([(weight * x).sum((1, 2)), (weight * y).sum((1, 2))], 1) / weight.sum((1, 2))[:, None]
        assert np.abs(seen - (told.numpy()[:, 33] * [60, 40] - 0.5)).max() < 0.3
        # A mirrored image has the points of a mirrored face: each keeps its side.
        apart = np.array([[0.3, 0.5], [0.7, 0.5]], np.float32)
        eyes = points.copy()
        eyes[:, [36, 45]] = apart
        _, told = augment_with_landmarks(tf.constant(images), tf.constant(eyes), tf.constant([3, 4]), settings)
        crossed = told.numpy()[:, 36, 0] > told.numpy()[:, 45, 0]
        assert not crossed.any()
    assert np.array_equal(MIRROR[MIRROR], np.arange(68)) and MIRROR[36] == 45 and MIRROR[33] == 33


def test_losses_are_those_of_their_formulas() -> None:
    import tensorflow as tf

    from nas.evaluation.train import cross_entropy, soft_cross_entropy, target_loss

    y, p = tf.constant(TRUE, tf.float32), tf.constant(SAID, tf.float32)
    scores = regression_scores(TRUE, SAID)
    assert float(target_loss(y, p, "mse")) == pytest.approx((scores["rmse"] ** 2).mean(), rel=1e-5)
    assert float(target_loss(y, p, "ccc")) == pytest.approx(1 - scores["ccc"].mean(), rel=1e-4)
    labels, logits = np.arange(60) % 3, tf.constant(RNG.normal(size=(60, 3)), tf.float32)
    for smoothing in (0.0, 0.1):
        hard = cross_entropy(labels, logits, smoothing).numpy()
        soft = soft_cross_entropy(tf.one_hot(labels, 3), logits, smoothing).numpy()
        assert soft == pytest.approx(hard, rel=1e-4, abs=1e-6)


def test_classification_trains_as_it_did() -> None:
    """The whole epoch once more, as it was before there were tasks."""
    import tensorflow as tf
    import tf_keras

    from nas.evaluation.augment import augment
    from nas.evaluation.train import Trainer, learning_rate
    from nas.networks.build import build_model

    data, recipe = blobs(2), Recipe(batch=8)
    graph = load_space("tiny").prototype.graph()
    if graph.input_shape != data.input_shape or graph.classes != 3:
        from nas.space import fit_to_data

        graph = fit_to_data(load_space("tiny"), data.input_shape, 3).prototype.graph()
    trainer = Trainer(graph, recipe, 5)
    loss = trainer.fit(data.images, data.labels, 1, 0)
    model = build_model(graph, tf_keras, seed=5)
    logits = tf_keras.Model(model.input, model.layers[-2].output)
    optimizer = tf_keras.optimizers.legacy.Adam(learning_rate(recipe, 0, 1))
    rng = np.random.default_rng([5, 0, 0])
    order = rng.permutation(24).reshape(-1, 8)
    seed, losses = int(rng.integers(2**31 - 1)), []
    for step, chosen in enumerate(order):
        x = augment(tf.constant(data.images[chosen] / np.float32(255), tf.float32), [seed, step], recipe.augmentation)
        with tf.GradientTape() as tape:
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(data.labels[chosen], logits(x, training=True))
            value = tf.reduce_mean(each)
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        losses.append(float(value))
    assert loss == pytest.approx(np.mean(losses), rel=1e-4)
    expected = model(data.images.astype(np.float32) / 255, training=False).numpy()
    assert trainer.predict(data.images) == pytest.approx(expected, abs=2e-3)


def test_networks_learn_targets_and_use_landmarks(data: Dataset) -> None:
    from nas.evaluation.train import Trainer
    from nas.settings import fitted_to

    for task, recipe in (
        (task_of(data, "both", landmarks=True), Recipe(batch=16, learning_rate=1e-2, target_weight=3.0)),
        (task_of(data, "regression"), Recipe(batch=32, learning_rate=1e-2, target_loss="ccc")),
    ):
        graph = fitted_to(load_space("tiny"), data.input_shape, 3, task).prototype.graph()
        bundle = Bundle.of(data, make_split(data, folds=3, holdout=0.2, seed=0), task)
        train, test = bundle.folds[0]
        trainer = Trainer(graph, recipe, 0)
        trainer.fit(bundle.images[train], bundle.labels[train], 6, 0, extras=bundle.extras.at(train))
        answer = trainer.answer(bundle.inputs(test))
        assert answer["values"].shape == (len(test), 2) and bundle.extras.targets is not None
        scores = regression_scores(bundle.extras.targets[test].astype(float), answer["values"].astype(float))
        assert scores["ccc"][1] > 0.3, task  # half a unit a class, which the pictures show
        if task.classifies:
            shares = answer["probabilities"]
            assert shares.sum(1) == pytest.approx(np.ones(len(test)), abs=1e-5)
            assert (shares.argmax(1) == bundle.labels[test]).mean() > 0.9  # the points give it away
            shuffled = bundle.inputs(test)[0], bundle.inputs(test)[1][::-1]
            assert np.abs(trainer.answer(shuffled)["probabilities"] - shares).max() > 0.1  # they are looked at
        with pytest.raises(KeyError):
            trainer.fit(bundle.images[train], bundle.labels[train], 1, 0, extras=Extras())


def test_recipes_are_not_tuned_by_an_error(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(InputError, match="nas tune compares recipes by accuracy"):
        tune(space="tiny", dataset=data, out=tmp_path / "tuning", options=TuneOptions(task="regression"))
    assert not (tmp_path / "tuning").exists()


def test_recipes_and_data_must_go_with_the_task(tmp_path: Path, data: Dataset) -> None:
    fewer = replace(data, landmarks=data.landmarks[:, :5] if data.landmarks is not None else None)
    with pytest.raises(InputError, match=r"5 landmarks: which of them change places .* --no-flip"):
        searched(tmp_path / "five", fewer, landmarks=True)
    with pytest.raises(InputError, match=r"soft_labels: .* has one label an image"):
        searched(tmp_path / "votes", data, recipe=Recipe(soft_labels=True))


LIMITS = "constraints:\n- {metric: params, max: 100k}\n- {metric: rmse, max: 2.0}\n"


def searched(out: Path, data: Dataset, limits: str = "", **changes: Any) -> Run:
    """Two candidates of the tiny space, two epochs each, on this process' own machine."""
    path = out.parent / f"{out.name}.yaml"
    path.write_text(limits or "constraints: []\n")
    options = SearchOptions(effort=Rung(1, 2), inherit=False, probe=False, **changes)
    given: dict[str, Any] = {"space": "tiny", "indicator": str(path), "dataset": data, "options": options}
    return search(**given, budget=2, executor="local", workers=1, sampler="random", out=out)


@pytest.mark.slow
def test_a_search_for_classes_and_values_from_images_and_landmarks(tmp_path: Path, data: Dataset) -> None:
    run = searched(tmp_path / "both", data, LIMITS, task="both", landmarks=True)
    assert run.settings.task == Task("both", ("valence", "arousal"), 68) and run.settings.objectives[0] == "accuracy"
    assert run.candidates[0].network().graph().points == 68
    prototype = run.candidates[0]
    for name in ("accuracy", "rmse", "ccc", "pearson", "rmse_valence", "latency_ms"):
        assert prototype.measurement(name) is not None, name
    assert prototype.status is Status.MET
    member = run.front.to_json()["members"][0]
    assert 0 <= member["accuracy"] <= 1 and member["rmse_low"] < member["rmse"] < member["rmse_high"]
    kept = Predictions.read(run.directory.model_file(prototype.id, PREDICTIONS))
    assert kept.values is not None and kept.targets is not None
    scores = regression_scores(kept.targets.astype(float), kept.values.astype(float))
    assert prototype.value("rmse") == pytest.approx(scores["rmse"].mean())
    told = run.explain(prototype.id)
    assert told["by_class"]["classes"] == ["across", "down", "square"] and not told["not_measured"]
    assert told["measurements"]["ccc"]["ratio"] is None
    assert {f.name for f in run.plot()} >= {"accuracy_params.png"} and run.baseline is not None
    assert set(run.value_baseline) == {"rmse", "ccc", "pearson"}
    (path,) = [p for p in run.export(prototype.id, ["tflite"], dataset=data) if p.suffix == ".tflite"]
    assert path.stat().st_size > 1000
    plain = replace(data, targets=None, target_names=())
    with pytest.raises(InputError, match="fingerprint"):
        run.resume(budget=1, dataset=plain)
    assert len(run.resume(budget=1, dataset=data).candidates) >= 3


@pytest.mark.slow
def test_a_search_for_values_alone(tmp_path: Path, data: Dataset) -> None:
    run = searched(tmp_path / "values", data, LIMITS, task="regression")
    assert run.settings.objectives == ("rmse", "params") and run.baseline is None
    prototype, found = run.candidates[0], nas_("front", run.path)
    assert prototype.value("accuracy") is None and prototype.status is Status.MET
    assert run.front.reference_point[0] == pytest.approx(deviation_of(data))
    member = run.front.to_json()["members"][0]
    assert member["accuracy"] is None and member["rmse"] > 0 and member["ccc"] is not None
    assert "rmse" in found.stdout and "ridge regression on pixels" in found.stdout and "LDA" not in found.stdout
    explained = nas_("explain", run.path, prototype.id).stdout
    assert "rmse <= 2: met" in explained and "recall by class" not in explained and "never measured" not in explained
    assert "after all" not in explained and "accuracy" not in explained
    figure = (run.directory.plots / "accuracy_params.svg").read_text()
    assert "RMSE and parameters" in figure
    (path,) = [p for p in run.export("most-accurate", ["tflite"], dataset=data) if p.suffix == ".tflite"]
    assert path.stat().st_size > 1000
    assert run.holding() is not None
    with pytest.raises(InputError, match="a certificate is about accuracy"):
        run.certify("smallest")
    with pytest.raises(InputError, match="constraint on accuracy: networks of this search have none"):
        searched(tmp_path / "no", data, "constraints:\n- {metric: accuracy, min: 0.5}\n", task="regression")
