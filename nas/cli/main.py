"""Entry point of the command ``nas``."""

from __future__ import annotations

from typing import Annotated

import typer

import nas
from nas.cli import (  # noqa: F401 - registers their commands
    certify,
    compare,
    compress,
    data,
    device,
    generate,
    measure,
    prepare,
    presets,
    results,
    search,
    tune,
)
from nas.cli.app import app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nanosynth {nas.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of all commands."""


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
