"""What a user should know about how well a data set covers its classes and people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

NO_SUBJECTS = "no subject ids: folds are not subject-independent"


def coverage_warnings(
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    subjects: npt.NDArray[np.str_] | None,
    sequences: npt.NDArray[np.str_] | None = None,
) -> tuple[str, ...]:
    """One sentence for each class that cannot be both trained and tested, and one where subjects are unknown.

    Args:
        labels: shape (n,), indices into ``class_names``.
        class_names: the classes.
        subjects: shape (n,), or None where unknown.
        sequences: shape (n,), or None where unknown.
    """
    found = [_class_warning(labels == index, name, subjects) for index, name in enumerate(class_names)]
    if subjects is None:
        kept = "" if sequences is None else " (but each sequence stays within one fold)"
        found.append(NO_SUBJECTS + kept)
    return tuple(sentence for sentence in found if sentence)


def _class_warning(members: npt.NDArray[np.bool_], name: str, subjects: npt.NDArray[np.str_] | None) -> str:
    """Shape of ``members``: (n,); empty where there is nothing to say."""
    count = int(members.sum())
    if count == 0:
        return f"class {name!r} has no image"
    if count == 1:
        return f"class {name!r} has one image only: it cannot be both trained and tested"
    if subjects is not None and len(np.unique(subjects[members])) == 1:
        return f"class {name!r} has images of one subject only: it cannot be both trained and tested"
    return ""
