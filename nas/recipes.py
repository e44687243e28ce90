"""How a search trains, as a YAML file: what ``nas tune`` writes and ``nas search --recipe`` takes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from nas.errors import InputError
from nas.evaluation.augment import Augmentation
from nas.evaluation.train import ClassWeights, Recipe, Schedule, TargetLoss
from nas.run.atomic import write_atomic
from nas.rung import Ladder, Rung, checked_ladder
from nas.yamlfile import StrictModel, parse_yaml

_Share = Annotated[float, Field(ge=0, lt=1)]


class _AugmentationSpec(StrictModel):
    rotation: Annotated[float, Field(ge=0, le=math.pi)] = Augmentation.rotation
    shift: _Share = Augmentation.shift
    zoom: _Share = Augmentation.zoom
    flip: bool = Augmentation.flip


class _RecipeSpec(StrictModel):
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = Recipe.batch
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Recipe.learning_rate
    schedule: Schedule = Recipe.schedule
    label_smoothing: _Share = Recipe.label_smoothing
    weight_decay: _Share = Recipe.weight_decay
    class_weights: ClassWeights = Recipe.class_weights
    target_weight: Annotated[float, Field(gt=0, le=1000)] = Recipe.target_weight
    target_loss: TargetLoss = Recipe.target_loss
    soft_labels: bool = Recipe.soft_labels
    augmentation: _AugmentationSpec = _AugmentationSpec()


class _LadderSpec(StrictModel):
    rungs: Annotated[list[str], Field(min_length=1)] | None = None
    inherit: bool | None = None
    probe: bool | None = None


class RecipeFile(StrictModel):
    """A file with the sections ``recipe`` and ``ladder``; what is left out has its default."""

    recipe: _RecipeSpec = _RecipeSpec()
    ladder: _LadderSpec = _LadderSpec()


@dataclass(frozen=True)
class Training:
    """How a search trains, as far as a file says it.

    Attributes:
        recipe: of every training.
        ladder: the rungs; None where nothing is said, as in the others.
        inherit, probe: see :class:`nas.api.SearchOptions`.
    """

    recipe: Recipe = field(default_factory=Recipe)
    ladder: Ladder | None = None
    inherit: bool | None = None
    probe: bool | None = None


def read_training(path: Path) -> Training:
    """What a YAML file says.  Raises InputError with file, line, field and bound of what is wrong."""
    read = parse_yaml(path, RecipeFile)
    given, climbing = read.recipe.model_dump(), read.ladder
    recipe = Recipe(**{**given, "augmentation": Augmentation(**given["augmentation"])})
    try:
        ladder = None if climbing.rungs is None else checked_ladder(tuple(map(Rung.parse, climbing.rungs)))
    except InputError as error:
        raise InputError(f"{path}: ladder.rungs: {error}") from error
    return Training(recipe, ladder, climbing.inherit, climbing.probe)


def read_recipe(path: Path) -> Recipe:
    """The recipe alone of a YAML file.  Raises InputError as :func:`read_training` does."""
    return read_training(path).recipe


def write_recipe(path: Path, recipe: Recipe, comment: str) -> None:
    """Writes a file for :func:`read_recipe`, headed by ``comment``.

    Raises:
        EnvironmentStopError: it cannot be written.
    """
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    write_atomic(path, head + yaml.safe_dump({"recipe": asdict(recipe)}, sort_keys=False))
