"""What networks of a search are to answer, and what they are told beside the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, Final, Literal, get_args

import numpy as np

from nas import decoding
from nas.data.dataset import Dataset
from nas.errors import DecodeError, InputError
from nas.head import Head
from nas.indicator import METRICS, Indicator, Step, load_indicator

TaskName = Literal["classification", "regression", "both"]
TASKS: Final[tuple[str, ...]] = get_args(TaskName)
DEFAULT_INDICATOR: Final = "emotionnet-nano"


@dataclass(frozen=True)
class Task:
    """What networks answer, and what they are told.

    Attributes:
        name: ``classification``, ``regression`` (the targets alone), or ``both`` on one trunk.
        targets: names of the numbers to predict, such as ``valence``, ``arousal``; none for classification.
        landmarks: how many points of each image are a second input; 0 without.
    """

    name: TaskName = "classification"
    targets: tuple[str, ...] = ()
    landmarks: int = 0

    def __post_init__(self) -> None:
        _check_name(self.name)
        if (self.name == "classification") != (not self.targets):
            raise InputError(f"task {self.name} with targets {', '.join(self.targets) or '(none)'}: they do not fit")

    @property
    def classifies(self) -> bool:
        """Whether networks name a class."""
        return self.name != "regression"

    @property
    def regresses(self) -> bool:
        """Whether networks predict numbers."""
        return self.name != "classification"

    @property
    def plain(self) -> bool:
        """Whether it is classification of images alone."""
        return not self.regresses and not self.landmarks

    @property
    def wanted(self) -> tuple[str, ...]:
        """What it takes of the data beside images and labels, for :func:`nas.data.recognise.load_dataset`."""
        return wanted_of(self.name, self.landmarks > 0)

    @property
    def primary(self) -> str:
        """The metric by which networks are compared where one is needed."""
        return "accuracy" if self.classifies else "rmse"

    @property
    def objectives(self) -> tuple[str, str]:
        """What a search improves where the user says nothing."""
        return self.primary, "params"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics that networks of this task have."""
        answers = {"classification": self.classifies, "regression": self.regresses}
        return tuple(m.name for m in METRICS.values() if m.task is None or answers[m.task])

    def __str__(self) -> str:
        words = [] if not self.classifies else ["classification"]
        words += [] if not self.regresses else [f"regression of {', '.join(self.targets)}"]
        told = f", from images and {self.landmarks} landmarks" if self.landmarks else ""
        return " and ".join(words) + told

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {"name": self.name, "targets": list(self.targets), "landmarks": self.landmarks}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Task:
        """Reads what :meth:`to_json` wrote; of None, in runs of older versions, classification.

        Raises:
            DecodeError: anything else.
        """
        if decoding.of_kind(data, "task", dict, NoneType) is None or data is None:
            return cls()
        points = decoding.field(data, "landmarks", int)
        if isinstance(points, bool) or not 0 <= points <= 10_000:
            raise DecodeError(f"task: landmarks {points!r:.80} must be a whole number in 0..10000")
        name: Any = decoding.field(data, "name", str)
        try:
            return cls(name, decoding.texts(data, "targets"), points)
        except InputError as error:
            raise DecodeError(str(error)) from error


def _check_name(name: str) -> None:
    if name not in TASKS:
        raise InputError(f"task {name!r:.80} is not known; use {', '.join(TASKS)}")


def head_for(task: Task, classes: int) -> Head:
    """The end of a network that answers ``task`` on data of so many classes."""
    return Head(classes if task.classifies else 0, len(task.targets), task.landmarks)


def wanted_of(name: str, landmarks: bool) -> tuple[str, ...]:
    """What a task takes of the data beside images and labels, before the data are looked at.

    Raises:
        InputError: no such task.
    """
    _check_name(name)
    return ("targets",) * (name in ("regression", "both")) + ("landmarks",) * landmarks


def task_of(dataset: Dataset, name: str = "classification", landmarks: bool = False) -> Task:
    """The task of a data set that the user's words stand for.

    Args:
        dataset: gives the targets' names and the number of landmarks.
        name: of :data:`TASKS`.
        landmarks: whether they are a second input.

    Raises:
        InputError: no such task, or the data has not what it takes.
    """
    _check_name(name)
    regresses = name != "classification"
    if regresses and dataset.targets is None:
        raise InputError(
            f"task {name}: {dataset.caption} has no numbers to predict (such as valence and arousal): give data that "
            "has them, such as AffectNet, an .npz with targets, or synthetic; or leave --task out"
        )
    if regresses and deviation_of(dataset) is None:
        raise InputError(f"task {name}: a target of {dataset.caption} is the same for every image: nothing to predict")
    if landmarks and dataset.landmarks is None:
        raise InputError(
            f"--landmarks: {dataset.caption} has no landmarks: give data that has them, such as AffectNet, CK+ as "
            "distributed, or synthetic; or leave --landmarks out"
        )
    points = 0 if dataset.landmarks is None or not landmarks else int(dataset.landmarks.shape[1])
    known: Any = name
    return Task(known, dataset.target_names if regresses else (), points)


def deviation_of(dataset: Dataset) -> float | None:
    """Standard deviation of the targets, averaged over them; None without targets, or where one does not vary."""
    if dataset.targets is None:
        return None
    deviations = dataset.targets.astype(np.float64).std(0)
    return float(deviations.mean()) if deviations.min() > 0 else None


def default_indicator(task: Task) -> Indicator:
    """The bounds where the user gives none: those of :data:`DEFAULT_INDICATOR` whose metrics the networks have."""
    default = load_indicator(DEFAULT_INDICATOR)
    return replace(default, constraints=tuple(c for c in default.constraints if c.metric in task.metrics))


def check_metrics(task: Task, objectives: tuple[str, ...], indicator: Indicator) -> None:
    """Raises InputError for an objective or a constraint on a metric that networks of this task do not have."""
    trained = ", ".join(name for name in task.metrics if METRICS[name].step is Step.TRAINING)
    other = " in a constraints file of your own, give --constraints none"
    asked = [("objective", name) for name in objectives] + [("constraint on", c.metric) for c in indicator.constraints]
    for what, name in asked:
        if name in METRICS and name not in task.metrics:
            needed = "regression" if METRICS[name].task == "regression" else "classification"
            raise InputError(
                f"{what} {name}: networks of this search have none, their task is {task.name}; it has {trained}. "
                f"Name one of these{other * what.startswith('constraint')}, or search with --task {needed} or both"
            )
