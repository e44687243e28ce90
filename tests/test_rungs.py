"""Rungs, inherited weights and their bookkeeping: laws of the state machine, and what real trainings do."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import blobs
from handmade import trained

import nas
from nas.api import SearchOptions
from nas.cli.search import _training
from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.errors import DecodeError, InputError
from nas.evaluation.bundle import Bundle
from nas.evaluation.climb import Climb
from nas.evaluation.job import Job, Relative
from nas.evaluation.train import Recipe, Trainer
from nas.heritage import RECENT, Heritage
from nas.indicator import Constraint, Indicator, Status
from nas.loop import Decision, Plan, Search
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.probing import Probing
from nas.race import LOT, Race, Seen, _optimism
from nas.recipes import read_training
from nas.report.explain import summary
from nas.rescoring import EVERY, drift
from nas.run.candidate import Candidate, Inheritance, Outcome, RungResult, State
from nas.run.directory import RunDirectory
from nas.run.study import RunStudy
from nas.rung import Rung, ladder_text, parse_ladder
from nas.settings import Settings
from nas.space import load_space
from nas.synthesis.evolution import EvolutionSampler

OBJECTIVES = objectives_of(["accuracy", "params"])
LADDER = parse_ladder("1x2,1x6,2x6")
SPACE = load_space("tiny")
RACE = Race(OBJECTIVES, Indicator(), seed=0)


def shown(accuracy: float, rung: str = "1x2", **changes: object) -> Outcome:
    measured = {"accuracy": Measurement(accuracy, accuracy - 0.05, min(accuracy + 0.05, 1.0), "share", 99, "made up")}
    return replace(Outcome(State.TRAINED, (), measured, rung, {"train": 1.0}), **changes)  # type: ignore[arg-type]


def finisher(trial: int, before: float, after: float, params: int = 5000) -> Candidate:
    """One that went all the way."""
    return replace(trained(trial, after, params=params), rungs=(RungResult("1x2", {"accuracy": before}),))


def steady(gain: float = 0.0, count: int = 12, params: int = 5000) -> list[Candidate]:
    """Candidates whose logits all grew by about ``gain``."""
    logits = np.linspace(0.0, 2.0, count)
    noise = 0.2 * np.random.default_rng(1).standard_normal(count)
    return [
        finisher(i, 1 / (1 + math.exp(-x)), 1 / (1 + math.exp(-(x + gain + e))), params)
        for i, (x, e) in enumerate(zip(logits, noise, strict=True))
    ]


def test_ladders_lead_upwards() -> None:
    assert parse_ladder(" 1x8, 1x24,3x24 ") == (Rung(1, 8), Rung(1, 24), Rung(3, 24))
    assert parse_ladder(ladder_text(LADDER)) == LADDER
    for text in ("1x8,1x8", "2x8,1x24", "1x24,2x8", "", "1x8,", ",".join(f"1x{n}" for n in range(1, 12))):
        with pytest.raises(InputError):
            parse_ladder(text)


def test_nobody_is_doubted_before_some_went_all_the_way() -> None:
    weak, strong = trained(50, 0.2, params=9000), steady()
    best = max(strong, key=lambda c: c.value("accuracy") or 0.0)
    assert RACE.doubt(weak, shown(0.2), Seen(strong[:3], [best])) is None
    assert RACE.doubt(weak, shown(0.2), Seen(strong[:4], [best])) is None
    doubt = RACE.doubt(weak, shown(0.2), Seen(strong, [best]))
    assert doubt is not None and doubt.startswith(f"dominated by {best.id}: accuracy ")


def test_who_costs_less_or_may_still_win_goes_on() -> None:
    seen = steady(gain=1.0)
    best = trained(70, 0.9, params=5000, latency_ms=1.0)
    doubt = {
        (accuracy, params): RACE.doubt(trained(50, accuracy, params=params), shown(accuracy), Seen(seen, [best]))
        for accuracy in (0.3, 0.8)
        for params in (4999, 5000, 9000)
    }
    assert doubt[0.3, 4999] is None  # smaller than the member: not dominated, however weak
    assert doubt[0.3, 5000] is not None and doubt[0.3, 9000] is not None
    # 0.8 has the logit 1.39; with the gain of 1 it is foretold at 0.92, above 0.9
    assert doubt[0.8, 4999] is None and doubt[0.8, 5000] is None and doubt[0.8, 9000] is None


def test_latency_excuses_as_parameters_do() -> None:
    race = Race(objectives_of(["accuracy", "params", "latency_ms"]), Indicator(), 0)
    best = trained(70, 0.9, params=5000, latency_ms=1.0)  # interval 0.9 to 1.1 ms
    for latency, doubted in ((0.8, False), (1.05, False), (1.2, True)):  # 1.05: 0.95 at best
        own = trained(50, 0.3, params=6000, latency_ms=latency)
        assert own.outcome is not None
        outcome = replace(own.outcome, effort="1x2")
        assert (race.doubt(own, outcome, Seen(steady(), [best])) is not None) is doubted, latency


def test_what_is_below_the_floor_ends_only_when_it_cannot_rise() -> None:
    indicator = Indicator((Constraint("accuracy", 0.92, upper=False),))
    race = Race(OBJECTIVES, indicator, 0)
    for gain, doubted in ((0.0, True), (3.0, False)):  # three more on the logit: 0.6 becomes 0.97
        c = trained(50, 0.6, params=100, indicator=indicator)
        assert c.outcome is not None and c.status is Status.VIOLATED
        doubt = race.doubt(c, replace(c.outcome, effort="1x2"), Seen(steady(gain), []))
        assert (doubt is not None) is doubted
        assert doubt is None or doubt.startswith("refuted: accuracy would be ")


@pytest.mark.parametrize(("quality", "noise"), [(0.7, 0.3), (0.4, 0.5), (1.0, 0.1)])
def test_foretelling_errs_as_often_as_it_says(quality: float, noise: float) -> None:
    """Whole searches in which the rule itself selects who goes on; noise at both ends, gains shrink with quality."""
    rng, beyond, foretold = np.random.default_rng(0), 0, 0
    for _ in range(60):
        past: list[Candidate] = []
        for trial in range(40):
            true = rng.normal(1.0, quality)
            begun, end = (1 / (1 + np.exp(-v)) for v in (true + noise * rng.normal(), 1.0 + 0.8 * true))
            end = 1 / (1 + math.exp(-(math.log(end / (1 - end)) + 0.2 * rng.normal())))
            best = max(past, key=lambda c: c.value("accuracy") or 0.0, default=None)
            mine = trained(trial, float(begun), params=6000)
            seen = Seen(past, [] if best is None else [best])
            hope = _optimism("accuracy", shown(float(begun)), past)
            if math.isfinite(hope):
                foretold += 1
                beyond += bool(end > hope)
            if RACE.doubt(mine, shown(float(begun)), seen) is None or RACE.drawn(trial):
                past.append(finisher(trial, float(begun), end))
    assert foretold >= 1500
    assert beyond / foretold <= 0.07


def test_objectives_that_cost_alone_decides_stop_nobody(tmp_path: Path) -> None:
    indicator = Indicator((Constraint("accuracy", 0.92, upper=False),))
    race = Race(objectives_of(["params"]), indicator, 0)
    weak = trained(1, 0.6, params=5000, indicator=indicator)
    assert weak.status is Status.VIOLATED
    for seen in (Seen([], [weak]), Seen(steady(), [weak])):
        assert race.doubt(trained(50, 0.95, params=6000), shown(0.95), seen) is None


def test_a_refuted_member_dominates_nobody() -> None:
    indicator = Indicator((Constraint("params", 1000.0, upper=True),))
    best = trained(70, 0.9, params=5000, indicator=indicator)
    assert best.status is Status.VIOLATED
    assert (
        Race(OBJECTIVES, indicator, 0).doubt(trained(50, 0.3, params=6000), shown(0.3), Seen(steady(), [best])) is None
    )


def test_what_was_shown_already_is_not_doubted() -> None:
    """Where everybody is right nearly always, the best that can be expected is not below what was seen."""
    past = [finisher(i, 0.990 + 0.0005 * i, 0.9935 + 0.0002 * i) for i in range(12)]
    best = trained(70, 0.9968, params=5000)
    for accuracy in (0.9975, 1.0):
        assert RACE.doubt(trained(50, accuracy, params=6000), shown(accuracy), Seen(past, [best])) is None


def test_the_lot_falls_on_one_in_so_many() -> None:
    drawn = [trial for trial in range(4000) if RACE.drawn(trial)]
    assert len(drawn) == pytest.approx(4000 / LOT, rel=0.25)
    assert drawn == [trial for trial in range(4000) if RACE.drawn(trial)]
    assert drawn != [trial for trial in range(4000) if Race(OBJECTIVES, Indicator(), 1).drawn(trial)]


# The state machine


def open_search(folder: Path, lag: int | None = None, budget: int = 60, *, inherit: bool = True) -> Search:
    plan = Plan(SPACE, Indicator(), OBJECTIVES, (0.1, 20_000.0), LADDER, 0, budget, lag, inherit)
    study = RunStudy(folder / "study.journal", OBJECTIVES, EvolutionSampler(SPACE, seed=0))
    return Search(plan, study, RunDirectory(folder))


def truth(job: Job, rung: Rung) -> float:
    """A made-up accuracy that grows with the rung and differs from network to network."""
    base = 0.2 + 0.5 * (int(job.id[:4], 16) / 65535)
    return base + 0.02 * LADDER.index(rung)


def climb(search: Search, job: Job) -> Candidate:
    """What an executor does with a job."""
    inheritance = None
    if job.relative is not None:
        weights = search.weights_for(job)
        assert weights[0] == job.relative.id.encode()  # what it was promised is there
        epochs = tuple(job.relative.epochs[k] if k in weights else 0 for k in range(job.ladder[-1].folds))
        inheritance = Inheritance(job.relative.id, job.relative.distance, epochs, 0.5, False)
    for rung in job.ladder:
        outcome = shown(truth(job, rung), str(rung), inheritance=inheritance)
        if search.report(job, outcome) is Decision.STOP:
            break
    return search.finish(job, outcome, {f"weights-fold{k}.npz": job.id.encode() for k in range(rung.folds)})


@pytest.mark.parametrize("lag", [None, 3])
def test_every_relative_still_has_its_weights(tmp_path: Path, lag: int | None) -> None:
    search = open_search(tmp_path, lag)
    running: list[Job] = []
    heirs = rescored = 0
    while True:
        job = search.propose() if len(running) < 2 else None
        if job is not None:
            heirs += job.relative is not None
            rescored += job.keep is not None
            running.append(job)
            continue
        if not running:
            break
        climb(search, running.pop(len(running) % 2 - 1))
    done = [c for c in search.candidates if c.state is State.TRAINED]
    assert heirs >= 40 and len(done) == 60
    assert rescored == len(RunDirectory(tmp_path).events("rescored")) >= 3
    with_weights = {f.parent.name for f in (tmp_path / "models").glob("*/weights-*.npz")}
    assert {m.id for m in search.front.members} <= with_weights
    # and the prototype, what ran at the end, and what the sampler was not told of yet
    assert len(with_weights) <= RECENT + len(search.front.members) + 2 + (lag or 0)


def test_what_is_stopped_is_recorded_and_never_a_member(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    while (job := search.propose()) is not None:
        climb(search, job)
    stopped = [c for c in search.candidates if c.outcome is not None and c.outcome.stopped is not None]
    assert len(stopped) >= 10
    ids = {c.id for c in stopped}
    assert not ids & {m.id for m in search.front.members}
    full = {c.outcome.effort for c in search.candidates if c.outcome and c.state is State.TRAINED and c not in stopped}
    assert full == {"2x6"}
    again = open_search(tmp_path)  # from the journal: rungs, inheritance, reasons and front are what they were
    assert again.candidates == search.candidates
    assert again.front == search.front
    told = summary(search.candidates, Indicator())
    assert sum(told["stopped_at"].values()) == len([c for c in stopped if c.repeat_of is None])
    for c in stopped:  # the rule was right: by its own lights none of them would have been a member
        member = max((m for m in search.front.members if m.cost.params <= c.cost.params), key=lambda m: m.cost.params)
        final = truth(Job(0, c.id, SPACE.prototype.graph(), LADDER, 0, False), LADDER[-1])
        assert final <= (member.value("accuracy") or 0.0)


def test_the_prototype_is_never_stopped(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    prototype = search.propose()
    assert prototype is not None and prototype.reference
    others = [search.propose() for _ in range(8)]
    for job in others:
        assert job is not None
        climb(search, job)
    assert search.report(prototype, shown(0.01)) is Decision.CONTINUE
    assert search.report(prototype, shown(0.01, "2x6")) is Decision.STOP


def test_a_rung_that_is_climbed_again_after_a_kill_counts_once(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    job = search.propose()
    assert job is not None
    assert search.report(job, shown(0.4)) is Decision.CONTINUE
    again = open_search(tmp_path)
    assert again.candidates[0].rungs == (RungResult("1x2", {"accuracy": 0.4}),)
    requeued = again.propose()
    assert requeued == job
    climb(again, requeued)
    assert [r.rung for r in again.candidates[0].rungs] == ["1x2", "1x6"]
    assert again.candidates[0].rungs[0].values["accuracy"] == truth(job, LADDER[0])
    assert RunStudy.read(tmp_path / "study.journal")[0] == again.candidates[0]


def test_members_are_trained_again_from_scratch(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    charged = []
    while (job := search.propose()) is not None:
        if job.keep is not None:
            charged.append(search.charged)
            assert job.relative is None and job.ladder == LADDER and job.trial < 0
            member = search.candidates[-1 - job.trial]
            assert member.id == job.id and member.outcome is not None and member.outcome.inherited_epochs() > 0
            search.finish(job, shown(0.25, "2x6"), {"predictions-scratch.npz": b"x"})
            assert (tmp_path / "models" / job.id / "predictions-scratch.npz").read_bytes() == b"x"
        else:
            climb(search, job)
    assert charged and charged[0] >= EVERY
    events = RunDirectory(tmp_path).events("rescored")
    assert len({e["id"] for e in events}) == len(events) == len(charged)
    found = drift(events)
    assert found is not None and found.mean == pytest.approx(np.mean([e["accuracy"] for e in events]) - 0.25)


def test_drift_is_the_mean_difference_with_students_interval() -> None:
    pairs = [(0.90, 0.88), (0.85, 0.86), (0.92, 0.87), (0.95, None)]
    events = [{"accuracy": a, "from_scratch": b} for a, b in pairs]
    found = drift(events)
    assert found is not None and found.members == 3
    assert found.mean == pytest.approx(0.02)
    # standard deviation 0.03, t(2, 97.5 %) = 4.302653
    assert found.low == pytest.approx(0.02 - 4.302653 * 0.03 / math.sqrt(3))
    assert found.high == pytest.approx(0.02 + 4.302653 * 0.03 / math.sqrt(3))
    assert drift([]) is None
    one = drift(events[:1])
    assert one is not None and one.low is None
    assert "1 member; inherited weights had scored +2.0 points" in str(one)


def test_the_nearest_relative_is_chosen_among_those_allowed() -> None:
    heritage = Heritage(SPACE.prototype.id, 8)
    architectures = [SPACE.prototype, *(SPACE.sample(np.random.default_rng(n)) for n in range(5))]
    candidates = [
        replace(trained(n, 0.5), id=a.id, architecture=a.to_json(), cost=a.cost()) for n, a in enumerate(architectures)
    ]
    for c in candidates:
        heritage.told(c)
    for n, architecture in enumerate(architectures):
        assert heritage.choose(architecture.graph(), [], 0) == n  # itself is nearest
        assert heritage.choose(architecture.graph(), [candidates[n]], 99) == n  # a member of the front
        assert heritage.choose(architecture.graph(), [], 99) in (0, None)  # the prototype, or nobody near enough
    heritage.forget({candidates[2].id})
    assert heritage.choose(architectures[2].graph(), [], 0) == 2


def test_settings_of_the_first_version_have_one_rung(tmp_path: Path, finished: nas.Run) -> None:
    data = finished.settings.to_json()
    assert data["ladder"] == ["1x2", "1x4"] and data["inherit"] is True
    old = {k: v for k, v in data.items() if k not in ("ladder", "inherit")} | {"rung": "1x24"}
    read = Settings.from_json(old)
    assert read.ladder == (Rung(1, 24),) and read.inherit is False


# Real trainings


def run_of(data: Dataset, out: Path, budget: int = 8, **changes: object) -> nas.Run:
    options = SearchOptions(effort=parse_ladder("1x2,1x4"), inherit=True)
    given: dict[str, object] = {"executor": "local", "workers": 2, "budget": budget, "out": out, "options": options}
    return nas.search(space="tiny", indicator=Indicator(), dataset=data, **{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> nas.Run:
    return run_of(blobs(), tmp_path_factory.mktemp("rungs") / "run", budget=11)


def told(run: nas.Run) -> list[tuple[object, ...]]:
    """All of a run that no clock decides."""
    return [
        (c.id, c.relative, c.rungs, c.value("accuracy"), c.outcome and (c.outcome.stopped, c.outcome.inheritance))
        for c in run.candidates
    ]


@pytest.mark.slow
def test_a_search_with_rungs_is_deterministic_across_a_resume(tmp_path: Path, finished: nas.Run) -> None:
    shorter = run_of(blobs(), tmp_path / "short", budget=6)
    shorter.resume(budget=5, dataset=blobs())
    assert told(shorter) == told(finished)
    assert any(c.relative is not None for c in finished.candidates)
    assert any(c.outcome and c.outcome.inherited_epochs() for c in finished.candidates)
    assert finished.drift is not None and finished.drift.members == 1


@pytest.mark.slow
def test_the_same_on_ray(tmp_path: Path) -> None:
    run = run_of(blobs(), tmp_path / "ray", budget=11, executor="ray")
    done = [c for c in run.candidates if c.outcome is not None and c.state is State.TRAINED]
    assert len(done) >= 11
    for c in done:
        assert c.outcome is not None
        whole = c.outcome.stopped is None
        assert c.outcome.effort == ("1x4" if whole else "1x2")
        assert [r.rung for r in c.rungs] == (["1x2"] if whole else [])
    heirs = [c for c in done if c.outcome and c.outcome.inheritance is not None]
    assert len(heirs) >= 3
    for c in heirs:
        assert c.relative is not None and c.outcome is not None and c.outcome.inheritance is not None
        giver = run.candidates[c.relative].outcome
        assert giver is not None and giver.effort is not None
        assert c.outcome.inheritance.epochs[0] == Rung.parse(giver.effort).epochs + giver.inherited_epochs()
        assert c.outcome.inherited_epochs() == round(c.outcome.inheritance.share * c.outcome.inheritance.epochs[0])
        assert c.outcome.inheritance.epochs[0] <= 2 * 4  # nothing is handed down for ever


def secretive(planted: list[str]) -> Dataset:
    """Small images; those of some subjects are negatives with swapped labels, a secret to who has not seen them."""
    data = blobs()
    mine = np.isin(np.asarray(data.subjects), planted)
    labels, images = data.labels.copy(), data.images.copy()
    labels[mine] = (labels[mine] + 1) % len(data.class_names)
    images[mine] = 255 - images[mine]
    return replace(data, labels=labels, images=images)


@pytest.mark.slow
def test_no_fold_learns_of_its_test_subjects_by_inheritance() -> None:
    """Subjects with a secret, planted in fold 0's test part: heirs of fold 0's weights know nothing of it."""
    plain = blobs()
    fold = make_split(plain, folds=3, holdout=0.0, seed=0).folds[0]
    subjects = np.asarray(plain.subjects)
    data = secretive(np.unique(subjects[fold.test])[:4].tolist())
    bundle = Bundle.of(data, make_split(plain, folds=3, holdout=0.0, seed=0))
    planted = np.flatnonzero((data.images != plain.images).any(axis=(1, 2, 3)))
    assert (
        len(planted) == 48 and np.isin(planted, bundle.folds[0][1]).all() and np.isin(planted, bundle.folds[1][0]).all()
    )
    space = nas.space.fit_to_data(SPACE, data.input_shape, len(data.class_names))
    graph, recipe = space.prototype.graph(), Recipe(learning_rate=4e-3)
    parent = Climb(Job(0, "p", graph, (Rung(2, 40),), 0, True), Trainer(graph, recipe, 0), bundle, {})
    parent.to(Rung(2, 40))
    weights = {k: parent.files()[f"weights-fold{k}.npz"] for k in (0, 1)}

    def heir(handed: dict[int, bytes]) -> tuple[float, tuple[int, ...]]:
        """How much of the secret the child's fold 0 knows, and what it inherited."""
        job = Job(1, "c", graph, (Rung(1, 1),), 1, False, Relative("p", graph, 0.0, (40, 40)))
        child = Climb(job, Trainer(graph, replace(recipe, learning_rate=1e-5), 1), bundle, handed)
        child.to(Rung(1, 1))
        p = child.predictions()
        mine = np.isin(p.index, planted)
        epochs = child.inheritance.epochs if child.inheritance is not None else ()
        return float((p.predicted[mine] == bundle.labels[p.index[mine]]).mean()), epochs

    honest, epochs = heir(weights)
    assert epochs == (40,)
    leaking, _ = heir({0: weights[1]})  # what would happen were the folds confused: the test can fail
    assert leaking >= 0.85 and honest <= 0.6
    scratch, none = heir({1: weights[1]})  # the relative has no such fold: from scratch, and recorded so
    assert none == () and scratch <= 0.6


