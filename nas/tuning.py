"""The recipe of a search, tuned once on its prototype, and frozen from then on."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nas.architecture import Architecture
from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.data.recognise import load_dataset
from nas.errors import DecodeError, EnvironmentStopError, InputError, NothingEvaluatedError
from nas.evaluation.bundle import Bundle
from nas.evaluation.client import EvaluatorProcess, Finished
from nas.evaluation.job import Job, Setup, recipe_from_json
from nas.evaluation.train import Recipe
from nas.execution.bundled import bundled
from nas.execution.deadline import Deadline
from nas.indicator import Indicator
from nas.recipes import write_recipe
from nas.run.journal import DAMAGE, repair_tail
from nas.run.lock import locked
from nas.rung import Rung
from nas.settings import check_training, fitted_to
from nas.space import SearchSpace, load_space
from nas.task import task_of, wanted_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

JOURNAL: Final = "tune.journal"
RECIPE: Final = "recipe.yaml"
_STUDY: Final = "tune"
_STARTUP: Final = 8  # trials, the default recipe among them, before TPE takes over from chance


@dataclass(frozen=True)
class TuneOptions:
    """What :func:`tune` need not be told.

    Attributes:
        effort: folds and epochs that every recipe is tried for.
        folds, holdout, image_size: as in a search; the subjects set aside are not touched.
        recipe: the one to start from, and to compare with; its batch and mirroring stay.
        seed: of the folds, the proposals, and of the training, which is the same for all recipes.
        threads: of TensorFlow.
        task: what networks answer, ``classification`` or ``both``: recipes are compared by accuracy.
        landmarks: whether the data's landmarks are a second input.
    """

    effort: Rung = field(default_factory=lambda: Rung(1, 12))
    folds: int = 5
    holdout: float = 0.2
    image_size: int | None = None
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    threads: int = 1
    task: str = "classification"
    landmarks: bool = False


@dataclass(frozen=True)
class Tried:
    """One recipe and its out-of-fold accuracy, or why it has none."""

    number: int
    recipe: Recipe
    accuracy: float | None
    failure: str | None


@dataclass(frozen=True)
class Tuning:
    """What a tuning has found; the best of several noisy scores is too high by some points.

    Attributes:
        best: the recipe of the highest accuracy, of equal ones the earliest.
        default: the recipe that it started from; None where its training failed.
        tried: all of them.
        path: of the recipe's file.
    """

    best: Tried
    default: Tried | None
    tried: tuple[Tried, ...]
    path: Path


def tune(
    *,
    space: str | Path | SearchSpace = "emotionnet-nano",
    dataset: str | Path | Dataset = "synthetic",
    trials: int = 20,
    time_s: float | None = None,
    out: str | Path,
    options: TuneOptions | None = None,
    listener: Callable[[Tried], None] = lambda tried: None,
) -> Tuning:
    """Tunes learning rate, label smoothing, augmentation and weight decay on the space's prototype.

    The first trial is the recipe that it starts from, the next seven are drawn at random, then Optuna's TPE proposes.
    ``out`` keeps every trial; the same call again goes on, and makes the proposals that it would have made.

    Args:
        space: whose prototype is trained, see :func:`nas.api.search`.
        dataset: as in a search.
        trials: recipes to try, those of earlier calls included.
        time_s: seconds after which no further recipe is begun.
        out: folder of the study and of ``recipe.yaml``, for :func:`nas.recipes.read_recipe`.
        options: what is seldom changed.
        listener: is told of each trial.

    Raises:
        InputError: something given cannot be used, or ``out`` holds a tuning of something else.
        EnvironmentStopError: the machine stopped it, or another process works in ``out``.
        NothingEvaluatedError: every training failed.
        KeyboardInterrupt: the user stopped it; the same call goes on.
    """
    options = options or TuneOptions()
    _check(trials, time_s, options)
    deadline = Deadline(time_s)
    data = load_dataset(dataset, image_size=options.image_size, wanted=wanted_of(options.task, options.landmarks))
    task = task_of(data, options.task, options.landmarks)
    if not task.classifies:
        raise InputError("nas tune compares recipes by accuracy: give --task classification or both")
    check_training(task, options.recipe, data)
    fitted = fitted_to(load_space(space), data.input_shape, len(data.class_names), task)
    split = make_split(data, folds=options.folds, holdout=options.holdout, seed=options.seed)
    folder = _folder(Path(out))
    what: dict[str, Any] = {"prototype": fitted.prototype.id, "data": data.fingerprint, "split": split.hash}
    what |= {"effort": str(options.effort), "recipe": asdict(options.recipe), "seed": options.seed}
    what |= {} if task.plain else {"task": task.to_json()}
    with locked(folder / ".lock"), bundled(Bundle.of(data, split, task)) as bundle:
        study = _opened(folder / JOURNAL, what)
        _settle(study, options)
        while _count(study) < trials and not deadline.too_late:
            trial = _ask(study, options)
            deadline.begun(trial.number)
            finished = _train(trial, fitted.prototype, bundle, options)
            tried = _tell(study, trial, finished, options)
            deadline.ended(trial.number, trained=tried.accuracy is not None)
            listener(tried)
        return _conclude(study, folder, options, f"{data.caption}; {split.protocol}")


def ranges() -> dict[str, BaseDistribution]:
    """What is tuned, and within which bounds; the augmentation's strength scales all of its ranges."""
    from optuna.distributions import FloatDistribution

    return {
        "learning_rate": FloatDistribution(2e-4, 2e-2, log=True),
        "label_smoothing": FloatDistribution(0.0, 0.2),
        "augmentation": FloatDistribution(0.0, 2.0),
        "weight_decay": FloatDistribution(0.0, 0.2),
    }


