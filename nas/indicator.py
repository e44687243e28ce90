"""The indicator function 1_r: the constraints that a network must meet, cheapest first."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from nas import units
from nas.cost import BYTES, INT8_BYTES, Cost
from nas.decoding import field
from nas.errors import DecodeError, InputError
from nas.measurement import Measurement, is_number
from nas.presets import resolve
from nas.yamlfile import StrictModel, parse_yaml


class Step(enum.IntEnum):
    """When a metric becomes known; later steps cost more."""

    COST = 0  # from the graph, microseconds
    EXPORT = 1  # from the exported file, about a second
    LATENCY = 2  # measured, about a second more
    TRAINING = 3


@dataclass(frozen=True)
class Metric:
    """A name that constraints and objectives may use.

    Attributes:
        step: when it becomes known.
        direction: ``minimize`` or ``maximize`` when it is an objective.
        unit: of its values; none for a figure in the targets' own unit, or an agreement.
        units: what a bound may be written in.
        least: the lowest value that there can be.
        task: what networks must do to have it, ``classification`` or ``regression``; None where all have it.
    """

    name: str
    step: Step
    direction: Literal["minimize", "maximize"]
    unit: str
    units: Mapping[str, float]
    least: float = 0.0
    task: Literal["classification", "regression"] | None = None

    @property
    def most(self) -> float:
        """The highest value that there can be."""
        return 1.0 if self.unit == "share" or self.least < 0 else sys.float_info.max

    def text(self, value: float) -> str:
        """A trained metric's value as it is shown: shares in per cent, others with three decimals."""
        return f"{value:.1%}" if self.unit == "share" else f"{value:.3f}"


METRICS: Final[Mapping[str, Metric]] = {
    m.name: m
    for m in (
        Metric("params", Step.COST, "minimize", "parameters", units.COUNT),
        Metric("macs", Step.COST, "minimize", "MACs", units.COUNT),
        Metric("weight_bytes", Step.COST, "minimize", "bytes", units.BYTES),
        Metric("peak_activation_bytes", Step.COST, "minimize", "bytes", units.BYTES),
        Metric("size_bytes", Step.EXPORT, "minimize", "bytes", units.BYTES),
        Metric("latency_ms", Step.LATENCY, "minimize", "ms", units.MILLISECONDS),
        Metric("accuracy", Step.TRAINING, "maximize", "share", units.SHARE, task="classification"),
        Metric("balanced_accuracy", Step.TRAINING, "maximize", "share", units.SHARE, task="classification"),
        Metric("macro_f1", Step.TRAINING, "maximize", "share", units.SHARE, task="classification"),
        Metric("rmse", Step.TRAINING, "minimize", "", units.RATIO, task="regression"),
        Metric("ccc", Step.TRAINING, "maximize", "", units.RATIO, least=-1.0, task="regression"),
        Metric("pearson", Step.TRAINING, "maximize", "", units.RATIO, least=-1.0, task="regression"),
    )
}
COSTS: Final = tuple(m.name for m in METRICS.values() if m.step is Step.COST)
PRIMARY: Final = ("accuracy", "rmse")  # the first of them that a network has is the one by which it is compared
LATENCY_RATIO: Final = "latency_ratio"  # measured beside latency_ms: the quotient to the prototype's


class Status(enum.StrEnum):
    """What a constraint says of a candidate."""

    MET = "met"
    VIOLATED = "violated"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Constraint:
    """One bound on one metric.

    Attributes:
        metric: a name of :data:`METRICS`.
        limit: the bound, in the metric's base unit; a quotient where ``ratio`` is set.
        upper: whether ``limit`` is a maximum (else a minimum).
        ratio: whether the bound is relative to the prototype's value.
        confidence: one-sided confidence of a ``met`` or ``violated``, for metrics with an interval.
    """

    metric: str
    limit: float
    upper: bool
    ratio: bool = False
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or self.metric not in METRICS:
            raise InputError(f"metric {self.metric!r:.80} is not known; use one of {', '.join(METRICS)}")
        if self.ratio and self.metric != "latency_ms":
            raise InputError(f"{self.metric}: a bound relative to the prototype goes with latency_ms only")
        known = METRICS[self.metric]
        ranges = (("bound", self.limit, known.least, known.most), ("confidence", self.confidence, 0.5, 1.0))
        for name, value, low, high in ranges:
            if not is_number(value) or not low <= value <= high:
                raise InputError(f"{self.metric}: {name} {value!r} must be a number in {low:g}..{high:g}")
        if not isinstance(self.upper, bool) or not isinstance(self.ratio, bool):
            raise InputError(f"{self.metric}: upper {self.upper!r} and ratio {self.ratio!r} must be true or false")

    @property
    def measured(self) -> str:
        """Name of the measurement that decides it."""
        return LATENCY_RATIO if self.ratio else self.metric

    @property
    def step(self) -> Step:
        """When it can be decided."""
        return METRICS[self.metric].step

    def judge(self, measurement: Measurement, seconds: float) -> Verdict:
        """Compares a measurement with the bound; undecided while that lies inside its interval, or it is in doubt."""
        m, bound = measurement, self.limit
        if m.doubt is not None:
            status = Status.UNDECIDED
        elif (m.high <= bound) if self.upper else (m.low >= bound):
            status = Status.MET
        elif (m.low > bound) if self.upper else (m.high < bound):
            status = Status.VIOLATED
        else:
            status = Status.UNDECIDED
        return Verdict(self.measured, m.value, bound, "max" if self.upper else "min", status, seconds)

    def __str__(self) -> str:
        sign = "<=" if self.upper else ">="
        return f"{self.metric} {sign} {self.limit:g}" + (" of the prototype's" if self.ratio else "")