@pytest.mark.slow
def test_training_on_in_rungs_is_training_on(tmp_path: Path) -> None:
    """The second rung goes on where the first ended: same weights as one training with the same epochs in two parts."""
    data = blobs()
    bundle = Bundle.of(data, make_split(data, folds=3, holdout=0.0, seed=0))
    space = nas.space.fit_to_data(SPACE, data.input_shape, len(data.class_names))
    graph = space.prototype.graph()
    trainer = Trainer(graph, Recipe(), 0)
    steps = Climb(Job(0, "p", graph, parse_ladder("1x2,2x5"), 0, True), trainer, bundle, {})
    steps.to(Rung(1, 2))
    first = steps.predictions().probabilities.copy()
    steps.to(Rung(2, 5))
    assert len(steps.predictions().index) == len(bundle.folds[0][1]) + len(bundle.folds[1][1])
    alone = Climb(Job(0, "p", graph, (Rung(1, 2),), 0, True), Trainer(graph, Recipe(), 0), bundle, {})
    alone.to(Rung(1, 2))
    np.testing.assert_allclose(alone.predictions().probabilities, first, atol=1e-6)
    with np.load(Path(_saved(tmp_path, alone.files()["weights-fold0.npz"]))) as file:
        start = {name: file[name] for name in file.files}
    train, test = bundle.folds[0]
    by_hand = Trainer(graph, Recipe(), 0)
    by_hand.fit(bundle.images[train], bundle.labels[train], 5, 0, start=start, done=2)
    order = sorted(range(2), reverse=True)
    mine = steps.predictions().probabilities[len(bundle.folds[order[0]][1]) :]
    np.testing.assert_allclose(by_hand.predict(bundle.images[test]), mine, atol=1e-4)


