"""What a study's trials say, as arrays; read anew only where something changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.rung import EFFORT, EFFORT_PARTS
from nas.synthesis.encoding import Encoding

_ENDED: Final = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class History:
    """The trials of one study, as far as their parameters lie in one encoding.

    Arrays are indexed by the trial's number, so that they do not depend on the order in which results came.

    Attributes:
        rows: (n, d) coordinates.
        losses: (n, m) objectives, less is better; NaN where there is none.
        violation: (n,) largest constraint value, see :func:`violation_of`; NaN where nothing was said.
        effort: (n, 3) logarithms of 1 + folds, epochs and inherited epochs; 0 where nothing was said.
        measured: (n,) whether a trial has all its objectives.
        pending: numbers of trials that were proposed and have not ended.
        seen: the keys of all parameters that any trial had.
    """

    def __init__(self, encoding: Encoding, directions: Sequence[StudyDirection]) -> None:
        self.encoding = encoding
        self.signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in directions])
        self.rows = np.empty((0, len(encoding)))
        self.losses = np.empty((0, len(directions)))
        self.violation = np.empty(0)
        self.effort = np.empty((0, len(EFFORT_PARTS)))
        self.measured = np.empty(0, dtype=bool)
        self.pending: list[int] = []
        self.seen: set[bytes] = set()
        self._placed: set[int] = set()
        self._read = 0
        self._open: list[int] = []

    def __len__(self) -> int:
        return self._read

    def update(self, trials: Sequence[FrozenTrial], asking: int) -> list[int]:
        """Reads what is new in ``trials`` (all of the study, by number); ``asking`` is the one being proposed.

        Returns:
            The numbers of the trials that have all objectives since the last time.
        """
        self._grow(len(trials))
        changed = [*self._open, *range(self._read, len(trials))]
        self._read = len(trials)
        self._open = []
        for number in changed:
            trial = trials[number]
            if trial.state in _ENDED:
                self._take(trial)
            else:
                self._open.append(number)
        self.pending = [n for n in self._open if n != asking and self._place(trials[n])]
        return [n for n in changed if self.measured[n]]

    @property
    def finished(self) -> npt.NDArray[np.intp]:
        """Numbers of the trials that have all objectives, ascending."""
        return np.flatnonzero(self.measured[: self._read])

    @property
    def judged(self) -> npt.NDArray[np.intp]:
        """Numbers of the trials that have constraint values, ascending."""
        return np.flatnonzero(~np.isnan(self.violation[: self._read]))

    def allowed(self, numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Which of ``numbers`` violate no constraint."""
        return ~(self.violation[numbers] > 0)

    def _grow(self, size: int) -> None:
        old = len(self.rows)
        if size <= old:
            return
        more = max(size, 2 * old, 64) - old
        self.rows = np.vstack([self.rows, np.zeros((more, self.rows.shape[1]))])
        self.losses = np.vstack([self.losses, np.full((more, self.losses.shape[1]), np.nan)])
        self.violation = np.append(self.violation, np.full(more, np.nan))
        self.effort = np.vstack([self.effort, np.zeros((more, len(EFFORT_PARTS)))])
        self.measured = np.append(self.measured, np.zeros(more, dtype=bool))

    def _place(self, trial: FrozenTrial) -> bool:
        """Notes a trial's parameters; False where they are not (yet) of the encoding."""
        if trial.number in self._placed:
            return True
        try:
            row = self.encoding.encode(trial.params)
        except (KeyError, ValueError):
            return False
        self.rows[trial.number] = row
        self._placed.add(trial.number)
        self.seen.add(row.tobytes())
        return True

    def _take(self, trial: FrozenTrial) -> None:
        if not self._place(trial):
            return
        number = trial.number
        if trial.state is TrialState.COMPLETE and all(map(math.isfinite, trial.values)):
            self.losses[number] = np.array(trial.values) * self.signs
            self.measured[number] = True
        if trial.constraints:
            self.violation[number] = violation_of(trial.constraints)
        self.effort[number] = effort_of(trial.user_attrs)


def violation_of(constraints: Mapping[str, float]) -> float:
    """The largest violation, each as sign(v) log(1 + abs(v)), so that no unit drowns the others."""
    return max(math.copysign(math.log1p(min(abs(v), 1e300)), v) for v in constraints.values())


def effort_of(attributes: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """The effort (3,) that a trial's user attributes tell of: log(1 + folds), log(1 + epochs), log(1 + inherited)."""
    effort = attributes.get(EFFORT)
    if not isinstance(effort, Mapping):
        return np.zeros(len(EFFORT_PARTS))
    parts = (effort.get(part) for part in EFFORT_PARTS)
    return np.array([math.log1p(p) if isinstance(p, int | float) and p >= 0 else 0.0 for p in parts])
