"""``nas device``: measure networks on this and on other machines, and foretell the latency of others."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.app import app, guarded
from nas.errors import InputError

if TYPE_CHECKING:
    from nas.deploy.latency import Latency

device = typer.Typer(no_args_is_help=True, help="Measure networks on this and other machines; foretell their latency.")
app.add_typer(device, name="device")

DeviceArgument = Annotated[
    str, typer.Argument(metavar="DEVICE", help="this-machine, ssh:[user@]host[:port], adb[:SERIAL], or a YAML file.")
]
BenchmarkOption = Annotated[
    str | None,
    typer.Option(help="TFLite's benchmark_model: for adb a file here, for ssh a path there."),
]


@device.command("list")
@guarded
def list_devices(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Say which devices can be named, with this machine's fingerprint and the phones that adb sees."""
    from nas.devices.adb import connected_phones
    from nas.devices.devicefile import FORMS
    from nas.devices.here import THIS_MACHINE, ThisMachine

    here, (phones, why) = ThisMachine().fingerprint(), connected_phones()
    if as_json:
        typer.echo(json.dumps({THIS_MACHINE: here, "phones": phones, "no_phones": why}, indent=1))
        return
    typer.echo(f"{THIS_MACHINE}: {here['processor']}, {here['cores']} cores, {here['system']}, {here['runtime']}")
    for serial, state in phones.items():
        typer.echo(f"adb:{serial}: {state}")
    if why is not None:
        typer.echo(f"adb: {why}")
    typer.echo(f"A device is {FORMS}.")


