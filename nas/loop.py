"""The search as a state machine: ``propose() -> job``, ``report(job, outcome) -> decision``, ``finish(job, outcome)``.

Pure bookkeeping: no Ray, no TensorFlow, no clock of its own.  Executors drive it with these three verbs; it asks the
sampler, applies what is known for free, records everything and keeps the front on disk.
"""

from __future__ import annotations

import enum
import shlex
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from nas.devices.foresight import EVENT, Foresight
from nas.errors import EnvironmentStopError, InputError
from nas.evaluation.job import Job
from nas.graph import Graph
from nas.heritage import RECENT, Heritage
from nas.indicator import Indicator, Status, Step, Verdict, overall
from nas.pareto import Objective
from nas.probing import Probing
from nas.race import Race, Seen, trained_values
from nas.rescoring import SCRATCH, Rescoring
from nas.run.candidate import HOPELESS, Candidate, Outcome, RungResult, State, below, forgiven
from nas.run.directory import FrontWriter, RunDirectory
from nas.run.front import Front, FrontArchive, front_of
from nas.run.study import RunStudy
from nas.run.variants import variant_rows
from nas.rung import Ladder, checked_ladder
from nas.space import SearchSpace

STREAK: Final = 3  # failures of one kind in a row that the user is told of
LOST: Final = 10  # failures in a row by the environment, after which a search ends: it would waste candidates
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

    def noticed(self, message: str) -> None:
        """Something that the user should know, in one sentence."""


