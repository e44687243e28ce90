"""What one needs to measure calibration networks on a device by hand."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from nas.architecture import Architecture
from nas.devices import on_device
from nas.errors import EnvironmentStopError, InputError
from nas.graph import Graph
from nas.networks.build import build_model
from nas.networks.tflite import to_tflite
from nas.run.atomic import write_atomic

SCHEMA: Final = 1
REFERENCE: Final = "reference.tflite"


def write_pack(
    out: Path,
    architectures: Sequence[Architecture],
    reference: Graph,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> None:
    """Writes networks with random weights, the measuring script, and what to do with them; all of it or nothing.

    Args:
        out: folder; must not exist, or be empty.
        architectures: to be measured.
        reference: the network that is timed beside each of them.
        progress: told of how many networks have been written.

    Raises:
        InputError: there is something at ``out``.
        EnvironmentStopError: the disk is full or cannot be written.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out}: there is something already; give a folder that is new or empty")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise EnvironmentStopError(f"{out}: cannot be written ({error.strerror}); check permissions") from error
    try:
        _write(unfinished, architectures, reference, progress)
        unfinished.chmod(0o755)
        unfinished.replace(out)
    except OSError as error:
        raise EnvironmentStopError(f"{out}: cannot be written ({error.strerror}); make room") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write(
    folder: Path, architectures: Sequence[Architecture], reference: Graph, progress: Callable[[int, int], None]
) -> None:
    entries = []
    write_atomic(folder / REFERENCE, network_file(reference))
    for i, architecture in enumerate(architectures):
        name, content = f"network-{i:03d}.tflite", network_file(architecture.graph())
        write_atomic(folder / name, content)
        entries.append(
            {
                "file": name,
                "sha256": hashlib.sha256(content).hexdigest(),
                "id": architecture.id,
                "graph": architecture.graph().to_json(),
            }
        )
        progress(i + 1, len(architectures))
    write_atomic(folder / "networks.json", json.dumps({"schema": SCHEMA, "reference": REFERENCE, "networks": entries}))
    write_atomic(folder / "measure.py", Path(on_device.__file__).read_bytes())
    write_atomic(folder / "README.md", _README.format(count=len(entries)))


def network_file(graph: Graph) -> bytes:
    """A TFLite file of ``graph`` with random weights: its latency does not depend on their values."""
    import tf_keras

    content = to_tflite(build_model(graph, tf_keras))
    tf_keras.backend.clear_session()
    return content


_README: Final = """# Measure {count} networks on a device

These files tell how fast a device is: `nas device fit` makes of their latencies a device that a search can foretell.
Copy this folder to the device.  Let it be idle and not in power saving, and let nothing else run.

## With Python

Needs Python 3.8 or later, numpy, and LiteRT (`ai-edge-litert`, or the older `tflite-runtime`):

    python3 -m pip install numpy ai-edge-litert
    python3 measure.py

This takes about {count} times a second and a half, and writes `measurements.json`.

## With TFLite's benchmark_model

Where there is no Python, such as on a phone.  On Android, from the computer that the phone is connected to, with the
binary for its instruction set in this folder:

    adb shell mkdir -p /data/local/tmp/nas-pack
    adb push network-*.tflite benchmark_model /data/local/tmp/nas-pack/
    adb shell chmod 755 /data/local/tmp/nas-pack/benchmark_model
    mkdir -p logs
    for f in network-*.tflite; do
      adb shell /data/local/tmp/nas-pack/benchmark_model --graph=/data/local/tmp/nas-pack/$f --num_threads=1 \\
        --warmup_runs=5 --num_runs=50 --use_xnnpack=true > logs/${{f%.tflite}}.txt 2>&1 < /dev/null
    done
    python3 measure.py --from-logs logs
    adb shell rm -r /data/local/tmp/nas-pack

## Then

Bring `measurements.json` back, and:

    nas device fit --measurements measurements.json --out device.json
"""
