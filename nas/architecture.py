"""The genotype of a network, and one mutation of it."""

from __future__ import annotations

import abc
import enum
import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Self

from nas.cost import Cost, cost_of
from nas.errors import DecodeError
from nas.graph import Graph

_BUILT_IN: Final = {name: f"nas.families.{name}" for name in ("residual", "xception", "inverted", "headed")}
_ID_DIGITS: Final = 12


class Architecture(abc.ABC):
    """A frozen genotype of a family.

    Knows nothing of weights, TensorFlow or Optuna.  A family is one module: a frozen dataclass that derives from this
    class, names its :attr:`family`, and says how it becomes plain data and an operator graph.
    """

    family: ClassVar[str]

    @abc.abstractmethod
    def genotype(self) -> dict[str, Any]:
        """All that decides the network, as JSON data; equal architectures give equal data."""

    @classmethod
    @abc.abstractmethod
    def from_genotype(cls, data: Mapping[str, Any]) -> Self:
        """Reads what :meth:`genotype` wrote.  Raises DecodeError on anything else."""

    @abc.abstractmethod
    def graph(self) -> Graph:
        """The operator graph that this genotype expands to."""

    @cached_property
    def id(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the canonical JSON; the same in every process."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:_ID_DIGITS]

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps({"family": self.family, **self.genotype()}, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Architecture:
        """Reads what :meth:`to_json` wrote, for every family that is defined in this process.

        Raises:
            DecodeError: text that is not an architecture, or of a family that nobody has imported.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"not JSON: {error}") from error
        if not isinstance(data, dict) or not isinstance(data.get("family"), str):
            raise DecodeError('an architecture is a JSON object with a field "family"')
        return _family(data.pop("family")).from_genotype(data)

    def cost(self) -> Cost:
        """Exact costs, from the graph alone."""
        return cost_of(self.graph())


def _family(name: str) -> type[Architecture]:
    if name in _BUILT_IN:
        importlib.import_module(_BUILT_IN[name])
    pending = list(Architecture.__subclasses__())
    known = set(_BUILT_IN)
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        family = cls.__dict__.get("family")
        if family == name:
            return cls
        if family:
            known.add(family)
    raise DecodeError(f"unknown family {name!r}; known here: {', '.join(sorted(known))}; import its module first")


class EditKind(enum.StrEnum):
    """What one mutation does."""

    WIDEN = "widen"
    NARROW = "narrow"
    ADD_BLOCK = "add_block"
    REMOVE_BLOCK = "remove_block"
    ADD_LINK = "add_link"
    REMOVE_LINK = "remove_link"
    RESTRIDE = "restride"
    RETYPE = "retype"


@dataclass(frozen=True)
class Edit(abc.ABC):
    """One mutation: an architecture's child is parent + edits."""

    kind: EditKind

    @property
    def scope(self) -> str:
        """How much of the network changes; within a kind, strategies pick a scope first and then an edit of it."""
        return ""

    @abc.abstractmethod
    def apply(self, parent: Architecture) -> Architecture:
        """The child.  Raises InputError where the edit does not fit ``parent``."""

    @abc.abstractmethod
    def __str__(self) -> str:
        """For people and records, such as ``narrow stage3.width 64->32``."""
