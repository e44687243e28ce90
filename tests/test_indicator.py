from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import units
from nas.errors import InputError
from nas.indicator import Constraint, Indicator, Status, Step, load_indicator, overall
from nas.measurement import Measurement
from nas.space import load_space


def measured(value: float, low: float, high: float) -> Measurement:
    return Measurement(value, low, high, "share", 10, "test")


def test_the_preset() -> None:
    indicator = load_indicator("emotionnet-nano")
    assert [(c.measured, c.limit, c.upper) for c in indicator.constraints] == [
        ("params", 1_000_000, True),
        ("latency_ratio", 0.6, True),
        ("accuracy", 0.92, False),
    ]


def test_written_in_any_order_evaluated_cheapest_first(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "constraints:\n"
        "  - {metric: accuracy, min: 92 %}\n"
        "  - {metric: latency_ms, max: 2500 us}\n"
        "  - {metric: size_bytes, max: 250 kB}\n"
        "  - {metric: peak_activation_bytes, max: 64 KiB}\n"
        "  - {metric: params, max: 1M}\n"
    )
    constraints = load_indicator(path).constraints
    assert [c.metric for c in constraints] == [
        "params",
        "peak_activation_bytes",
        "size_bytes",
        "latency_ms",
        "accuracy",
    ]
    assert [c.limit for c in constraints] == [1e6, 65536, 250_000, 2.5, 0.92]


@pytest.mark.parametrize(
    ("value", "low", "high", "status"),
    [
        (0.95, 0.93, 0.97, "met"),
        (0.95, 0.91, 0.97, "undecided"),
        (0.9, 0.88, 0.91, "violated"),
        (0.9, 0.88, 0.92, "undecided"),
    ],
)
def test_three_values_of_a_minimum(value: float, low: float, high: float, status: str) -> None:
    verdict = Constraint("accuracy", 0.92, upper=False).judge(measured(value, low, high), 1.0)
    assert verdict.status == status
    assert verdict.violation == pytest.approx((0.92 - value) / 0.92)


def test_only_what_is_known_is_judged() -> None:
    indicator = load_indicator("emotionnet-nano")
    values = {"latency_ratio": measured(0.9, 0.9, 0.9), "params": measured(9e5, 9e5, 9e5)}
    verdicts = indicator.judge(values, Step, 0.0)
    assert [(v.metric, v.status) for v in verdicts] == [("params", "met"), ("latency_ratio", "violated")]
    assert overall(verdicts) is Status.VIOLATED
    assert overall(()) is Status.MET
    assert Indicator.from_json(indicator.to_json()) == indicator


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("constraints:\n  - {metric: acuracy, min: 1}\n", 2, "unknown metric"),
        ("constraints:\n  - {metric: accuracy, min: 1.2}\n", 2, "0..1"),
        ("constraints:\n  - {metric: accuracy, min: 0.9, max: 1}\n", 2, "exactly one"),
        ("constraints:\n  - {metric: params, max: 10 ms}\n", 2, "quantity"),
        ("constraints:\n  - metric: params\n    maximum: 3\n", 3, "unknown key"),
        ("constraints:\n- {metric: params, max_ratio_to_prototype: 0.5}\n", 2, "latency_ms only"),
        ("constraints:\n- {metric: params, max: 3, confidence: 0.9}\n", 2, "confidence goes with"),
        ("constraints:\n- {metric: params, max: 3}\n- {metric: params, max: 4}\n", 1, "two upper bounds"),
        ("constrains: []\n", 1, "unknown key"),
        ("constraints: [\n", 2, "not valid YAML"),
        ("constraints: &a [*a]\n", 1, "aliases"),
        ("constraints: !!python/object:os.system []\n", 1, "not valid YAML"),
        ("constraints: []\nconstraints: []\n", 2, "twice"),
    ],
)
def test_faults_name_file_line_and_remedy(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_indicator(path)
    assert f"{path}:{line}" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("low: 4, high: 8", "low: 9, high: 8"), "high 8"),
        (("prototype: 8, low: 4", "prototype: 7, low: 4"), "prototype 7"),
        (("blocks: {prototype: 1", "blocks: {prototype: 3"), "prototype 3"),
        (("links: true", "links: perhaps"), "links"),
        (("family: residual", "family: dense"), "dense"),
        (("bias: false", "bais: false"), "unknown key"),
        (("classes: 3", "classes: 1"), "classes"),
    ],
)
def test_faulty_spaces_name_the_field(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    text = (Path(__file__).parents[1] / "search_spaces" / "tiny.yaml").read_text()
    assert change[0] in text
    path = tmp_path / "s.yaml"
    path.write_text(text.replace(change[0], change[1], 1))
    with pytest.raises(InputError, match=words):
        load_space(path)


def test_a_misspelt_preset_is_told_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'emotionnet-nano'"):
        load_space("emotionet-nano")
    with pytest.raises(InputError, match="cannot be imported"):
        load_space("no.such.module:thing")


@given(st.floats(1e-3, 1e6, allow_nan=False))
def test_units(value: float) -> None:
    assert units.parse_quantity(f"{value!r} kB", units.BYTES) == pytest.approx(value * 1e3)
    assert units.parse_quantity(f"{value!r}m", units.SECONDS) == pytest.approx(value * 60)


def test_quantities_that_are_none() -> None:
    for text in ("", "M", "1 X", "one", "1 2", "nan"):
        with pytest.raises(InputError, match="not a quantity"):
            units.parse_quantity(text, units.COUNT)
    with pytest.raises(InputError, match="unit is needed"):
        units.parse_quantity("10", units.MILLISECONDS)