def _check(trials: int, time_s: float | None, options: TuneOptions) -> None:
    if trials < 1:
        raise InputError(f"trials {trials}: at least 1")
    if time_s is not None and not 0 < time_s < float("inf"):
        raise InputError(f"time {time_s} s: give a positive number of seconds")
    if options.effort.folds > options.folds:
        raise InputError(f"effort {options.effort}: there are {options.folds} folds; use fewer, or --folds")
    if options.recipe.augmentation.zoom * 2 >= 1:
        raise InputError(f"zoom {options.recipe.augmentation.zoom}: it is tried at up to twice its size; below 0.5")


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        strangers = any(path.iterdir()) and not (path / JOURNAL).exists() and not (path / ".lock").exists()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be a folder ({error}); choose another --out") from error
    if strangers:
        raise InputError(f"{path}: exists and holds no tuning; choose another --out")
    return path


def _opened(journal: Path, what: dict[str, Any]) -> Study:
    """The study on disk; made where there is none.  Raises InputError for one of something else."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    repair_tail(journal)
    try:
        study = optuna.create_study(
            study_name=_STUDY,
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
            direction="maximize",
            load_if_exists=True,
        )
    except OSError as error:
        raise EnvironmentStopError(f"{journal}: cannot be written ({error.strerror}); check the disk") from error
    except DAMAGE as error:
        raise DecodeError(f"{journal}: damaged; restore it, or choose another --out") from error
    known = study.user_attrs.get("what")
    if isinstance(known, dict) and isinstance(known.get("recipe"), dict):  # older tunings recorded fewer fields of it
        known = {**known, "recipe": {**asdict(Recipe()), **known["recipe"]}}
    if known is None:
        study.set_user_attr("what", what)
    elif known != json.loads(json.dumps(what)):
        told = json.loads(json.dumps(what))
        names = ", ".join(name for name in {**told, **known} if known.get(name) != told.get(name))
        raise InputError(f"{journal.parent}: holds a tuning of another {names}; choose another --out")
    return study


def _settle(study: Study, options: TuneOptions) -> None:
    """Queues the recipe to start from, and once more what a killed process has left unfinished."""
    from optuna.trial import TrialState

    if not study.trials:
        recipe = options.recipe
        smoothing, decay = recipe.label_smoothing, recipe.weight_decay
        start = {"label_smoothing": smoothing, "augmentation": 1.0, "weight_decay": decay}
        study.enqueue_trial({"learning_rate": recipe.learning_rate, **start})
    for trial in study.trials:
        if trial.state is TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)


def _finished(study: Study) -> list[FrozenTrial]:
    """Trials with an accuracy, or whose training failed (``PRUNED``: TPE then keeps away from there)."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _count(study: Study) -> int:
    return len(_finished(study))


