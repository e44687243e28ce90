"""YAML files of users: read safely, errors with line, field and bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar

import pydantic
import yaml

from nas.errors import InputError

Model = TypeVar("Model", bound=pydantic.BaseModel)
_MAX_BYTES: Final = 1_000_000


class StrictModel(pydantic.BaseModel):
    """Base of what a YAML file may hold: unknown keys are errors, values are not coerced, nothing changes later."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


def read_yaml(path: Path) -> tuple[dict[str, Any], yaml.Node]:
    """The mapping in ``path`` and its node tree (for line numbers).

    Only the safe loader's types are accepted; aliases are refused, since a few of them can expand to gigabytes.

    Raises:
        InputError: no such file, not YAML, not a mapping, a tag, an alias or a key given twice.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes; a file of this kind has at most {_MAX_BYTES}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a text file ({error}); check the path") from error
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) and event.start_mark is not None:
                raise InputError(
                    f"{path}:{event.start_mark.line + 1}: aliases (*{event.anchor}) are not accepted; write it out"
                )
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        problem = getattr(error, "problem", None) or str(error) or "nested too deeply"
        raise InputError(f"{where}: not valid YAML: {problem}") from error
    if not isinstance(data, dict) or node is None:
        raise InputError(f"{path}: expected a mapping of fields at the top, got {type(data).__name__}")
    _refuse_repeated_keys(path, node)
    return data, node


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


def _refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(path, value)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise InputError(f"{path}:{key.start_mark.line + 1}: the key {key.value!r} is given twice; keep one")
            seen.add(key.value)
            _refuse_repeated_keys(path, value)