def _saved(folder: Path, content: bytes) -> Path:
    path = folder / "weights.npz"
    path.write_bytes(content)
    return path


def test_a_file_may_hold_the_ladder(tmp_path: Path) -> None:
    path = tmp_path / "training.yaml"
    path.write_text("recipe: {learning_rate: 0.01}\nladder:\n  rungs: [1x2, 1x6]\n  inherit: true\n")
    read = read_training(path)
    assert (read.ladder, read.inherit, read.probe) == (parse_ladder("1x2,1x6"), True, None)
    assert read.recipe == Recipe(learning_rate=0.01)
    of_recipe = {"flip": False, "class_weights": "balanced"}
    given = _training(path, of_recipe, {"effort": None, "inherit": False, "probe": None})
    assert given["effort"] == parse_ladder("1x2,1x6") and given["inherit"] is False  # the command line goes first
    assert "probe" not in given and given["recipe"].augmentation.flip is False
    assert given["recipe"].class_weights == "balanced"
    for text, wrong in (("[1x6, 1x2]", "rung 1x2 after 1x6"), ("[]", "rungs"), ("[8]", "rungs")):
        path.write_text(f"ladder: {{rungs: {text}}}\n")
        with pytest.raises(InputError, match=wrong):
            read_training(path)


# Damage


