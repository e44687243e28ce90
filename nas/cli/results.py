"""``nas front``, ``explain``, ``plot`` and ``export``: what a run found, and taking it home."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.app import app, guarded

if TYPE_CHECKING:
    from nas.api import Run
    from nas.run.candidate import Candidate

RunArgument = Annotated[str, typer.Argument(help="Run directory, or its name under results/.")]


@app.command()
@guarded
def front(
    run: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print front.json's contents.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a CSV table.")] = False,
    rebuild: Annotated[
        bool, typer.Option(help="Restore what is derived from the journal: front, plots, generators.")
    ] = False,
) -> None:
    """Show the Pareto front of a run.

    [bold]Example[/bold]

        nas front my-run --csv > front.csv
    """
    from rich.console import Console

    from nas.api import open_run
    from nas.cli.variants import show_variants
    from nas.cli.view import baseline_lines, front_table
    from nas.run.remeasured import latency_lines
    from nas.run.variants import variant_rows

    opened = open_run(run)
    if rebuild:
        opened.rebuild()
    candidates = opened.candidates
    found = opened.front_of(candidates)
    if as_json:
        typer.echo(json.dumps(found.to_json(opened.remeasured, variant_rows(opened.directory)), indent=1))
    elif as_csv:
        typer.echo(found.to_csv(opened.remeasured), nl=False)
    else:
        console = Console(highlight=False, markup=False, emoji=False)
        console.print(found.headline(), style="bold red" if found.status == "nearest" else "bold")
        if found.members:
            console.print(front_table(found))
        show_variants(console, [v for m in found.members for v in opened.variants.get(m.id, ())])
        for line in _beyond_chance(opened, candidates):
            console.print(line, soft_wrap=True)
        for line in latency_lines(found.members, opened.remeasured):
            console.print(line, soft_wrap=True)
        drift = opened.drift
        if drift is not None:
            console.print(str(drift), soft_wrap=True)
        for certificate in opened.certificates:
            known = str(certificate) if isinstance(certificate, Exception) else f"certified: {certificate.line}"
            console.print(known, soft_wrap=True)
        for line in baseline_lines(opened):
            console.print(line, soft_wrap=True)
        console.print(f"hypervolume {found.hypervolume:.6g}; measured on {opened.caption}", soft_wrap=True)


def _beyond_chance(run: Run, candidates: Sequence[Candidate]) -> Iterator[str]:
    """What of the front is more than luck, as far as one training each can show."""
    holding = run.holding(candidates)
    if holding is not None:
        counted = "met with all candidates put to the test counted (Bonferroni; not the luck of one training)"
        yield f"{counted}: {', '.join(holding) or 'none'}"
    alike = run.alike(candidates)
    if alike is not None:
        same, unknown = alike
        how = "same images, 95 %, corrected for all pairs; not the luck of one training"
        yield f"the data cannot tell from the most accurate ({how}): {', '.join(same) or 'none'}"
        if unknown:
            yield f"not compared, for want of kept predictions: {', '.join(unknown)}"


@app.command()
@guarded
def explain(
    run: RunArgument,
    candidate: Annotated[str | None, typer.Argument(metavar="[ID]", help="Candidate; without it, a summary.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tell why a candidate is where it is, or how many fell at which step and what that saved."""
    from nas.api import open_run
    from nas.report.explain_text import candidate_lines, summary_lines

    told = open_run(run).explain(candidate)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        typer.echo("\n".join(summary_lines(told) if candidate is None else candidate_lines(told)))


@app.command()
@guarded
def plot(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="Folder \\[default: RUN/plots].")] = None,
) -> None:
    """Draw accuracy over parameters and over latency, and what the generators learned, as PNG and SVG."""
    from nas.api import open_run

    for path in open_run(run).plot(out):
        typer.echo(path)


@app.command()
@guarded
def export(
    run: RunArgument,
    pick: Annotated[
        str, typer.Option(help="ID, knee, smallest, most-accurate, all (the whole front), or ID:VARIANT.")
    ] = "knee",
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="keras, tflite, tflite-f16, tflite-dynamic, tflite-int8, onnx; several separated by commas; or all.",
        ),
    ] = "keras,tflite",
    out: Annotated[Path | None, typer.Option(help="Folder \\[default: RUN/export].")] = None,
    data: Annotated[str | None, typer.Option(help="Where the run's data is now, if it has moved.")] = None,
) -> None:
    """Write networks as files that run elsewhere, each with its measured card.

    Every file is read back by an independent interpreter and run on held-out images; one whose answers are not the
    network's is an error, and is not written.

    [bold]Example[/bold]

        nas export my-run --pick smallest --format keras,tflite,tflite-int8 --out shipped
    """
    from nas.api import open_run
    from nas.cli.hush import hushed

    opened = open_run(run)
    networks = opened.exporting(pick, [f.strip() for f in formats.split(",")], out, dataset=data)
    while True:
        with hushed():
            paths = next(networks, None)
        if paths is None:
            break
        for path in paths:
            typer.echo(path)
