"""What the long commands that keep every finished part say when they are stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from nas.errors import EnvironmentStopError, NotCertifiedError


@contextlib.contextmanager
def resumable(again: str) -> Iterator[None]:
    """Turns Ctrl-C (exit code 130) and a stop by the environment or a failed training (theirs) into how to go on.

    Args:
        again: the command that goes on.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        typer.echo(f"interrupted; every finished training is kept. Go on with:  {again}", err=True)
        raise typer.Exit(130) from error
    except (EnvironmentStopError, NotCertifiedError) as error:
        typer.echo(f"error: {error}", err=True)
        typer.echo(f"when that is mended, go on with:  {again}", err=True)
        raise typer.Exit(error.exit_code) from error
