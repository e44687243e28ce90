"""The search as a state machine: ``propose() -> job``, ``report(job, rung) -> decision``, ``finish(job, outcome)``.

Pure bookkeeping: no Ray, no TensorFlow, no clock of its own.  Executors drive it with these three verbs; it asks the
sampler, applies what is known for free, records everything and keeps the front on disk.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from nas.errors import InputError
from nas.evaluation.job import Job
from nas.indicator import Indicator, Status, Step, exact_costs, overall
from nas.pareto import Objective
from nas.run.candidate import Candidate, Outcome, State
from nas.run.directory import RunDirectory
from nas.run.front import Front, front_of
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.space import SearchSpace

HOPELESS: Final = 5  # failures without any success, after which a search ends
MAX_FREE: Final = 500  # proposals in a row that cost nothing, before the space counts as exhausted


class Decision(enum.StrEnum):
    """What an executor does after a rung."""

    CONTINUE = "continue"
    STOP = "stop"


class Listener(Protocol):
    """Follows a search, such as a live view."""

    def proposed(self, candidate: Candidate) -> None:
        """A candidate goes to an evaluator."""

    def finished(self, candidate: Candidate, front: Front) -> None:
        """A candidate has its outcome."""


class Silent:
    """A listener that does nothing."""

    def proposed(self, candidate: Candidate) -> None:
        """Nothing."""

    def finished(self, candidate: Candidate, front: Front) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Plan:
    """What decides a search, besides its sampler.

    Attributes:
        space, indicator, objectives, reference_point: what is searched, and how it is judged.
        rung: training effort of every candidate.
        seed: of the training; proposals have the sampler's own.
        budget: candidates that an evaluator sees, at most; None for no limit.  What costs nothing (repeats, and
            refusals by exact costs) is not counted.
        lag: None tells the sampler of results as they come.  A number makes proposals independent of timing: the
            proposal of trial n rests on exactly the results of trials up to n - lag.
    """

    space: SearchSpace
    indicator: Indicator
    objectives: tuple[Objective, ...]
    reference_point: tuple[float, ...]
    rung: Rung
    seed: int
    budget: int | None = None
    lag: int | None = None


class Search:
    """The state of one search; continues what its study already holds."""

    def __init__(self, plan: Plan, study: RunStudy, directory: RunDirectory, listener: Listener | None = None) -> None:
        self._plan = plan
        self._study = study
        self._directory = directory
        self._listener: Listener = Silent() if listener is None else listener
        self._distributions = plan.space.distributions()
        self._candidates: dict[int, Candidate] = {}
        self._by_id: dict[str, int] = {}
        self._repeats: dict[int, list[int]] = {}
        self._requeued: deque[int] = deque()
        self._untold: set[int] = set()
        self._forgiven: set[int] = set()
        self._prototype = plan.space.prototype
        self._next_tell = 0
        self._bulky = directory.stored()  # candidates whose weights are on disk
        self.stop_reason: str | None = None
        past = study.load()
        if not any(c.state is State.TRAINED for c in past):  # the environment was at fault: try them again
            self._forgiven.update(c.trial for c in past if c.state is State.FAILED)
        for candidate in past:
            self._restore(candidate)
        self.front = self._front()

    @property
    def candidates(self) -> list[Candidate]:
        """All of them, in the order of proposal."""
        return list(self._candidates.values())

    @property
    def charged(self) -> int:
        """How many count against the budget."""
        return sum(c.charged for c in self._candidates.values() if c.trial not in self._forgiven)

    @property
    def done(self) -> bool:
        """Whether nothing more will be proposed; candidates may still be running."""
        return self.stop_reason is not None

    def stop(self, reason: str) -> None:
        """Proposes nothing more; the first reason stands."""
        if self.stop_reason is None:
            self.stop_reason = reason

    def propose(self) -> Job | None:
        """The next candidate to evaluate; None when there is none now (see :attr:`done`)."""
        if self._requeued and not self.done:
            again = self._candidates[self._requeued.popleft()]
            self._listener.proposed(again)
            return self._job(again)
        for _ in range(MAX_FREE):
            if self._plan.budget is not None and self.charged >= self._plan.budget:
                self.stop("budget")
            if self.done or not self._tell_due(len(self._candidates)):
                return None
            candidate = self._ask()
            if candidate.state is State.RUNNING:
                self._listener.proposed(candidate)
                return self._job(candidate)
        self.stop(f"exhausted: {MAX_FREE} proposals in a row were repeats or refused by their exact costs")
        return None

    def report(self, job: Job, rung: Rung) -> Decision:
        """What follows a finished rung: there is one rung a candidate, so its last one stops it."""
        return Decision.STOP if rung == job.rung else Decision.CONTINUE

    def finish(self, job: Job, outcome: Outcome, files: Mapping[str, bytes] | None = None) -> Candidate:
        """Records what an evaluator found: files first, then the journal, then the front."""
        candidate = replace(self._candidates[job.trial], outcome=outcome)
        if outcome.state is State.TRAINED:
            self._bulky.add(candidate.id)
            self._directory.store(candidate.id, {**(files or {}), "architecture.json": candidate.architecture.encode()})
        self._record(candidate)
        self._update_front()
        self._stop_if_hopeless()
        self._listener.finished(candidate, self.front)
        return candidate

    def _stop_if_hopeless(self) -> None:
        """Ends a search in which nothing works; the failures are tried again when it is resumed."""
        ended = [c.state for c in self._candidates.values() if c.trial not in self._forgiven]
        if State.TRAINED not in ended and ended.count(State.FAILED) >= HOPELESS:
            self.stop(f"{HOPELESS} candidates failed and none could be evaluated")

    def rewrite_front(self) -> Front:
        """Writes the front's files again from what is recorded."""
        self._update_front()
        return self.front

    def _ask(self) -> Candidate:
        """Asks the sampler, and records the proposal; repeats and what exact costs refuse are finished at once."""
        plan, space = self._plan, self._plan.space
        number = len(self._candidates)
        prototype = None if self._prototype.id in self._by_id else space.to_params(self._prototype)
        asked = self._study.ask(self._distributions, prototype)
        architecture = space.from_params(asked.params)
        original = self._by_id.get(architecture.id)
        candidate = Candidate(
            trial=asked.number,
            id=architecture.id,
            architecture=architecture.to_json(),
            parent=asked.lineage.get("parent"),
            edits=tuple(asked.lineage.get("edits", ())),
            seed=plan.seed,
            cost=architecture.cost() if original is None else self._candidates[original].cost,
            repeat_of=original,
        )
        self._study.record_start(candidate, asked, self._distributions)
        self._candidates[number] = candidate
        self._untold.add(number)
        if original is not None:
            self._follow(candidate, original)
        else:
            self._by_id[candidate.id] = number
            self._refuse_if_too_costly(candidate)
        return self._candidates[number]

    def _refuse_if_too_costly(self, candidate: Candidate) -> None:
        """Records a candidate that its exact costs refuse; the prototype is trained all the same."""
        verdicts = self._plan.indicator.judge(exact_costs(candidate.cost), (Step.COST,), 0.0)
        if candidate.id != self._prototype.id and overall(verdicts) is Status.VIOLATED:
            finished = replace(candidate, outcome=Outcome(State.REJECTED, verdicts))
            self._record(finished)
            self._listener.finished(finished, self.front)

    def _follow(self, repeat: Candidate, original: int) -> None:
        """A repeat takes the outcome of the trial that it repeats, now or when that one has one."""
        outcome = self._candidates[original].outcome
        if outcome is None:
            self._repeats.setdefault(original, []).append(repeat.trial)
        else:
            self._record(replace(repeat, outcome=outcome))

    def _record(self, candidate: Candidate) -> None:
        self._study.record_finish(candidate)
        self._candidates[candidate.trial] = candidate
        if self._plan.lag is None:
            self._tell(candidate)
        for number in self._repeats.pop(candidate.trial, []):
            self._record(replace(self._candidates[number], outcome=candidate.outcome))

    def _tell(self, candidate: Candidate) -> None:
        if candidate.trial in self._untold:
            self._study.tell(candidate)
            self._untold.discard(candidate.trial)

    def _tell_due(self, number: int) -> bool:
        """With a lag: tells what the proposal of trial ``number`` rests on; False while that is not all there."""
        if self._plan.lag is None:
            return True
        while self._next_tell <= number - self._plan.lag:
            candidate = self._candidates[self._next_tell]
            if candidate.outcome is None:
                return False
            self._tell(candidate)
            self._next_tell += 1
        return True

    def _restore(self, candidate: Candidate) -> None:
        """Takes a candidate from the journal; what was in flight is queued again."""
        self._candidates[candidate.trial] = candidate
        self._untold.add(candidate.trial)
        if candidate.repeat_of is None and candidate.trial not in self._forgiven:
            self._by_id.setdefault(candidate.id, candidate.trial)
        if candidate.outcome is not None:
            if self._plan.lag is None:
                self._tell(candidate)
        elif candidate.repeat_of is not None:
            self._follow(candidate, candidate.repeat_of)
        else:
            self._refuse_if_too_costly(candidate)
            if self._candidates[candidate.trial].outcome is None:
                self._requeued.append(candidate.trial)

    def _job(self, candidate: Candidate) -> Job:
        graph = candidate.network().graph()
        return Job(
            candidate.trial, candidate.id, graph, self._plan.rung, candidate.seed, candidate.id == self._prototype.id
        )

    def _front(self) -> Front:
        return front_of(self.candidates, self._plan.objectives, self._plan.reference_point)

    def _update_front(self) -> None:
        self.front = self._front()
        self._directory.write_front(self.front)
        spare = self._bulky - {m.id for m in self.front.members} - {self._prototype.id}
        self._directory.drop_bulk(spare)
        self._bulky -= spare


def check_plan(plan: Plan, folds: int) -> None:
    """Raises InputError for a plan that cannot be carried out with ``folds`` folds."""
    if plan.rung.folds > folds:
        raise InputError(f"effort {plan.rung}: the split has {folds} folds; use at most {folds}x{plan.rung.epochs}")
    if plan.budget is not None and plan.budget < 1:
        raise InputError(f"budget {plan.budget}: at least 1 candidate")
