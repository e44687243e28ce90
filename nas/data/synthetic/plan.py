"""Which subject makes which expressions: CK+'s counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nas.data.synthetic.draw import Draw
from nas.data.synthetic.expressions import CLASS_NAMES

SUBJECTS = 118
SEQUENCES_OF = {
    "anger": 45,
    "contempt": 18,
    "disgust": 59,
    "fear": 25,
    "happy": 69,
    "sadness": 28,
    "surprise": 83,
}
"""Labelled sequences of each expression in CK+ (Lucey et al. 2010), 327 in all."""

_MOST = 6
_SWAPS = 6000


def _loads(draw: Draw) -> npt.NDArray[np.int64]:
    """Number of sequences of each subject, 1 to 6, 327 in all, shape (118,)."""
    loads = np.ones(SUBJECTS, dtype=np.int64)
    left = sum(SEQUENCES_OF.values()) - SUBJECTS
    while left:
        subject = draw.below(SUBJECTS)
        if loads[subject] < _MOST:
            loads[subject] += 1
            left -= 1
    return loads


def draw_plan(draw: Draw) -> tuple[tuple[str, ...], ...]:
    """The different expressions that each subject makes, in the order of the subject's sequences."""
    loads = _loads(draw)
    makes = np.zeros((SUBJECTS, len(CLASS_NAMES)), dtype=bool)
    for expression in sorted(CLASS_NAMES, key=lambda name: -SEQUENCES_OF[name]):
        left = loads - makes.sum(axis=1)
        # Those with the most sequences still to fill come first: this always fits (Gale and Ryser 1957).
        chosen = np.argsort(-left, kind="stable")[: SEQUENCES_OF[expression]]
        makes[chosen, CLASS_NAMES.index(expression)] = True
    _shuffle(makes, draw)
    plan = []
    for row in makes:
        names = [name for name, present in zip(CLASS_NAMES, row, strict=True) if present]
        plan.append(tuple(names[i] for i in draw.order(len(names))))
    return tuple(plan)


def _shuffle(makes: npt.NDArray[np.bool_], draw: Draw) -> None:
    """Swap expressions between random pairs of subjects; row and column sums stay."""
    for _ in range(_SWAPS):
        a, b = draw.below(SUBJECTS), draw.below(SUBJECTS)
        i, j = draw.below(len(CLASS_NAMES)), draw.below(len(CLASS_NAMES))
        if makes[a, i] and makes[b, j] and not makes[a, j] and not makes[b, i]:
            makes[a, i] = makes[b, j] = False
            makes[a, j] = makes[b, i] = True
