"""What a search may propose: a prototype, bounds, and legal edits."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from nas.architecture import Architecture, Edit
from nas.errors import InputError
from nas.families.inverted import InvertedSpaceSpec
from nas.families.residual_space import ResidualSpaceSpec
from nas.families.xception import XceptionSpaceSpec
from nas.head import Head
from nas.headed_space import HeadedSpace, ProvableHeadedSpace
from nas.presets import resolve
from nas.shrink import halvings
from nas.yamlfile import parse_yaml, read_yaml

if TYPE_CHECKING:
    import numpy as np
    from optuna.distributions import BaseDistribution

FAMILIES: Final[Mapping[str, type[ResidualSpaceSpec | XceptionSpaceSpec | InvertedSpaceSpec]]] = {
    "residual": ResidualSpaceSpec,
    "xception": XceptionSpaceSpec,
    "inverted": InvertedSpaceSpec,
}


@runtime_checkable
class SearchSpace(Protocol):
    """Maps architectures to a fixed, flat set of Optuna parameters and back, and lists legal edits.

    Laws (tests/test_space_laws.py runs them on any space): ``from_params(to_params(a)) == a``;
    ``to_params(from_params(p))`` is idempotent, parameters of inactive parts are ignored; every edit of ``edits(a)``
    gives another architecture of the same space, with another id.
    """

    @property
    def prototype(self) -> Architecture:
        """Where the search starts: candidate 0."""

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of every parameter."""

    def to_params(self, architecture: Architecture) -> dict[str, Any]:
        """Parameter values of an architecture.  Raises InputError for one outside the space."""

    def from_params(self, params: Mapping[str, Any]) -> Architecture:
        """The architecture that parameter values stand for.  Raises InputError for missing or illegal values."""

    def edits(self, architecture: Architecture) -> Sequence[Edit]:
        """All legal mutations of ``architecture``."""

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random architecture of the space."""


@runtime_checkable
class AdaptableSpace(SearchSpace, Protocol):
    """A space whose networks can take another input shape and another number of classes."""

    def adapted(self, input_shape: tuple[int, int, int], classes: int) -> SearchSpace:
        """The same space for images of ``input_shape`` (height, width, channels) and ``classes`` classes."""


@runtime_checkable
class ProvableSpace(SearchSpace, Protocol):
    """A space that knows its extremes, so that a bound that no architecture can meet is refused before training."""

    def cheapest(self) -> Sequence[Architecture]:
        """Some architectures; of each exact cost, and of kernel bytes, one of them has the least in the space."""

    def dearest(self) -> Sequence[Architecture]:
        """Some architectures; of each exact cost one of them has the most in the space."""


def load_space(source: str | Path | SearchSpace) -> SearchSpace:
    """A space from a preset's name, a YAML file, ``package.module:object``, or an object that is one already.

    Raises:
        InputError: nothing of that name, a faulty file, or an object that is no search space.
    """
    if not isinstance(source, str | Path):
        return _checked(source, repr(source))
    text = str(source)
    if ":" in text and not os.path.exists(text):
        return _checked(_import_object(text), text)
    path = resolve("search_spaces", source)
    family = read_yaml(path)[0].get("family")
    spec = FAMILIES.get(family) if isinstance(family, str) else None
    if spec is None:
        raise InputError(f"{path}: family: {family!r} is not known; use one of {', '.join(sorted(FAMILIES))}")
    return parse_yaml(path, spec).space()


def fit_to_data(
    space: SearchSpace,
    input_shape: tuple[int, int, int],
    classes: int,
    head: Head | None = None,
    *,
    shrinks: bool = True,
) -> SearchSpace:
    """``space`` for images of ``input_shape`` and for the answers that are wanted; adapts it when it can be adapted.

    Where more is wanted than classes, or landmarks are given, its networks get another end (:mod:`nas.headed_space`);
    where the images are much larger than those it was drawn for, their stem takes larger steps (:mod:`nas.shrink`).

    Args:
        space: any.
        input_shape: (height, width, channels).
        classes: of the data; ignored where ``head`` is given.
        head: what networks answer and take; None for ``classes`` classes of images.
        shrinks: whether their stem takes larger steps where images are large.

    Raises:
        InputError: the space is for other images and cannot be adapted.
    """
    if isinstance(space, HeadedSpace):
        head = head or (replace(space.head, classes=classes) if space.head.classes else space.head)
        return _fitted(space.trunk, input_shape, head, space.shrink, shrinks=shrinks)
    return _fitted(space, input_shape, head or Head(classes), shrinks=shrinks)


def _fitted(
    space: SearchSpace, input_shape: tuple[int, int, int], head: Head, before: int = 0, *, shrinks: bool
) -> SearchSpace:
    """``space`` for such images and such a head, its stem halving ``before`` times already."""
    graph = space.prototype.graph()
    if (graph.input_shape, graph.classes, graph.targets, graph.points) == (
        *(input_shape, head.classes, head.targets, head.landmarks),
    ) and not before:
        return space
    shrink = before + (halvings(graph.input_shape, input_shape) if shrinks else 0)
    trunk = _adapted(space, input_shape, head)
    if head.plain and not shrink:
        return trunk
    provable = ProvableHeadedSpace if isinstance(trunk, ProvableSpace) else HeadedSpace
    return provable(trunk, head, shrink)


def _adapted(space: SearchSpace, input_shape: tuple[int, int, int], head: Head) -> SearchSpace:
    """``space`` for such images and, where there are any, so many classes.  Raises InputError."""
    graph = space.prototype.graph()
    classes = head.classes or graph.classes
    if graph.input_shape == input_shape and (graph.classes == classes or not head.plain):
        return space
    if isinstance(space, AdaptableSpace):
        return space.adapted(input_shape, classes)
    raise InputError(
        f"the space's prototype takes {graph.input_shape} images of {graph.classes} classes, the data has "
        f"{input_shape} and {classes}: give the space a method adapted(input_shape, classes), or convert the data"
    )


def check_prototype(space: SearchSpace) -> None:
    """Raises InputError when the prototype lies outside the bounds of its own space."""
    prototype = space.prototype
    try:
        params = space.to_params(prototype)
        again = space.from_params(params)
    except InputError as error:
        raise InputError(
            f"the space's prototype is no member of it: {error}; change the prototype or bounds"
        ) from error
    for name, distribution in space.distributions().items():
        if name not in params or not distribution._contains(distribution.to_internal_repr(params[name])):
            raise InputError(
                f"the space's prototype is no member of it: parameter {name} = {params.get(name)!r} lies outside of "
                f"{distribution}; change the prototype or the bounds"
            )
    if again != prototype:
        raise InputError("the space's prototype is no member of it: its parameters stand for another architecture")


def _checked(thing: object, name: str) -> SearchSpace:
    if isinstance(thing, type):
        raise InputError(f"{name} is a class; name an instance of it")
    if isinstance(thing, SearchSpace):
        return thing
    wanted = ("prototype", "distributions", "to_params", "from_params", "edits", "sample")
    missing = ", ".join(m for m in wanted if m not in dir(thing))
    raise InputError(f"{name} is no search space: it lacks {missing}")


def _import_object(text: str) -> object:
    module_name, _, attribute = text.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # a module in the folder where the user stands, as `python` itself would find it
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # whatever a user's own module raises
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if last.filename == __file__ or "importlib" in last.filename else f", {last.filename}:{last.lineno}"
        raise InputError(
            f"{text}: cannot be imported ({type(error).__name__}: {error}{where}); write package.module:object"
        ) from error