def _ask(study: Study, options: TuneOptions) -> Trial:
    """The next trial; its proposal depends on the seed and on what is finished alone."""
    from optuna.samplers import TPESampler

    seed = int(np.random.default_rng([options.seed, _count(study)]).integers(2**31))
    study.sampler = TPESampler(n_startup_trials=_STARTUP, multivariate=True, seed=seed)
    return study.ask(ranges())


def recipe_of(base: Recipe, params: dict[str, float]) -> Recipe:
    """``base`` with the tuned values."""
    return replace(
        base,
        learning_rate=params["learning_rate"],
        label_smoothing=params["label_smoothing"],
        weight_decay=params["weight_decay"],
        augmentation=base.augmentation.scaled(params["augmentation"]),
    )


def _train(trial: Trial, prototype: Architecture, bundle: Path, options: TuneOptions) -> Finished:
    graph = prototype.graph()
    setup = Setup(graph, Indicator(()), recipe_of(options.recipe, trial.params), options.threads)
    with closing(EvaluatorProcess(bundle, setup)) as evaluator:
        evaluator.submit(Job(trial.number, prototype.id, graph, (options.effort,), options.seed, reference=True))
        while (finished := evaluator.poll(1.0)) is None:
            pass
    return finished


def _tell(study: Study, trial: Trial, finished: Finished, options: TuneOptions) -> Tried:
    from optuna.trial import TrialState

    outcome = finished.outcome
    recipe = recipe_of(options.recipe, trial.params)
    trial.set_user_attr("recipe", asdict(recipe))
    if outcome.environmental:
        assert outcome.failure is not None
        raise EnvironmentStopError(f"trial {trial.number}: {outcome.failure['reason']}; the same command goes on")
    if outcome.failure is not None:
        reason = outcome.failure["reason"]
        trial.set_user_attr("failure", reason)
        study.tell(trial, state=TrialState.PRUNED)
        return Tried(trial.number, recipe, None, reason)
    accuracy = outcome.measurements["accuracy"].value
    study.tell(trial, accuracy)
    return Tried(trial.number, recipe, accuracy, None)


def _tried(trial: FrozenTrial) -> Tried:
    recipe = recipe_from_json(trial.user_attrs["recipe"])
    value = trial.value if trial.values else None
    return Tried(trial.number, recipe, value, trial.user_attrs.get("failure"))


def _conclude(study: Study, folder: Path, options: TuneOptions, caption: str) -> Tuning:
    tried = tuple(_tried(trial) for trial in _finished(study))
    scored = [t for t in tried if t.accuracy is not None]
    if not scored:
        why = f"; the last failure: {tried[-1].failure}" if tried else "; give it more time"
        raise NothingEvaluatedError(f"no recipe could be tried{why}")
    best = max(scored, key=lambda t: (t.accuracy or 0.0, -t.number))
    default = next((t for t in scored if t.recipe == options.recipe), None)
    told = "no score" if default is None else f"{default.accuracy:.1%}"
    path = folder / RECIPE
    write_recipe(
        path,
        best.recipe,
        f"The best of {len(scored)} recipes, by nas tune: {best.accuracy:.1%} at effort {options.effort}, the one it "
        f"started from {told}.\nOne training each, on the same folds: the best one's score is optimistic, since it was "
        f"selected by it.\n{caption}",
    )
    return Tuning(best, default, tried, path)
