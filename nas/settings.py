"""What decides a search, as it is written to run.yaml and read back."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal

import numpy as np
from pydantic import ValidationError

from nas import decoding
from nas.cost import INT8_BYTES
from nas.data.dataset import Dataset
from nas.data.folds import Split, make_split
from nas.data.landmarks import LANDMARKS
from nas.data.preparation import Preparation
from nas.data.recognise import is_name, load_dataset
from nas.devices.predicted import PredictedDevice
from nas.errors import DecodeError, InputError, NasError
from nas.evaluation.job import recipe_from_json
from nas.evaluation.limits import Limits
from nas.evaluation.train import Recipe
from nas.indicator import Indicator, load_indicator
from nas.measurement import is_number
from nas.rung import Ladder, Rung, checked_ladder
from nas.space import FAMILIES, SearchSpace, fit_to_data, load_space
from nas.task import Task, check_metrics, head_for
from nas.yamlfile import StrictModel

ExecutorName = Literal["ray", "local"]
DEFAULT_TIME_S: Final = 270.0  # with its end, a second look at latencies, and an export, under five minutes
DEFAULT_HOLDOUT: Final = 0.2
_MAX_BATCH: Final = 1_000_000
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "space": (dict,),
    "objectives": (list,),
    "data_source": (str, NoneType),
    "data_fingerprint": (str,),
    "image_size": (int, NoneType),
    "folds": (int,),
    "holdout": (int, float),
    "split_hash": (str,),
    "sampler": (str,),
    "seed": (int,),
    "budget": (int, NoneType),
    "time_s": (int, float, NoneType),
}
# Runs of the first version have none.
_LATER: Final = (
    *("limits", "ladder", "inherit", "probe", "predicted_device", "predicted_bound_ms", "quantized"),
    *("preparation", "task", "shrinks"),
)


@dataclass(frozen=True)
class Workers:
    """Where candidates are evaluated.

    Attributes:
        executor: ``ray`` (Ray Tune) or ``local`` (processes of this machine, the same proposals for the same seed).
        workers: candidates evaluated at once.
        cpus: cores, and TensorFlow threads, a worker.
        gpus: GPUs a worker; fractions share one.
        ray_address: of a running cluster; None starts Ray on this machine for the search.
    """

    executor: ExecutorName = "ray"
    workers: int = 2
    cpus: float = 1.0
    gpus: float = 0.0
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in ("ray", "local"):
            raise InputError(f"executor {self.executor!r}; use ray or local")
        if not isinstance(self.workers, int) or not 1 <= self.workers <= 10_000:
            raise InputError(f"workers {self.workers}; use 1 to 10000")
        if not (0 < self.cpus <= 1024 and 0 <= self.gpus <= 64):
            raise InputError(f"{self.cpus} CPUs and {self.gpus} GPUs a worker; use 0 < CPUs <= 1024, 0 <= GPUs <= 64")
        if self.ray_address is not None:
            _check_address(self.ray_address)


def _check_address(address: str) -> None:
    """Raises InputError for what cannot be the address of a Ray cluster."""
    if address.startswith("ray://"):
        raise InputError(
            f"{address}: a search does not run through Ray Client; start it on a node of the cluster, with "
            "--ray-address auto or HOST:PORT (mostly port 6379)"
        )
    if address == "local":
        raise InputError("local is no cluster; leave --ray-address out, and Ray is started on this machine")
    host, _, port = address.rpartition(":")
    named = re.fullmatch(r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]", host)
    if address != "auto" and not (named and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise InputError(f"{address!r} is no address of a Ray cluster; give --ray-address auto or HOST:PORT")


@dataclass(frozen=True)
class Settings:
    """Everything that a search needs, besides the data and the space themselves."""

    space: Mapping[str, Any]
    indicator: Indicator
    objectives: tuple[str, ...]
    data_source: str | None
    data_fingerprint: str
    image_size: int | None
    folds: int
    holdout: float
    split_hash: str
    ladder: Ladder
    sampler: str
    seed: int
    workers: Workers
    budget: int | None
    time_s: float | None
    recipe: Recipe = field(default_factory=Recipe)
    limits: Limits = field(default_factory=Limits)
    inherit: bool = False
    probe: bool = False
    predicted_device: PredictedDevice | None = None
    predicted_bound_ms: float | None = None
    quantized: bool = False
    preparation: Preparation = field(default_factory=Preparation)
    task: Task = field(default_factory=Task)
    shrinks: bool = True

    @property
    def judged_file(self) -> str:
        """What a caption says of the files that were judged; nothing for float32 ones."""
        activations = ", peak activations" * (self.indicator.element_bytes == INT8_BYTES)
        judged = f"; accuracy, size{activations} and latency are those of int8 files, quantized after training"
        return judged * self.quantized

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return data | {
            "space": dict(self.space),
            "indicator": self.indicator.to_json(),
            "objectives": list(self.objectives),
            "ladder": [str(rung) for rung in self.ladder],
            "workers": asdict(self.workers),
            "recipe": asdict(self.recipe),
            "limits": asdict(self.limits),
            "predicted_device": None if self.predicted_device is None else self.predicted_device.to_json(),
            "preparation": self.preparation.to_json(),
            "task": self.task.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError for anything else."""
        try:
            for name, kinds in _KINDS.items():
                decoding.field(data, name, *kinds)
            return cls(
                **{name: data[name] for name in cls.__dataclass_fields__ if name not in _LATER}
                | {
                    "indicator": Indicator.from_json(data["indicator"]),
                    "objectives": decoding.texts(data, "objectives"),
                    "ladder": _ladder(data),
                    "workers": Workers(**data["workers"]),
                    "recipe": _recipe(data["recipe"]),
                    "limits": Limits(**data.get("limits", {})),
                    "inherit": decoding.of_kind(data.get("inherit", False), "inherit", bool),
                    "probe": decoding.of_kind(data.get("probe", False), "probe", bool),
                    "predicted_device": _predicted_device(data),
                    "predicted_bound_ms": _predicted_bound(data),
                    "quantized": decoding.of_kind(data.get("quantized", False), "quantized", bool),
                    "preparation": Preparation.from_json(
                        decoding.of_kind(data.get("preparation", {}), "preparation", dict)
                    ),
                    "task": Task.from_json(data.get("task")),
                    # Versions that knew no tasks left stems as they were.
                    "shrinks": decoding.of_kind(data.get("shrinks", "task" in data), "shrinks", bool),
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
            raise DecodeError(
                f"run.yaml: the settings of the search cannot be read ({decoding.reason(error)}): restore the file"
            ) from error


def _ladder(data: Mapping[str, Any]) -> Ladder:
    """The rungs; runs of the first version have one, under another name."""
    texts = decoding.texts(data, "ladder") if "ladder" in data else (decoding.field(data, "rung", str),)
    return checked_ladder(tuple(Rung.parse(text) for text in texts))


def _predicted_device(data: Mapping[str, Any]) -> PredictedDevice | None:
    described = decoding.of_kind(data.get("predicted_device"), "predicted_device", dict, NoneType)
    return None if described is None else PredictedDevice.from_json(described)


def _predicted_bound(data: Mapping[str, Any]) -> float | None:
    bound = decoding.of_kind(data.get("predicted_bound_ms"), "predicted_bound_ms", int, float, NoneType)
    return None if bound is None else float(bound)


def _recipe(data: Mapping[str, Any]) -> Recipe:
    """A recipe whose every number is one.  Raises DecodeError otherwise."""
    recipe = recipe_from_json(data)
    ranges = asdict(recipe.augmentation)
    if not isinstance(ranges.pop("flip"), bool) or not all(is_number(v) and v >= 0 for v in ranges.values()):
        raise DecodeError(f"recipe: augmentation {asdict(recipe.augmentation)}: not its ranges")
    if not isinstance(recipe.batch, int) or not (is_number(recipe.batch) and 1 <= recipe.batch <= _MAX_BATCH):
        raise DecodeError(f"recipe: batch {recipe.batch!r:.80} must be a whole number in 1..{_MAX_BATCH}")
    if recipe.schedule not in ("cosine", "paper"):
        raise DecodeError(f"recipe: schedule {recipe.schedule!r:.80} is neither cosine nor paper")
    if recipe.class_weights not in ("none", "balanced"):
        raise DecodeError(f"recipe: class_weights {recipe.class_weights!r:.80} is neither none nor balanced")
    if not is_number(recipe.learning_rate) or recipe.learning_rate <= 0:
        raise DecodeError(f"recipe: learning_rate {recipe.learning_rate!r:.80} must be a number above 0")
    for name, value in (("label_smoothing", recipe.label_smoothing), ("weight_decay", recipe.weight_decay)):
        if not is_number(value) or not 0 <= value < 1:
            raise DecodeError(f"recipe: {name} {value!r:.80} must be a number from 0 to below 1")
    if not is_number(recipe.target_weight) or recipe.target_weight <= 0:
        raise DecodeError(f"recipe: target_weight {recipe.target_weight!r:.80} must be a number above 0")
    if recipe.target_loss not in ("mse", "ccc") or not isinstance(recipe.soft_labels, bool):
        raise DecodeError(f"recipe: target_loss {recipe.target_loss!r:.80}, soft_labels {recipe.soft_labels!r:.80}")
    return recipe


@dataclass(frozen=True, eq=False)
class Materials:
    """What settings stand for: loaded, adapted to each other, and checked."""

    space: SearchSpace
    indicator: Indicator
    dataset: Dataset
    split: Split


def describe_space(source: str | Path | SearchSpace, space: SearchSpace) -> dict[str, Any]:
    """What run.yaml says of the space: its name, and the whole of it where it came from YAML."""
    spec = getattr(space, "spec", None)
    described = spec.model_dump() if isinstance(spec, StrictModel) else None
    reference = str(source) if isinstance(source, str | Path) else None
    name = Path(reference).stem if reference and described else (reference or type(space).__name__)
    return {"name": name, "source": reference, "spec": described}


def recorded_space(description: Mapping[str, Any]) -> SearchSpace:
    """The space that :func:`describe_space` described.

    Raises:
        InputError: it was given as a Python object without an importable name.
        DecodeError: the description is damaged.
    """
    spec = description.get("spec")
    if spec is None:
        source = description.get("source")
        if not isinstance(source, str):
            raise InputError("this run's space was given as a Python object: pass it again from Python, as space=...")
        return load_space(source)
    try:
        return FAMILIES[spec["family"]].model_validate(spec).space()
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise DecodeError(f"run.yaml: the search space cannot be read ({where}: {fault['msg']})") from error
    except (KeyError, TypeError) as error:
        raise DecodeError(f"run.yaml: the search space cannot be read ({decoding.reason(error)})") from error


def fitted_to(
    space: SearchSpace, input_shape: tuple[int, int, int], classes: int, task: Task, *, shrinks: bool = True
) -> SearchSpace:
    """``space`` for images of ``input_shape``, data of so many classes, and what networks are to answer.

    Args:
        space, input_shape, classes, task: of the search.
        shrinks: whether stems take larger steps where images are large; in runs of earlier versions they do not.

    Raises:
        InputError: it cannot be adapted to these.
    """
    return fit_to_data(space, input_shape, classes, head_for(task, classes), shrinks=shrinks)


def fitted_space(recorded: Mapping[str, Any], settings: Settings, space: SearchSpace | None = None) -> SearchSpace:
    """The space of a recorded search, fitted to its images; the data itself is not looked at.

    Args:
        recorded: run.yaml.
        settings: those that it holds.
        space: where the run was started with a Python object, the same again.

    Raises:
        InputError: the space must be given.
        DecodeError: run.yaml is damaged.
    """
    data = decoding.field(recorded, "data", dict)
    height, width, channels = (decoding.field(data, side, int) for side in ("height", "width", "channels"))
    classes = decoding.field(data, "classes", dict)
    given, shape = space or recorded_space(settings.space), (height, width, channels)
    return fitted_to(given, shape, len(classes), settings.task, shrinks=settings.shrinks)


def import_space(description: Mapping[str, Any]) -> None:
    """Imports the module that defines a user's own family, where run.yaml names one."""
    if description.get("spec") is None and isinstance(description.get("source"), str):
        load_space(description["source"])


def recorded_data(settings: Settings, dataset: str | Path | Dataset | None = None) -> tuple[Dataset, Split]:
    """The data and the folds of a recorded search.

    Args:
        settings: of the search.
        dataset: the same data, where it is elsewhere now or was given as a Python object.

    Raises:
        InputError: they are not what the run was started with, or must be given again.
    """
    if not isinstance(dataset, Dataset):
        source, wanted = dataset or _data_source(settings), settings.task.wanted
        dataset = load_dataset(source, image_size=settings.image_size, wanted=wanted)
    dataset = settings.preparation.prepared(dataset)
    if dataset.fingerprint != settings.data_fingerprint:
        raise InputError(
            f"{settings.data_source or 'the data'}: fingerprint {dataset.fingerprint}, the run was started on "
            f"{settings.data_fingerprint}: results on other data cannot be mixed; start a new search"
        )
    split = make_split(dataset, folds=settings.folds, holdout=settings.holdout, seed=settings.seed)
    if split.hash != settings.split_hash:
        raise InputError(
            f"the folds come out differently (hash {split.hash}, was {settings.split_hash}): another version of "
            "scikit-learn? Start a new search, or install the versions named in run.yaml"
        )
    return dataset, settings.preparation.marked(split)


def check_task(settings: Settings, dataset: Dataset) -> None:
    """Raises InputError where objectives, constraints or the recipe do not go with the task on this data."""
    check_metrics(settings.task, settings.objectives, settings.indicator)
    check_training(settings.task, settings.recipe, dataset)


def check_training(task: Task, recipe: Recipe, dataset: Dataset) -> None:
    """Raises InputError where the recipe does not go with the task on this data."""
    if task.landmarks not in (0, LANDMARKS) and recipe.augmentation.flip:
        raise InputError(
            f"{task.landmarks} landmarks: which of them change places in a mirrored image is known of {LANDMARKS} "
            "(iBUG) alone: switch mirroring off with --no-flip"
        )
    if recipe.soft_labels and (dataset.soft_labels is None or not task.classifies):
        raise InputError(
            f"soft_labels: {dataset.caption} has one label an image, or the task names no class: leave it out of the "
            "recipe"
        )


def search_folds(settings: Settings, dataset: Dataset, split: Split, folds: int) -> Split:
    """Another number of folds over the subjects that a search had; those that it set aside are the same.

    Raises:
        InputError: a class has fewer subjects than folds.
    """
    other = make_split(dataset, folds=folds, holdout=settings.holdout, seed=settings.seed)
    if not np.array_equal(other.holdout, split.holdout):
        raise NasError("the subjects set aside are not those of the search; please report this")
    return settings.preparation.marked(other)


def _data_source(settings: Settings) -> str:
    """Where the data of a search was when it was last driven.  Raises InputError when it is not there."""
    source = settings.data_source
    if source is None:
        raise InputError("this run's data was given as a Python object: pass it again, as dataset=...")
    if not is_name(source) and not os.path.exists(source):
        raise InputError(f"{source}: the run's data is not there any more; say where it is now with --data PATH")
    return source


def materials_of(
    settings: Settings, dataset: str | Path | Dataset | None = None, space: SearchSpace | None = None
) -> Materials:
    """Loads what a recorded search needs, and checks that it is what it was.

    Raises:
        InputError: the data or the split differ from those that the run was started with.
    """
    data, split = recorded_data(settings, dataset)
    given = space or recorded_space(settings.space)
    shape, classes = data.input_shape, len(data.class_names)
    adapted = fitted_to(given, shape, classes, settings.task, shrinks=settings.shrinks)
    return Materials(adapted, load_indicator(settings.indicator), data, split)