@dataclass(frozen=True)
class Verdict:
    """One constraint's word on one candidate.

    Attributes:
        metric: the measurement that decided, such as ``params`` or ``latency_ratio``.
        value, bound, side: what was found, what is allowed, and whether that is a ``max`` or a ``min``.
        status: met, violated or undecided.
        seconds: what it cost to know, in this candidate's evaluation.
    """

    metric: str
    value: float
    bound: float
    side: str
    status: Status
    seconds: float

    @property
    def violation(self) -> float:
        """How far the value is beyond the bound, relative to the bound; at most 0 when it is not.

        The value counts, not its interval: this ranks candidates, and is told to Optuna as the constraint's value.
        """
        excess = self.value - self.bound if self.side == "max" else self.bound - self.value
        return excess / abs(self.bound) if self.bound else excess

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"status": self.status.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError on anything else."""
        try:
            verdict = replace(cls(**data), status=Status(data["status"]))
        except (TypeError, ValueError, KeyError) as error:
            raise DecodeError(f"not a verdict: {error}") from error
        known = isinstance(verdict.metric, str) and verdict.metric in (*METRICS, LATENCY_RATIO)
        if not known or verdict.side not in ("max", "min"):
            raise DecodeError(f"not a verdict: metric {verdict.metric!r}, side {verdict.side!r}")
        if not all(is_number(v) for v in (verdict.value, verdict.bound, verdict.seconds)):
            raise DecodeError(
                f"not a verdict: value {verdict.value!r}, bound {verdict.bound!r} or seconds is no number"
            )
        return verdict


@dataclass(frozen=True)
class Indicator:
    """Constraints in the order in which they are evaluated: cheapest first.

    Attributes:
        constraints: the bounds.
        element_bytes: of one activation in the file that is judged: 4 of a float32 one, 1 of an int8 one.
    """

    constraints: tuple[Constraint, ...] = ()
    element_bytes: int = BYTES

    def __post_init__(self) -> None:
        if self.element_bytes not in (BYTES, INT8_BYTES):
            raise InputError(f"{self.element_bytes!r:.80} bytes an activation: use {BYTES} (float32) or {INT8_BYTES}")
        ordered = tuple(sorted(self.constraints, key=lambda c: (c.step, list(METRICS).index(c.metric), c.upper)))
        object.__setattr__(self, "constraints", ordered)
        for minimum in (c for c in ordered if not c.upper):
            for maximum in (c for c in ordered if c.upper and c.measured == minimum.measured):
                if minimum.limit > maximum.limit:
                    raise InputError(
                        f"constraints: {minimum} and {maximum} contradict each other: no value lies between them; "
                        "raise the maximum or lower the minimum"
                    )

    def at(self, *steps: Step) -> tuple[Constraint, ...]:
        """The constraints that are decided at ``steps``."""
        return tuple(c for c in self.constraints if c.step in steps)

    def confidence(self) -> float:
        """The confidence of the trained metrics' intervals (the largest asked for; 0.95 when none asks)."""
        return max((c.confidence for c in self.at(Step.TRAINING)), default=0.95)

    def judge(
        self, measurements: Mapping[str, Measurement], steps: Iterable[Step], seconds: float
    ) -> tuple[Verdict, ...]:
        """Verdicts of the constraints of ``steps`` whose metric is known, cheapest first."""
        return tuple(c.judge(measurements[c.measured], seconds) for c in self.at(*steps) if c.measured in measurements)

    def of_file(self, *, int8: bool) -> Indicator:
        """The same bounds on networks that are judged by their int8 file, or by their float32 one."""
        return replace(self, element_bytes=INT8_BYTES if int8 else BYTES)

    def known(self, cost: Cost) -> dict[str, Measurement]:
        """The exact costs of a network, as this judges them."""
        return exact_costs(cost, self.element_bytes)

    def to_json(self) -> list[dict[str, Any]] | dict[str, Any]:
        """Plain data: the constraints in order, beside the bytes of an activation where these are not float32's."""
        constraints = [asdict(c) for c in self.constraints]
        if self.element_bytes == BYTES:
            return constraints
        return {"element_bytes": self.element_bytes, "constraints": constraints}

    @classmethod
    def from_json(cls, data: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> Indicator:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError on anything else."""
        try:
            if isinstance(data, Mapping):
                element_bytes = field(data, "element_bytes", int)
                return replace(cls.from_json(field(data, "constraints", list)), element_bytes=element_bytes)
            return cls(tuple(Constraint(**c) for c in data))
        except (TypeError, InputError) as error:
            raise DecodeError(f"not an indicator: {error}") from error


def overall(verdicts: Iterable[Verdict]) -> Status:
    """Violated if any is, else undecided if any is, else met."""
    statuses = {v.status for v in verdicts}
    return next((s for s in (Status.VIOLATED, Status.UNDECIDED) if s in statuses), Status.MET)


def exact_cost(cost: Cost, name: str, element_bytes: int = BYTES) -> Measurement:
    """One of the metrics that are known from the graph alone.

    Args:
        cost: counted in float32.
        name: of the metric.
        element_bytes: of one activation in the file that is judged; it scales ``peak_activation_bytes`` alone.
    """
    value, provenance = getattr(cost, name), "counted from the graph"
    if name == "peak_activation_bytes" and element_bytes != BYTES:
        value, provenance = value * element_bytes // BYTES, "counted from the graph, with int8 activations"
    return Measurement.exact(value, METRICS[name].unit, provenance)


def exact_costs(cost: Cost, element_bytes: int = BYTES) -> dict[str, Measurement]:
    """All of them."""
    return {name: exact_cost(cost, name, element_bytes) for name in COSTS}


class ConstraintSpec(StrictModel):
    """One entry of a constraints file."""

    metric: str
    max: str | int | float | None = None
    min: str | int | float | None = None
    max_ratio_to_prototype: Annotated[float, Field(gt=0)] | None = None
    device: Literal["this-machine"] = "this-machine"
    threads: Literal[1] = 1
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in METRICS:
            raise ValueError(f"unknown metric; use one of {', '.join(METRICS)}")
        return name

    @model_validator(mode="after")
    def _one_bound(self) -> ConstraintSpec:
        given = [b for b in ("max", "min", "max_ratio_to_prototype") if getattr(self, b) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of max, min, max_ratio_to_prototype (got {', '.join(given) or 'none'})")
        if self.max_ratio_to_prototype is not None and self.metric != "latency_ms":
            raise ValueError("max_ratio_to_prototype goes with latency_ms only")
        if "confidence" in self.model_fields_set and METRICS[self.metric].step is not Step.TRAINING:
            trained = [m.name for m in METRICS.values() if m.step is Step.TRAINING]
            raise ValueError(f"confidence goes with {', '.join(trained[:-1])} and {trained[-1]} only")
        if self.max_ratio_to_prototype is None:
            self.limit()
        return self

    def limit(self) -> float:
        """The bound in the metric's base unit.  Raises ValueError when it is out of the metric's range."""
        metric = METRICS[self.metric]
        text = self.max if self.max is not None else self.min
        try:
            value = units.parse_quantity(text if text is not None else "", metric.units)
        except InputError as error:
            raise ValueError(str(error)) from error
        if metric.unit == "share" and not 0 < value < 1:
            raise ValueError(f"bound {text} must lie inside 0..1, and be neither: 0 and 1 decide nothing")
        if metric.least < 0:
            if not metric.least < value < metric.most:
                raise ValueError(
                    f"bound {text} must lie inside {metric.least:g}..{metric.most:g}, and be neither: those decide "
                    "nothing"
                )
        elif value < 0 or (value == 0 and self.max is not None):
            raise ValueError(f"bound {text} can never be met, or never be missed; write a number above 0")
        return value

    def constraint(self) -> Constraint:
        """What this entry says."""
        if self.max_ratio_to_prototype is not None:
            return Constraint(self.metric, self.max_ratio_to_prototype, True, ratio=True, confidence=self.confidence)
        return Constraint(self.metric, self.limit(), self.max is not None, confidence=self.confidence)


class IndicatorSpec(StrictModel):
    """A constraints file."""

    constraints: list[ConstraintSpec]

    @model_validator(mode="after")
    def _once(self) -> IndicatorSpec:
        sides = [(c.constraint().measured, c.constraint().upper) for c in self.constraints]
        for metric, upper in sides:
            if sides.count((metric, upper)) > 1:
                raise ValueError(f"{metric} has two {'upper' if upper else 'lower'} bounds; keep the stricter one")
        if len({c.confidence for c in self.constraints if METRICS[c.metric].step is Step.TRAINING}) > 1:
            raise ValueError("one confidence for all trained metrics: their intervals are made once")
        try:
            self.indicator()
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    def indicator(self) -> Indicator:
        """What the file says.  Raises InputError where two of its bounds contradict each other."""
        return Indicator(tuple(c.constraint() for c in self.constraints))


def load_indicator(source: str | Path | Indicator) -> Indicator:
    """An indicator from a preset's name, a YAML file, or one that is taken as it is.

    Raises:
        InputError: nothing of that name, or a faulty file (with line, field and bound).
    """
    if isinstance(source, Indicator):
        return source
    return parse_yaml(resolve("constraints", source), IndicatorSpec).indicator()
