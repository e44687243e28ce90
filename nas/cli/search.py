"""``nas search`` and ``nas resume``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nas.cli.app import app, guarded
from nas.errors import EnvironmentStopError, InputError, NothingEvaluatedError

if TYPE_CHECKING:
    from nas.api import Run

ExecutorName = Literal["ray", "local"]

SEARCH_HELP = """Search networks from a prototype, and leave a Pareto front on disk.

Without options: the EmotionNet Nano space, the paper's indicator, a synthetic face set under the CK+ protocol, two
workers, five minutes.  Stop it with Ctrl-C whenever you like; `nas resume RUN` goes on where it was.

[bold]Examples[/bold]

    nas search
    nas search --data ~/data/ckplus --time 2h --effort 1x20
    nas search --data photos/ --constraints none --objectives accuracy,latency_ms
    nas search --task both --objectives rmse,params --landmarks --constraints none
    nas search --space my.yaml --constraints my-limits.yaml --budget 200 --workers 4
"""


@app.command(help=SEARCH_HELP)
@guarded
def search(
    space: Annotated[
        str, typer.Option(help="Preset, YAML file or package.module:object (see: nas spaces).")
    ] = "emotionnet-nano",
    constraints: Annotated[
        str | None,
        typer.Option(
            help="Preset or YAML file: the indicator function (see: nas constraints) \\[default: emotionnet-nano; "
            "regression: the same without its bound on accuracy]."
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            help="'synthetic', tfds:NAME, or a path: one folder a class, .npz, csv, CK+ ...; docs/data.md lists all."
        ),
    ] = "synthetic",
    task: Annotated[
        str,
        typer.Option(help="classification, regression (the data's targets, such as valence and arousal), or both."),
    ] = "classification",
    landmarks: Annotated[
        bool, typer.Option("--landmarks", help="Give networks the data's landmarks as a second input.")
    ] = False,
    objectives: Annotated[
        str | None,
        typer.Option(
            help="One to four metrics, separated by commas \\[default: accuracy,params; regression: rmse,params]."
        ),
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Candidates to evaluate at most.")] = None,
    time: Annotated[
        str | None, typer.Option(help="Time limit: 90s, 5m, 2h (without this and --budget: 270 s).")
    ] = None,
    executor: Annotated[
        ExecutorName, typer.Option(help="ray, or local (without Ray, reproducible proposals).")
    ] = "ray",
    workers: Annotated[int, typer.Option(help="Candidates evaluated at once.")] = 2,
    cpus_per_worker: Annotated[float, typer.Option(help="Cores a worker.")] = 1.0,
    gpus_per_worker: Annotated[float, typer.Option(help="GPUs a worker; fractions share one.")] = 0.0,
    ray_address: Annotated[str | None, typer.Option(help="A running Ray cluster, such as 'auto' or HOST:6379.")] = None,
    sampler: Annotated[str, typer.Option(help="synthesis, evolution, nsga2, nsga3, tpe, gp or random.")] = "synthesis",
    seed: Annotated[int, typer.Option(help="Of proposals, folds and training.")] = 0,
    effort: Annotated[
        str | None,
        typer.Option(
            help="FOLDSxEPOCHS of a candidate; or a ladder such as 1x8,1x24,3x24: what is in vain ends after a rung "
            "\\[default: 1x8,1x24]."
        ),
    ] = None,
    inherit: Annotated[
        bool | None,
        typer.Option(
            "--inherit/--no-inherit",
            help="Start candidates from the trained weights of their nearest relative, fold by fold \\[default: yes].",
        ),
    ] = None,
    probe: Annotated[
        bool | None,
        typer.Option(
            "--probe/--no-probe",
            help="Probe trained networks for which edit to try next, and which channels to keep \\[default: yes].",
        ),
    ] = None,
    quantized: Annotated[
        bool, typer.Option("--quantized", help="Judge candidates by their int8 file instead of the float32 one.")
    ] = False,
    folds: Annotated[int, typer.Option(help="Folds that the search subjects are divided into.")] = 5,
    holdout: Annotated[
        float | None,
        typer.Option(
            help="Share of the subjects set aside and never touched \\[default: 0.2, or the official test part]."
        ),
    ] = None,
    ignore_parts: Annotated[
        bool, typer.Option("--ignore-parts", help="Put the official parts of the data together.")
    ] = False,
    labels: Annotated[
        str | None, typer.Option(help="Label map, preset or YAML file: renames, merges, drops classes (nas labels).")
    ] = None,
    class_weights: Annotated[
        Literal["balanced", "none"] | None,
        typer.Option(help="balanced: rare classes weigh more in the loss \\[default: none, or the recipe's]."),
    ] = None,
    group: Annotated[
        Literal["given", "duplicates"],
        typer.Option(help="What folds keep together where subjects are unknown: given sequences, or near duplicates."),
    ] = "given",
    allow_leaks: Annotated[
        bool,
        typer.Option("--allow-leaks", help="Accept folds that test on near copies of training images; it is said."),
    ] = False,
    image_size: Annotated[int | None, typer.Option(help="Side to which images are brought.")] = None,
    colour: Annotated[
        Literal["as-stored", "grey", "rgb"], typer.Option(help="Channels that networks are given.")
    ] = "as-stored",
    flip: Annotated[bool, typer.Option(help="Mirror images in augmentation (not for digits or text).")] = True,
    recipe: Annotated[
        Path | None,
        typer.Option(help="YAML file of how candidates are trained, such as nas tune writes; it may hold a ladder."),
    ] = None,
    candidate_time: Annotated[
        str | None, typer.Option(help="What one candidate may take, such as 20m \\[default: 30 m without progress].")
    ] = None,
    candidate_memory: Annotated[
        str | None,
        typer.Option(help="Memory that one candidate's process may hold, such as 4GB \\[default: any]."),
    ] = None,
    predicted_device: Annotated[
        Path | None,
        typer.Option(help="What nas device fit wrote: rejects unbuilt what it foretells to be too slow for certain."),
    ] = None,
    predicted_bound: Annotated[
        str | None,
        typer.Option(help="What a network may take on it, such as 10ms \\[default: the constraints' bound]."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory \\[default: results/<UTC time>-<space>].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the front as JSON at the end.")] = False,
) -> None:
    """Starts a search; see SEARCH_HELP."""
    from nas import api, units
    from nas.cli.view import View
    from nas.data.preparation import Preparation
    from nas.devices.predicted import PredictedDevice
    from nas.evaluation.limits import Limits
    from nas.run.directory import planned_run_directory
    from nas.settings import DEFAULT_TIME_S, Workers

    time_s = seconds_of(time)
    options = api.SearchOptions(
        task=task,
        landmarks=landmarks,
        quantized=quantized,
        folds=folds,
        holdout=holdout,
        preparation=Preparation(None, group, ignore_parts, allow_leaks, colour=colour),
        image_size=image_size,
        workers=Workers(executor, workers, cpus_per_worker, gpus_per_worker, ray_address),
        **_training(
            recipe,
            {"flip": flip, "class_weights": class_weights},
            {"effort": effort, "inherit": inherit, "probe": probe},
        ),
        limits=Limits(
            seconds_of(candidate_time, "--candidate-time"),
            None if candidate_memory is None else int(units.parse_quantity(candidate_memory, units.BYTES)),
        ),
        predicted_device=None if predicted_device is None else PredictedDevice.read(predicted_device),
        predicted_bound_ms=(
            None if predicted_bound is None else units.parse_quantity(predicted_bound, units.MILLISECONDS)
        ),
        command=api.command_line(),
    )
    if budget is not None and budget < 1:
        raise InputError(f"--budget {budget}: at least 1")
    directory = planned_run_directory(out, Path(space).stem)
    limit = DEFAULT_TIME_S if budget is None and time_s is None else time_s
    view = View(budget=budget, time_s=limit, quiet=as_json, path=directory.path)

    def go() -> Run:
        return api.search(
            space=space,
            indicator=constraints,
            dataset=data,
            labels=labels,
            objectives=None if objectives is None else [name.strip() for name in objectives.split(",")],
            budget=budget,
            time_s=time_s,
            workers=workers,
            executor=executor,
            sampler=sampler,
            seed=seed,
            out=directory.path,
            options=options,
            listener=view,
        )

    run = _watched(go, view, directory.path)
    _conclude(run, view, as_json=as_json)


@app.command()
@guarded
def resume(
    run: Annotated[str, typer.Argument(help="Run directory, or its name under results/.")],
    budget: Annotated[str | None, typer.Option(help="Candidates more, such as +20.")] = None,
    time: Annotated[str | None, typer.Option(help="Time limit from now: 90s, 5m, 2h.")] = None,
    workers: Annotated[int | None, typer.Option(help="Candidates evaluated at once, where it should differ.")] = None,
    data: Annotated[str | None, typer.Option(help="Where the run's data is now, if it has moved.")] = None,
    executor: Annotated[ExecutorName | None, typer.Option(help="ray or local, where it should differ.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Where the cluster is now, if it has moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the front as JSON at the end.")] = False,
) -> None:
    """Go on with a search: what is finished stays, what was in flight is evaluated again.

    [bold]Examples[/bold]

        nas resume results/20260101T120000Z-emotionnet-nano --time 1h

        nas resume my-run --budget +50 --workers 4
    """
    from nas import api
    from nas.cli.view import View

    opened = api.open_run(run)
    more = None if budget is None else _more(budget)
    time_s = seconds_of(time)
    limit = time_s or (None if more else opened.settings.time_s)
    view = View(budget=more, time_s=limit, quiet=as_json, path=opened.path)
    done = _watched(
        lambda: opened.resume(
            budget=more,
            time_s=time_s,
            workers=workers,
            dataset=data,
            executor=executor,
            ray_address=ray_address,
            listener=view,
        ),
        view,
        opened.path,
    )
    _conclude(done, view, as_json=as_json)


def _watched(go: Any, view: Any, path: Path) -> Run:
    """Runs ``go`` under the live view; the ends that can be resumed say how."""
    try:
        with view:
            result: Run = go()
            return result
    except KeyboardInterrupt as error:
        begun = (path / "study.journal").exists()
        typer.echo(
            f"interrupted; everything finished is kept. Go on with:  nas resume {quote(str(path))}"
            if begun
            else "interrupted before anything was begun",
            err=True,
        )
        raise typer.Exit(130) from error
    except (EnvironmentStopError, NothingEvaluatedError) as error:
        begun = (path / "run.yaml").exists()
        typer.echo(f"error: {error}", err=True)
        if begun:
            typer.echo(f"when that is mended, go on with:  nas resume {quote(str(path))}", err=True)
        raise typer.Exit(error.exit_code) from error


def _training(path: Path | None, of_recipe: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """How to train: what the command line says, else a file, else the defaults; ``--no-flip`` holds for all."""
    from nas.recipes import Training, read_training
    from nas.rung import parse_ladder

    effort = given["effort"]
    given = {**given, "effort": None if effort is None else parse_ladder(effort)}
    told = Training() if path is None else read_training(path)
    recipe = told.recipe
    if not of_recipe["flip"]:
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, flip=False))
    if of_recipe["class_weights"] is not None:
        recipe = replace(recipe, class_weights=of_recipe["class_weights"])
    filed = {"effort": told.ladder, "inherit": told.inherit, "probe": told.probe}
    chosen = {name: filed[name] if value is None else value for name, value in given.items()}
    return {"recipe": recipe, **{name: value for name, value in chosen.items() if value is not None}}


def _conclude(run: Run, view: Any, *, as_json: bool) -> None:
    from nas.run.variants import variant_rows

    if as_json:
        typer.echo(json.dumps(run.front.to_json(run.remeasured, variant_rows(run.directory)), indent=1))
    else:
        view.conclude(run)


def seconds_of(text: str | None, option: str = "--time") -> float | None:
    """A duration as it is written on the command line.  Raises InputError."""
    from nas import units

    if text is None:
        return None
    seconds = units.parse_quantity(text, units.SECONDS)
    if not 0 < seconds < 1e9:
        raise InputError(f"{option} {text}: give a positive duration, such as 5m")
    return seconds


def _more(text: str) -> int:
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10 and int(digits)):
        raise InputError(f"--budget {text}: write how many candidates more, such as +20")
    return int(digits)
