"""Budgets of microcontrollers: int8 files count one byte an activation and a kernel's number, float32 files four."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade import trained

import nas
from nas.api import SearchOptions
from nas.data.dataset import Dataset
from nas.errors import DecodeError, InputError
from nas.indicator import Constraint, Indicator, Status, Step, load_indicator
from nas.pareto import objectives_of
from nas.reach import check_reachable, kernel_bytes
from nas.report.explain import explain_candidate
from nas.report.explain_text import candidate_lines
from nas.run.candidate import Candidate
from nas.run.front import front_of, member_json, reference_point_of
from nas.rung import Rung
from nas.space import AdaptableSpace, ProvableSpace, load_space

PEAK = "peak_activation_bytes"
BOUND = Indicator((Constraint(PEAK, 64_000, True),))
INT8 = replace(BOUND, element_bytes=1)


def test_the_preset() -> None:
    bounds = [(c.metric, c.limit, c.upper) for c in load_indicator("microcontroller").constraints]
    assert bounds == [(PEAK, 64_000, True), ("size_bytes", 250_000, True)]


def test_a_peak_is_judged_in_the_bytes_of_the_file() -> None:
    cost = replace(load_space("microcontroller").prototype.cost(), peak_activation_bytes=4 * 64_000)
    (float32,) = BOUND.judge(BOUND.known(cost), (Step.COST,), 0.0)
    (int8,) = INT8.judge(INT8.known(cost), (Step.COST,), 0.0)
    assert (float32.value, float32.status) == (256_000, Status.VIOLATED)
    assert (int8.value, int8.status) == (64_000, Status.MET)
    assert INT8.known(cost)[PEAK].provenance == "counted from the graph, with int8 activations"
    assert BOUND.known(cost)[PEAK].provenance == "counted from the graph"
    assert INT8.known(cost)["params"] == BOUND.known(cost)["params"]
    point = reference_point_of(cost, objectives_of((PEAK,)), Indicator(element_bytes=1), 7)
    assert point == (2 * 64_000,)


def test_what_was_recorded_of_float32_files_reads_as_it_did() -> None:
    assert BOUND.to_json() == [
        {"metric": PEAK, "limit": 64_000, "upper": True, "ratio": False, "confidence": 0.95},
    ]
    for indicator in (BOUND, INT8):
        assert Indicator.from_json(json.loads(json.dumps(indicator.to_json()))) == indicator
    for wrong in ({"element_bytes": 2, "constraints": []}, {"constraints": []}, {"element_bytes": 1}):
        with pytest.raises(DecodeError):
            Indicator.from_json(wrong)


def test_a_candidate_shows_the_bytes_that_it_is_judged_by() -> None:
    float32 = trained(0, 0.9)
    peak = float32.cost.peak_activation_bytes
    int8 = replace(float32, element_bytes=1)
    assert float32.value(PEAK) == peak and int8.value(PEAK) == peak // 4
    assert (member_json(float32)[PEAK], member_json(int8)[PEAK]) == (peak, peak // 4)
    assert "element_bytes" not in float32.start_json()
    for candidate in (float32, int8):
        start = json.loads(json.dumps(candidate.start_json()))
        assert start["cost"][PEAK] == peak  # the journal holds what was counted, in float32
        assert Candidate.from_json(0, start, None) == replace(candidate, outcome=None)
    with pytest.raises(DecodeError, match="element_bytes"):
        Candidate.from_json(0, float32.start_json() | {"element_bytes": 3}, None)
    explained = explain_candidate(int8, int8)
    assert explained["costs"][PEAK] == {"value": peak // 4, "prototype": peak // 4, "ratio": 1.0}
    assert "costs (counted from the graph, with int8 activations)" in candidate_lines(explained)
    assert "costs (counted from the graph)" in candidate_lines(explain_candidate(float32, float32))
    front = front_of([int8], objectives_of(("accuracy", PEAK)), (0.1, 2.0 * peak))
    assert front.members == (int8,)


def test_bounds_are_refused_by_the_bytes_of_the_file() -> None:
    space = load_space("tiny")
    assert isinstance(space, ProvableSpace)
    for bytes_each in (4, 1):
        least = min(a.cost().peak_activation_bytes for a in space.cheapest()) // 4 * bytes_each
        kernels = min(kernel_bytes(a) for a in space.cheapest()) // 4 * bytes_each
        for metric, bound in ((PEAK, least), ("size_bytes", kernels)):
            check_reachable(space, Indicator((Constraint(metric, bound, True),), bytes_each))
            with pytest.raises(InputError, match=f"at least {bound:,} bytes"):
                check_reachable(space, Indicator((Constraint(metric, bound - 1, True),), bytes_each))


def alive(content: bytes) -> int:
    """Largest sum of bytes of tensors alive at once in a TFLite file, by the order of its operators."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # type: ignore[import-untyped]

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=plain)
    ops = interpreter._get_ops_details()
    born = {int(interpreter.get_input_details()[0]["index"]): 0}
    last: dict[int, int] = {}
    for k, op in enumerate(ops):
        born |= {int(i): k for i in op["outputs"]}
        last |= {int(i): k for i in (*op["inputs"], *op["outputs"])}
    sizes = {
        int(t["index"]): int(np.prod(t["shape"])) * np.dtype(t["dtype"]).itemsize
        for t in interpreter.get_tensor_details()
        if t["index"] in born
    }
    return max(sum(size for i, size in sizes.items() if born[i] <= k <= last[i]) for k in range(len(ops)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["microcontroller", "inverted", "mini-xception"])
def test_the_peak_is_that_of_the_tensors_in_the_int8_file(name: str) -> None:
    import tf_keras

    from nas.networks.build import build_model
    from nas.networks.tflite import to_tflite

    space = load_space(name)
    assert isinstance(space, AdaptableSpace)
    architecture = space.adapted((20, 24, 1), 3).prototype
    graph = architecture.graph()
    images = np.random.default_rng(0).uniform(0, 1, (8, *graph.input_shape)).astype(np.float32)
    content = to_tflite(build_model(graph, tf_keras), calibration=images)
    assert alive(content) == INT8.known(architecture.cost())[PEAK].value


@pytest.mark.slow
def test_a_quantized_search_keeps_to_int8_bytes(tmp_path: Path, dataset: Dataset) -> None:
    """The bound lies between the int8 and the float32 peak of every network of the space."""
    space = load_space("tiny")
    assert isinstance(space, ProvableSpace)
    cheap = min(a.cost().peak_activation_bytes for a in space.cheapest())
    dear = max(a.cost().peak_activation_bytes for a in space.dearest())
    bound = Indicator((Constraint(PEAK, min(cheap - 4, dear // 4), True),))
    options = SearchOptions(effort=(Rung(1, 1),), folds=3, quantized=True)
    run = nas.search(
        space="tiny",
        indicator=bound,
        dataset=dataset,
        objectives=("accuracy", PEAK),
        budget=2,
        workers=1,
        executor="local",
        out=tmp_path / "run",
        options=options,
    )
    front = json.loads((run.path / "front.json").read_text())
    assert front["status"] == "met" and "peak activations" in run.caption
    for member in front["members"]:
        candidate = run.candidates[member["trial"]]
        assert member[PEAK] == candidate.network().cost().peak_activation_bytes // 4 <= bound.constraints[0].limit
        assert [v.value for v in candidate.verdicts] == [member[PEAK]]
