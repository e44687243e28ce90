"""What one plot shows, as numbers: accuracy in % over one cost.  Knows nothing of matplotlib.

Of networks that predict numbers alone it is their error, and there less is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nas.indicator import METRICS, PRIMARY, Indicator, Metric, Status
from nas.report.axes import Wanted, axis_range, count_label, far_out
from nas.run.candidate import Candidate, State
from nas.run.front import Front
from nas.rung import Rung

_SMALLEST_ACCURACY_SPAN: Final = 5.0  # points
_SMALLEST_ERROR_SPAN: Final = 0.02
NOTHING_MEETS: Final = "No candidate meets the indicator"


@dataclass(frozen=True)
class Axis:
    """The cost on a plot's horizontal axis.

    Attributes:
        metric: its name.
        file: of the plot, without extension.
        label: with unit.
        title: of the plot.
        unit: behind a bound's value; none for a count.
        log: whether the axis is logarithmic.
        smallest_span: of the axis, in decades where it is logarithmic; a share of the largest value else.
    """

    metric: str
    file: str
    label: str
    title: str
    unit: str
    log: bool
    smallest_span: float


AXES: Final = (
    Axis("params", "accuracy_params", "parameters", "Accuracy and parameters", "", True, 0.5),
    Axis(
        *("latency_ms", "accuracy_latency", "latency (ms, this machine, 1 thread)", "Accuracy and latency", " ms"),
        log=False,
        smallest_span=0.2,
    ),
)


@dataclass(frozen=True)
class Point:
    """One trained candidate: its cost ``x``, its accuracy with the ends of its interval in %, the indicator's word.

    ``stopped`` says that it was not trained to the full effort, so that its accuracy is not that of the others.  Where
    networks name no class, ``accuracy`` is their score instead: the error in the targets' own unit.
    """

    x: float
    accuracy: float
    low: float
    high: float
    status: Status
    stopped: bool = False


@dataclass(frozen=True)
class Excluded:
    """A half-plane that the indicator excludes: ``limit`` on ``x`` or ``accuracy``, beyond it or below it."""

    on: str
    limit: float
    beyond: bool
    label: str


@dataclass(frozen=True)
class Panel:
    """The contents of one plot.

    Attributes:
        title, subtitle: above it.
        accuracy_label: of the vertical axis, with the effort.
        trained: all trained candidates whose cost is known.
        front: the front's members among them, by cost.
        steps: the members that no other member dominates in this plane, by cost: what the step line joins; none where
            nothing meets the indicator.
        prototype: trial 0.
        excluded: what the indicator excludes.
        xlim, ylim: limits of the axes.
        interval: what the vertical bars are, None where there are none.
        empty: what is written where there is nothing to draw.
    """

    title: str
    subtitle: str
    accuracy_label: str
    trained: tuple[Point, ...]
    front: tuple[Point, ...]
    steps: tuple[Point, ...]
    prototype: Point | None
    excluded: tuple[Excluded, ...]
    xlim: tuple[float, float]
    ylim: tuple[float, float]
    interval: str | None
    empty: str

    @property
    def outside(self) -> tuple[Point, ...]:
        """Trained candidates beyond the axes' limits."""
        (left, right), (bottom, top) = self.xlim, self.ylim
        return tuple(p for p in self.trained if not (left <= p.x <= right and bottom <= p.accuracy <= top))


def panel_of(axis: Axis, front: Front, candidates: Sequence[Candidate], indicator: Indicator) -> Panel:
    """Gathers what the plot of accuracy over ``axis`` shows."""
    metric = _metric(candidates)
    shown = [(c, p) for c in candidates if c.state is State.TRAINED and (p := _point(axis, metric, c)) is not None]
    sign = -1 if metric.direction == "maximize" else 1
    found = (p for m in front.members if (p := _point(axis, metric, m)) is not None)
    members = sorted(found, key=lambda p: (p.x, sign * p.accuracy))
    prototype = next((p for c, p in shown if c.trial == 0), None)
    origin = next((c for c in candidates if c.trial == 0), None)
    excluded = _excluded(axis, metric, indicator, None if origin is None else origin.value(axis.metric))
    points = tuple(p for _, p in shown)
    essential = _essential(axis, members) + ([] if prototype is None else [prototype])
    nothing = front.status == "nearest" and bool(front.members)
    accuracy = next((m.measurement(metric.name) for m in front.members), None)
    efforts = _effort([c for c, _ in shown if not _stopped(c)])
    return Panel(
        title=NOTHING_MEETS if nothing else axis.title.replace("Accuracy", _title(metric)),
        subtitle=front.headline(),
        accuracy_label=_label(metric, efforts),
        trained=points,
        front=tuple(members),
        steps=() if nothing else _staircase(members, sign),
        prototype=prototype,
        excluded=excluded,
        xlim=_x_limits(axis, essential, points, excluded),
        ylim=_y_limits(metric, essential, points, excluded),
        interval=None if accuracy is None or not members else accuracy.provenance,
        empty=f"no candidate has a measured {axis.title.split()[-1]}" if front.members else "no candidate trained yet",
    )


