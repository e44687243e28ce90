"""The command-line application, and what all its commands share."""

from __future__ import annotations

import errno
import functools
import logging
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from nas.errors import EnvironmentStopError, NasError

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    name="nas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Neural architecture search for networks that must fit a phone or a microcontroller.

Starts from a prototype, mutates widths, depths and long-range links, throws out what the indicator function cannot
allow, and keeps a Pareto front of trained, exported, measured networks on disk.

[bold]Try it[/bold]

    nas search                                 # five minutes on a synthetic face set; no data needed
    nas front RUN                              # what it found
    nas export RUN --pick knee --format keras,tflite,tflite-int8
    nas certify RUN knee                       # train it from scratch under the full protocol, and say what holds""",
)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turns the package's errors into one message and their exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
        try:
            return command(*args, **kwargs)
        except NasError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError as error:  # the reader of our output has gone, as in `nas front RUN | head`
            sys.stderr.close()
            raise typer.Exit(0) from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else what is left in its buffer fails again at the end
            typer.echo("error: standard output: no space left on device; make room, or write elsewhere", err=True)
            raise typer.Exit(EnvironmentStopError.exit_code) from error

    return run