@device.command()
@guarded
def measure(
    target: DeviceArgument,
    files: Annotated[list[Path], typer.Argument(help="TFLite files.")],
    reference: Annotated[
        Path | None, typer.Option(help="A TFLite file timed in turn with each: quotients repeat better.")
    ] = None,
    benchmark_model: BenchmarkOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time TFLite files on a device: one thread, batch 1.

    [bold]Examples[/bold]

        nas device measure this-machine model.tflite

        nas device measure ssh:pi@raspberry a.tflite b.tflite --reference prototype.tflite

        nas device measure adb model.tflite --benchmark-model android_aarch64_benchmark_model
    """
    from nas.cli.hush import hushed
    from nas.devices.devicefile import open_device

    contents = [_content(path) for path in files]
    opened = open_device(target, benchmark_model)
    beside = None if reference is None else _content(reference)
    typer.echo(f"measuring {len(files)} file{'s' * (len(files) > 1)} on {opened.name} ...", err=True)
    with hushed():
        found = opened.measure(contents, beside)
    rows = [_row(path, latency) for path, latency in zip(files, found, strict=True)]
    if as_json:
        typer.echo(json.dumps({"device": opened.name, "fingerprint": opened.fingerprint(), "files": rows}, indent=1))
        return
    for row in rows:
        ratio = "" if row["ratio"] is None else f", {row['ratio']:.3f} of the {row['beside']}'s"
        doubt = "" if row["doubt"] is None else f"; IN DOUBT: {row['doubt']}"
        typer.echo(
            f"{row['file']}: {row['median_ms']:.3f} ms [{row['low_ms']:.3f}, {row['high_ms']:.3f}], "
            f"{row['runs']} runs{ratio}{doubt}"
        )


@device.command()
@guarded
def pack(
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist, or be empty.")],
    space: Annotated[str, typer.Option(help="Preset, YAML file or package.module:object.")] = "emotionnet-nano",
    count: Annotated[int, typer.Option(help="Networks; 20 at least.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
) -> None:
    """Write networks, a measuring script and instructions, to measure a device by hand.

    [bold]Example[/bold]

        nas device pack --out pack          # copy it to the device, and follow its README.md
    """
    import numpy as np

    from nas.cli.hush import hushed
    from nas.devices.calibration import calibration_networks
    from nas.devices.pack import write_pack
    from nas.devices.predicted import LEAST
    from nas.space import load_space

    if not LEAST <= count <= 10_000 or seed < 0:
        raise InputError(f"--count {count}, --seed {seed}: a fit needs {LEAST} to 10000 networks, a seed is 0 or more")
    loaded = load_space(space)
    chosen = calibration_networks(loaded, count, np.random.default_rng(seed))
    reference = loaded.prototype.graph()
    with os.fdopen(os.dup(2), "w") as terminal, hushed():
        write_pack(out, chosen, reference, lambda done, of: _tell(terminal, done, of))
    typer.echo(f"{out}: {count} networks. Copy it to the device, and follow its README.md")


@device.command()
@guarded
def fit(
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    measurements: Annotated[
        Path | None, typer.Option(help="measurements.json of a pack, or CSV with architecture and latency_ms.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="A run: what its candidates took where they were measured.")] = None,
) -> None:
    """Fit a predicted device to measurements, and say how far it errs.

    [bold]Examples[/bold]

        nas device fit --measurements measurements.json --out device.json

        nas device fit --run my-run --out device.json
        nas search --predicted-device device.json
    """
    from nas.devices.measurements import of_run, read_measurements
    from nas.devices.predicted import fit as fit_device
    from nas.run.atomic import write_atomic

    if (measurements is None) == (run is None):
        raise InputError("give either --measurements FILE or --run RUN")
    if out.is_dir():
        raise InputError(f"--out {out}: a folder; give a file name, such as device.json")
    if measurements is not None:
        measured, where = read_measurements(measurements), str(measurements)
    else:
        from nas.api import open_run
        from nas.evaluation.precision import precision_of
        from nas.settings import import_space

        opened = open_run(str(run))
        import_space(opened.settings.space)
        machine = opened.directory.settings().get("machine") or {}
        source = {**machine, "file": precision_of(opened.settings.quantized).what}
        measured, where = of_run(opened.candidates, source), str(opened.path)
    try:
        fitted = fit_device(measured.graphs, measured.latencies_ms, measured.source)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    write_atomic(out, json.dumps(fitted.to_json(), indent=1))
    typer.echo(
        f"{out}: fitted to {fitted.n} networks; median error {fitted.cross_validated_error:.1%} on networks left out, "
        f"{fitted.in_sample_error:.1%} on those fitted"
    )


@device.command()
@guarded
def predict(
    predicted: Annotated[Path, typer.Argument(metavar="DEVICE.json", help="What nas device fit wrote.")],
    architectures: Annotated[list[Path], typer.Argument(help="JSON files, such as nas generate --out writes.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Foretell the latency of architectures, with an interval; a prediction certifies nothing."""
    from nas.architecture import Architecture
    from nas.devices.predicted import PredictedDevice
    from nas.errors import DecodeError

    opened = PredictedDevice.read(predicted)
    rows: list[dict[str, Any]] = []
    for path in architectures:
        try:
            graph = Architecture.from_json(_content(path).decode()).graph()
        except (UnicodeDecodeError, DecodeError) as error:
            raise InputError(f"{path}: not an architecture ({error})") from error
        rows.append({"file": str(path), **opened.predict(graph).to_json(), "not_foretold": opened.unseen(graph)})
    if as_json:
        typer.echo(json.dumps({"device": str(predicted), "files": rows}, indent=1))
        return
    for row in rows:
        unseen = f"; without {', '.join(row['not_foretold'])}, never measured" if row["not_foretold"] else ""
        typer.echo(f"{row['file']}: {row['value']:.3f} ms [{row['low']:.3f}, {row['high']:.3f}], foretold{unseen}")


def _tell(terminal: IO[str], done: int, count: int) -> None:
    if done % 5 == 0 or done == count:
        print(f"{done}/{count} networks", file=terminal, flush=True)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _row(path: Path, latency: Latency) -> dict[str, Any]:
    return {"file": str(path), **latency.to_json()}
