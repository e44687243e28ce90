"""``nas certify``: a full protocol for a finalist, and the check of what it left."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nas.cli.app import app, guarded
from nas.cli.search import ExecutorName
from nas.cli.stopped import resumable
from nas.errors import InputError
from nas.units import format_duration

if TYPE_CHECKING:
    from nas.certificates.certificate import Certificate
    from nas.certificates.protocol import CertifyProtocol
    from nas.trainings import Training

CERTIFY_HELP = """Train finalists from scratch under a full protocol, and issue a certificate for each.

The full protocol: 200 epochs with the paper's schedule on each of 10 folds over the subjects of the search, with 3
training seeds that the search did not use. That takes hours a network: Ctrl-C whenever you like, the same command goes
on where it was. The verdict on the bounds of accuracy is about the expected accuracy over people and trainings.
Afterwards, once, the subjects set aside are looked at: a check, never the verdict.

The certificate lies in RUN/models/ID/certificate.json and .md, with the predictions that it rests on; --check computes
it again.

[bold]Examples[/bold]

    nas certify RUN knee
    nas certify RUN 58c9dbca72f5 4cc70f13aa09 --workers 4
    nas certify RUN smallest --quick                   # 3 folds, 20 epochs, 1 seed; the certificate says "reduced"
    nas certify RUN knee --paper-protocol              # everyone is in the folds; spends the hold-out
    nas certify --check RUN/models/58c9dbca72f5/certificate.json
"""


@app.command(help=CERTIFY_HELP)
@guarded
def certify(
    run: Annotated[str | None, typer.Argument(help="Run directory, or its name under results/.")] = None,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Networks: ids, knee, smallest, most-accurate, all.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compute a certificate again from its predictions; trains nothing."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A reduced protocol: 3 folds, 20 epochs, 1 seed.")] = False,
    folds: Annotated[int | None, typer.Option(help="Folds \\[default: 10].")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each training \\[default: 200].")] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each fold \\[default: 3].")] = None,
    paper_protocol: Annotated[
        bool, typer.Option("--paper-protocol", help="All subjects, those set aside too: spends the hold-out.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Trainings at once, where it should differ.")] = None,
    executor: Annotated[ExecutorName | None, typer.Option(help="ray or local, where it should differ.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Where the cluster is now, if it has moved.")] = None,
    data: Annotated[str | None, typer.Option(help="Where the run's data is now, if it has moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificates as a JSON list.")] = False,
) -> None:
    """Certifies; see CERTIFY_HELP."""
    if check is not None:
        if run is not None:
            raise InputError("certify: --check FILE goes alone, without a run")
        _check(check)
        return
    if run is None or not ids:
        raise InputError("certify: give a run and at least one network, such as: nas certify RUN knee")
    from nas.api import open_run
    from nas.certificates.protocol import FULL, QUICK, CertifyProtocol

    usual = QUICK if quick else FULL
    given = [default if value is None else value for value, default in zip((folds, epochs, seeds), usual, strict=True)]
    protocol = CertifyProtocol(given[0], given[1], given[2], paper_protocol)
    opened = open_run(run)
    view = CertifyView(quiet=as_json)
    again = _again(
        *(run, ids, protocol),
        {"workers": workers, "executor": executor, "ray-address": ray_address, "data": data},
    )
    with resumable(again), view:
        issued = opened.certify(
            ids,
            protocol,
            workers=workers,
            executor=executor,
            ray_address=ray_address,
            dataset=data,
            watcher=view,
        )
    if as_json:
        typer.echo(json.dumps([c.data for c in issued], indent=1, ensure_ascii=False))
    else:
        for certificate in issued:
            _show(certificate)


def _check(path: Path) -> None:
    from nas.api import check_certificate
    from nas.certificates.certificate import Certificate

    found = check_certificate(path)
    for line in found:
        typer.echo(f"differs: {line}", err=True)
    if found:
        raise typer.Exit(2)
    typer.echo(f"agrees with its predictions: {Certificate.read(path).line}")


def _again(run: str, ids: list[str], protocol: CertifyProtocol, given: Mapping[str, object]) -> str:
    """The command that goes on."""
    words = [run, *ids, "--folds", protocol.folds, "--epochs", protocol.epochs, "--seeds", protocol.seeds]
    words += ["--paper-protocol"] if protocol.everyone else []
    words += [word for name, value in given.items() if value is not None for word in (f"--{name}", value)]
    return " ".join(["nas certify", *(quote(str(word)) for word in words)])


def _show(certificate: Certificate) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    console.print()
    console.print(certificate.line, style="bold", soft_wrap=True)
    for bound in certificate.data["bounds"]:
        strict = f"if all that the search judged counted: {bound['status_if_all_counted']}"
        console.print(f"  {bound['constraint']}: {bound['status']} ({strict})", soft_wrap=True)
    for sentence in certificate.data["statements"]:
        console.print(f"  {sentence}", soft_wrap=True)
    held = certificate.data["holdout_result"]
    if held is not None:
        a = held["accuracy"]
        console.print(
            f"  set aside: accuracy {a['value']:.1%} [{a['low']:.1%}, {a['high']:.1%}] on {held['images']} images",
            soft_wrap=True,
        )
    console.print(f"  certificate: {certificate.path.with_suffix('.md')}", soft_wrap=True)
    console.print(f"  check it:  nas certify --check {quote(str(certificate.path))}", soft_wrap=True)


class CertifyView:
    """Follows a certification: a bar on a terminal, plain lines elsewhere.

    Args:
        quiet: shows everything on standard error, since standard output is for JSON.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=quiet, highlight=False, markup=False, emoji=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task("trainings", total=None)
        self._begun = time.monotonic()
        self._total = self._done = self._kept = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        else:
            self._console.print("loading data ...")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def planned(self, total: int, kept: int) -> None:
        """``total`` trainings are to be done, of which ``kept`` have been."""
        self._total, self._kept, self._done = total, kept, kept
        self._bar.update(self._task, total=total, completed=kept)
        self._console.print(f"{total} trainings, of which {kept} are done already", soft_wrap=True)

    def trained(self, training: Training, seconds: float) -> None:
        """One is done."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        elapsed = time.monotonic() - self._begun
        left = elapsed / (self._done - self._kept) * (self._total - self._done)
        self._console.print(
            f"{format_duration(elapsed)}  {training}: {seconds:.0f} s  [{self._done} of {self._total}, about "
            f"{format_duration(left)} left]",
            soft_wrap=True,
        )

    def noticed(self, message: str) -> None:
        """Something that the user should know."""
        self._console.print(f"note: {message}", soft_wrap=True)
