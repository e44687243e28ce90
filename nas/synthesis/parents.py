"""Which trials of a study may have children."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.pareto import ParetoArchive

_NEAREST: Final = 3


class Parents:
    """The non-dominated finished trials without a violated constraint; where there are none, those nearest to it.

    Reads a study's trials as they come: a trial that is finished is looked at once.

    Args:
        directions: of the study.
    """

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self._signs = [1.0 if d == StudyDirection.MINIMIZE else -1.0 for d in directions]
        self._read = 0
        self._open: list[int] = []
        self._front: ParetoArchive[FrozenTrial] = ParetoArchive()
        # A rejected candidate shows its cheap violations only, so it cannot be ranked with trained ones.  Both may have
        # children: the former lead step by step below a cheap bound, the latter towards accuracy.
        self._rejected: list[tuple[float, int, FrozenTrial]] = []
        self._trained: list[tuple[float, int, FrozenTrial]] = []

    def see(self, trials: Sequence[FrozenTrial]) -> None:
        """Takes in what was finished since the last call; ``trials`` are all of the study, in order."""
        unread = [*self._open, *range(self._read, len(trials))]
        self._read = len(trials)
        self._open = [n for n in unread if not trials[n].state.is_finished()]
        for number in unread:
            self._take(trials[number])

    def _take(self, trial: FrozenTrial) -> None:
        if trial.state is TrialState.COMPLETE:
            violation = max(trial.constraints.values(), default=0.0)
            if violation <= 0:
                losses = tuple(s * v for s, v in zip(self._signs, trial.values, strict=True))
                self._front.insert(losses, trial.number, trial)
            self._trained = _least([*self._trained, (violation, trial.number, trial)])
        elif trial.state is TrialState.PRUNED:
            violation = max(trial.constraints.values(), default=0.0)
            self._rejected = _least([*self._rejected, (violation, trial.number, trial)])

    def now(self) -> list[FrozenTrial]:
        """The parents, in the order of their numbers."""
        if self._front:
            return [placed.item for placed in self._front.by_number()]
        return sorted((t for _, _, t in self._trained + self._rejected), key=lambda t: t.number)


def _least(nearest: list[tuple[float, int, FrozenTrial]]) -> list[tuple[float, int, FrozenTrial]]:
    return sorted(nearest, key=lambda n: n[:2])[:_NEAREST]
