"""The Python API: start a search, open a run, go on with it, take networks home."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.data.baseline import linear_baseline, value_baseline
from nas.data.dataset import Dataset
from nas.data.folds import make_split
from nas.data.inspect import inspect
from nas.data.labels import LabelMap, load_label_map
from nas.data.leaks import guard
from nas.data.preparation import Preparation
from nas.data.recognise import is_name, load_dataset
from nas.deploy.fingerprint import fingerprint
from nas.devices.foresight import EVENT, check_useful, foresight_of, tally
from nas.devices.predicted import PredictedDevice
from nas.errors import DecodeError, EnvironmentStopError, InputError, NothingEvaluatedError
from nas.evaluation.bundle import Bundle
from nas.evaluation.limits import Limits
from nas.evaluation.precision import precision_of
from nas.evaluation.train import Recipe
from nas.execution.bundled import bundled
from nas.execution.drive import drive, foresee, ready
from nas.indicator import Indicator, load_indicator
from nas.loop import Listener, Plan, Search, Silent, check_plan
from nas.measurement import is_number
from nas.pareto import objectives_of
from nas.probing import Probing, recorded_merit
from nas.reach import check_reachable
from nas.rescoring import Drift, drift_of
from nas.run.atomic import write_atomic
from nas.run.candidate import Candidate, State, charged
from nas.run.directory import FrontWriter, RunDirectory, find_run, new_run_directory, remove_unbegun
from nas.run.front import Front, front_of, reference_point_of
from nas.run.lock import utc_now
from nas.run.provenance import machine, versions
from nas.run.remeasured import Remeasured, remeasured_in
from nas.run.variants import Variant, variant_rows, variants_of
from nas.rung import Ladder, Rung
from nas.settings import (
    DEFAULT_HOLDOUT,
    DEFAULT_TIME_S,
    ExecutorName,
    Materials,
    Settings,
    Workers,
    check_task,
    describe_space,
    fitted_space,
    fitted_to,
    import_space,
    materials_of,
    recorded_data,
)
from nas.space import SearchSpace, check_prototype, load_space
from nas.task import default_indicator, deviation_of, task_of, wanted_of

if TYPE_CHECKING:
    from nas.certificates.certificate import Certificate
    from nas.certificates.protocol import CertifyProtocol
    from nas.comparison.result import Comparison
    from nas.compression.compress import Watcher as CompressWatcher
    from nas.deploy.held import HeldImages
    from nas.execution.deadline import Deadline
    from nas.generators import Generators
    from nas.trainings import Watcher


@dataclass(frozen=True)
class SearchOptions:
    """What :func:`search` need not be told.

    Attributes:
        effort: folds and epochs that a candidate is trained for; several, the full one last, where what is in vain is
            to be stopped before that.
        inherit: whether a candidate starts from the trained weights of its nearest relative.
        probe: whether trained networks are probed, for which edit to try and which channels to keep.
        quantized: whether candidates are judged by their int8 file (accuracy, size, latency, one byte an activation)
            instead of the float32 one.
        folds: how many there are; fold k is the same for all candidates.
        holdout: share of the subjects that the search never touches; None is 0.2, or the official test part (else the
            validation part) of data that have one.  A number puts official parts together.
        image_size: side to which images are brought; None leaves it to the data.
        preparation: what is done to the data before they are split, and whether a split that leaks is allowed.
        workers: where candidates are evaluated.
        recipe: how they are trained.
        limits: time and memory that one candidate may use.
        predicted_device: rejects candidates that it foretells to be too slow; None rejects none so.
        task: what networks answer: ``classification``, ``regression`` (the targets of the data, such as valence),
            or ``both`` on one trunk.
        landmarks: whether the data's landmarks are a second input.
        predicted_bound_ms: what they may take on it; None leaves that to the indicator's bounds on latency, and then it
            must be of this machine.
        command: the command line, for the record.
    """

    effort: Rung | Ladder = (Rung(1, 8), Rung(1, 24))
    inherit: bool = True
    probe: bool = True
    quantized: bool = False
    folds: int = 5
    holdout: float | None = None
    image_size: int | None = None
    preparation: Preparation = field(default_factory=Preparation)
    workers: Workers = field(default_factory=Workers)
    recipe: Recipe = field(default_factory=Recipe)
    limits: Limits = field(default_factory=Limits)
    predicted_device: PredictedDevice | None = None
    predicted_bound_ms: float | None = None
    task: str = "classification"
    landmarks: bool = False
    command: str | None = None


@dataclass(frozen=True)
class Beginning:
    """What is worked out once, when a search starts, and goes to run.yaml beside its settings."""

    reference_point: tuple[float, ...]
    linear_baseline: float | None
    command: str | None
    value_baseline: dict[str, float] | None = None


def search(  # noqa: PLR0913 - the interface that users rely on
    *,
    space: str | Path | SearchSpace = "emotionnet-nano",
    indicator: str | Path | Indicator | None = None,
    dataset: str | Path | Dataset = "synthetic",
    labels: str | Path | LabelMap | None = None,
    objectives: Sequence[str] | None = None,
    budget: int | None = None,
    time_s: float | None = None,
    workers: int = 2,
    executor: ExecutorName = "ray",
    sampler: str = "synthesis",
    seed: int = 0,
    out: str | Path | None = None,
    options: SearchOptions | None = None,
    listener: Listener | None = None,
) -> Run:
    """Searches from the space's prototype, and leaves a run on disk.

    Args:
        space: a preset's name, a YAML file, ``package.module:object``, or a search space.
        indicator: a preset's name, a YAML file, or an indicator; None is ``emotionnet-nano``, for regression alone
            without its bound on accuracy.
        dataset: ``synthetic``, a path (CK+, CK+48, class folders, ``.npz``), or a data set.
        labels: a preset's name, a YAML file, or a label map: the classes that the data get; None keeps theirs.
        objectives: one to four metrics; accuracy (for regression alone rmse) and params by default.
        budget: how many candidates are evaluated at most.
        time_s: seconds after which nothing more is begun, and what runs is put back; 270 where neither this nor a
            budget is given.
        workers: candidates evaluated at once.
        executor: ``ray`` or ``local``; local gives the same proposals for the same seed.
        sampler: the strategy, see ``nas.synthesis.samplers``.
        seed: of proposals, folds and training.
        out: the run directory; ``results/<UTC time>-<space>`` by default.
        options: what is seldom changed; ``workers`` and ``executor`` here win over those in it.
        listener: follows the search.

    Returns:
        The run; ``run.front`` is its Pareto front.

    Raises:
        InputError: something given cannot be used; nothing was begun.
        EnvironmentStopError: Ray cannot be reached, and nothing was begun; or the disk or Ray stopped the search.
        NothingEvaluatedError: every candidate failed.
        KeyboardInterrupt: the user stopped it; all is written, ``open_run(out).resume()`` goes on.
    """
    deadline = _deadline(budget, time_s)
    options = options or SearchOptions()
    pool = replace(options.workers, executor=executor, workers=workers)
    foresee(pool)
    wanted = wanted_of(options.task, options.landmarks)
    preparation = _preparation(options, labels)
    data = preparation.prepared(load_dataset(dataset, image_size=options.image_size, wanted=wanted))
    task = task_of(data, options.task, options.landmarks)
    loaded = load_space(space)
    fitted = fitted_to(loaded, data.input_shape, len(data.class_names), task)
    holdout = DEFAULT_HOLDOUT if options.holdout is None else options.holdout
    split = make_split(data, folds=options.folds, holdout=holdout, seed=seed)
    preparation = replace(preparation, leaky=guard(data, split, allow=preparation.allow_leaks))
    split = preparation.marked(split)
    settings = Settings(
        space=describe_space(space, loaded),
        indicator=(default_indicator(task) if indicator is None else load_indicator(indicator)).of_file(
            int8=options.quantized
        ),
        objectives=task.objectives if objectives is None else tuple(objectives),
        data_source=None if isinstance(dataset, Dataset) else _absolute(dataset),
        data_fingerprint=data.fingerprint,
        image_size=options.image_size,
        folds=options.folds,
        holdout=holdout,
        split_hash=split.hash,
        ladder=options.effort if isinstance(options.effort, tuple) else (options.effort,),
        inherit=options.inherit,
        probe=options.probe,
        quantized=options.quantized,
        sampler=sampler,
        seed=seed,
        workers=pool,
        budget=budget,
        time_s=time_s,
        recipe=options.recipe,
        limits=options.limits,
        predicted_device=options.predicted_device,
        predicted_bound_ms=options.predicted_bound_ms,
        preparation=preparation,
        task=task,
    )
    materials = Materials(fitted, settings.indicator, data, split)
    point = _check(settings, materials)
    folds = range(settings.ladder[-1].folds)
    baseline = linear_baseline(data, split, folds) if task.classifies else None
    values = value_baseline(data, split, folds) if task.regresses else None
    directory = new_run_directory(out, str(settings.space["name"]))
    run = Run(directory)
    try:
        with directory.locked(), ready(pool, data.images.nbytes):
            run._begin(settings, materials, Beginning(point, baseline, options.command, values))
            run._drive(settings, materials, deadline, listener)
    finally:
        remove_unbegun(directory)
    return run


def open_run(path: str | Path) -> Run:
    """The run at ``path``, or of that name under ``results/``.  Raises InputError when there is none."""
    return Run(find_run(path))


def check_certificate(path: str | Path) -> list[str]:
    """What of a certificate does not agree with the predictions beside it, and with its run; empty where all does.

    Raises:
        InputError: the file is no certificate.
    """
    from nas.certificates.check import differences, run_of

    directory = run_of(Path(path))
    if directory is not None:
        import_space(Run(directory).settings.space)
    return differences(Path(path))


class Run:
    """A search on disk.

    Args:
        directory: of an existing run.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def settings(self) -> Settings:
        """What decides the search, from run.yaml."""
        return Settings.from_json(self.directory.settings().get("settings", {}))

    @property
    def caption(self) -> str:
        """How the data must be named wherever a figure of this run is shown, and how it was measured."""
        recorded = self.directory.settings()
        return f"{recorded['data']['caption']}; {recorded['split']['protocol']}{self.settings.judged_file}"

    @property
    def baseline(self) -> float | None:
        """Accuracy of linear discriminant analysis on the pixels, over the folds that candidates are tested on."""
        value: Any = self.directory.settings().get("linear_baseline")
        return float(value) if is_number(value) else None

    @property
    def value_baseline(self) -> dict[str, float]:
        """``rmse``, ``ccc`` and ``pearson`` of ridge regression on the pixels likewise; empty where not known."""
        found: Any = self.directory.settings().get("value_baseline")
        return {n: float(v) for n, v in found.items() if is_number(v)} if isinstance(found, dict) else {}

    @property
    def candidates(self) -> list[Candidate]:
        """Every trial, in the order of proposal."""
        from nas.run.study import RunStudy

        return RunStudy.read(self.directory.journal) if self._has_trials() else []

    def _has_trials(self) -> bool:
        """Whether there is a journal.  Raises DecodeError when there was one."""
        there = self.directory.journal.exists()
        if not there and (self.path / "front.json").exists():
            raise DecodeError(f"{self.directory.journal}: gone; restore it, or start a new search")
        return there

    @property
    def front(self) -> Front:
        """The Pareto front, from the journal."""
        return self.front_of(self.candidates)

    def front_of(self, candidates: Sequence[Candidate]) -> Front:
        """The front of ``candidates``, which are all or some of this run's."""
        objectives = objectives_of(self.settings.objectives)
        return front_of(candidates, objectives, self._reference_point(len(objectives)))

    def _reference_point(self, objectives: int) -> tuple[float, ...]:
        point = tuple(float(v) for v in self.directory.settings()["reference_point"])
        if len(point) != objectives:
            raise DecodeError(
                f"{self.path}/run.yaml: reference_point has {len(point)} values for {objectives} objectives; restore it"
            )
        return point

    @property
    def drift(self) -> Drift | None:
        """What inherited weights make of a score, by the members that were trained again; None where none was."""
        return drift_of(self.directory)

    @property
    def remeasured(self) -> dict[str, Remeasured]:
        """Latencies that were measured again after the search, by id."""
        return remeasured_in(self.directory)

    def remeasure(self, pick: str = "all") -> list[Remeasured]:
        """Times exported networks again, thoroughly and with no evaluator beside them; each becomes an event.

        Args:
            pick: an id, ``knee``, ``smallest``, ``most-accurate``, or ``all`` (the front).

        Raises:
            InputError: nothing of that name, or a file that was not kept or is damaged.
            EnvironmentStopError: another process drives this run, or the disk is full.
        """
        from nas.deploy.pick import pick as chosen
        from nas.remeasuring import remeasure

        with self.directory.locked():
            candidates = self.candidates
            front = self.front_of(candidates)
            file = precision_of(self.settings.quantized).file
            found = remeasure(self.directory, chosen(front, candidates, pick), candidates[0], file=file)
            FrontWriter(self.directory, variant_rows(self.directory)).write(front)
        return found

    def rebuild(self) -> Front:
        """Restores all that is derived: front.json, front.csv, plots, generators.json."""
        candidates = self.candidates
        front = self.front_of(candidates)
        FrontWriter(self.directory, variant_rows(self.directory)).write(front)
        self._derive(candidates, self._synthesised(candidates))
        return front

    def _derive(self, candidates: Sequence[Candidate], generators: Generators | None) -> None:
        """Plots, and every generator with what it was learned from."""
        self._plot(self.directory.plots, candidates, generators)
        if generators is not None:
            write_atomic(self.path / "generators.json", json.dumps(generators.to_json()))

    def plot(self, out: str | Path | None = None) -> list[Path]:
        """Draws accuracy over parameters and over latency, and what the generators learned; returns the files.

        Raises:
            EnvironmentStopError: the folder cannot be written.
        """
        folder = self.directory.plots if out is None else Path(out)
        candidates = self.candidates
        return self._plot(folder, candidates, self._synthesised(candidates))

    def _plot(self, folder: Path, candidates: Sequence[Candidate], generators: Generators | None) -> list[Path]:
        from nas.report.plots import write_plots

        front = self.front_of(candidates)
        files = write_plots(front, candidates, self.settings.indicator, folder, caption=self.caption)
        files += self._plot_variants(folder, front)
        return files if generators is None else files + generators.write_plot(folder, self.caption)

    def generators(self, space: SearchSpace | None = None) -> Generators:
        """What this run has learned, to draw new architectures from.

        Args:
            space: where the run was started with a Python object, the same again.

        Raises:
            InputError: the space must be given, or is not what the run was started with.
            DecodeError: the run is damaged.
        """
        return self._generators(self.candidates, space)

    def _generators(self, candidates: Sequence[Candidate], space: SearchSpace | None) -> Generators:
        from nas.generators import Generators

        settings = self.settings
        try:
            fitted = fitted_space(self.directory.settings(), settings, space)
        except (InputError, DecodeError) as error:
            raise type(error)(f"{self.path}: what was learned is bound to the search space, and {error}") from error
        return Generators(candidates, fitted, settings.indicator, settings.objectives, settings.seed)

    def _synthesised(self, candidates: Sequence[Candidate], space: SearchSpace | None = None) -> Generators | None:
        """The generators that the search itself used; None for other strategies, or where the space cannot be had."""
        if self.settings.sampler != "synthesis" or not self._has_trials():
            return None
        try:
            return self._generators(candidates, space)
        except InputError as error:  # all else of a run can be looked at without its space
            logging.getLogger(__name__).warning("generators are left out: %s", error)
            return None

    def resume(  # noqa: PLR0913 - the interface that users rely on
        self,
        *,
        budget: int | None = None,
        time_s: float | None = None,
        workers: int | None = None,
        dataset: str | Path | Dataset | None = None,
        space: SearchSpace | None = None,
        executor: ExecutorName | None = None,
        ray_address: str | None = None,
        listener: Listener | None = None,
    ) -> Run:
        """Goes on: what is finished stays, what was in flight is evaluated again.

        Args:
            budget: candidates more than the run was to have.
            time_s: seconds from now; the run's own limit where neither this nor a budget is given.
            workers: candidates evaluated at once, where it should differ.
            dataset: the same data, where it is elsewhere now or was given as a Python object.
            space: where the run was started with a Python object, the same again.
            executor, ray_address: where candidates are evaluated from now on, where it should differ.
            listener: follows the search.

        Raises:
            InputError: the data is not what it was, or the budget is used up.
            EnvironmentStopError: another process drives this run, or Ray cannot be reached.
        """
        with self.directory.locked():
            settings = self._extended(budget, time_s)
            changes = {"workers": workers, "executor": executor, "ray_address": ray_address}
            given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
            settings = replace(settings, workers=replace(settings.workers, **given))
            foresee(settings.workers)
            if dataset is not None and not isinstance(dataset, Dataset):
                settings = replace(settings, data_source=_absolute(dataset))
            deadline = _deadline(settings.budget, time_s if time_s is not None or budget else settings.time_s)
            materials = materials_of(settings, dataset, space)
            with ready(settings.workers, materials.dataset.images.nbytes):
                recorded = self.directory.settings()
                self.directory.write_settings({**recorded, "settings": settings.to_json()})
                self.directory.append_event("resumed", budget=settings.budget, time_s=time_s)
                self._note_machine(recorded, listener or Silent())
                self._drive(settings, materials, deadline, listener)
        return self

    def _note_machine(self, recorded: Mapping[str, Any], listener: Listener) -> None:
        """Tells of it where latencies are going to be another machine's than before."""
        now, begun = fingerprint(), recorded.get("machine")
        told = [begun if isinstance(begun, dict) else {}, *self.directory.events("machine")]
        devices = [event["device"] for event in told if isinstance(event.get("device"), dict)]
        before = devices[-1].get("hash") if devices else None
        if before not in (None, now.hash):
            self.directory.append_event("machine", device=now.to_json())
            listener.noticed(
                f"this is not the machine of before (device {before}, now {now}): its milliseconds are not comparable "
                "with the earlier ones, and quotients to the prototype only roughly"
            )

    def _extended(self, budget: int | None, time_s: float | None) -> Settings:
        """The run's settings with more to do; time alone lifts a budget that is used up."""
        settings = self.settings
        if budget is not None and budget < 1:
            raise InputError(f"budget {budget}: at least 1 candidate more")
        past = self.candidates
        used = settings.budget is not None and charged(past) >= settings.budget
        if budget is not None:
            return replace(settings, budget=budget + (charged(past) if settings.budget is None else settings.budget))
        if used and time_s is not None:
            return replace(settings, budget=None)
        if used and not any(c.state is State.RUNNING for c in past):
            raise InputError(
                f"{self.path}: its budget of {settings.budget} candidates is used; add --budget +N, or --time"
            )
        return settings

    def _look_again(self, state: Search, listener: Listener) -> None:
        """Times the front's members again, now that no evaluator is left."""
        from nas.remeasuring import remeasure_after_search

        members, file = state.front.members, precision_of(self.settings.quantized).file
        if members:
            for line in remeasure_after_search(self.directory, members, state.candidates[0], file):
                listener.noticed(line)

    def _close(self, state: Search, space: SearchSpace) -> None:
        """Leaves the run's files as its journal is."""
        state.rewrite_front()
        if state.probing is not None:
            state.probing.write()
        self.directory.append_event("stopped", reason=state.stop_reason, candidates=len(state.candidates))
        if state.front.members:
            candidates = self.candidates
            self._derive(candidates, self._synthesised(candidates, space))

    def explain(self, candidate_id: str | None = None) -> dict[str, Any]:
        """Why a candidate is where it is, or with no id how many fell at which step and what that saved."""
        from nas.report.claims import claims, put_to_the_test
        from nas.report.compared import explain_predictions
        from nas.report.explain import explain_candidate, summary

        candidates = self.candidates
        if candidate_id is None:
            foretold = tally(self.directory.events(EVENT), candidates)
            probes = recorded_merit(self.directory)
            return summary(candidates, self.settings.indicator) | {"probes": probes, "foretold": foretold}
        candidate, settings = self.find(candidate_id), self.settings
        classes = tuple(self.directory.settings()["data"]["classes"])
        told = explain_candidate(candidate, candidates[0], settings.indicator, settings.task)
        told |= explain_predictions(candidate, self.front_of(candidates).members, self.directory, classes)
        tested = put_to_the_test(candidates)
        told["certificates"] = [
            c.line for c in self.certificates if not isinstance(c, Exception) and c.id == told["id"]
        ]
        return told | {"claims": claims(candidate, settings.indicator, self.directory, tested, settings.budget)}

    def holding(self, candidates: Sequence[Candidate] | None = None) -> list[str] | None:
        """Members of the front that are ``met`` though it counts how many candidates were put to the test.

        None where no member is met, or none rests on an accuracy.  The luck of one training is not counted.

        Args:
            candidates: all of this run, where they are at hand.
        """
        from nas.report.claims import holding, put_to_the_test

        candidates = self.candidates if candidates is None else candidates
        members, settings = self.front_of(candidates).members, self.settings
        return holding(members, settings.indicator, self.directory, put_to_the_test(candidates), settings.budget)

    def alike(self, candidates: Sequence[Candidate] | None = None) -> tuple[list[str], list[str]] | None:
        """Which members of the front the data cannot tell from the most accurate one, and which cannot be compared.

        On the same images, paired by subject where subjects are known; each difference at 95 %, corrected for how many
        members are compared (Bonferroni).  It is about these trainings: the luck of each is not in it.

        Args:
            candidates: all of this run, where they are at hand.

        Returns:
            Ids of those that cannot be told apart, and of those whose predictions cannot be compared; None where the
            most accurate one's cannot.
        """
        from nas.report.compared import alike

        candidates = self.candidates if candidates is None else candidates
        return alike(self.front_of(candidates).members, self.directory)

    def export(
        self,
        pick: str = "knee",
        formats: Sequence[str] = ("keras", "tflite"),
        out: str | Path | None = None,
        *,
        dataset: str | Path | Dataset | None = None,
    ) -> list[Path]:
        """Writes networks as files that run elsewhere, each with its measured card; returns the files.

        See :meth:`exporting`, of which this is all.
        """
        return [path for paths in self.exporting(pick, formats, out, dataset=dataset) for path in paths]

    def exporting(
        self,
        pick: str = "knee",
        formats: Sequence[str] = ("keras", "tflite"),
        out: str | Path | None = None,
        *,
        dataset: str | Path | Dataset | None = None,
    ) -> Iterator[list[Path]]:
        """Writes networks as files that run elsewhere, one network a step; yields its files.

        Args:
            pick: an id, ``knee``, ``smallest``, ``most-accurate``, ``all`` (the front), or ``ID:VARIANT``, a compressed
                variant such as ``58c9dbca72f5:qat``, which there is as TFLite alone.
            formats: of :data:`nas.deploy.formats.FORMATS`, or ``all`` (those that are available).
            out: folder; ``RUN/export`` by default.  Each network gets a folder of its id.
            dataset: the same data, where it is elsewhere now or was given as a Python object: int8 is calibrated on
                it, every file is run on its held-out images.  Without it the float formats are compared on noise.

        Raises:
            InputError: nothing of that name, a format that is not there, or weights that were not kept.
            ConversionError: a file whose answers are not the network's; nothing of it is written.
        """
        from nas.deploy.export import export_candidate
        from nas.deploy.formats import check_formats
        from nas.deploy.order import ExportOrder
        from nas.deploy.pick import pick as chosen

        recorded = self.directory.settings()
        candidates = self.candidates
        if not candidates:
            raise InputError(f"{self.path}: no candidate has been proposed yet; go on with nas resume {self.path}")
        import_space(self.settings.space)
        if ":" in pick:
            yield self._export_variant(pick, formats, out)
            return
        order = ExportOrder(
            directory=self.directory,
            out=self.path / "export" if out is None else Path(out),
            formats=check_formats(tuple(formats)),
            class_names=tuple(recorded["data"]["classes"]),
            caption=self.caption,
            indicator=self.settings.indicator,
            prototype=candidates[0],
            target_names=self.settings.task.targets,
        )
        picked = chosen(self.front, candidates, pick)
        images, no_images = self._held_images(dataset, needed=dataset is not None or "tflite-int8" in order.formats)
        order = replace(order, images=images, no_images=no_images)
        for candidate in picked:
            yield list(export_candidate(candidate, order).values())

    def _export_variant(self, pick: str, formats: Sequence[str], out: str | Path | None) -> list[Path]:
        from nas.deploy.export_variant import VariantOrder, export_variant

        classes = tuple(self.directory.settings()["data"]["classes"])
        of_candidate, _, name = pick.partition(":")
        folder = self.path / "export" if out is None else Path(out)
        targets = self.settings.task.targets
        order = VariantOrder(self.directory, folder, tuple(formats), classes, self.caption, targets)
        return export_variant(self.find(of_candidate), name, order)

    def _held_images(self, dataset: str | Path | Dataset | None, *, needed: bool) -> tuple[HeldImages | None, str]:
        """Images of the search part: to calibrate on, and of fold 0's test part to compare on; else why there are none.

        Raises:
            InputError: they are needed, and are not at hand.
        """
        from nas.deploy.held import HeldImages

        try:
            return HeldImages.of_data(*recorded_data(self.settings, dataset)), ""
        except InputError as error:
            if needed:
                raise
            return None, str(error)

    def compress(
        self,
        pick: str = "knee",
        methods: Sequence[str] = ("ptq", "qat"),
        *,
        epochs: int | None = None,
        again: bool = False,
        dataset: str | Path | Dataset | None = None,
        watcher: CompressWatcher | None = None,
    ) -> list[Variant]:
        """Makes networks smaller, fine-tuned with the run's recipe, and measures each file; see :mod:`nas.compression`.

        Args:
            pick: an id, ``knee``, ``smallest``, ``most-accurate``, or ``all`` (the front).
            methods: such as ``ptq``, ``qat``, ``prune:0.8``, ``cluster:16``, ``prune-qat:0.5``.
            epochs: of each fine-tuning; 8 by default.
            again: whether to make what is there already.
            dataset: the same data, where it is elsewhere now or was given as a Python object.
            watcher: follows it.

        Raises:
            InputError: nothing of that name, an unknown method, other data, or weights that were not kept.
            EnvironmentStopError: another process drives this run, or the disk is full.
        """
        from nas.compression.compress import CompressOrder, Unwatched, compress
        from nas.compression.make import EPOCHS
        from nas.compression.methods import parse_methods
        from nas.deploy.held import HeldImages
        from nas.deploy.pick import pick as chosen
        from nas.evaluation.extras import Extras

        wanted = parse_methods(methods)
        with self.directory.locked():
            settings, candidates = self.settings, self.candidates
            import_space(settings.space)
            front = self.front_of(candidates)
            picked = chosen(front, candidates, pick)
            data, split = recorded_data(settings, dataset)
            images, labels = HeldImages.of_data(data, split), data.labels[split.folds[0].train]
            effort = EPOCHS if epochs is None else epochs
            extras = Extras.of(data, settings.task).at(split.folds[0].train)
            order = CompressOrder(self.directory, wanted, settings.recipe, effort, images, labels, again, extras)
            try:
                return compress(picked, order, watcher or Unwatched())
            finally:
                FrontWriter(self.directory, variant_rows(self.directory)).write(front)
                self._plot_variants(self.directory.plots, front)

    def _plot_variants(self, folder: Path, front: Front) -> list[Path]:
        """Draws accuracy over bytes of the members that were compressed, where there are any."""
        from nas.report.compressed import write_compressed

        return write_compressed(front, self.variants, folder, self.caption)

    @property
    def variants(self) -> dict[str, tuple[Variant, ...]]:
        """Compressed variants by their candidate's id, failed ones too."""
        return variants_of(self.directory)

    def certify(
        self,
        ids: str | Sequence[str],
        protocol: CertifyProtocol | None = None,
        *,
        workers: int | None = None,
        executor: ExecutorName | None = None,
        ray_address: str | None = None,
        dataset: str | Path | Dataset | None = None,
        watcher: Watcher | None = None,
    ) -> list[Certificate]:
        """Trains networks from scratch under a full protocol, and says what that shows of each, with a certificate.

        What is trained already is not trained again: the same call goes on where an earlier one was stopped.

        Args:
            ids: of trained candidates, or ``knee``, ``smallest``, ``most-accurate``, ``all`` (the front).
            protocol: 10 folds, 200 epochs and 3 seeds over the subjects of the search by default.
            workers, executor, ray_address: where to train, where it should differ from the run's.
            dataset: the same data, where it is elsewhere now or was given as a Python object.
            watcher: follows it.

        Raises:
            InputError: nothing of that name, other data, or more folds than a class has subjects.
            NotCertifiedError: a training failed; what did not is kept.
            EnvironmentStopError: another process drives this run, or the disk or Ray stopped it.
            KeyboardInterrupt: the user stopped it.
        """
        from nas.certificates.protocol import CertifyProtocol
        from nas.certify import Finalists, certify, chosen_of, prepare
        from nas.trainings import Unwatched

        with self.directory.locked():
            settings, candidates = self.settings, self.candidates
            why = "a certificate is about accuracy, and networks of this run name no class"
            _needs(settings.task.classifies, "certify", why)
            import_space(settings.space)
            chosen = chosen_of(self.front_of(candidates), candidates, [ids] if isinstance(ids, str) else ids)
            pool = prepare(settings.workers, workers=workers, executor=executor, ray_address=ray_address)
            data, split = recorded_data(settings, dataset)
            finalists = Finalists(
                *(self.directory, settings, candidates, chosen, protocol or CertifyProtocol(), pool, data, split)
            )
            return certify(finalists, watcher or Unwatched())

    def compare(  # noqa: PLR0913 - the interface that users rely on
        self,
        names: str | Sequence[str],
        *,
        pick: str | Sequence[str] = "all",
        folds: int | None = None,
        epochs: int | None = None,
        seeds: int = 1,
        weights: str | None = None,
        baseline: str | None = None,
        workers: int | None = None,
        executor: ExecutorName | None = None,
        ray_address: str | None = None,
        dataset: str | Path | Dataset | None = None,
        out: str | Path | None = None,
        watcher: Watcher | None = None,
    ) -> Comparison:
        """Puts the front beside known networks, trained from scratch on the same folds with the same recipe.

        What is trained already is not trained again: the same call goes on where an earlier one was stopped.

        Args:
            names: of :data:`nas.comparison.known.KNOWN`, or ``all`` of them.
            pick: ids of trained candidates, or ``knee``, ``smallest``, ``most-accurate``, ``all`` (the front).
            folds: over the subjects of the search; as many as it had by default.
            epochs: of each training, 60 by default.
            seeds: trainings of each fold.
            weights: ``imagenet`` starts the networks that have such weights from them.
            baseline: name or id of the network to which accuracies are compared; the first of ``names`` by default.
            workers, executor, ray_address: where to train, where it should differ from the run's.
            dataset: the same data, where it is elsewhere now or was given as a Python object.
            out: folder of the table and the plot, ``RUN/compare`` by default.
            watcher: follows it.

        Raises:
            InputError: nothing of that name, other data, or more folds than a class has subjects.
            NothingEvaluatedError: no network could be trained.
            EnvironmentStopError: another process drives this run, the disk or Ray stopped it, or pretrained weights
                cannot be had.
            KeyboardInterrupt: the user stopped it.
        """
        from nas.certify import chosen_of, prepare
        from nas.comparison.compare import FOLDER, Contest, compare, writable_folder
        from nas.comparison.known import known_networks
        from nas.comparison.protocol import EPOCHS, ComparisonProtocol
        from nas.head import head_of
        from nas.trainings import Unwatched

        with self.directory.locked():
            settings, candidates = self.settings, self.candidates
            why = "what is compared is accuracy, and networks of this run name no class"
            _needs(settings.task.classifies, "compare", why)
            import_space(settings.space)
            protocol = ComparisonProtocol(
                settings.folds if folds is None else folds, EPOCHS if epochs is None else epochs, seeds
            )
            chosen = chosen_of(self.front_of(candidates), candidates, [pick] if isinstance(pick, str) else pick)
            data, split = recorded_data(settings, dataset)
            wanted = [names] if isinstance(names, str) else names
            head = head_of(candidates[0].network().graph())
            known = known_networks(wanted, data.input_shape, len(data.class_names), weights, head)
            pool = prepare(settings.workers, workers=workers, executor=executor, ray_address=ray_address)
            parts = self.directory, settings, candidates, chosen, known, baseline, protocol, pool, data, split
            folder = writable_folder(self.path / FOLDER if out is None else Path(out))
            found = compare(Contest(*parts, data.caption), watcher or Unwatched())
            found.write(folder)
        return found

    @property
    def certificates(self) -> list[Certificate | DecodeError]:
        """Those issued so far; where one cannot be read, why."""
        from nas.certificates.certificate import certificates_in

        return certificates_in(self.directory.models)

    def find(self, candidate_id: str) -> Candidate:
        """The candidate of an id, an unambiguous beginning of one, or a trial number.

        Raises:
            InputError: none, or several.
        """
        unique = {c.id: c for c in reversed(self.candidates)}
        if candidate_id in unique:
            return unique[candidate_id]
        found = [c for c in unique.values() if c.id.startswith(candidate_id) and len(candidate_id) >= 4]
        if not found and candidate_id.isdecimal():
            found = [c for c in self.candidates if str(c.trial) == candidate_id]
        if len(found) != 1:
            what = "no candidate" if not found else f"{len(found)} candidates"
            some = ", ".join(m.id for m in self.front.members[:5]) or "none"
            raise InputError(f"{candidate_id}: {what} of this run begin with it; members of the front: {some}")
        return found[0]

    def _begin(self, settings: Settings, materials: Materials, beginning: Beginning) -> None:
        if (self.path / "run.yaml").exists():  # by another process, since the folder was found empty
            raise InputError(f"{self.path}: another search has just been begun there; choose another --out")
        self.directory.write_settings(
            {
                "created": utc_now(),
                "command": beginning.command or "python: nas.search(...)",
                "reference_point": list(beginning.reference_point),
                "data": {"caption": materials.dataset.caption, **inspect(materials.dataset)},
                "split": materials.split.describe(),
                "linear_baseline": beginning.linear_baseline,
                "value_baseline": beginning.value_baseline,
                "versions": versions(),
                "machine": machine() | {"device": fingerprint().to_json()},
                "settings": settings.to_json(),
            }
        )
        self.directory.append_event("started", command=beginning.command)

    def _drive(self, settings: Settings, materials: Materials, deadline: Deadline, listener: Listener | None) -> None:
        from nas.evaluation.job import Setup
        from nas.run.study import RunStudy
        from nas.synthesis.samplers import sampler_for

        point = self._reference_point(len(settings.objectives))
        lag = 2 * settings.workers.workers - 1 if settings.workers.executor == "local" else None
        objectives = objectives_of(settings.objectives)
        space, indicator = materials.space, materials.indicator
        plan = Plan(
            space, indicator, objectives, point, settings.ladder, settings.seed, settings.budget, lag, settings.inherit
        )
        study = RunStudy(self.directory.journal, objectives)
        probing = Probing(space, self.directory) if settings.probe else None
        prior = None if probing is None else probing.prior
        study.use(sampler_for(plan, settings.sampler, settings.seed, study.past, prior))
        foresight = None
        if settings.predicted_device is not None:
            bound_ms, graph = settings.predicted_bound_ms, space.prototype.graph()
            foresight = foresight_of(settings.predicted_device, indicator, bound_ms, graph, settings.seed)
        state = Search(plan, study, self.directory, listener, probing, foresight)
        threads = max(int(settings.workers.cpus), 1)
        gpus = settings.workers.gpus > 0
        setup = Setup(
            space.prototype.graph(), indicator, settings.recipe, threads, gpus, settings.limits, settings.quantized
        )
        if study.past:  # a driver that was killed may have left them behind the journal
            state.rewrite_front()
        try:
            with bundled(Bundle.of(materials.dataset, materials.split, settings.task)) as path:
                drive(state, setup, path, settings.workers, deadline, self.directory, listener or Silent())
            self._look_again(state, listener or Silent())
        except EnvironmentStopError:
            with contextlib.suppress(EnvironmentStopError):  # one message is enough: the first
                self._close(state, space)
            raise
        except BaseException:
            self._close(state, space)
            raise
        self._close(state, space)
        if state.candidates and not any(c.state is State.TRAINED for c in state.candidates):
            failures = [c.outcome.failure for c in state.candidates if c.outcome and c.outcome.failure]
            if failures:
                raise NothingEvaluatedError(
                    f"no candidate could be evaluated; the last failure: {failures[-1]['reason']}"
                )


