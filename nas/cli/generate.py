"""``nas generate``: new architectures from what a run has learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.app import app, guarded
from nas.cli.results import RunArgument
from nas.errors import InputError

if TYPE_CHECKING:
    from nas.api import Run
    from nas.architecture import Architecture
    from nas.generators import Generators


@app.command()
@guarded
def generate(
    run: RunArgument,
    generator: Annotated[
        int, typer.Option(help="Which of the run's generators; 0 has learned nothing, -1 is the last.")
    ] = -1,
    preference: Annotated[
        str | None,
        typer.Option(help="Shares of the objectives, such as accuracy=0.8,params=0.2 (even if not given)."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="How many architectures.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the draws; another seed gives others.")] = 0,
    listed: Annotated[bool, typer.Option("--list", help="List the generators, and draw nothing.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for one JSON file each (nas.Architecture.from_json reads them)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON, with the architectures.")] = False,
) -> None:
    """Draw new architectures from what a run has learned.

    They keep within the bounds on exact costs, and the run has not proposed them; nothing is trained, and the
    inquisitor is not asked: this shows what the generator alone knows.

    [bold]Examples[/bold]

        nas generate my-run --preference accuracy=0.8,params=0.2 -n 10
        nas generate my-run --list
    """
    from nas.api import open_run

    opened = open_run(run)
    learned = opened.generators()
    if listed:
        typer.echo(json.dumps(learned.to_json()) if as_json else "\n".join(_lines(opened, learned)))
        return
    shares = None if preference is None else _shares(preference)
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: a file; give a folder")
    drawn = learned.draw(generator, shares, count, seed)
    index = learned.all[generator].index
    if out is not None:
        _write(drawn, out)
    if as_json:
        head = {"run": str(opened.path), "generator": index, "preference": shares, "seed": seed}
        typer.echo(json.dumps(head)[:-1] + ', "architectures": [')
        typer.echo(",\n".join(json.dumps(_described(a)) for a in drawn) + "\n]}")
    elif drawn:
        _show(drawn, index)
    if len(drawn) < count:
        reason = "two thousand draws in a row gave none that was new and within the bounds on exact costs"
        typer.echo(f"{len(drawn)} of {count}: {reason}; try another --generator or --preference", err=True)


def _shares(text: str) -> dict[str, float]:
    """``accuracy=0.8,params=0.2`` as a mapping.  Raises InputError."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (p.strip() for p in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            equals = ""
        if not equals or name in shares:
            raise InputError(f"--preference {text!r}: {part!r} is not OBJECTIVE=SHARE, each once, as accuracy=0.8")
        shares[name] = number
    return shares


def _described(architecture: Architecture) -> dict[str, object]:
    cost = architecture.cost()
    content = json.loads(architecture.to_json())
    return {"id": architecture.id, "params": cost.params, "macs": cost.macs, "architecture": content}


def _write(drawn: list[Architecture], folder: Path) -> None:
    from nas.run.atomic import write_atomic

    for architecture in drawn:
        write_atomic(folder / f"{architecture.id}.json", architecture.to_json())


def _lines(run: Run, learned: Generators) -> list[str]:
    """One a generator, and whether the search made use of them."""
    lines = ["generator 0: knows nothing"]
    for g in learned.all[1:]:
        elites = len({trial for anchor in g.elites for trial in anchor})
        what = f"learned from the first {g.finished} results, {elites} elites" if elites else (
            f"as before: none of the first {g.finished} results violates nothing"
        )  # fmt: skip
        lines.append(f"generator {g.index}: {what}")
    sampler = run.settings.sampler
    return lines if sampler == "synthesis" else [*lines, f"(worked out afterwards: {sampler} proposed without them)"]


def _show(drawn: list[Architecture], index: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from nas.units import format_count

    table = Table("architecture", "params", "MACs", "layers", title=f"drawn from generator {index}, not trained")
    for architecture in drawn:
        cost = architecture.cost()
        layers = sum(op.kind in ("conv", "depthwise", "dense") for op in architecture.graph().ops)
        table.add_row(architecture.id, format_count(cost.params), format_count(cost.macs), str(layers))
    Console(highlight=False, markup=False, emoji=False).print(table)
