"""``nas data``: look at a data set, write the synthetic one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.app import app, guarded

data = typer.Typer(no_args_is_help=True, help="Look at a data set, or write the synthetic one.")
app.add_typer(data, name="data")


@data.command()
@guarded
def inspect(
    path: Annotated[str, typer.Argument(help="'synthetic', tfds:NAME, or a path; docs/data.md lists what is read.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what was recognised: classes, counts, subjects, sizes, warnings."""
    from nas.data.inspect import inspect as look
    from nas.data.recognise import load_dataset

    dataset = load_dataset(path)
    found = look(dataset)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo(f"recognised as {found['kind']}: {dataset.caption}")
    typer.echo(f"{found['images']} images, {found['height']}x{found['width']}x{found['channels']}")
    typer.echo(f"subjects: {found['subjects'] or 'unknown'}, sequences: {found['sequences'] or 'unknown'}")
    for name, count in found["classes"].items():
        typer.echo(f"  {name}: {count}")
    for warning in found["warnings"]:
        typer.echo(f"warning: {warning}")


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