def _needs(given: bool, what: str, why: str) -> None:
    """Raises InputError for what a run's task does not allow."""
    if not given:
        raise InputError(f"{what}: {why}; search with --task classification or both for this")


def _deadline(budget: int | None, time_s: float | None) -> Deadline:
    from nas.execution.deadline import Deadline

    if time_s is not None and not 0 < time_s < float("inf"):
        raise InputError(f"time {time_s} s: give a positive number of seconds")
    return Deadline(DEFAULT_TIME_S if budget is None and time_s is None else time_s)


def _preparation(options: SearchOptions, labels: str | Path | LabelMap | None) -> Preparation:
    """What is done to the data; a hold-out that was asked for is drawn, whatever official part there is."""
    chosen = options.preparation
    if labels is not None:
        chosen = replace(chosen, labels=load_label_map(labels))
    return chosen if options.holdout is None else replace(chosen, ignore_parts=True)


def _absolute(source: str | Path) -> str:
    return str(source) if is_name(str(source)) else str(Path(source).resolve())


def _check(settings: Settings, materials: Materials) -> tuple[float, ...]:
    """Checks what can be checked before anything is written; the reference point of the front."""
    from nas.synthesis.samplers import sampler_for

    objectives = objectives_of(settings.objectives)
    check_task(settings, materials.dataset)
    classes, deviation = len(materials.dataset.class_names), deviation_of(materials.dataset)
    point = reference_point_of(materials.space.prototype.cost(), objectives, materials.indicator, classes, deviation)
    plan = Plan(
        materials.space, materials.indicator, objectives, point, settings.ladder, settings.seed, settings.budget
    )
    check_plan(plan, settings.folds)
    sampler_for(plan, settings.sampler, settings.seed, past=0)
    check_prototype(materials.space)
    check_reachable(materials.space, materials.indicator)
    file = precision_of(settings.quantized).what
    check_useful(settings.predicted_device, materials.indicator, settings.predicted_bound_ms, file)
    return point


def command_line() -> str:
    """The command that this process was started with, by the program's name alone."""
    return " ".join(["nas", *sys.argv[1:]])
