"""``nas data prepare``: faces found, turned upright, cut out and brought to one size."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nas.cli.app import guarded
from nas.cli.data import data
from nas.errors import InputError

if TYPE_CHECKING:
    from nas.preparation.plan import Plan, Report
    from nas.preparation.upscale import Upscaler

_HELP = """Make a data set ready: find faces, turn them upright, cut them out, bring them to one size.

Takes whatever nas search --data takes, and writes a folder with images, a manifest.csv that every command reads, and
prepare.json, which says what was done.  Faces are placed by the data's own 68 landmarks where it has them, and are
found by MTCNN elsewhere (pip install 'nanosynth[faces]').

[bold]Examples[/bold]

    nas data prepare photos/ photos-48 --align
    nas data prepare ckplus/ ckplus-96 --align --size 96
    nas data prepare fer2013.csv fer-192 --size 192 --upscale espcn-x4.tflite
"""


@data.command(help=_HELP)
@guarded
def prepare(
    path: Annotated[str, typer.Argument(help="The data: whatever nas search --data takes.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist, or be empty.")],
    detect: Annotated[bool, typer.Option("--detect", help="Cut out the face (else: the whole image).")] = False,
    align: Annotated[bool, typer.Option("--align", help="And bring its eyes to fixed places, level.")] = False,
    size: Annotated[int, typer.Option(help="Side of the images, 8 to 1024 pixels.")] = 48,
    upscale: Annotated[
        str, typer.Option(help="For faces with fewer pixels: 'lanczos', or a super-resolution .tflite or .onnx file.")
    ] = "lanczos",
    missing: Annotated[
        Literal["drop", "keep"], typer.Option(help="Images in which no face is found: leave out, or keep whole.")
    ] = "drop",
    grey: Annotated[bool | None, typer.Option("--grey/--colour", help="Of the images (else: as the data are).")] = None,
) -> None:
    """Makes a data set ready."""
    from nas.cli.hush import hushed
    from nas.preparation.faces import Mtcnn
    from nas.preparation.plan import Plan
    from nas.preparation.prepare import prepare as make

    plan = Plan(detect, align, size, missing, None if grey is None else "grey" if grey else "colour")
    detector = Mtcnn(loading=hushed) if plan.wants_face else None
    upscaler = _upscaler(upscale)
    bar = _Bar()
    try:
        with bar:
            report = make(path, out, plan, detector=detector, upscaler=upscaler, progress=bar.to)
    except KeyboardInterrupt as error:
        typer.echo(f"interrupted: {out} is as it was before", err=True)
        raise typer.Exit(130) from error
    _tell(out, report, plan, upscaler)


def _upscaler(given: str) -> Upscaler | None:
    from nas.preparation.upscale import LANCZOS, ModelUpscaler

    if given == LANCZOS:
        return None
    if not given.strip():
        raise InputError("--upscale is empty: give 'lanczos', or a .tflite or .onnx file")
    return ModelUpscaler(Path(given).expanduser())


def _tell(out: Path, report: Report, plan: Plan, upscaler: Upscaler | None) -> None:
    from nas.preparation.prepare import MISSED
    from nas.preparation.upscale import LANCZOS_IS

    typer.echo(f"{out}: {report.made} images of {plan.size}x{plan.size}")
    if plan.wants_face:
        named = {"landmarks": "by the data's own landmarks", "detector": "by MTCNN", "whole": "left whole"}
        typer.echo("  faces: " + ", ".join(f"{count} {named[by]}" for by, count in report.placed_by.items()))
    if report.missed:
        what = "left out" if plan.missing == "drop" else "kept whole"
        sought = "eyes" if plan.align else "face"
        typer.echo(f"  no {sought} found in {len(report.missed_names)}, {what} (listed in {out / MISSED}):")
        for name, names in sorted(report.missed.items()):
            typer.echo(f"    {name}: {len(names)}")
    if report.several:
        typer.echo(f"  several faces in {len(report.several)}: the largest was taken (listed in prepare.json)")
    if report.unreadable:
        typer.echo(f"  {len(report.unreadable)} files cannot be read and are left out (first: {report.unreadable[0]})")
    if report.enlarged:
        by_model = "" if upscaler is None else f"{report.by_model} by {upscaler.name}"
        by_lanczos = report.enlarged - report.by_model
        how = ", ".join(filter(None, (by_model, f"{by_lanczos} by {LANCZOS_IS}" if by_lanczos else "")))
        typer.echo(f"  had fewer pixels and were enlarged: {how}")
    if report.lost:
        typer.echo(f"  not carried over: {', '.join(report.lost)}")
    typer.echo(f"Use it with:  nas search --data {quote(str(out))}")


class _Bar:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        self._task = self._bar.add_task("images", total=None)

    def __enter__(self) -> None:
        self._bar.start()

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def to(self, done: int, count: int) -> None:
        """So many of so many are done."""
        self._bar.update(self._task, completed=done, total=count)
