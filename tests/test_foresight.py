"""Predicted devices: what a fit recovers, what its interval is worth, and that it rejects only what is certain."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricated import Fabrication, begin, nas_
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_family import ChainArchitecture

from nas import api
from nas.cli.view import candidate_line
from nas.devices.calibration import drawn
from nas.devices.features import NAMES, features
from nas.devices.foresight import LOT, Foresight, foresight_of, tally
from nas.devices.measurements import of_run, read_measurements
from nas.devices.predicted import LEAST, MARGIN, PredictedDevice, fit
from nas.errors import InputError
from nas.graph import Graph
from nas.indicator import Constraint, Indicator, Status
from nas.loop import Plan, Search
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.run.candidate import Candidate, Outcome, State
from nas.run.directory import RunDirectory
from nas.run.provenance import machine
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.space import load_space
from nas.synthesis.evolution import EvolutionSampler

SPACE = load_space("emotionnet-nano")
TINY = load_space("tiny")
TRUE = {"window_macs": 1e-8, "window_taps": 4e-7, "pointwise_macs": 2e-8, "add_elements": 5e-8, "pool_elements": 1e-7}
TRUE |= {"window_ops": 1e-3, "network": 5e-3}
LANES = 8


def latency_ms(graph: Graph, lanes: int = LANES) -> float:
    """Of a device that is linear."""
    found = features(graph, lanes)
    return sum(c * found[name] for name, c in TRUE.items())


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    return [a.graph() for a in drawn(SPACE, 120, np.random.default_rng(0))]


@pytest.fixture(scope="module")
def device(graphs: list[Graph]) -> PredictedDevice:
    """Fitted to 30 networks of a linear device, measured with an error of 3 %."""
    noise = np.random.default_rng(1).normal(0, 0.03, 30)
    return fit(graphs[:30], [latency_ms(g) * math.exp(e) for g, e in zip(graphs[:30], noise, strict=True)], machine())


# The features and the fit


def test_features_of_a_network_counted_by_hand() -> None:
    graph = ChainArchitecture((8, 8, 1), 3, (4,)).graph()
    found = {name: value for name, value in features(graph, 8).items() if value}
    # Stem 3x3, 8 -> 4 pixels a side, 4 channels as 8; depthwise 3x3; pointwise 4 -> 4; pooling; dense 4 -> 3; softmax.
    assert found == {
        "window_macs": 16 * 8 * 9,
        "window_taps": 16 * 9,
        "depthwise_macs": 16 * 8 * 9,
        "pointwise_macs": 16 * 8 * 4,
        "dense_macs": 8 * 4,
        "weight_elements": 8 * 9 + 8 * 4,
        "pool_elements": 4 + 16 * 4,
        "add_elements": 3 + 3,
        "window_ops": 1,
        "pointwise_ops": 1,
        "other_ops": 4,
        "network": 1,
    }
    assert set(found) <= set(NAMES)


def test_a_fit_recovers_a_linear_device(graphs: list[Graph]) -> None:
    exact = fit(graphs[:30], [latency_ms(g) for g in graphs[:30]], {})
    assert exact.lanes == LANES and exact.n == 30
    assert exact.in_sample_error < 1e-9 and exact.cross_validated_error < 1e-3
    for graph in graphs[30:]:
        assert exact.predict(graph).value == pytest.approx(latency_ms(graph), rel=1e-3)


def test_a_noisy_fit_and_its_interval(graphs: list[Graph], device: PredictedDevice) -> None:
    """On networks that it has not seen: within about the noise, and inside the interval as often as it says."""
    truth = [
        latency_ms(g) * math.exp(e) for g, e in zip(graphs, np.random.default_rng(2).normal(0, 0.03, 120), strict=True)
    ]
    foretold = [device.predict(g) for g in graphs]
    unseen = range(30, 120)
    error = np.median([abs(foretold[i].value / truth[i] - 1) for i in unseen])
    assert error < 0.04
    assert np.mean([foretold[i].low <= truth[i] <= foretold[i].high for i in unseen]) >= 0.9
    assert 0.01 < device.in_sample_error < device.cross_validated_error < 0.06
    assert all(f.low <= f.value * (1 - MARGIN) and f.high >= f.value * (1 + MARGIN) for f in foretold)
    k = int(0.05 * 31)  # of 30 residuals the smallest is the end
    assert foretold[0].low == pytest.approx(foretold[0].value * math.exp(device.residuals[k - 1]) * 0.95)


def test_what_was_never_measured_makes_nothing_slower(device: PredictedDevice) -> None:
    graph = ChainArchitecture((48, 48, 1), 7, (8, 16)).graph()
    assert device.unseen(graph) == ["depthwise_macs"]
    assert device.predict(graph).value <= latency_ms(graph) * 1.2


def test_too_few_or_senseless_measurements_are_refused(graphs: list[Graph]) -> None:
    with pytest.raises(InputError, match=f"{LEAST} or more"):
        fit(graphs[: LEAST - 1], [1.0] * (LEAST - 1), {})
    with pytest.raises(InputError, match="1 different"):
        fit(graphs[:1] * 30, [1.0] * 30, {})
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="above 0"):
            fit(graphs[:30], [1.0] * 29 + [wrong], {})


# Files


def test_a_device_comes_back_from_its_file(tmp_path: Path, device: PredictedDevice) -> None:
    path = tmp_path / "device.json"
    path.write_text(json.dumps(device.to_json()))
    assert PredictedDevice.read(path) == device


def damaged(device: PredictedDevice) -> dict[str, Any]:
    good = device.to_json()
    return {
        "empty": "",
        "no JSON": "{",
        "a list": [],
        "version": good | {"schema": 2},
        "lanes": good | {"lanes": 7},
        "a feature": good | {"coefficients": {"magic": 1.0}},
        "negative": good | {"coefficients": {"network": -1.0}},
        "nothing": good | {"coefficients": {"network": 0.0}},
        "truth values": good | {"coefficients": {"network": True}},
        "too few": good | {"residuals": [0.0] * (LEAST - 1)},
        "unsorted": good | {"residuals": [1.0, *good["residuals"]]},
        "far": good | {"residuals": [-1000.0, *good["residuals"]]},
        "missing": {k: v for k, v in good.items() if k != "source"},
        "error": good | {"in_sample_error": "none"},
        "not a number": json.dumps(good).replace('"network": ', '"network": NaN, "x": '),
        "deep": "[" * 100_000,
    }


def test_damaged_device_files_are_refused(tmp_path: Path, device: PredictedDevice) -> None:
    path = tmp_path / "device.json"
    for what, content in damaged(device).items():
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(InputError, match="fit it again") as caught:
            PredictedDevice.read(path)
        assert str(path) in str(caught.value), what
    with pytest.raises(InputError, match="cannot be read"):
        PredictedDevice.read(tmp_path)


def rows(count: int) -> list[dict[str, Any]]:
    chosen = drawn(TINY, count, np.random.default_rng(0))
    return [{"architecture": json.loads(a.to_json()), "latency_ms": latency_ms(a.graph())} for a in chosen]


def test_measurements_as_json_and_as_csv(tmp_path: Path) -> None:
    expected = rows(25)
    as_json, as_csv = tmp_path / "m.json", tmp_path / "m.csv"
    as_json.write_text(json.dumps({"device": {"processor": "P"}, "networks": expected}))
    with as_csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["latency_ms", "architecture"])
        writer.writeheader()
        writer.writerows({**row, "architecture": json.dumps(row["architecture"])} for row in expected)
    one, other = read_measurements(as_json), read_measurements(as_csv)
    assert one.graphs == other.graphs and one.latencies_ms == other.latencies_ms
    assert one.latencies_ms == tuple(row["latency_ms"] for row in expected)
    assert one.source == {"processor": "P"}
    for row in expected:  # a loaded machine: twice as slow now and then, the reference with it
        row |= {"ratio": row["latency_ms"] / 0.5, "reference_ms": 0.5}
    expected[3]["latency_ms"] *= 2
    expected[3]["reference_ms"] *= 2
    as_json.write_text(json.dumps({"device": {}, "networks": expected}))
    assert read_measurements(as_json).latencies_ms == pytest.approx(one.latencies_ms)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.json", ""),
        ("m.json", "[]"),
        ("m.json", '{"device": {}, "networks": [{"latency_ms": 1}]}'),
        ("m.json", '{"device": {}, "networks": [{"graph": [["a", "input"]], "latency_ms": 1}]}'),
        ("m.json", '{"device": {}, "networks": [7]}'),
        ("m.json", b"\xff\xfe\x00"),
        ("m.csv", "a,b\n1,2\n"),
        ("m.csv", 'architecture,latency_ms\n"{""family"": ""residual""}",1\n'),
        ("m.csv", "latency_ms\n1\n"),
    ],
)
def test_faulty_measurements_write_nothing(tmp_path: Path, name: str, content: str | bytes) -> None:
    path, out = tmp_path / name, tmp_path / "device.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    result = nas_("device", "fit", "--measurements", path, "--out", out)
    assert result.exit_code == 2 and str(path) in result.output
    assert not out.exists()


def test_the_command_line_fits_and_foretells(tmp_path: Path) -> None:
    path, out, network = tmp_path / "m.json", tmp_path / "device.json", tmp_path / "a.json"
    path.write_text(json.dumps({"device": {"processor": "P"}, "networks": rows(30)}))
    result = nas_("device", "fit", "--measurements", path, "--out", out)
    assert result.exit_code == 0 and "30 networks" in result.output
    assert json.loads(out.read_text())["source"] == {"processor": "P"}
    network.write_text(TINY.prototype.to_json())
    found = json.loads(nas_("device", "predict", out, network, "--json").stdout)["files"][0]
    assert found["value"] == pytest.approx(latency_ms(TINY.prototype.graph()), rel=0.05)
    assert found["low"] < found["value"] < found["high"] and found["not_foretold"] == []
    network.write_text("{}")
    for arguments in (["predict", out, network], ["fit", "--out", out], ["fit", "--out", tmp_path, "--run", "x"]):
        assert nas_("device", *arguments).exit_code == 2
    path.write_text(json.dumps({"device": {}, "networks": rows(5)}))
    short = nas_("device", "fit", "--measurements", path, "--out", tmp_path / "other.json")
    assert short.exit_code == 2 and "20 or more" in short.output and not (tmp_path / "other.json").exists()


def candidate(number: int, outcome: Outcome | None) -> Candidate:
    a = drawn(TINY, number + 1, np.random.default_rng(5))[-1]
    return Candidate(number, a.id, a.to_json(), None, (), 0, a.cost(), outcome)


def test_measurements_of_a_run() -> None:
    def timed(ms: float, ratio: float) -> Outcome:
        values = {
            "latency_ms": Measurement(ms, ms, ms, "ms", 9, "x"),
            "latency_ratio": Measurement.exact(ratio, "ratio", "x"),
        }
        return Outcome(State.TRAINED, (), values)

    found = [candidate(0, timed(2.0, 1.0)), candidate(1, timed(1.0, 0.5)), candidate(2, timed(3.0, 0.75))]
    found += [candidate(3, None), candidate(4, Outcome(State.FAILED)), replace(found[1], trial=5, repeat_of=1)]
    measured = of_run(found, {"processor": "P"})
    assert measured.graphs == tuple(c.network().graph() for c in found[:3])
    assert measured.latencies_ms == pytest.approx((2.0, 1.0, 1.5))  # the prototype's median is 2 ms


# Early rejection


def foresight(device: PredictedDevice, *bounds: Constraint, seed: int = 0) -> Foresight:
    return Foresight(device, Indicator(bounds), SPACE.prototype.graph(), seed)


@given(st.integers(0, 119), st.floats(0.001, 20.0), st.booleans())
@settings(max_examples=150, deadline=None)
def test_only_what_is_certain_is_rejected(
    graphs: list[Graph], device: PredictedDevice, i: int, limit: float, ratio: bool
) -> None:
    """Rejected if and only if the lower end is above the bound; and nothing that is foretold is ever met."""
    bound = Constraint("latency_ms", limit, True, ratio=ratio)
    own, prototype = device.predict(graphs[i]), device.predict(SPACE.prototype.graph())
    low = own.low / prototype.high if ratio else own.low
    found = foresight(device, bound).refuse(graphs[i])
    assert (found is not None) == (low > limit)
    if found is not None:
        assert [v.status for v in found.verdicts] == [Status.VIOLATED]
        assert found.verdicts[0].violation > 0 and found.verdicts[0].metric == bound.measured
        assert set(found.measurements) == {"foretold_" + bound.measured}


def test_other_bounds_reject_nothing(device: PredictedDevice) -> None:
    floor = Constraint("latency_ms", 1e9, False)
    assert foresight(device, floor, Constraint("params", 1, True)).refuse(SPACE.prototype.graph()) is None


def test_the_lot_falls_on_one_in_so_many(device: PredictedDevice) -> None:
    rule = foresight(device)
    found = [trial for trial in range(4000) if rule.drawn(trial)]
    assert len(found) == pytest.approx(4000 / LOT, rel=0.25)
    assert found == [trial for trial in range(4000) if rule.drawn(trial)]
    assert found != [trial for trial in range(4000) if foresight(device, seed=1).drawn(trial)]


def searching(folder: Path, rule: Foresight, bound: Constraint) -> Search:
    objectives = objectives_of(["accuracy", "params"])
    plan = Plan(TINY, Indicator((bound,)), objectives, (0.1, 20_000.0), (Rung(1, 1),), 0, 12)
    study = RunStudy(folder / "study.journal", objectives, EvolutionSampler(TINY, seed=0))
    return Search(plan, study, RunDirectory(folder), foresight=rule)


def test_a_search_rejects_by_what_is_foretold(tmp_path: Path) -> None:
    """Nothing that it rejects was evaluated or counts against the budget; the lot's are evaluated; all is kept."""
    measured = rows(40)
    chosen = [a.graph() for a in drawn(TINY, 40, np.random.default_rng(0))]
    fitted = fit(chosen, [row["latency_ms"] for row in measured], machine())
    bound = Constraint("latency_ms", latency_ms(TINY.prototype.graph()) * 0.8, True)
    rules = (Foresight(fitted, Indicator((bound,)), TINY.prototype.graph(), seed) for seed in range(1000))
    rule = next(r for r in rules if sum(r.drawn(trial) for trial in range(2, 12)) >= 3)
    search = searching(tmp_path, rule, bound)
    while (job := search.propose()) is not None:
        ms = latency_ms(job.graph)
        value = Measurement.exact(ms, "ms", "made up")
        measurements = {"latency_ms": value, "accuracy": Measurement.exact(0.5, "share", "made up")}
        search.finish(job, Outcome(State.TRAINED, (bound.judge(value, 0.0),), measurements, "1x1", {"train": 1.0}))
    ended = search.candidates
    rejected = [c for c in ended if c.foretold and c.repeat_of is None]
    drawn_ones = {e["trial"] for e in RunDirectory(tmp_path).events("foretold")}
    assert search.charged == 12 and len(rejected) >= 3
    assert ended[0].state is State.TRAINED and ended[0].status is Status.VIOLATED  # the prototype is always evaluated
    for c in rejected:
        assert c.state is State.REJECTED and not c.charged
        assert latency_ms(c.network().graph()) > bound.limit  # and rightly so
        assert c.value("latency_ms") is None and c.value("foretold_latency_ms") > bound.limit
        assert c.trial not in drawn_ones
    assert drawn_ones and all(ended[t].state is State.TRAINED for t in drawn_ones)
    assert tally(RunDirectory(tmp_path).events("foretold"), ended) == {
        **{"rejected": len(rejected), "drawn": len(drawn_ones), "wrongly_foretold": 0}
    }
    again = searching(tmp_path, rule, bound)
    assert again.candidates == ended and again.charged == 12


