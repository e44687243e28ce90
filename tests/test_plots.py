"""Plots: what is on them, where their axes end, and that the same run gives the same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from handmade import HOW, bare, trained

from nas.indicator import Constraint, Indicator, Status
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.report.axes import Wanted, axis_range, count_label, far_out, log_ticks
from nas.report.draw import draw_panel
from nas.report.panel import AXES, NOTHING_MEETS, panel_of
from nas.report.place import Box, place_label
from nas.report.plots import write_plots
from nas.run.candidate import Candidate
from nas.run.front import Front, front_of

CAPTION = "synthetic faces, CK+ protocol; says nothing about CK+ itself"
PARAMS, LATENCY = AXES
INDICATOR = Indicator((Constraint("params", 1e5, True), Constraint("accuracy", 0.8, False)))


def _front(candidates: Sequence[Candidate], objectives: tuple[str, ...] = ("accuracy", "params")) -> Front:
    return front_of(candidates, objectives_of(objectives), (0.3, 1e6))


def _some(indicator: Indicator = INDICATOR) -> list[Candidate]:
    rows = [(0.95, 270_000, 1.8), (0.90, 90_000, 0.9), (0.86, 50_000, 0.5), (0.85, 60_000, 0.4), (0.7, 20_000, 0.2)]
    return [trained(i, a, params=p, latency_ms=ms, indicator=indicator) for i, (a, p, ms) in enumerate(rows)]


@pytest.fixture(autouse=True)
def _no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_panel_tells_front_staircase_prototype_and_bounds() -> None:
    candidates = _some()
    panel = panel_of(PARAMS, _front(candidates), candidates, INDICATOR)
    assert [(p.x, p.accuracy) for p in panel.front] == [(50_000, 86), (90_000, 90)]
    assert [p.status for p in panel.front] == [Status.MET, Status.MET]
    assert (panel.front[0].low, panel.front[0].high) == (pytest.approx(83), pytest.approx(89))
    assert panel.prototype is not None and (panel.prototype.x, panel.prototype.accuracy) == (270_000, 95)
    assert [(e.on, e.limit, e.beyond) for e in panel.excluded] == [("x", 1e5, True), ("accuracy", 80, False)]
    assert panel.excluded[0].label == "parameters > 100K" and panel.excluded[1].label == "accuracy < 80 %"
    assert panel.accuracy_label == "accuracy (%, 5 folds, 8 epochs)"
    assert panel.interval == HOW
    assert panel.subtitle == "front of 2 networks, meeting the indicator"
    assert len(panel.trained) == 5 and panel.outside == ()


def test_steps_leave_out_what_is_dominated_in_the_plane_drawn() -> None:
    """A front of accuracy and parameters is no front over latency."""
    candidates = [
        trained(0, 0.95, params=90_000, latency_ms=0.5),
        trained(1, 0.90, params=50_000, latency_ms=0.9),
        trained(2, 0.80, params=20_000, latency_ms=0.2),
    ]
    panel = panel_of(LATENCY, _front(candidates), candidates, Indicator())
    assert [p.x for p in panel.front] == [0.2, 0.5, 0.9]
    assert [p.x for p in panel.steps] == [0.2, 0.5]


def test_ratio_bound_counts_from_the_prototype() -> None:
    indicator = Indicator((Constraint("latency_ms", 0.6, True, ratio=True),))
    candidates = _some(Indicator())
    (excluded,) = panel_of(LATENCY, _front(candidates), candidates, indicator).excluded
    assert excluded.limit == pytest.approx(0.6 * 1.8) and excluded.label == "latency > 0.6 × prototype"
    unknown = [trained(0, 0.9, params=1000), *candidates[1:]]
    assert panel_of(LATENCY, _front(unknown), unknown, indicator).excluded == ()


def test_candidates_without_latency_are_left_out() -> None:
    candidates = [*_some(), trained(5, 0.99, params=40_000, indicator=INDICATOR)]
    front = _front(candidates)
    assert len(panel_of(LATENCY, front, candidates, INDICATOR).trained) == 5
    assert len(panel_of(PARAMS, front, candidates, INDICATOR).trained) == 6


def test_one_terrible_candidate_does_not_squash_the_front() -> None:
    candidates = [*_some(Indicator()), trained(5, 0.1, params=61_000, latency_ms=40.0)]
    candidates += [trained(i, 0.84, params=50_000 + i, latency_ms=0.5 + i / 50) for i in range(6, 12)]
    for axis in AXES:
        panel = panel_of(axis, _front(candidates), candidates, Indicator())
        assert [p.accuracy for p in panel.outside] == [10.0]
        assert panel.ylim[0] > 50
    assert panel.xlim[1] < 2.5


def test_terrible_front_member_does_not_either() -> None:
    """Without constraints the smallest network is on the front, whatever it can."""
    candidates = [trained(i, 0.80 + i / 50, params=10_000 * i, half=0.01) for i in range(1, 8)]
    candidates.append(trained(9, 0.14, params=900))
    panel = panel_of(PARAMS, _front(candidates), candidates, Indicator())
    assert len(panel.front) == 8
    assert [p.x for p in panel.outside] == [900]
    assert panel.ylim[0] > 75


def test_nothing_meets_is_said_in_words() -> None:
    strict = Indicator((Constraint("accuracy", 0.999, False),))
    candidates = _some(strict)
    front = _front(candidates)
    assert front.status == "nearest"
    panel = panel_of(PARAMS, front, candidates, strict)
    assert panel.title == NOTHING_MEETS == "No candidate meets the indicator"
    axes = draw_panel(PARAMS, panel, CAPTION).axes[0]
    assert not [line for line in axes.lines if line.get_drawstyle() == "steps-post"]


def test_figure_holds_what_the_panel_says() -> None:
    candidates = _some()
    figure = draw_panel(PARAMS, panel_of(PARAMS, _front(candidates), candidates, INDICATOR), CAPTION)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_xscale()) == ("parameters", "log")
    assert axes.get_ylabel() == "accuracy (%, 5 folds, 8 epochs)"
    (steps,) = (line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert list(steps.get_xdata()) == [50_000, 90_000] and list(steps.get_ydata()) == [86, 90]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "excluded: parameters > 100K",
        "excluded: accuracy < 80 %",
        "trained (5)",
        "front: meets the indicator",
        "prototype",
    ]
    texts = [text.get_text() for text in figure.texts]
    assert texts == [
        "Accuracy and parameters",
        "front of 2 networks, meeting the indicator",
        f"{CAPTION}\nBars: {HOW}.",
    ]
    assert [text.get_text() for text in axes.texts] == ["prototype"]


def test_latency_axis_is_labelled_with_its_unit() -> None:
    candidates = _some()
    axes = draw_panel(LATENCY, panel_of(LATENCY, _front(candidates), candidates, INDICATOR), CAPTION).axes[0]
    assert (axes.get_xlabel(), axes.get_xscale()) == ("latency (ms, this machine, 1 thread)", "linear")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_candidates(tmp_path: Path, count: int) -> None:
    candidates = [*_some()[:count], bare(9)]
    paths = write_plots(_front(candidates), candidates, INDICATOR, tmp_path, caption=CAPTION)
    names = ["accuracy_params.png", "accuracy_params.svg", "accuracy_latency.png", "accuracy_latency.svg"]
    assert [p.name for p in paths] == names
    svg = paths[1].read_text()
    assert ("no candidate trained yet" in svg) is (count == 0)
    assert "says nothing about CK+ itself" in svg


def test_files_are_complete_and_the_same_every_time(tmp_path: Path) -> None:
    from PIL import Image

    candidates = _some()
    first = write_plots(_front(candidates), candidates, INDICATOR, tmp_path / "a", caption=CAPTION)
    second = write_plots(_front(candidates), candidates, INDICATOR, tmp_path / "b", caption=CAPTION)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    with Image.open(first[0]) as image:
        width, height = image.size
    assert width == 1050 and 700 < height < 1400
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in first)


def test_no_global_state_is_left_behind(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    write_plots(_front(_some()), _some(), INDICATOR, tmp_path, caption=CAPTION)
    assert dict(matplotlib.rcParams) == before


def test_candidate_without_accuracy_is_not_drawn() -> None:
    candidates = _some()
    outcome = candidates[1].outcome
    assert outcome is not None
    measured = {k: m for k, m in outcome.measurements.items() if k != "accuracy"}
    measured["macro_f1"] = Measurement(0.5, 0.4, 0.6, "share", 10, HOW)
    object.__setattr__(outcome, "measurements", measured)
    assert len(panel_of(PARAMS, _front(candidates), candidates, INDICATOR).trained) == 4


def test_axis_range() -> None:
    assert axis_range(Wanted([]), smallest_span=5) == (0.0, 5)
    assert axis_range(Wanted([10, 20]), smallest_span=5) == (pytest.approx(9.4), pytest.approx(20.6))
    assert axis_range(Wanted([10]), smallest_span=5) == (pytest.approx(7.2), pytest.approx(12.8))
    low, high = axis_range(Wanted([10, 20], [1, 25, 99], [34, 70]), smallest_span=5)
    assert (low, high) == (pytest.approx(1 - 0.06 * 33), pytest.approx(34 + 0.06 * 33))


def test_far_out() -> None:
    assert far_out([1, 2, 3, 4, 50, 2, 3]) == [False] * 4 + [True] + [False] * 2
    assert far_out([1, 2, 3, 50]) == [False] * 4


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (2_000, 2_000_000, ["10K", "100K", "1M"]),
        (90_000, 350_000, ["100K", "200K"]),
        (100_000, 130_000, ["100K", "110K", "120K", "130K"]),
    ],
)
def test_log_ticks_are_round(low: float, high: float, labels: list[str]) -> None:
    shown = [count_label(t) for t in log_ticks(low, high)]
    assert set(labels) <= set(shown) and 3 <= len(shown) <= 7


def test_label_goes_where_nothing_is() -> None:
    plot = Box(0, 0, 3, 2)
    crowd = [Box(1.0, 1.0, 3.0, 2.0)]  # all that is right of and above the mark
    box = place_label((1.0, 1.0), (0.4, 0.1), crowd, plot)
    assert not box.covers(crowd[0])
    corner = place_label((2.98, 1.98), (0.4, 0.1), [], plot)
    assert corner.right <= 3 and corner.top <= 2
