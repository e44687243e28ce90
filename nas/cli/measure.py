"""``nas measure`` and ``nas remeasure``: latency and energy of files, with nothing else running."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.app import app, guarded
from nas.errors import InputError

if TYPE_CHECKING:
    from nas.deploy.latency import Latency

_LARGEST = 2_000_000_000


@app.command()
@guarded
def measure(
    file: Annotated[Path, typer.Argument(help="Any TFLite file.")],
    threads: Annotated[int, typer.Option(help="Threads of LiteRT.")] = 1,
    energy: Annotated[bool, typer.Option("--energy", help="Also joules an image, where the machine can tell.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the latency of a TFLite file on this machine, beside the sentinel, and say whether to trust it.

    [bold]Example[/bold]

        nas measure my-run/export/1a2b3c4d5e6f/model.tflite --energy
    """
    from dataclasses import replace

    from nas.cli.hush import hushed
    from nas.deploy.fingerprint import fingerprint
    from nas.deploy.latency import THOROUGH
    from nas.networks.tflite import ConversionError
    from nas.remeasuring import measured_alone

    protocol = replace(THOROUGH, threads=threads)
    content = _content(file)
    with hushed():
        try:
            latency, doubt = measured_alone(content, None, protocol)
            used = _energy(content, threads) if energy else None
        except ConversionError as error:
            raise InputError(f"{file}: {error}") from error
    machine = fingerprint(threads)
    if as_json:
        told = {
            "file": str(file),
            "bytes": len(content),
            "latency": latency.to_json() | {"doubt": doubt},
            "device": machine.to_json(),
            "energy": used,
        }
        typer.echo(json.dumps(told, indent=1))
        return
    for line in _lines(latency, doubt):
        typer.echo(line)
    if used is not None:
        typer.echo(f"energy: {_energy_line(used)}")
    typer.echo(f"device {machine}")


@app.command()
@guarded
def remeasure(
    run: Annotated[str, typer.Argument(help="Run directory, or its name under results/.")],
    pick: Annotated[str, typer.Option(help="ID, knee, smallest, most-accurate, or all (the whole front).")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Measure the latency of front members again, thoroughly, and flag what differs from the search by over 10 %.

    [bold]Example[/bold]

        nas remeasure my-run --pick knee
    """
    from nas.api import open_run
    from nas.cli.hush import hushed
    from nas.deploy.fingerprint import fingerprint

    opened = open_run(run)
    with hushed():
        found = opened.remeasure(pick)
    if as_json:
        typer.echo(json.dumps([one.to_json() | {"differs": one.differs} for one in found], indent=1))
        return
    for one in found:
        typer.echo(one)
    typer.echo(f"device {fingerprint()}")


def _content(file: Path) -> bytes:
    """What is in the file.  Raises InputError."""
    try:
        if file.stat().st_size > _LARGEST:
            raise InputError(f"{file}: larger than a TFLite file can be (2 GB)")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _energy(content: bytes, threads: int) -> dict[str, Any]:
    """What was measured, or why nothing was."""
    from nas.deploy.energy import measure_energy
    from nas.deploy.meters import NotMeasurableError, find_meter

    try:
        return measure_energy(content, find_meter(), threads=threads).to_json()
    except NotMeasurableError as error:
        return {"not_measurable": str(error)}


def _lines(latency: Latency, doubt: str | None) -> list[str]:
    interval, rate = f"[{latency.low_ms:.4g}, {latency.high_ms:.4g}]", f"{1000 / latency.median_ms:,.0f}"
    return [
        f"latency {latency.median_ms:.4g} ms {interval}, p90 {latency.p90_ms:.4g} ms; {rate} images a second",
        f"{latency.ratio:.4g} of {latency.beside}'s [{latency.ratio_low:.4g}, {latency.ratio_high:.4g}]; "
        f"{latency.runs:,} runs in {latency.blocks} blocks",
        "nothing speaks against it" if doubt is None else f"IN DOUBT: {doubt}",
    ]


def _energy_line(used: dict[str, Any]) -> str:
    if "not_measurable" in used:
        return f"not measurable here: {used['not_measurable']}"
    return (
        f"{used['joules_per_image'] * 1000:.4g} mJ an image, {used['images_per_second_per_watt']:.4g} images/s/W above "
        f"idle ({used['watts']:.2f} W, {used['idle_watts']:.2f} W idle); "
        f"{used['images_per_second_per_watt_in_all']:.4g} images/s/W with idle power; {used['what']}"
    )
