"""Label maps: the classes of a data set renamed, merged or left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, field_validator, model_validator

from nas.data.dataset import Dataset
from nas.errors import DecodeError, InputError
from nas.presets import resolve
from nas.yamlfile import StrictModel, parse_yaml

FOLDER: Final = "label_maps"
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_DROP: Final = "drop"


class LabelMap(StrictModel):
    """Which class of a set becomes which; names are compared without regard to case.

    Attributes:
        classes: each new class with the names of those that become it, in the order of the network's outputs.
        drop: names of classes whose images are left out.
        rest: what becomes of classes that are named nowhere: ``drop``, or the name of a new class; without it they are
            an error.
    """

    classes: Annotated[dict[_Name, Annotated[list[_Name], Field(min_length=1)]], Field(min_length=2)]
    drop: Annotated[list[_Name], Field(default_factory=list)]
    rest: _Name | None = None

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: dict[str, list[str]]) -> dict[str, list[str]]:
        seen: dict[str, str] = {}
        for name, sources in classes.items():
            for source in map(_plain, sources):
                if source in seen and seen[source] != name:
                    raise ValueError(f"{source!r} becomes {seen[source]!r} and {name!r}; keep one")
                seen[source] = name
        return classes

    @model_validator(mode="after")
    def _kept_or_dropped(self) -> Self:
        sources = {_plain(source) for each in self.classes.values() for source in each}
        both = [name for name in self.drop if _plain(name) in sources]
        if both:
            raise ValueError(f"{both[0]!r} is dropped, and becomes a class; keep one")
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return self.model_dump()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelMap:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError for anything else."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise DecodeError(f"run.yaml: the label map cannot be read ({error.errors()[0]['msg']})") from error

    def target_of(self, name: str) -> str | None:
        """The class that ``name`` becomes; None where it is left out.

        Raises:
            InputError: the map does not mention it.
        """
        plain = _plain(name)
        if plain in map(_plain, self.drop):
            return None
        for target, sources in self.classes.items():
            if plain in map(_plain, sources):
                return target
        if self.rest is None:
            known = ", ".join(source for sources in (*self.classes.values(), self.drop) for source in sources)
            raise InputError(
                f"class {name!r} is not in the label map, which knows {known}: add it there, or give rest: drop or "
                "rest: NAME-OF-A-CLASS"
            )
        return None if self.drops_rest else self.rest

    @property
    def drops_rest(self) -> bool:
        """Whether images of classes that are named nowhere are left out."""
        return self.rest is not None and _plain(self.rest) == _DROP


def _plain(name: str) -> str:
    return name.strip().casefold()


def load_label_map(source: str | Path | LabelMap) -> LabelMap:
    """A label map from a preset's name, a YAML file, or as it is.

    Raises:
        InputError: nothing of that name; or file, line, field and bound of what is wrong.
    """
    return source if isinstance(source, LabelMap) else parse_yaml(resolve(FOLDER, source), LabelMap)


def relabelled(dataset: Dataset, labels: LabelMap) -> Dataset:
    """``dataset`` with the classes of a label map; images of classes that it drops are left out.

    Soft labels of merged classes are added, and what remains is divided by its sum; where nothing remains, the image
    has its label alone.  A new class that no class of the data becomes is left out.

    Raises:
        InputError: a class that the map does not mention, or fewer than two classes remain.
    """
    targets = [labels.target_of(name) for name in dataset.class_names]
    order = list(labels.classes)
    if labels.rest is not None and not labels.drops_rest and labels.rest not in order:
        order.append(labels.rest)
    names = tuple(name for name in order if name in targets)
    if len(names) < 2:
        raise InputError(
            f"{dataset.caption}: the label map leaves {' and '.join(names) or 'no class'} of its classes "
            f"({', '.join(dataset.class_names)}); a classifier needs at least two"
        )
    number = np.array([-1 if target is None else names.index(target) for target in targets], np.int64)
    kept = np.flatnonzero(number[dataset.labels] >= 0)
    # Before the images are gathered: soft labels have a column a class, which the new class names must fit.
    soft = None if dataset.soft_labels is None else _merged(dataset.soft_labels, number, len(names))
    absent = [name for name in order if name not in names]
    told = [f"the label map's classes {', '.join(absent)} have no image here and are left out"] if absent else []
    if len(kept) < len(dataset):
        told.append(f"{len(dataset) - len(kept)} images of classes that the label map drops are left out")
    part = replace(dataset, soft_labels=None).subset(kept) if len(kept) < len(dataset) else dataset
    return replace(
        part,
        labels=number[part.labels],
        class_names=names,
        soft_labels=None if soft is None else _or_alone(soft[kept], number[part.labels]),
        caption=f"{dataset.caption}, as {len(names)} classes ({', '.join(names)})",
        warnings=(*dataset.warnings, *told),
    )


def _merged(soft: npt.NDArray[np.float32], number: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float32]:
    """(n, old classes) to (n, classes): columns of one number are added, those of -1 left out."""
    columns = (number[:, None] == np.arange(classes)).astype(np.float32)
    return np.asarray(soft @ columns, np.float32)


def _or_alone(soft: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Rows divided by their sums; (n, classes)."""
    sums = soft.sum(axis=1, keepdims=True)
    alone = np.eye(soft.shape[1], dtype=np.float32)[labels]
    return np.where(sums > 0, soft / np.where(sums > 0, sums, 1), alone).astype(np.float32)
