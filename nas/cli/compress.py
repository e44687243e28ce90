"""``nas compress``: smaller files of a run's networks, and what each cost and gave."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nas.cli.app import app, guarded
from nas.errors import EnvironmentStopError
from nas.units import format_duration

if TYPE_CHECKING:
    from nas.run.variants import Variant

COMPRESS_HELP = """Make trained networks smaller, and measure what each way cost and gave.

Methods, several separated by commas:

    ptq, ptq-int8       int8 throughout, quantized after training
    ptq-f16             weights in float16
    ptq-dynamic         weights in int8, activations quantized as they come
    qat                 int8 throughout, trained with the rounding in it
    prune:0.8           80 % of the weights of every kernel set to 0 (float32; smaller when zipped)
    cluster:16          at most 16 values a kernel (float32; smaller when zipped)
    prune-int8:0.8, cluster-int8:16      the same, quantized after training
    prune-qat:0.5, cluster-qat:16        the same, then trained with the rounding in it, zeros and values kept

All but the first start from the weights of fold 0 and are fine-tuned on that fold's training images with the run's
recipe, at a tenth of its learning rate. Everything is measured on the file, run by LiteRT on fold 0's out-of-fold
images. What is made already is not made again: Ctrl-C whenever you like, the same command goes on. A method that fails
is recorded with its reason, and the others go on.

[bold]Examples[/bold]

    nas compress RUN --pick knee --method ptq,qat
    nas compress RUN --pick all --method prune:0.5,prune:0.8,cluster:16 --epochs 20
    nas export RUN --pick 58c9dbca72f5:qat --format tflite
"""
_ALL_FAILED = 3


@app.command(help=COMPRESS_HELP)
@guarded
def compress(
    run: Annotated[str, typer.Argument(help="Run directory, or its name under results/.")],
    pick: Annotated[str, typer.Option(help="ID, knee, smallest, most-accurate, or all (the whole front).")] = "knee",
    method: Annotated[str, typer.Option(help="See above.")] = "ptq,qat",
    epochs: Annotated[int | None, typer.Option(help="Of each fine-tuning \\[default: 8].")] = None,
    again: Annotated[bool, typer.Option("--again", help="Make what is there already.")] = False,
    data: Annotated[str | None, typer.Option(help="Where the run's data is now, if it has moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the variants as a JSON list.")] = False,
) -> None:
    """Compresses; see COMPRESS_HELP."""
    from nas.api import open_run
    from nas.cli.hush import hushed
    from nas.cli.variants import show_variants
    from nas.report.compressed import FILE

    opened = open_run(run)
    methods = [m.strip() for m in method.split(",")]
    given = {"pick": pick, "method": method, "epochs": epochs, "data": data}
    on_the_way = f"what is finished is kept. Go on with:  {_again(run, given, anew=again)}"
    view = CompressView(quiet=as_json)
    variants: list[Variant] | None = None
    try:
        with hushed(), contextlib.suppress(KeyboardInterrupt):
            variants = opened.compress(pick, methods, epochs=epochs, again=again, dataset=data, watcher=view)
    except EnvironmentStopError as error:
        typer.echo(f"error: {error}", err=True)
        typer.echo(f"when that is mended: {on_the_way}", err=True)
        raise typer.Exit(error.exit_code) from error
    finally:
        view.close()
    if variants is None:
        typer.echo(f"interrupted; {on_the_way}", err=True)
        raise typer.Exit(130)
    if as_json:
        typer.echo(json.dumps([v.to_json() for v in variants], indent=1, ensure_ascii=False))
    else:
        console = Console(highlight=False, markup=False, emoji=False)
        show_variants(console, variants)
        console.print(f"measured on {opened.caption}", soft_wrap=True)
        plot = opened.directory.plots / f"{FILE}.png"
        if plot.exists():  # it shows members of the front alone
            console.print(f"plot: {plot}", soft_wrap=True)
        made = next((v for v in variants if v.failure is None), None)
        if made is not None:
            take = f"nas export {quote(str(opened.path))} --pick {made.label} --format tflite"
            console.print(f"take one home:  {take}", soft_wrap=True)
    if all(v.failure is not None for v in variants):
        raise typer.Exit(_ALL_FAILED)


def _again(run: str, given: Mapping[str, object], *, anew: bool) -> str:
    """The command that goes on; with other epochs it would make everything anew."""
    words = [run, *(str(w) for name, value in given.items() if value is not None for w in (f"--{name}", value))]
    return " ".join(["nas compress", *map(quote, words), *(["--again"] if anew else [])])


class CompressView:
    """Follows a compression in plain lines; where they go to a file, only the first and the last epoch are told.

    It keeps the stream that it writes to, since native code's own lines are kept off the terminal meanwhile.

    Args:
        quiet: shows everything on standard error, since standard output is for JSON.
    """

    def __init__(self, *, quiet: bool) -> None:
        stream = sys.stderr if quiet else sys.stdout
        try:
            self._file = os.fdopen(os.dup(stream.fileno()), "w", encoding="utf-8", errors="replace")
        except (OSError, ValueError):  # no real file, as in tests
            self._file = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed by close()
        self._console = Console(file=self._file, highlight=False, markup=False, emoji=False)
        self._begun = time.monotonic()
        self._total = self._done = 0
        self._label = ""

    def close(self) -> None:
        """Gives the stream back."""
        self._file.close()

    def planned(self, total: int, kept: int) -> None:
        """``total`` variants are wanted, of which ``kept`` are there already."""
        self._total, self._done = total, kept
        self._say(f"{total} variants, of which {kept} are made already")

    def begun(self, label: str) -> None:
        """One is begun."""
        self._label = label
        self._say(f"{self._elapsed}  {label} ...")

    def trained(self, stage: str, epoch: int, epochs: int) -> None:
        """An epoch of its fine-tuning is done."""
        if self._console.is_terminal or epoch in (1, epochs):
            self._say(f"{self._elapsed}  {self._label}: {stage}, epoch {epoch} of {epochs}")

    def made(self, variant: Variant) -> None:
        """One is recorded."""
        from nas.indicator import METRICS, PRIMARY

        self._done += 1
        named = {name: variant.measurements.get(name) for name in PRIMARY}
        scores = [f"{n} {METRICS[n].text(m.value)}" for n, m in named.items() if m is not None]
        size = variant.value("size_bytes")
        word = "failed: " + variant.failure["reason"][:200] if variant.failure is not None else "made"
        if scores and size is not None:
            word = f"{', '.join(scores)}, {size / 1000:.1f} kB"
        self._say(f"{self._elapsed}  {variant.label}: {word}  [{self._done} of {self._total}]")

    @property
    def _elapsed(self) -> str:
        return format_duration(time.monotonic() - self._begun)

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)
        self._file.flush()
