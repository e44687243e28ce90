"""Which candidates a word such as ``knee`` stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.errors import InputError
from nas.pareto import as_losses
from nas.run.candidate import Candidate, State
from nas.run.front import Front

WORDS: Final = ("knee", "smallest", "most-accurate", "all")
_SHORTEST: Final = 4  # characters of an id's beginning


def pick(front: Front, candidates: Sequence[Candidate], which: str) -> list[Candidate]:
    """The candidates that ``which`` stands for.

    Args:
        front: of the run.
        candidates: all of the run, from which an id is taken.
        which: ``knee`` (see :func:`knee`), ``smallest`` (fewest parameters), ``most-accurate`` (the least error, where
            networks predict numbers alone), ``all`` (the front);
            or the id of a trained candidate, or the beginning of one, at least four characters.

    Raises:
        InputError: nothing of that name, several, one that was not trained, or an empty front.
    """
    if which not in WORDS:
        return [_by_id(front, candidates, which)]
    if not front.members:
        raise InputError(f"{which}: {front.headline()}")
    if which == "all":
        return list(front.members)
    if which == "knee":
        return [knee(front)]
    if which == "smallest":
        return [min(front.members, key=lambda c: c.cost.params)]
    known = [c for c in front.members if c.score() is not None]
    if not known:
        raise InputError("most-accurate: no member of the front has a measured accuracy; pick one by its id")
    return [max(known, key=lambda c: (c.merit, -c.cost.params))]


def knee(front: Front) -> Candidate:
    """The member farthest from the chord between the front's two ends, towards the better side (Das 1999).

    Both of the first two objectives are brought to 0..1 over the members.  Of equal ones the first is taken, so that
    with one objective, one member or two, it is the best in the first objective.
    """
    losses = _losses(front)
    if losses.shape[1] < 2:
        return front.members[0]
    span = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
    # The chord joins (0, 1) and (1, 0): the best of either objective is the worst of the other.
    distance = (1.0 - scaled.sum(axis=1)) / np.sqrt(2.0)
    return front.members[int(np.argmax(np.round(distance, 12)))]


def _losses(front: Front) -> npt.NDArray[np.float64]:
    """The first two objectives of the members (n, 2), less is better."""
    first = front.objectives[:2]
    return as_losses(np.array([m.values(first) for m in front.members], dtype=np.float64), first)


def _by_id(front: Front, candidates: Sequence[Candidate], which: str) -> Candidate:
    unique: dict[str, Candidate] = {}
    for c in candidates:
        if c.state is not State.REPEAT:
            unique.setdefault(c.id, c)
    long_enough = len(which) >= _SHORTEST
    found = [c for key, c in unique.items() if key == which or (long_enough and key.startswith(which))]
    if len(found) == 1 and found[0].state is State.TRAINED:
        return found[0]
    if len(found) == 1:
        raise InputError(f"{found[0].id} is {found[0].state.value}, not trained: pick one that is{_members(front)}")
    if found:
        raise InputError(f"{which!r} is the beginning of {', '.join(c.id for c in found[:5])}: write more of it")
    raise InputError(f"{which!r} is neither one of {', '.join(WORDS)} nor the id of a candidate{_members(front)}")


def _members(front: Front) -> str:
    some = ", ".join(f"{m.id} ({m.cost.params:,} parameters)" for m in front.members[:8])
    more = f" and {len(front.members) - 8} more" if len(front.members) > 8 else ""
    return f"; members of the front: {some}{more}" if some else "; the front is empty"
