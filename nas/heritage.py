"""Whose weights a candidate starts from, and whose are kept for that.

Weights are kept of the prototype, of front members and of the latest candidates that went all the way.  What may be
chosen follows from the results that the sampler was told of alone, so that a search that is deterministic stays so; and
it is always a part of what is kept.

The score of an heir speaks for all epochs that its weights have seen.  So that late candidates are not preferred for
the length of their line, weights that have seen more than :data:`OLDEST` full trainings are handed down no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nas.evaluation.job import Relative
from nas.graph import Graph
from nas.networks.relatives import distance, nearest
from nas.run.candidate import Candidate, Outcome, State
from nas.rung import Rung

RECENT: Final = 24  # latest trials, of which those that went all the way keep their weights, members or not
OLDEST: Final = 2.0  # full trainings behind weights that are still handed down
FARTHEST: Final = 0.75  # distance beyond which too little would be inherited


class Heritage:
    """The candidates that have weights to give.

    Args:
        prototype: id of the architecture that always has.
        full: epochs of a full training.
    """

    def __init__(self, prototype: str, full: int) -> None:
        self._prototype = prototype
        self._oldest = OLDEST * full
        self._givers: dict[int, tuple[Candidate, Graph]] = {}

    def told(self, candidate: Candidate) -> None:
        """A candidate is finished, for everybody to know."""
        outcome = candidate.outcome
        if outcome is None or outcome.effort is None or candidate.state is not State.TRAINED:
            return
        whole = outcome.stopped is None and candidate.repeat_of is None
        if whole and max(_seen(outcome)) <= self._oldest:
            self._givers[candidate.trial] = (candidate, candidate.network().graph())

    def forget(self, kept: set[str]) -> None:
        """Drops those whose weights are gone."""
        self._givers = {n: giver for n, giver in self._givers.items() if giver[0].id in kept}

    def choose(self, graph: Graph, members: Iterable[Candidate], first_recent: int) -> int | None:
        """Trial of the nearest relative of a network; None where none is near enough.

        Args:
            graph: of the network.
            members: of the front.
            first_recent: trials from this one on count as well.
        """
        allowed = {m.id for m in members} | {self._prototype}
        trials = [n for n, (giver, _) in sorted(self._givers.items()) if n >= first_recent or giver.id in allowed]
        found = nearest(graph, [self._givers[n][1] for n in trials])
        return None if found is None or found[1] > FARTHEST else trials[found[0]]

    @staticmethod
    def relative(giver: Candidate, graph: Graph) -> Relative | None:
        """What an evaluator must know of the relative; None where it was never trained."""
        outcome = giver.outcome
        if outcome is None or outcome.effort is None:
            return None
        its_graph = giver.network().graph()
        return Relative(giver.id, its_graph, distance(its_graph, graph), _seen(outcome))


def _seen(outcome: Outcome) -> tuple[int, ...]:
    """Epochs that the weights of each fold have seen, inherited ones included."""
    rung = Rung.parse(str(outcome.effort))
    return tuple(rung.epochs + outcome.inherited_epochs(k) for k in range(rung.folds))