def test_a_wrong_prediction_shows_in_the_tally() -> None:
    fast = Measurement.exact(1.0, "ms", "x")
    bound = Constraint("latency_ms", 2.0, True)
    done = candidate(3, Outcome(State.TRAINED, (bound.judge(fast, 0.0),), {"latency_ms": fast}))
    lost = candidate(4, Outcome(State.FAILED))
    events = [{"trial": n, "bounds": {"latency_ms": 2.0}} for n in (3, 3, 4)]
    events += [{"trial": 5}, {"trial": 3, "bounds": {"latency_ms": 2.0}}]
    assert tally(events, [done, lost]) == {"rejected": 0, "drawn": 1, "wrongly_foretold": 1}


def test_nas_search_with_a_predicted_device(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    path, bounds = tmp_path / "device.json", tmp_path / "bounds.yaml"
    measured = {"device": machine(), "networks": rows(30)}
    (tmp_path / "m.json").write_text(json.dumps(measured))
    assert nas_("device", "fit", "--measurements", tmp_path / "m.json", "--out", path).exit_code == 0
    bounds.write_text(f"constraints: [{{metric: latency_ms, max: {latency_ms(TINY.prototype.graph()) * 0.7:.6f} ms}}]")
    result = begin(tmp_path / "run", npz, "--constraints", bounds, "--predicted-device", path, "--sampler", "evolution")
    assert result.exit_code == 0, result.output
    run = api.open_run(tmp_path / "run")
    rejected = [c for c in run.candidates if c.foretold]
    assert rejected and not {c.trial for c in rejected} & set(made_up.evaluated)
    assert run.settings.predicted_device == PredictedDevice.read(path)
    assert (
        f"{len([c for c in rejected if c.repeat_of is None])} rejected by the latency foretold"
        in nas_("explain", tmp_path / "run").output
    )
    assert "foretold and not measured" in nas_("explain", tmp_path / "run", rejected[0].id).output
    assert "rejected: foretold latency_ms" in candidate_line(rejected[0])
    path.unlink()  # the run has its own copy
    assert nas_("resume", tmp_path / "run", "--budget", "+2").exit_code == 0


def test_a_bound_on_a_device_that_is_not_here(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    path = tmp_path / "phone.json"
    (tmp_path / "m.json").write_text(json.dumps({"device": {"processor": "a phone's"}, "networks": rows(30)}))
    nas_("device", "fit", "--measurements", tmp_path / "m.json", "--out", path)
    limit = latency_ms(TINY.prototype.graph()) * 0.7
    result = begin(
        *(tmp_path / "run", npz, "--predicted-device", path, "--predicted-bound", f"{limit:.6f} ms"),
        *("--sampler", "evolution"),
    )
    assert result.exit_code == 0, result.output
    rejected = [c for c in api.open_run(tmp_path / "run").candidates if c.foretold]
    assert rejected and all(latency_ms(c.network().graph()) > limit for c in rejected)
    assert not foresight_of(PredictedDevice.read(path), Indicator(), 1.0, SPACE.prototype.graph(), 0).drawn(7)
    for bound, told in (("0 ms", "never be met"), ("soon", "not a quantity")):
        again = begin(tmp_path / "other", npz, "--predicted-device", path, "--predicted-bound", bound)
        assert again.exit_code == 2 and told in again.output
    assert "no device" in begin(tmp_path / "other", npz, "--predicted-bound", "1 ms").output
    assert not (tmp_path / "other").exists()


def test_a_predicted_device_that_a_search_cannot_use(tmp_path: Path, npz: Path, made_up: Fabrication) -> None:
    path, bounds = tmp_path / "device.json", tmp_path / "bounds.yaml"
    (tmp_path / "m.json").write_text(json.dumps({"device": {"processor": "a toaster's"}, "networks": rows(30)}))
    nas_("device", "fit", "--measurements", tmp_path / "m.json", "--out", path)
    bounds.write_text("constraints: [{metric: latency_ms, max: 1 ms}]")
    for constraints, given_path, told in (
        (bounds, path, "a toaster's"),
        ("none", path, "constraints have none"),
        (bounds, tmp_path / "gone.json", "gone.json"),
        (bounds, bounds, "fit it again"),
        (bounds, f"{path} --quantized", "foretells the float32 TFLite file, and this search judges the int8 TFLite"),
    ):
        given = str(given_path).split()
        result = begin(tmp_path / "run", npz, "--constraints", constraints, "--predicted-device", *given)
        assert result.exit_code == 2 and told in result.output
        assert not (tmp_path / "run").exists()
