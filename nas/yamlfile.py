"""YAML files of users: read safely, errors with line, field and bound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import pydantic
import yaml

from nas.errors import InputError

Model = TypeVar("Model", bound=pydantic.BaseModel)
# The run.yaml of a search on ten thousand classes stays below each of these; reading what they allow takes seconds.
_MAX_BYTES: Final = 1_000_000
_MAX_DEPTH: Final = 32
_MAX_NODES: Final = 30_000
_MAX_DIGITS: Final = 400  # of a number: more than any float has
_NUMBERS: Final = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_MERGE: Final = "tag:yaml.org,2002:merge"


class StrictModel(pydantic.BaseModel):
    """Base of what a YAML file may hold: unknown keys are errors, values are not coerced, nothing changes later."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _PlainLoader(yaml.SafeLoader):
    """Reads plain data only, in one pass, and stops at the first node that is none, however large the rest is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node and all below it; refuses what a file of settings has no need of."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        self._nodes += 1
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"aliases (*{event.anchor}) are not accepted, since a few can expand to gigabytes", "")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            self._refuse(event, f"not valid YAML of this kind: the tag {event.tag} is not accepted", "")
        if self._depth > _MAX_DEPTH:
            self._refuse(event, f"nested more than {_MAX_DEPTH} deep", "flatten it")
        if self._nodes > _MAX_NODES:
            self._refuse(event, f"more than {_MAX_NODES} values", "shorten it")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
            self._refuse(node, f"a number of {len(node.value)} digits", f"use at most {_MAX_DIGITS}")
        return node

    def _check_keys(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                self._refuse(key, "a key that is no plain word", "write a name")
            if key.value in seen:
                self._refuse(key, f"the key {key.value!r} is given twice", "keep one")
            seen.add(key.value)

    def _refuse(self, where: Any, problem: str, remedy: str) -> NoReturn:
        raise _RefusedError(where.start_mark.line + 1, f"{problem}; {remedy or 'write it out'}")


# PyYAML follows YAML 1.1, where 3e-3 is a word; YAML 1.2, JSON and Python read a number.
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]{1,2}$"), list("-+0123456789")
)


class _RefusedError(Exception):
    """What :class:`_PlainLoader` found, and at which line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def read_yaml(path: Path) -> tuple[dict[str, Any], yaml.Node]:
    """The mapping in ``path`` and its node tree (for line numbers).

    Only plain values are accepted: no aliases (a few of them can expand to gigabytes), no tags, no deep nesting.

    Raises:
        InputError: no such file, not YAML, not a mapping, or something in it that is not accepted; with the line.
    """
    text = _text(path)
    try:
        loader = _PlainLoader(text)
        try:
            node = loader.get_single_node()
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except _RefusedError as error:
        raise InputError(f"{path}:{error.line}: {error}") from error
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise InputError(f"{where}: not valid YAML: {_problem(error)}; correct or restore it") from error
    if not isinstance(data, dict) or node is None:
        raise InputError(f"{path}: expected a mapping of fields at the top, got {type(data).__name__}")
    return data, node


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:  # bounded, since a file such as /proc's or a growing one has no size of its own
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as a text file ({reason}); check the path") from error
    if len(content) > _MAX_BYTES:
        raise InputError(
            f"{path}: more than {_MAX_BYTES} bytes, the most that a file of this kind may have; shorten it"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8 text ({error.reason}); save it as UTF-8") from error


def _problem(error: Exception) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        character = error.character if isinstance(error.character, int) else ord(error.character[:1])
        return f"character {character:#04x} at position {error.position} is not allowed"
    return getattr(error, "problem", None) or str(error) or type(error).__name__


def parse_yaml(path: Path, model: type[Model]) -> Model:
    """Reads ``path`` as a ``model``.  Raises InputError with file, line, field and bound of the first faults."""
    data, node = read_yaml(path)
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        raise InputError(_faults(path, node, error)) from error


def _faults(path: Path, node: yaml.Node, error: pydantic.ValidationError) -> str:
    lines = []
    for fault in error.errors()[:3]:
        location = fault["loc"]
        field = ".".join(str(part) for part in location) or "file"
        problem = str(fault["msg"]).removeprefix("Value error, ")
        given = fault["input"]
        value = f" (got {given!r:.80})" if isinstance(given, str | int | float | bool | None) else ""
        if fault["type"] == "extra_forbidden":
            problem, value = "unknown key", ""
        lines.append(f"{path}:{_line(node, location)}: {field}: {problem}{value}")
    if error.error_count() > len(lines):
        lines.append(f"and {error.error_count() - len(lines)} more")
    return "; ".join(lines)


def _line(node: yaml.Node, location: tuple[int | str, ...]) -> int:
    """Line, from 1, of the deepest node that ``location`` leads to."""
    line = node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    node, line = value, key.start_mark.line + 1
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
