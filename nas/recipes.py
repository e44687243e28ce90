"""Recipes as YAML files: what ``nas tune`` writes and ``nas search --recipe`` takes."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from nas.evaluation.augment import Augmentation
from nas.evaluation.train import Recipe
from nas.run.atomic import write_atomic
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
    label_smoothing: _Share = Recipe.label_smoothing
    weight_decay: _Share = Recipe.weight_decay
    augmentation: _AugmentationSpec = _AugmentationSpec()


class RecipeFile(StrictModel):
    """A file with the one section ``recipe``; what is left out has its default."""

    recipe: _RecipeSpec


def read_recipe(path: Path) -> Recipe:
    """The recipe of a YAML file.  Raises InputError with file, line, field and bound of what is wrong."""
    given = parse_yaml(path, RecipeFile).recipe.model_dump()
    return Recipe(**{**given, "augmentation": Augmentation(**given["augmentation"])})


def write_recipe(path: Path, recipe: Recipe, comment: str) -> None:
    """Writes a file for :func:`read_recipe`, headed by ``comment``.

    Raises:
        EnvironmentStopError: it cannot be written.
    """
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    write_atomic(path, head + yaml.safe_dump({"recipe": asdict(recipe)}, sort_keys=False))
