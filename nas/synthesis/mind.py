"""What generative synthesis knows of one study, and how it decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from nas.errors import InputError
from nas.pareto import non_dominated
from nas.space import SearchSpace
from nas.synthesis.encoding import Encoding
from nas.synthesis.gain import hypervolume_gain
from nas.synthesis.generator import Generator, learn, milestones
from nas.synthesis.history import History
from nas.synthesis.inquisitor import Axes, Belief, Inquisitor, Questions, chosen
from nas.synthesis.preference import Vector, scalarised
from nas.synthesis.proposals import EditPrior, PlainProposals, Proposal, Proposals, SpaceProposals

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Numbers = npt.NDArray[np.intp]
Matrix = npt.NDArray[np.float64]
KnownObjectives = Callable[[dict[str, Any]], Sequence[float | None]]
Feasible = Callable[[dict[str, Any]], bool]

_CONTENDERS: Final = 40  # measured points that a gain is counted against
_PENDING: Final = 24  # believed ones
_REMEMBERED: Final = 20_000  # points whose free values are kept
_SPARSE: Final = 48  # proposals among which exploration chooses the loneliest
_REACHED: Final = 0.9  # of the explored points are better than the reference point, in each objective
_MARGIN: Final = 0.2  # of the front's range, by which the reference point at least lies behind its best


@dataclass(frozen=True)
class Knowledge:
    """What is known besides results: free values, the free part of the indicator, the space, and priors of edits."""

    known_objectives: KnownObjectives | None = None
    feasible: Feasible | None = None
    space: SearchSpace | None = None
    edit_prior: EditPrior | None = None


@dataclass(frozen=True)
class Effects:
    """Sizes of the search's parts; a part is left out by setting its size to 0.

    Attributes:
        explore: results before the inquisitor is asked.
        children: proposals in a pool that are edits of the front.
        fresh: those that are decodes of the generator.
        parents: front members that have children, at most.
        draws: joint draws of the inquisitor, over which the gain is averaged; with 0 the pool's first is taken.
        learning: how far an update moves the generator to the elites.
        focus: how strongly a preference decides which front members have children.
    """

    explore: int = 8
    children: int = 120
    fresh: int = 60
    parents: int = 12
    draws: int = 16
    learning: float = 0.6
    focus: float = 4.0


# Listing and expanding the edits of networks takes a millisecond for a handful, so a pool of these is smaller.
IN_A_SPACE: Final = Effects(children=36, fresh=12, parents=6)


@dataclass(frozen=True)
class _Free:
    """What is known of a point without evaluation: whether it is allowed, and its losses (m,), NaN where unknown."""

    allowed: bool
    losses: Matrix


class Mind:
    """The state of a search; all of it can be made again from the study's trials.

    Args:
        space: the parameters.
        directions: of the objectives.
        knowledge: what is known besides results.
        effects: sizes of the parts.
    """

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        directions: Sequence[StudyDirection],
        knowledge: Knowledge,
        effects: Effects,
    ) -> None:
        self.space = dict(space)
        self.encoding = Encoding(space)
        self._history = History(self.encoding, directions)
        self._knowledge = knowledge
        self._effects = effects
        self._objectives = len(directions)
        self._proposals: Proposals = (
            PlainProposals(self.encoding, knowledge.edit_prior)
            if knowledge.space is None
            else SpaceProposals(self.encoding, knowledge.space, knowledge.edit_prior)
        )
        self._inquisitor = Inquisitor(self.encoding)
        self._family = [self._proposals.first(self._objectives)]
        self._lasts = [-1]
        self._front: Numbers = np.empty(0, dtype=np.intp)
        self._free: dict[bytes, _Free] = {}

    def read(self, trials: Sequence[FrozenTrial], asking: int) -> None:
        """Takes in what is new in the study's trials; ``asking`` is the number of the one being proposed."""
        new = np.array(self._history.update(trials, asking), dtype=np.intp)
        new = new[self._history.allowed(new)]
        if len(new):
            both = np.union1d(self._front, new)
            self._front = both[_undominated(self._history.losses[both])]
        self._learn()

    @property
    def family(self) -> Sequence[Generator]:
        """Every generator so far; the first knows nothing."""
        return tuple(self._family)

    def allows(self, params: Mapping[str, Any]) -> bool:
        """The free part of the indicator."""
        return self._knowledge.feasible is None or self._knowledge.feasible(dict(params))

    def allows_new(self, params: Mapping[str, Any]) -> bool:
        """The free part of the indicator, and whether no trial had these parameters."""
        return self.encoding.encode(params).tobytes() not in self._history.seen and self.allows(params)

    def canonical(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The form in which equal architectures are equal.  Raises InputError where the space forbids ``params``."""
        space = self._knowledge.space
        return dict(params) if space is None else space.to_params(space.from_params(params))

    def lineage(self, proposal: Proposal) -> dict[str, Any] | None:
        """Parent and edits of a proposal, for a trial's user attribute; None without a space."""
        space = self._knowledge.space
        if space is None:
            return None
        if proposal.parent is None:
            return {}
        parent = space.from_params(self.encoding.decode(proposal.parent))
        return {"parent": parent.id, "edits": list(proposal.edits)}

    def beliefs(self) -> list[Belief]:
        """What the surrogate makes of every measured point."""
        numbers = self._history.finished
        if len(numbers) < 2:
            return []
        rows = self._history.rows[numbers]
        known = np.vstack([self._facts(row).losses for row in rows])
        return self._inquisitor.believe(self._history, self._front, Questions(rows, known), numbers)

    def propose(self, rng: np.random.Generator) -> Proposal:
        """The next point to evaluate."""
        measured = len(self._history.finished) >= self._effects.explore
        explored = None if measured else self._explore(rng)
        if explored is not None:
            return explored
        preference = rng.dirichlet(np.ones(self._objectives)) if self._effects.focus else self._even()
        drawn = self._pool(preference, rng)
        pool, free = self._admitted(drawn)
        if not pool:
            return self._step(drawn, rng)
        if not self._effects.draws or not measured:
            return pool[0]
        return pool[self._best(pool, free, rng)]

    def _even(self) -> Vector:
        return np.full(self._objectives, 1 / self._objectives)

    def _explore(self, rng: np.random.Generator) -> Proposal | None:
        """Of some decodes of the generator that knows nothing, the one least like what was tried.

        None where none of them is allowed, or as many results were refused as were to be explored: there, edits of
        what violates least lead to what is allowed.
        """
        refused = self._history.judged
        refused = refused[~self._history.allowed(refused)]
        if not len(self._front) and len(refused) >= self._effects.explore:
            return None
        pool, free = self._admitted(self._proposals.fresh(self._family[0], self._even(), _SPARSE, rng))
        return pool[self._loneliest(pool, free)] if pool else None

    def _step(self, drawn: Sequence[Proposal], rng: np.random.Generator) -> Proposal:
        """Where nothing that was drawn is new and allowed: a child that nobody tried, to be refused at no cost.

        Its violation, once told, makes it a parent if it is smaller than its own parent's.
        """
        unseen = [p for p in drawn if p.row.tobytes() not in self._history.seen]
        if unseen:
            judged = self._least_violated()
            best = self._history.rows[judged[0]].tobytes() if len(judged) else b""
            return max(unseen, key=lambda p: (_comes_from(p, best), p.parent is not None, len(p.edits)))
        fresh = self._proposals.fresh(self._family[0], self._even(), _SPARSE, rng)
        return next((p for p in fresh if p.row.tobytes() not in self._history.seen), fresh[0])

    def _loneliest(self, pool: Sequence[Proposal], free: Sequence[_Free]) -> int:
        """Largest least distance to earlier trials: parameters that differ, and ranks of free values."""
        tried = np.union1d(self._history.finished, np.array(self._history.pending, dtype=np.intp))[-_SPARSE:]
        if not len(tried):
            return 0
        bins = self.encoding.bins(np.vstack([[p.row for p in pool], self._history.rows[tried]]))
        mine, theirs = bins[: len(pool)], bins[len(pool) :]
        apart = (mine[:, None, :] != theirs[None, :, :]).mean(2)
        losses = np.vstack([[f.losses for f in free], [self._facts(r).losses for r in self._history.rows[tried]]])
        for column in losses.T[~np.isnan(losses).any(0)]:
            rank = column.argsort(kind="stable").argsort() / len(column)
            apart = apart + np.abs(rank[: len(pool), None] - rank[None, len(pool) :])
        return int(apart.min(1).argmax())

    def _pool(self, preference: Vector, rng: np.random.Generator) -> list[Proposal]:
        """Children of front members, and fresh decodes, in random order."""
        effects, generator = self._effects, self._family[-1]
        odds = generator.mixed(preference)
        parents = self._parents(preference, rng)
        out: list[Proposal] = []
        if len(parents) and effects.children:
            each = -(-effects.children // len(parents))
            for number in parents:
                out += self._proposals.children(self._history.rows[number], odds, each, rng)
        half = effects.fresh // 2
        out += self._proposals.fresh(generator, preference, effects.fresh - half, rng)
        other = rng.dirichlet(np.ones(self._objectives)) if effects.focus else preference
        out += self._proposals.fresh(generator, other, half, rng)
        return [out[i] for i in rng.permutation(len(out))]

    def _parents(self, preference: Vector, rng: np.random.Generator) -> Numbers:
        """Front members, the likelier the better they suit the preference and the lonelier they are on the front."""
        front = self._front
        if not len(front):
            return self._least_violated()
        if len(front) == 1:
            return front
        losses = self._history.losses[front]
        ranks = losses.argsort(0, kind="stable").argsort(0) / (len(front) - 1)
        thin = _crowding(ranks, losses)
        weight = (0.1 + thin / thin.max()) * np.exp(-self._effects.focus * scalarised(ranks, preference))
        count = min(self._effects.parents, len(front))
        return front[rng.choice(len(front), size=count, replace=False, p=weight / weight.sum())]

    def _least_violated(self) -> Numbers:
        """Where nothing is allowed: the trials with the smallest violations."""
        judged = self._history.judged
        return judged[np.argsort(self._history.violation[judged], kind="stable")[: self._effects.parents]]

    def _admitted(self, proposals: Sequence[Proposal]) -> tuple[list[Proposal], list[_Free]]:
        """Those that are new and allowed."""
        pool, free = [], []
        here: set[bytes] = set()
        for p in proposals:
            key = p.row.tobytes()
            if key in here or key in self._history.seen:
                continue
            here.add(key)
            facts = self._facts(p.row)
            if facts.allowed:
                pool.append(p)
                free.append(facts)
        return pool, free

    def _facts(self, row: Matrix) -> _Free:
        key = row.tobytes()
        found = self._free.get(key)
        if found is None:
            params = self.encoding.decode(row)
            losses = self._known(params) * self._history.signs
            if len(self._free) >= _REMEMBERED:
                self._free.clear()
            found = self._free[key] = _Free(self.allows(params), losses)
        return found

    def _known(self, params: dict[str, Any]) -> Matrix:
        """Values (m,) that are known without evaluation, NaN for the others."""
        if self._knowledge.known_objectives is None:
            return np.full(self._objectives, np.nan)
        told = self._knowledge.known_objectives(params)
        try:
            values = [np.nan if value is None else float(value) for value in told]
        except (TypeError, ValueError):
            values = []
        if len(values) != self._objectives or np.isinf(values).any():
            raise InputError(
                f"known_objectives({params!r:.200}) is {told!r:.80}: return one finite number or None for each of the "
                f"{self._objectives} objectives"
            )
        return np.array(values)

    def _best(self, pool: Sequence[Proposal], free: Sequence[_Free], rng: np.random.Generator) -> int:
        """The proposal with the largest mean gain over joint draws of the inquisitor."""
        history = self._history
        contenders = self._contenders()
        pending = np.array(history.pending[-_PENDING:], dtype=np.intp)
        against = np.concatenate([contenders, pending])
        rows = np.vstack([[p.row for p in pool], history.rows[against]])
        known = np.vstack([[f.losses for f in free], *[self._facts(r).losses[None] for r in history.rows[against]]])
        answers, axes = self._inquisitor.answer(history, self._front, Questions(rows, known), self._effects.draws, rng)
        n = len(pool)
        possible = answers.violation <= 0
        possible[:, n : n + len(contenders)] = history.allowed(contenders)
        if not len(self._front):
            return int(answers.violation[:, :n].mean(0).argmin())
        reference = self._reference(axes)
        gains = np.zeros(n)
        for losses, fine in zip(answers.losses, possible, strict=True):
            front = losses[n:][fine[n:]]
            gains += fine[:n] * hypervolume_gain(front, losses[:n], reference, rng)
        return int(gains.argmax())

    def _reference(self, axes: Axes) -> Matrix:
        """What nine in ten of the explored points reach, or a little behind the best of the front where that is more.

        The front's own ends would not do: nothing beyond the dearest member would count as a gain.
        """
        units = axes.units(self._history.losses[self._front])
        explored = self._history.finished[: self._effects.explore]
        reach = np.quantile(axes.units(self._history.losses[explored]), _REACHED, axis=0)
        best, worst = units.min(0), units.max(0)
        return np.asarray(np.maximum(reach, best + np.maximum(_MARGIN * (worst - best), _MARGIN)), np.float64)

    def _contenders(self) -> Numbers:
        """Measured points that may well be on the true front: the observed front, then the next layers."""
        used = chosen(self._history.finished, self._front, self._history.losses)
        rest = used[self._history.allowed(used)]
        out = self._front
        rest = np.setdiff1d(rest, out)
        while len(out) < _CONTENDERS and len(rest):
            layer = rest[_undominated(self._history.losses[rest])]
            out = np.concatenate([out, layer])
            rest = np.setdiff1d(rest, layer)
        if len(self._front) > _CONTENDERS:
            order = self._front[self._history.losses[self._front][:, 0].argsort(kind="stable")]
            return order[np.linspace(0, len(order) - 1, _CONTENDERS).astype(np.intp)]
        return out[:_CONTENDERS]

    def _learn(self) -> None:
        """Adds generators for new milestones; a result that came late changes those that rest on it."""
        history, finished = self._history, self._history.finished
        stones = milestones(len(finished))
        lasts = [-1, *(int(finished[s - 1]) for s in stones)]
        same = next((k for k, (a, b) in enumerate(zip(self._lasts, lasts, strict=False)) if a != b), len(self._lasts))
        del self._family[same:], self._lasts[same:]
        for k in range(same, len(lasts)):
            numbers = finished[: stones[k - 1]]
            allowed = numbers[history.allowed(numbers)]
            last = replace(self._family[-1], index=k)  # where nothing is allowed yet, nothing is learned
            if len(allowed):
                last = learn(
                    self._family[-1],
                    self._family[0],
                    self.encoding,
                    (history.rows[allowed], history.losses[allowed], allowed),
                    self._effects.learning,
                )
            self._family.append(replace(last, finished=stones[k - 1]))
            self._lasts.append(lasts[k])


def _comes_from(proposal: Proposal, row: bytes) -> bool:
    return proposal.parent is not None and proposal.parent.tobytes() == row


def _undominated(losses: Matrix) -> npt.NDArray[np.bool_]:
    """:func:`nas.pareto.non_dominated`, by one sort where there are two objectives."""
    if losses.shape[1] != 2 or not len(losses):
        return non_dominated(losses)
    order = np.lexsort((losses[:, 1], losses[:, 0]))
    seconds = losses[order, 1]
    before = np.concatenate([[np.inf], np.minimum.accumulate(seconds)[:-1]])
    keep = np.zeros(len(losses), dtype=bool)
    keep[order] = seconds < before
    return keep


def _crowding(ranks: Matrix, losses: Matrix) -> Vector:
    """Distance (n,) to the neighbours on the front (Deb et al. 2002); the ends count as the loneliest between them."""
    span = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(0)) / np.where(span > 0, span, 1.0)
    out = np.zeros(len(losses))
    for j in range(losses.shape[1]):
        order = ranks[:, j].argsort()
        gaps = np.diff(scaled[order, j])
        inner = np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])
        out[order] += inner
    return np.asarray(out + 1e-9, np.float64)