def _metric(candidates: Sequence[Candidate]) -> Metric:
    """What is drawn upwards: the score of the first candidate that has one, else accuracy."""
    scores = (c.score() for c in candidates)
    return METRICS[next((name for name, _ in filter(None, scores)), PRIMARY[0])]


def _title(metric: Metric) -> str:
    return "Accuracy" if metric.name == "accuracy" else metric.name.upper()


def _label(metric: Metric, efforts: str) -> str:
    """Of the vertical axis."""
    if metric.unit == "share":
        return f"{metric.name} ({', '.join(filter(None, ('%', efforts)))})"
    return f"{metric.name}, less is better" + (f" ({efforts})" if efforts else "")


def _factor(metric: Metric) -> float:
    return 100.0 if metric.unit == "share" else 1.0


def _point(axis: Axis, metric: Metric, c: Candidate) -> Point | None:
    x, score, k = c.value(axis.metric), c.measurement(metric.name), _factor(metric)
    if x is None or x <= 0 or score is None:
        return None
    return Point(x, k * score.value, k * score.low, k * score.high, c.status, _stopped(c))


def _stopped(c: Candidate) -> bool:
    return c.outcome is not None and c.outcome.stopped is not None


def _staircase(members: Sequence[Point], sign: int) -> tuple[Point, ...]:
    """Of points ordered by cost, those better than all cheaper ones; ``sign`` -1 where more is better, else 1."""
    steps: list[Point] = []
    for p in members:
        if not steps or sign * p.accuracy < sign * steps[-1].accuracy:
            steps.append(p)
    return tuple(steps)


def _essential(axis: Axis, members: Sequence[Point]) -> list[Point]:
    """The members but those far out: the tiniest network is on the front with an accuracy at chance."""
    out = zip(far_out([_position(axis, p.x) for p in members]), far_out([p.accuracy for p in members]), strict=True)
    return [p for p, wild in zip(members, out, strict=True) if not any(wild)]


def _position(axis: Axis, x: float) -> float:
    """``x`` in the axis' own unit."""
    return math.log10(x) if axis.log else x


def _excluded(axis: Axis, metric: Metric, indicator: Indicator, prototype: float | None) -> tuple[Excluded, ...]:
    """The half-planes of the bounds on this plot's two metrics; a ratio counts from the prototype's measured value."""
    out = []
    name = axis.title.split()[-1]
    for c in indicator.constraints:
        sign = ">" if c.upper else "<"
        if c.metric == metric.name:
            limit = _factor(metric) * c.limit
            unit = " %" if metric.unit == "share" else ""
            out.append(Excluded("accuracy", limit, c.upper, f"{metric.name} {sign} {limit:g}{unit}"))
        elif c.metric == axis.metric and not c.ratio:
            bound = f"{c.limit:g}{axis.unit}" if axis.unit else count_label(c.limit)
            out.append(Excluded("x", c.limit, c.upper, f"{name} {sign} {bound}"))
        elif c.metric == axis.metric and prototype is not None:
            out.append(Excluded("x", c.limit * prototype, c.upper, f"{name} {sign} {c.limit:g} × prototype"))
    return tuple(out)


def _x_limits(
    axis: Axis, essential: Sequence[Point], points: Sequence[Point], excluded: Sequence[Excluded]
) -> tuple[float, float]:
    if not points:
        return (1e3, 1e6) if axis.log else (0.0, 1.0)
    bounds = [_position(axis, e.limit) for e in excluded if e.on == "x" and e.limit > 0]
    others = [_position(axis, p.x) for p in points]
    usual = [x for x, wild in zip(others, far_out(others), strict=True) if not wild]
    smallest = axis.smallest_span if axis.log else axis.smallest_span * max(p.x for p in essential or points)
    wanted = Wanted([*usual, *(_position(axis, p.x) for p in essential)], others, bounds)
    low, high = axis_range(wanted, smallest_span=smallest)
    return (10.0**low, 10.0**high) if axis.log else (max(low, 0.0), high)


def _y_limits(
    metric: Metric, essential: Sequence[Point], points: Sequence[Point], excluded: Sequence[Excluded]
) -> tuple[float, float]:
    if not points:
        return 0.0, _factor(metric)
    ends = [v for p in essential for v in (p.accuracy, p.low, p.high)]
    bounds = [e.limit for e in excluded if e.on == "accuracy"]
    wanted = Wanted(ends, [p.accuracy for p in points], bounds)
    if metric.unit != "share":
        low, high = axis_range(wanted, smallest_span=_SMALLEST_ERROR_SPAN)
        return max(low, 0.0), high
    low, high = axis_range(wanted, smallest_span=_SMALLEST_ACCURACY_SPAN)
    return max(low, -1.0), min(high, 101.0)


def _effort(shown: Sequence[Candidate]) -> str:
    """``5 folds, 8 epochs``; where efforts differ they are listed, and nothing where there are none."""
    efforts = sorted({c.outcome.effort for c in shown if c.outcome is not None and c.outcome.effort is not None})
    if not efforts:
        return ""
    if len(efforts) > 1:
        return f"folds x epochs: {', '.join(efforts)}"
    rung = Rung.parse(efforts[0])
    folds, epochs = ("" if n == 1 else "s" for n in (rung.folds, rung.epochs))
    return f"{rung.folds} fold{folds}, {rung.epochs} epoch{epochs}"
