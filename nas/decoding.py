"""Fields of plain data that was read from a file: there, and of the right kind, or a message that says which is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nas.errors import DecodeError

_NAMES: Final[Mapping[type, str]] = {
    **{str: "text", int: "a whole number", float: "a number", bool: "true or false"},
    **{dict: "an object", list: "a list", type(None): "null"},
}


def field(data: object, name: str, *kinds: type) -> Any:
    """``data[name]``, which must be of one of ``kinds``; true and false are no numbers.

    Raises:
        DecodeError: ``data`` is no object, has no such field, or one of another kind.
    """
    if not isinstance(data, Mapping):
        raise DecodeError(f"expected an object with a field {name!r}, got {data!r:.80}")
    if name not in data:
        raise DecodeError(f"the field {name!r} is missing")
    return of_kind(data[name], name, *kinds)


def of_kind(value: object, name: str, *kinds: type) -> Any:
    """``value``, which must be of one of ``kinds``.  Raises DecodeError, which calls it ``name``."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(_NAMES.get(kind, kind.__name__) for kind in kinds)
        raise DecodeError(f"{name}: {value!r:.80} is not {wanted}")
    return value


def integer(value: object) -> int:
    """``value``, which is a whole number and no truth value.  Raises TypeError otherwise."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not an integer")
    return value


def texts(data: object, name: str) -> tuple[str, ...]:
    """``data[name]``, a list of texts.  Raises DecodeError."""
    return tuple(of_kind(item, f"an item of {name}", str) for item in field(data, name, list))


def reason(error: Exception) -> str:
    """What an error says, for a message: a missing field by its name."""
    if isinstance(error, KeyError) and error.args:
        return f"the field {error.args[0]!r} is missing"
    return str(error) or type(error).__name__