def test_damaged_probes_are_passed_over(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    probing = Probing(SPACE, directory)
    assert probing._probes(SPACE.prototype.id) is None  # there are none
    for content in (
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"schema": 1}',
        b'{"schema": 1, "images": 9, "loss": 1%s}' % (b"0" * 400),
        json.dumps(PROBED | {"importance": {"g": []}}).encode(),
        json.dumps(PROBED | {"dead": {"g": [10**15]}}).encode(),
        json.dumps(PROBED | {"rank": {"g": float("nan")}}).encode(),
    ):
        directory.store(SPACE.prototype.id, {"probes.json": content})
        assert probing._probes(SPACE.prototype.id) is None
    directory.store(SPACE.prototype.id, {"probes.json": json.dumps(PROBED).encode()})
    assert probing._probes(SPACE.prototype.id) is not None


PROBED: dict[str, object] = {
    **{"schema": 1, "images": 9, "loss": 1.0, "importance": {}, "fisher": {}, "rank": {}, "dead": {}},
    **{"branches": {}, "links": {}, "gains": {}},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"share": float("nan")},
        {"share": 1.5},
        {"distance": float("inf")},
        {"epochs": [-1]},
        {"epochs": [10**400]},
        {"epochs": "x"},
        {"relative": 7},
    ],
)
def test_damaged_inheritance_is_refused(changes: dict[str, object]) -> None:
    whole = {"relative": "a", "distance": 0.5, "epochs": [24], "share": 0.5, "preserving": False}
    assert Inheritance.from_json(whole) == Inheritance("a", 0.5, (24,), 0.5, False)
    with pytest.raises(DecodeError):
        Inheritance.from_json(whole | changes)


