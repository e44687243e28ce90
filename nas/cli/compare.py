"""``nas compare``: the front beside the networks that the field uses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from nas.cli.app import app, guarded
from nas.cli.certify import CertifyView
from nas.cli.search import ExecutorName
from nas.cli.stopped import resumable
from nas.errors import InputError

if TYPE_CHECKING:
    from nas.comparison.result import Comparison

_NARROW: Final = ("params", "latency_ms", "int8_latency_ms", "fps", "accuracy", "macro_f1", "difference")
_WIDE: Final = 190  # columns of text that the whole table takes
COMPARE_HELP = """Put the front beside known networks, all trained from scratch on the same folds by the same recipe.

Known: nano-b-redrawn (without normalisation, as drawn), nano-b-redrawn-bn (the same with it), resnet20 (the prototype
at full resolution), mini-xception, tiny-xception, mobilenet-v1, mobilenet-v2, mobilenet-v3-small, mobilenet-v3-large,
efficientnet-b0, nasnet-mobile, resnet50; or all.

One table: parameters, MACs, file bytes, latency in float and int8, images a second, accuracy, balanced accuracy and
macro-F1, each with its interval, and the difference to one of them, paired by subject. It goes to RUN/compare, with a
plot. Ctrl-C whenever you like: the same command goes on where it was.

[bold]Examples[/bold]

    nas compare RUN --with nano-b-redrawn mini-xception
    nas compare RUN --with mini-xception --pick knee --folds 2 --epochs 5       # a quick look
    nas compare RUN --with mobilenet-v2 --weights imagenet                      # downloads its weights
"""


@app.command(help=COMPARE_HELP)
@guarded
def compare(
    run: Annotated[str, typer.Argument(help="Run directory, or its name under results/.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", hidden=True)] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", metavar="NAME...", help="Networks to compare with, or all.")
    ] = None,
    pick: Annotated[
        str, typer.Option(help="Members: all (the front), knee, smallest, most-accurate, or ids with commas.")
    ] = "all",
    folds: Annotated[int | None, typer.Option(help="Folds \\[default: those of the search].")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each training \\[default: 60].")] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each fold.")] = 1,
    weights: Annotated[
        str | None, typer.Option(metavar="imagenet", help="Start networks that have such weights from them.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="To which accuracies are compared \\[default: the first of --with].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of table and plot \\[default: RUN/compare].")] = None,
    workers: Annotated[int | None, typer.Option(help="Trainings at once, where it should differ.")] = None,
    executor: Annotated[ExecutorName | None, typer.Option(help="ray or local, where it should differ.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Where the cluster is now, if it has moved.")] = None,
    data: Annotated[str | None, typer.Option(help="Where the run's data is now, if it has moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print compare.json's contents.")] = False,
) -> None:
    """Compares; see COMPARE_HELP."""
    from nas.api import open_run
    from nas.comparison.known import KNOWN

    names = _listed([*(with_ or ()), *(more or ())])
    if not names:
        raise InputError(f"compare: say with what: --with NAME..., such as --with mini-xception; {', '.join(KNOWN)}")
    picked = _listed([pick])
    if not picked:
        raise InputError("compare: --pick: all, knee, smallest, most-accurate, or ids with commas between them")
    given = {"folds": folds, "epochs": epochs, "seeds": seeds, "weights": weights, "baseline": baseline, "out": out}
    where = {"workers": workers, "executor": executor, "ray-address": ray_address, "data": data}
    again = _again(run, names, ",".join(picked), {**given, **where})
    view = CertifyView(quiet=as_json)
    with resumable(again), view:
        found = open_run(run).compare(
            names,
            pick=picked,
            folds=folds,
            epochs=epochs,
            seeds=seeds,
            weights=weights,
            baseline=baseline,
            workers=workers,
            executor=executor,
            ray_address=ray_address,
            dataset=data,
            out=out,
            watcher=view,
        )
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        _show(found, open_run(run).path / "compare" if out is None else out)


def _listed(texts: Sequence[str]) -> list[str]:
    """Names with commas or spaces between them."""
    return [name for text in texts for name in text.replace(",", " ").split()]


def _again(run: str, names: Sequence[str], pick: str, given: Mapping[str, object]) -> str:
    """The command that goes on."""
    words = [run, *(word for name in names for word in ("--with", name)), "--pick", pick]
    words += [str(word) for name, value in given.items() if value is not None for word in (f"--{name}", value)]
    return " ".join(["nas compare", *(quote(str(word)) for word in words)])


def _show(found: Comparison, folder: Path) -> None:
    from nas.comparison.table import COLUMNS, cell, title_of

    console = Console(highlight=False, markup=False, emoji=False)
    table = Table(box=None, padding=(0, 1), show_lines=False)
    table.add_column("network", overflow="fold")
    wide = console.width >= _WIDE
    columns = [c for c in COLUMNS if wide or c.figure in _NARROW]
    for column in columns:
        table.add_column(title_of(column, found.about["baseline"]), justify="right")
    for row in found.rows:
        cells = ("\n".join(part for part in cell(c, row.figures.get(c.figure)) if part) for c in columns)
        table.add_row(f"{row.name}\n(front)" if row.member else row.name, *cells)
    console.print()
    console.print(table)
    for row in found.rows:
        for failure in row.failures:
            console.print(f"{row.name}: {failure}", soft_wrap=True)
    for statement in found.statements:
        console.print(statement.text, soft_wrap=True)
    left_out = "" if wide else f" ({', '.join(c.title for c in COLUMNS if c not in columns)}, too: table.md)"
    measured = f"{found.about['caption']}; {found.about['split']['protocol']}"
    console.print(f"{measured}; table, figures and plot: {folder}{left_out}", soft_wrap=True)
