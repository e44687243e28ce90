"""A run directory as a search leaves it, without training: candidates of every state with made-up measurements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nas.api import Beginning, Run
from nas.data.folds import make_split
from nas.data.recognise import load_dataset
from nas.indicator import Constraint, Indicator, Step
from nas.loop import Plan, Search
from nas.measurement import Measurement
from nas.pareto import objectives_of
from nas.run.candidate import Outcome, State
from nas.run.directory import RunDirectory
from nas.run.study import RunStudy
from nas.rung import Rung
from nas.settings import Materials, Settings, Workers, describe_space
from nas.space import fit_to_data, load_space
from nas.synthesis.samplers import make_sampler

INDICATOR = Indicator((Constraint("params", 20_000, True), Constraint("accuracy", 0.6, False)))


def make_run(folder: Path, npz: Path) -> Run:
    """A run on the data in ``npz``: five proposals, of which one failed and one is still in flight."""
    data = load_dataset(npz)
    space = load_space("tiny")
    split = make_split(data, folds=5, holdout=0.2, seed=0)
    settings = Settings(
        space=describe_space("tiny", space),
        indicator=INDICATOR,
        objectives=("accuracy", "params"),
        data_source=str(npz),
        data_fingerprint=data.fingerprint,
        image_size=None,
        folds=5,
        holdout=0.2,
        split_hash=split.hash,
        ladder=(Rung(1, 2),),
        sampler="evolution",
        seed=0,
        workers=Workers(executor="local", workers=1),
        budget=9,
        time_s=None,
    )
    fitted = fit_to_data(space, data.input_shape, len(data.class_names))
    directory = RunDirectory(folder)
    run = Run(directory)
    run._begin(settings, Materials(fitted, INDICATOR, data, split), Beginning((1 / 3, 20_000.0), 0.55, "nas search"))
    objectives = objectives_of(settings.objectives)
    plan = Plan(fitted, INDICATOR, objectives, (1 / 3, 20_000.0), settings.ladder, 0, 9, 1)
    study = RunStudy(directory.journal, objectives, make_sampler("evolution", fitted, 0))
    search = Search(plan, study, directory)
    for number in range(4):
        job = search.propose()
        assert job is not None
        search.finish(job, _failed() if number == 2 else _trained(0.5 + 0.1 * number))
    assert search.propose() is not None
    return run


def _trained(accuracy: float) -> Outcome:
    measured = {
        "accuracy": Measurement(accuracy, accuracy - 0.1, accuracy + 0.1, "share", 48, "bootstrap over 16 subjects"),
        "size_bytes": Measurement.exact(9000, "bytes", "the exported float32 TFLite file"),
        "latency_ms": Measurement(0.2, 0.1, 0.3, "ms", 900, "this machine, 1 thread"),
    }
    outcome = Outcome(
        State.TRAINED, (), measured, "1x2", {"train": 1.0, "convert": 0.5}, None, {"exclusive_core": True}
    )
    return replace(outcome, verdicts=INDICATOR.judge(measured, Step, 1.5))


def _failed() -> Outcome:
    return Outcome(State.FAILED, failure={"kind": "diverged", "reason": "the loss is no number", "log": "line\nline"})