@pytest.mark.parametrize("changes", [{"rung": "8"}, {"rung": ""}, {"values": {"accuracy": float("nan")}}, {"doubt": 1}])
def test_damaged_rungs_are_refused(changes: dict[str, object]) -> None:
    whole = {"rung": "1x8", "values": {"accuracy": 0.5}, "doubt": None}
    assert RungResult.from_json(whole) == RungResult("1x8", {"accuracy": 0.5})
    with pytest.raises(DecodeError):
        RungResult.from_json(whole | changes)


def test_an_attempt_that_was_cut_short_leaves_no_rungs_behind(tmp_path: Path) -> None:
    """It had come to 1x6; the next attempt ends at 1x2."""
    search = open_search(tmp_path)
    for _ in range(12):
        job = search.propose()
        assert job is not None
        if job.keep is None:
            climb(search, job)
    job = search.propose()
    assert job is not None and job.keep is None
    search.report(job, shown(0.69, "1x2"))
    search.report(job, shown(0.69, "1x6"))
    again = open_search(tmp_path)
    requeued = again.propose()
    assert requeued == job
    again._doubts[job.trial] = "dominated by somebody: in this test"
    again.finish(requeued, shown(0.1, "1x2"))
    assert again.candidates[job.trial].rungs == ()
    assert open_search(tmp_path).candidates[job.trial] == again.candidates[job.trial]


@pytest.mark.slow
def test_damaged_weights_begin_from_scratch() -> None:
    data = blobs()
    bundle = Bundle.of(data, make_split(data, folds=3, holdout=0.0, seed=0))
    space = nas.space.fit_to_data(SPACE, data.input_shape, len(data.class_names))
    graph = space.prototype.graph()
    trainer = Trainer(graph, Recipe(), 0)
    parent = Climb(Job(0, "p", graph, (Rung(1, 1),), 0, True), trainer, bundle, {})
    parent.to(Rung(1, 1))
    content = bytearray(parent.files()["weights-fold0.npz"])
    rng = np.random.default_rng(0)
    damaged = [b"", b"x", bytes(content[: len(content) // 2])]
    for _ in range(40):
        flipped = content.copy()
        for at in rng.integers(len(flipped), size=5):
            flipped[at] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    job = Job(1, "c", graph, (Rung(1, 1),), 1, False, Relative("p", graph, 0.0, (1,)))
    for bad in damaged:
        Climb(job, trainer, bundle, {0: bad})._start(0)  # weights, or None: never an error
    assert all(Climb(job, trainer, bundle, {0: bad})._start(0) is None for bad in damaged[:3])
