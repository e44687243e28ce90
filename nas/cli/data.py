"""``nas data``: look at a data set, convert it, write the synthetic one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.app import app, guarded

if TYPE_CHECKING:
    from nas.data.dataset import Dataset

data = typer.Typer(no_args_is_help=True, help="Look at a data set, convert it, or write the synthetic one.")
app.add_typer(data, name="data")
Path_ = Annotated[str, typer.Argument(help="'synthetic', tfds:NAME, or a path; docs/data.md lists what is read.")]
Labels = Annotated[str | None, typer.Option(help="Label map, preset or YAML file (see: nas labels).")]
ImageSize = Annotated[int | None, typer.Option(help="Side to which images are brought.")]


@data.command()
@guarded
def inspect(
    path: Path_,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet there: a PNG with images of each class.")
    ] = None,
    labels: Labels = None,
    image_size: ImageSize = None,
) -> None:
    """Say what was recognised: classes, subjects, sizes, copies, near copies across folds, warnings.

    [bold]Examples[/bold]

        nas data inspect photos/ --sheet photos.png

        nas data inspect fer2013.csv --labels mood4 --json
    """
    from nas.data.inspect import examine
    from nas.data.sheet import contact_sheet
    from nas.run.atomic import write_atomic

    dataset = _loaded(path, labels, image_size)
    found = examine(dataset)
    if sheet is not None:
        write_atomic(sheet, contact_sheet(dataset))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for line in _told(found, dataset.caption):
        typer.echo(line)
    if sheet is not None:
        typer.echo(f"contact sheet: {sheet}")


def _loaded(path: str, labels: str | None, image_size: int | None) -> Dataset:
    """The data, with the classes of a label map where one is given."""
    from nas.data.labels import load_label_map
    from nas.data.preparation import Preparation
    from nas.data.recognise import load_dataset

    preparation = Preparation(None if labels is None else load_label_map(labels))
    return preparation.prepared(load_dataset(path, image_size=image_size))


def _told(found: dict[str, Any], caption: str) -> Iterator[str]:
    """What :func:`nas.data.inspect.examine` found, in lines."""
    yield f"recognised as {found['kind']}: {caption}"
    yield f"{found['images']} images, {found['height']}x{found['width']}x{found['channels']}"
    yield f"subjects: {found['subjects'] or 'unknown'}, sequences: {found['sequences'] or 'unknown'}"
    if found["parts"] is not None:
        yield "official parts: " + ", ".join(f"{name} {count}" for name, count in found["parts"].items())
    for name, values in (found["targets"] or {}).items():
        yield f"target {name}: {values['min']:.3g} to {values['max']:.3g}, mean {values['mean']:.3g}"
    if found["landmarks"] is not None:
        yield f"landmarks: {found['landmarks']} points"
    if found["soft_labels"]:
        yield "soft labels: the share of votes of each class"
    longest = max(len(name) for name in found["classes"])
    for name, count in found["classes"].items():
        yield f"  {name + ':':<{longest + 1}} {count:>6}  {count / found['images']:.1%}"
    yield from _copies_told(found)
    for warning in found["warnings"]:
        yield f"warning: {warning}"


def _copies_told(found: dict[str, Any]) -> Iterator[str]:
    exact, near, conflicts, leaks = (
        found[name] for name in ("duplicates", "near_duplicates", "label_conflicts", "leaks")
    )
    yield f"copies: {exact['images']} images agree with an earlier one in every pixel{_first(exact)}"
    looked = near["images_looked_at"]
    among = "" if looked == found["images"] else f" (of {looked} drawn by chance, each compared with all)"
    least = "at least " if near["capped"] else ""
    yield (
        f"near copies: {near['images']} images have one{among}, {least}{near['pairs']} pairs of a similarity of "
        f"{near['similarity']:g} or more{_first(near)}"
    )
    if conflicts["images"]:
        yield f"label conflicts: {conflicts['images']} images have a copy of another class{_first(conflicts)}"
    if leaks["split"] is None:
        yield f"folds: none can be made by default ({leaks['why']})"
        return
    yield f"folds of a search by default: {leaks['split']}"
    aside = "" if leaks["holdout"] is None else f", {leaks['holdout']:.1%} of those set aside have one in the rest"
    yield f"leaks: {leaks['tested']:.1%} of the tested images have a near copy in training{aside}{_first(leaks)}"
    if leaks["refused"]:
        yield "a search refuses this split: give subjects, --group duplicates, or --allow-leaks (see nas search --help)"
    elif leaks["doubtful"]:
        yield (
            "warning: so many near copies lie under different subjects that the ids may not be those of people; folds "
            "are as subject-independent as they are: look at the pairs, and correct the ids"
        )


def _first(counted: dict[str, Any]) -> str:
    examples = counted["examples"]
    return f" (first: {' ~ '.join(examples[0])})" if examples else ""


@data.command()
@guarded
def convert(
    path: Path_,
    out: Annotated[Path, typer.Argument(help="A folder to make (arrays, mapped when read), or FILE.npz.")],
    labels: Labels = None,
    image_size: ImageSize = None,
    force: Annotated[bool, typer.Option("--force", help="Replace data that were converted before.")] = False,
) -> None:
    """Write data of any layout as plain arrays, which load at once and need not fit in memory.

    [bold]Examples[/bold]

        nas data convert ~/AffectNet affectnet48 --image-size 48

        nas data convert fer2013.csv mood.npz --labels mood4
    """
    from nas.data.stored import store

    try:
        dataset = _loaded(path, labels, image_size)
        store(dataset, out, force=force)
    except KeyboardInterrupt as error:
        typer.echo(f"interrupted: {out} is as it was before", err=True)
        raise typer.Exit(130) from error
    typer.echo(f"{out}: {len(dataset)} images, {dataset.caption}. Use it with:  nas search --data {quote(str(out))}")


@data.command()
@guarded
def synth(
    directory: Annotated[Path, typer.Argument(help="Where to write; must not exist, or be empty.")],
    seed: Annotated[int, typer.Option(help="Of faces and sequences.")] = 0,
) -> None:
    """Write the synthetic faces in CK+'s own layout: sequences, Emotion, FACS and Landmarks files."""
    from nas.data.synthetic import SYNTHETIC_CAPTION, write_ckplus_layout

    count = write_ckplus_layout(directory, seed=seed)
    typer.echo(f"{directory}: {count} frames ({SYNTHETIC_CAPTION}). Use it with:  nas search --data {directory}")
