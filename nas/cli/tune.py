"""``nas tune``."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.app import app, guarded
from nas.cli.search import seconds_of

if TYPE_CHECKING:
    from nas.tuning import Tried, Tuning


@app.command()
@guarded
def tune(
    space: Annotated[str, typer.Option(help="Whose prototype is trained (see: nas spaces).")] = "emotionnet-nano",
    data: Annotated[str, typer.Option(help="'synthetic', or a path, as in nas search.")] = "synthetic",
    task: Annotated[
        str, typer.Option(help="classification, or both: the data's targets beside it.")
    ] = "classification",
    landmarks: Annotated[
        bool, typer.Option("--landmarks", help="Give networks the data's landmarks as a second input.")
    ] = False,
    trials: Annotated[int, typer.Option(help="Recipes to try, those already tried in --out included.")] = 20,
    time: Annotated[str | None, typer.Option(help="No recipe is begun after: 90s, 5m, 2h.")] = None,
    effort: Annotated[str, typer.Option(help="FOLDSxEPOCHS that every recipe is tried for.")] = "1x12",
    folds: Annotated[int, typer.Option(help="Folds that the search subjects are divided into.")] = 5,
    holdout: Annotated[float, typer.Option(help="Share of the subjects set aside and never touched.")] = 0.2,
    image_size: Annotated[int | None, typer.Option(help="Side to which images are brought.")] = None,
    flip: Annotated[bool, typer.Option(help="Mirror images in augmentation (not for digits or text).")] = True,
    seed: Annotated[int, typer.Option(help="Of proposals, folds and training.")] = 0,
    threads: Annotated[int, typer.Option(help="Cores to train with.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the tuning; the same again goes on \\[default: results/tune-<space>]."),
    ] = None,
) -> None:
    """Tune how networks are trained, once, on the prototype; a search then takes what it finds.

    Learning rate, label smoothing, strength of augmentation and weight decay, by Optuna's TPE.  Interrupt it whenever
    you like; the same command goes on.

    [bold]Examples[/bold]

        nas tune --data photos/ --time 30m --out my-tuning

        nas search --data photos/ --recipe my-tuning/recipe.yaml
    """
    from nas.evaluation.augment import Augmentation
    from nas.evaluation.train import Recipe
    from nas.rung import Rung
    from nas.tuning import TuneOptions
    from nas.tuning import tune as run

    folder = out or Path("results") / f"tune-{Path(space).stem}"
    recipe = Recipe(augmentation=Augmentation(flip=flip))
    options = TuneOptions(Rung.parse(effort), folds, holdout, image_size, recipe, seed, threads, task, landmarks)
    typer.echo(f"tuning: {folder}")
    try:
        found = run(
            space=space,
            dataset=data,
            trials=trials,
            time_s=seconds_of(time),
            out=folder,
            options=options,
            listener=lambda tried: typer.echo(_line(tried)),
        )
    except KeyboardInterrupt as error:
        typer.echo("interrupted; every finished trial is kept, and the same command goes on", err=True)
        raise typer.Exit(130) from error
    _show(found, options.effort)


def _line(tried: Tried) -> str:
    r = tried.recipe
    score = f"failed ({tried.failure})" if tried.accuracy is None else f"{tried.accuracy:.1%}"
    return (
        f"{tried.number:>4}  {score:>6}  learning rate {r.learning_rate:.2g}, label smoothing {r.label_smoothing:.2g}, "
        f"rotation {r.augmentation.rotation:.2g}, shift {r.augmentation.shift:.2g}, zoom {r.augmentation.zoom:.2g}, "
        f"weight decay {r.weight_decay:.2g}"
    )


def _show(found: Tuning, effort: object) -> None:
    scored = sum(t.accuracy is not None for t in found.tried)
    default = "its training failed" if found.default is None else f"{found.default.accuracy:.1%}"
    typer.echo(f"best of {scored} recipes at effort {effort}, and the default recipe on the same folds: {default}")
    typer.echo(_line(found.best))
    if found.best == found.default:
        typer.echo("none was better than the default; it stays")
    else:
        typer.echo("one training each: the best score is optimistic, since it was selected by it")
    typer.echo(f"search with it:  nas search --recipe {quote(str(found.path))} ...")
