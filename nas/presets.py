"""Search spaces and indicators that ship with the package, found by name from any folder."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from nas.errors import InputError

_PACKAGE = Path(__file__).parent


def _folder(kind: str) -> Path:
    # In a wheel the folder sits beside this file; in a checkout or an editable install it is the top-level one.
    shipped = _PACKAGE / kind
    return shipped if shipped.is_dir() else _PACKAGE.parent / kind


def preset_names(kind: str) -> list[str]:
    """Names of the presets of ``kind`` (``search_spaces``, ``constraints`` or ``label_maps``)."""
    return sorted(path.stem for path in _folder(kind).glob("*.yaml"))


def resolve(kind: str, name_or_path: str | Path) -> Path:
    """The YAML file that a preset's name or a path stands for.

    Raises:
        InputError: neither a preset nor an existing file; names the nearest preset.
    """
    text = str(name_or_path)
    names = preset_names(kind)
    if text in names:
        return _folder(kind) / f"{text}.yaml"
    path = Path(text)
    if os.path.isfile(path):  # Path.is_file() raises for what can be no path, such as a name of a thousand letters
        return path
    near = difflib.get_close_matches(text, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{text!r}: no such file, and no preset of {kind.replace('_', ' ')} ({', '.join(names)}){hint}")