class Silent:
    """A listener that does nothing."""

    def proposed(self, candidate: Candidate) -> None:
        """Nothing."""

    def finished(self, candidate: Candidate, front: Front) -> None:
        """Nothing."""

    def noticed(self, message: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Plan:
    """What decides a search, besides its sampler.

    Attributes:
        space, indicator, objectives, reference_point: what is searched, and how it is judged.
        ladder: training efforts, the full one last; a candidate is stopped after an earlier one where it is in vain.
        inherit: whether a candidate starts from the trained weights of its nearest relative.
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
    ladder: Ladder
    seed: int
    budget: int | None = None
    lag: int | None = None
    inherit: bool = False


class Search:
    """The state of one search; continues what its study already holds."""

    def __init__(
        self,
        plan: Plan,
        study: RunStudy,
        directory: RunDirectory,
        listener: Listener | None = None,
        probing: Probing | None = None,
        foresight: Foresight | None = None,
    ) -> None:
        self.probing = probing
        self._foresight = foresight
        self._plan = plan
        self._study = study
        self._directory = directory
        self._listener: Listener = Silent() if listener is None else listener
        self._distributions = plan.space.distributions()
        self._prototype = plan.space.prototype
        self._candidates: dict[int, Candidate] = {}
        self._by_id: dict[str, int] = {}
        self._repeats: dict[int, list[int]] = {}
        self._put_back: deque[int] = deque()
        self._retried: set[int] = set()
        self._untold: set[int] = set()
        self._forgiven: set[int] = set()
        self._states: Counter[State] = Counter()  # of what is not forgiven
        self._streak = Streak()
        self._lost = 0  # to the environment, in a row
        self._next_tell = 0
        self._nothing_new: str | None = None
        self._stopped: str | None = None
        self._bulky = directory.stored()  # candidates whose weights are on disk
        self._archive = FrontArchive(plan.objectives, plan.reference_point)
        self._writer = FrontWriter(directory, variant_rows(directory))
        self._race = Race(plan.objectives, plan.indicator, plan.seed)
        self._doubts: dict[int, str] = {}  # why trials are stopped that have not ended yet
        self._told_front = FrontArchive(plan.objectives, plan.reference_point)
        self._heritage = Heritage(self._prototype.id, plan.ladder[-1].epochs)
        self._rescoring = Rescoring(directory, plan.seed)
        self.charged = 0  # how many count against the budget
        self._take_up(study.load(self._distributions))

    def _take_up(self, past: list[Candidate]) -> None:
        """Goes on where the journal ends."""
        if self._study.torn is not None:
            self._listener.noticed(
                f"the journal's last line was torn and has been cut off; its bytes are kept in {self._study.torn.name}"
            )
        self._forgiven = forgiven(past)
        for candidate in past:
            self._restore(candidate)

    @property
    def front(self) -> Front:
        """Of what has been trained so far."""
        return self._archive.front

    @property
    def stop_reason(self) -> str | None:
        """Why nothing new is proposed; None while the search goes on."""
        return self._stopped or self._nothing_new

    @property
    def candidates(self) -> list[Candidate]:
        """All of them, in the order of proposal."""
        return list(self._candidates.values())

    @property
    def done(self) -> bool:
        """Whether nothing more will be evaluated; candidates may still be running."""
        return self._stopped is not None or (self._nothing_new is not None and not self._put_back)

    def stop(self, reason: str) -> None:
        """Begins nothing more; the first reason stands, but that nothing new was left is none while some still run."""
        complete = self._nothing_new if not self._states[State.RUNNING] else None
        self._stopped = self._stopped or complete or reason

    def propose(self) -> Job | None:
        """The next candidate to evaluate; None when there is none now (see :attr:`done`)."""
        if self._put_back and not self.done:
            again = self._candidates[self._put_back.popleft()]
            self._listener.proposed(again)
            return self._job(again)
        for _ in range(MAX_FREE):
            if self._plan.budget is not None and self.charged >= self._plan.budget:
                self._nothing_new = self._nothing_new or "budget"
            if self.stop_reason is not None or not self._tell_due(len(self._candidates)):
                return None
            if self._plan.inherit and (member := self._rescoring.due(self._told_front.front.members, self.charged)):
                return self._from_scratch(member)
            candidate = self._ask()
            if candidate.state is State.RUNNING:
                self._listener.proposed(candidate)
                return self._job(candidate)
        self._nothing_new = f"exhausted: {MAX_FREE} proposals in a row were repeats or refused by their exact costs"
        return None

    def report(self, job: Job, outcome: Outcome) -> Decision:
        """What follows a finished rung; one that is not the last is recorded, and may be the candidate's end."""
        if outcome.state is not State.TRAINED or outcome.effort == str(job.ladder[-1]):
            return Decision.STOP
        if job.keep is not None:  # it is trained to the end, whatever it shows
            return Decision.CONTINUE
        candidate = self._candidates[job.trial]
        self._bulky.add(candidate.id)  # where its files go as it climbs, they are to be found
        doubt = None if job.reference else self._race.doubt(candidate, outcome, self._seen(job.trial))
        if doubt is not None and not self._race.drawn(job.trial):
            self._doubts[job.trial] = doubt
            return Decision.STOP
        result = RungResult(str(outcome.effort), trained_values(outcome), doubt)
        before = below(candidate.rungs, result.rung)  # an attempt that was cut short may have left others
        self._study.record_rung(candidate, result)
        self._candidates[job.trial] = replace(candidate, rungs=(*before, result))
        return Decision.CONTINUE

    def _seen(self, number: int) -> Seen:
        """What decides about a trial; with a lag, exactly what its proposal rested on."""
        lag, plan = self._plan.lag, self._plan
        past = [c for c in self._candidates.values() if c.outcome is not None]
        if lag is None:
            return Seen(past, self.front.members)
        past = [c for c in past if c.trial <= number - lag]
        return Seen(past, front_of(past, plan.objectives, plan.reference_point).members)

    def finish(self, job: Job, outcome: Outcome, files: Mapping[str, bytes] | None = None) -> Candidate:
        """Records what an evaluator found: files first, then the journal, then the front.

        A candidate that failed for a cause outside it is put back once, and returned as still running.

        Raises:
            EnvironmentStopError: the disk is full, or so many candidates were lost in a row that the machine must be
                looked at.
        """
        if job.keep is not None:
            return self._rescored(job, outcome, files or {})
        candidate = self._candidates[job.trial]
        outcome = replace(outcome, stopped=self._doubts.pop(job.trial, None))
        if outcome.effort is not None:
            candidate = replace(candidate, rungs=below(candidate.rungs, outcome.effort))
        if outcome.environmental and job.trial not in self._retried:
            return self._try_again(candidate, outcome)
        if job.trial in self._retried:
            outcome = replace(outcome, worker={**outcome.worker, "attempts": 2})
        candidate = replace(candidate, outcome=outcome)
        if outcome.state is State.TRAINED:
            self._directory.store(candidate.id, {**(files or {}), "architecture.json": candidate.architecture.encode()})
            self._bulky.add(candidate.id)
        self._record(candidate)
        if outcome.state is State.TRAINED:
            self._drop_spare_files()
        self._stop_if_hopeless()
        self._listener.finished(candidate, self.front)
        self._watch_failures(candidate)
        return candidate

    def _from_scratch(self, member: Candidate) -> Job:
        """Trains a member of the front again without what it inherited; trial numbers below 0 are such repetitions."""
        graph = member.network().graph()
        return Job(-1 - member.trial, member.id, graph, self._plan.ladder, member.seed, True, keep=SCRATCH)

    def _rescored(self, job: Job, outcome: Outcome, files: Mapping[str, bytes]) -> Candidate:
        """Records what a member of the front shows without what it inherited, as an event: it is no trial."""
        member = self._candidates[-1 - job.trial]
        self._directory.store(member.id, files)
        self._rescoring.record(member, outcome, self.charged)
        return member

    def weights_for(self, job: Job) -> dict[int, bytes]:
        """What the job's relative hands down, by fold; folds that it has no weights of are left out."""
        return {} if job.relative is None else self._directory.weights(job.relative.id, job.relative.folds)

    def _try_again(self, candidate: Candidate, outcome: Outcome) -> Candidate:
        """Puts a candidate back that was lost to the environment; the failure goes to the events."""
        failure = outcome.failure or {}
        self._retried.add(candidate.trial)
        self._put_back.append(candidate.trial)
        self._directory.append_event("retried", trial=candidate.trial, id=candidate.id, failure=dict(failure))
        what = "is tried again" if self._stopped is None else "is put back for nas resume"
        self._listener.noticed(f"#{candidate.trial} {candidate.id} {what}: {failure.get('reason')}")
        return candidate

    def _watch_failures(self, candidate: Candidate) -> None:
        """Tells of failures of one kind in a row; ends a search that loses its candidates to the environment."""
        failure = (candidate.outcome.failure if candidate.outcome else None) or {}
        if self._streak.after(candidate) == STREAK:
            self._listener.noticed(
                f"{STREAK} candidates in a row failed ({failure['kind']}), the last with: {failure['reason']}; "
                f"nas explain {shlex.quote(str(self._directory.path))} {candidate.id} shows the log"
            )
        self._lost = self._lost + 1 if candidate.outcome is not None and candidate.outcome.environmental else 0
        if self._lost >= LOST:
            self.stop("environment")
            raise EnvironmentStopError(
                f"{self._lost} candidates in a row were lost, each tried twice ({failure['reason']}); "
                "look at the machine's memory and disk"
            )

    def _stop_if_hopeless(self) -> None:
        """Ends a search in which nothing works; its failures do not count when it is resumed."""
        if not self._states[State.TRAINED] and self._states[State.FAILED] >= HOPELESS:
            self.stop(f"{HOPELESS} candidates failed and none could be evaluated")

    def rewrite_front(self) -> Front:
        """Writes the front's files again from what is recorded."""
        self._writer.write(self.front)
        self._drop_spare_files()
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
            element_bytes=plan.indicator.element_bytes,
            repeat_of=original,
        )
        if original is None:
            candidate = replace(candidate, relative=self._relative(architecture.graph()))
        self._study.record_start(candidate, asked, self._distributions)
        self._keep(candidate)
        self._untold.add(number)
        if original is not None:
            self._follow(candidate, original)
        else:
            self._by_id[candidate.id] = number
            self._refuse_if_too_costly(candidate)
        return self._candidates[number]

    def _relative(self, graph: Graph) -> int | None:
        """The trial whose weights a new network starts from."""
        if not self._plan.inherit:
            return None
        return self._heritage.choose(graph, self._told_front.front.members, self._first_recent())

    def _first_recent(self) -> int:
        """The first of the trials whose weights are kept whatever they are worth."""
        return (len(self._candidates) if self._plan.lag is None else self._next_tell) - RECENT

    def _refuse_if_too_costly(self, candidate: Candidate) -> None:
        """Records a candidate that its exact costs refuse, or its latency for certain; the prototype is trained."""
        if candidate.id == self._prototype.id:
            return
        verdicts = self._plan.indicator.judge(self._plan.indicator.known(candidate.cost), (Step.COST,), 0.0)
        refused: Outcome | None = Outcome(State.REJECTED, verdicts)
        if overall(verdicts) is not Status.VIOLATED:
            refused = self._foreseen(candidate, verdicts)
        if refused is not None:
            finished = replace(candidate, outcome=refused)
            self._record(finished)
            self._listener.finished(finished, self.front)

    def _foreseen(self, candidate: Candidate, verdicts: tuple[Verdict, ...]) -> Outcome | None:
        """The end of a candidate that is certainly too slow; None for others, and where the lot wants it measured."""
        if self._foresight is None:
            return None
        foreseen = self._foresight.refuse(candidate.network().graph())
        if foreseen is None:
            return None
        if self._foresight.drawn(candidate.trial):
            told = {"trial": candidate.trial, "id": candidate.id, "bounds": foreseen.bounds, "reason": foreseen.reason}
            self._directory.append_event(EVENT, **told)
            return None
        return Outcome(State.REJECTED, (*verdicts, *foreseen.verdicts), foreseen.measurements)

    def _follow(self, repeat: Candidate, original: int) -> None:
        """A repeat takes the outcome of the trial that it repeats, now or when that one has one."""
        outcome = self._candidates[original].outcome
        if outcome is None:
            self._repeats.setdefault(original, []).append(repeat.trial)
        else:
            self._record(replace(repeat, outcome=outcome))

    def _record(self, candidate: Candidate) -> None:
        self._study.record_finish(candidate)
        self._keep(candidate)
        if self._archive.add(candidate):
            self._writer.write(self.front)
        if self._plan.lag is None:
            self._tell(candidate)
        for number in self._repeats.pop(candidate.trial, []):
            self._record(replace(self._candidates[number], outcome=candidate.outcome))

    def _keep(self, candidate: Candidate) -> None:
        """Replaces what is known of a trial, and counts."""
        for known, sign in ((self._candidates.get(candidate.trial), -1), (candidate, 1)):
            if known is not None and known.trial not in self._forgiven:
                self._states[known.state] += sign
                self.charged += sign * known.charged
        self._candidates[candidate.trial] = candidate

    def _tell(self, candidate: Candidate) -> None:
        if candidate.trial in self._untold:
            self._study.tell(candidate)
            self._told_front.add(candidate)
            if self._plan.inherit:
                self._heritage.told(candidate)
            if self.probing is not None:
                parent = self._by_id.get(candidate.parent or "")
                self.probing.told(candidate, None if parent is None else self._candidates[parent])
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
        self._keep(candidate)
        self._untold.add(candidate.trial)
        if candidate.repeat_of is None and candidate.trial not in self._forgiven:
            stands = self._by_id.get(candidate.id)  # one that failed may have been tried anew
            if stands is None or self._candidates[stands].state is State.FAILED:
                self._by_id[candidate.id] = candidate.trial
        if candidate.outcome is not None:
            self._archive.add(candidate)
            if self._plan.lag is None:
                self._tell(candidate)
        elif candidate.repeat_of is not None:
            self._follow(candidate, candidate.repeat_of)
        else:
            self._refuse_if_too_costly(candidate)
            if self._candidates[candidate.trial].outcome is None:
                self._put_back.append(candidate.trial)

    def _job(self, candidate: Candidate) -> Job:
        network = candidate.network()
        graph, links = network.graph(), None if self.probing is None else self.probing.pairs(network)
        giver = None if candidate.relative is None else self._candidates[candidate.relative]
        relative = None if giver is None else Heritage.relative(giver, graph)
        reference = candidate.id == self._prototype.id
        ladder, seed = self._plan.ladder, candidate.seed
        return Job(candidate.trial, candidate.id, graph, ladder, seed, reference, relative, links=links)

    def _drop_spare_files(self) -> None:
        """Keeps weights of front members and of the prototype; where they are inherited, also of possible relatives."""
        members = [*self.front.members, *self._told_front.front.members]
        kept = {m.id for m in members} | {self._prototype.id}
        if self._plan.inherit:
            recent = self._first_recent()
            latest = (c for c in self._candidates.values() if c.trial >= recent)
            kept |= {c.id for c in latest if c.outcome is None or c.outcome.stopped is None}
            running = (c.relative for c in self._candidates.values() if c.outcome is None and c.relative is not None)
            kept |= {self._candidates[trial].id for trial in running}
            self._heritage.forget(kept)
        self._directory.drop_bulk(self._bulky - kept)
        self._bulky &= kept


class Streak:
    """Counts failures of one kind in a row."""

    def __init__(self) -> None:
        self._kind: str | None = None
        self._length = 0

    def after(self, candidate: Candidate) -> int:
        """How many candidates up to this one failed for the same kind of reason; 0 when this one did not fail."""
        failure = candidate.outcome.failure if candidate.outcome else None
        kind = None if failure is None else failure["kind"]
        self._length = 0 if kind is None else (self._length + 1 if kind == self._kind else 1)
        self._kind = kind
        return self._length


def check_plan(plan: Plan, folds: int) -> None:
    """Raises InputError for a plan that cannot be carried out with ``folds`` folds."""
    last = checked_ladder(plan.ladder)[-1]
    if last.folds > folds:
        raise InputError(f"effort {last}: the split has {folds} folds; use at most {folds}x{last.epochs}")
    if plan.budget is not None and plan.budget < 1:
        raise InputError(f"budget {plan.budget}: at least 1 candidate")
