"""One file as it ships: made, read back from its bytes by an independent interpreter, compared, timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nas.deploy.card import metadata_for
from nas.deploy.formats import FORMATS, Trained
from nas.deploy.latency import measure_latency
from nas.deploy.metadata import Metadata, read
from nas.deploy.order import ExportOrder
from nas.deploy.tolerance import TOLERANCES
from nas.graph import VALUES, Graph
from nas.networks.tflite import ConversionError, input_details, open_interpreter, output_details

NOT_TIMED: Final = "LiteRT times TFLite files alone"


@dataclass(frozen=True)
class Shipped:
    """The bytes of a file, and what was found out about them."""

    content: bytes
    found: dict[str, Any]


def ship(name: str, network: str, trained: Trained, order: ExportOrder, reference: bytes | None = None) -> Shipped:
    """One file in the format ``name``.

    Args:
        name: of :data:`nas.deploy.formats.FORMATS`.
        network: id of the architecture.
        trained: the network.
        order: the export that it belongs to.
        reference: the float32 TFLite file, beside which this one is timed; the sentinel where there is none.

    Raises:
        InputError: the format needs images, and there are none.
        ConversionError: it cannot be converted, or the file is beyond its tolerance; names network and format.
    """
    metadata = describe(name, network, trained, order)
    try:
        content = FORMATS[name].make(trained, metadata)
        found = check_file(name, content, trained)
        if read(content) != metadata:
            raise ConversionError("its metadata come back changed; please report this")
    except ConversionError as error:
        raise ConversionError(f"network {network}, format {name}: {error}") from error
    found |= {"tolerance": TOLERANCES[name].to_json(), "quantization": metadata.quantization}
    if FORMATS[name].is_tflite:
        found |= _quantization(content, trained.graph) | {"latency": latency(content, reference)}
    else:
        found |= {"latency_missing": NOT_TIMED}
    if name == "tflite-int8" and trained.images is not None:
        found |= {
            "calibration_images": len(trained.images.spread()),
            "calibrated_on": f"training images of fold 0, none of whose {trained.images.group_kind} is in the test",
        }
    return Shipped(content, found)


def describe(name: str, network: str, trained: Trained, order: ExportOrder) -> Metadata:
    """What the file of the format ``name`` says of itself."""
    stored = FORMATS[name].quantization
    return metadata_for(trained.graph, network, stored, order.caption, order.class_names, order.target_names)


def check_file(name: str, content: bytes, trained: Trained) -> dict[str, Any]:
    """Runs a file's bytes independently on the held-out images, and compares what comes out with the network.

    Raises:
        ConversionError: it cannot be run, or is beyond the tolerance of its format.
    """
    compared = trained.beside(FORMATS[name].run(content, trained.sample))
    TOLERANCES[name].check(compared)
    return {"run_by": FORMATS[name].by, **compared.to_json()}


def latency(content: bytes, reference: bytes | None) -> dict[str, Any]:
    """Latency of the bytes of a TFLite file in ms, beside the float32 file of the same network, else the sentinel."""
    measured = measure_latency(content, reference, beside=FORMATS["tflite"].file)
    return {name: value for name, value in measured.to_json().items() if value is not None}


def _quantization(content: bytes, graph: Graph) -> dict[str, Any]:
    """How to write the inputs and read the outputs, where they are no floats: real = (q - zero_point) * scale."""
    interpreter = open_interpreter(content)
    named = dict(zip(("input", "landmarks"), input_details(interpreter), strict=False))
    answers = ["values" if name == VALUES else "output" for name in graph.outputs]
    named |= dict(zip(answers, output_details(interpreter), strict=True))
    out: dict[str, Any] = {}
    for name, detail in named.items():
        scale, zero = detail["quantization"]
        if scale:
            out[name] = {"dtype": np.dtype(detail["dtype"]).name, "scale": float(scale), "zero_point": int(zero)}
    return out
