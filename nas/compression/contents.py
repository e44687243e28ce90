"""What is really in a TFLite file: its kernels, the numbers that it computes with, and how well it packs."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.networks.tflite import open_interpreter

DEPTHWISE: Final = "DEPTHWISE_CONV_2D"
_WEIGHTED: Final = frozenset({"CONV_2D", DEPTHWISE, "FULLY_CONNECTED"})
_PASSED_ON: Final = "DELEGATE"  # what the interpreter put in itself, over operators that are listed too
_LEVEL: Final = 9


@dataclass(frozen=True)
class Kernel:
    """The weights of one operator of a file, batch normalisation folded into them.

    Attributes:
        operator: such as ``CONV_2D``.
        name: of the layer, as short as the converter leaves it.
        number: kind of number, such as ``int8``.
        weights: how many.
        zeros: how many of them are 0.
        values: how many different ones there are.
        values_per_channel: the most in one output channel: each has a scale of its own, so that sharing shows here.
    """

    operator: str
    name: str
    number: str
    weights: int
    zeros: int
    values: int
    values_per_channel: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dict(vars(self))


def kernels_of(content: bytes) -> list[Kernel]:
    """Those of convolutions and dense layers, in the file's order.  Raises ConversionError for no TFLite file."""
    interpreter = open_interpreter(content)
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    stored = {int(o["outputs"][0]): int(o["inputs"][0]) for o in operators if o["op_name"] == "DEQUANTIZE"}
    found = []
    for operator in operators:
        if operator["op_name"] not in _WEIGHTED:
            continue
        index = int(operator["inputs"][1])
        index = stored.get(index, index)
        values = np.asarray(interpreter.get_tensor(index))
        found.append(_kernel(str(operator["op_name"]), str(details[index]["name"]), values))
    return found


def _kernel(operator: str, name: str, values: npt.NDArray[Any]) -> Kernel:
    channels = np.moveaxis(values, -1, 0) if operator == DEPTHWISE else values
    most = max(len(np.unique(channel)) for channel in channels)
    short = name.split(";", maxsplit=1)[0].removeprefix("network/").split("/", maxsplit=1)[0]
    zeros = int((values == 0).sum())
    return Kernel(operator, short, values.dtype.name, values.size, zeros, len(np.unique(values)), most)


def float_operators(content: bytes) -> list[str]:
    """Operators that read or write floating-point numbers, each kind once, in alphabetical order."""
    interpreter = open_interpreter(content)
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    floating = {index for index, d in details.items() if np.issubdtype(d["dtype"], np.floating)}
    return sorted(
        {
            str(operator["op_name"])
            for operator in interpreter._get_ops_details()
            if operator["op_name"] != _PASSED_ON and floating & {*operator["inputs"], *operator["outputs"]}
        }
    )


def zip_bytes(content: bytes) -> int:
    """Size of a zip archive (deflate) that holds the file, as an app is shipped."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("model.tflite")  # with no date of its own, so that the size is always the same
        archive.writestr(entry, content, zipfile.ZIP_DEFLATED, _LEVEL)
    return len(buffer.getvalue())


def sparsity(kernels: list[Kernel]) -> float:
    """Share of zeros among all weights; 0 where there are none."""
    return sum(k.zeros for k in kernels) / max(sum(k.weights for k in kernels), 1)
