"""One person under one name, however it is spelled."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

_SHOWN: Final = 3


def one_spelling(subjects: npt.NDArray[np.str_]) -> tuple[npt.NDArray[np.str_], tuple[str, ...]]:
    """``subjects`` with names that differ only by case or blanks made one (the first), and what to warn about.

    Two spellings would be two people to the folds, and one of them would be trained on while the other is tested.

    Args:
        subjects: shape (n,).
    """
    first: dict[str, str] = {}
    spellings: dict[str, set[str]] = {}
    for name in dict.fromkeys(map(str, subjects)):
        key = "".join(name.split()).casefold()
        first.setdefault(key, name.strip())
        spellings.setdefault(key, set()).add(name)
    found = [sorted(names) for names in spellings.values() if len(names) > 1]
    warnings = []
    if found:
        shown = "; ".join(", ".join(map(repr, names)) for names in found[:_SHOWN])
        warnings.append(f"{len(found)} subjects are spelled in several ways and taken as one each: {shown}")
    alike: dict[str, list[str]] = {}
    for key, name in first.items():
        alike.setdefault(re.sub(r"(?<!\d)0+(?=\d)", "", key), []).append(name)
    doubtful = [names for names in alike.values() if len(names) > 1]
    if doubtful:
        shown = "; ".join(", ".join(map(repr, names)) for names in doubtful[:_SHOWN])
        warnings.append(f"subjects that differ only by zeros are taken as different people: {shown}")
    renamed = {name: first["".join(name.split()).casefold()] for name in dict.fromkeys(map(str, subjects))}
    return np.array([renamed[str(name)] for name in subjects]), tuple(warnings)
