"""ONNX files: converted by tf2onnx, run by ONNX Runtime; both come with the extra ``onnx``."""

from __future__ import annotations

import importlib.util
from typing import Any, Final

import numpy as np

from nas.deploy.metadata import INPUT, KEY, LANDMARKS, OUTPUT, VALUES, Metadata
from nas.errors import DecodeError, InputError, one_line
from nas.networks.tflite import ConversionError, Tensors, listed, unlisted

OPSET: Final = 17  # of 2022: understood by every runtime of the last years
PACKAGES: Final = ("tf2onnx", "onnx", "onnxruntime")


def missing() -> list[str]:
    """Packages that ONNX takes and that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def check_installed() -> None:
    """Raises InputError where a package is missing; says how to install it."""
    if lacking := missing():
        raise InputError(f"format 'onnx' needs {', '.join(lacking)}: pip install 'nanosynth[onnx]'")


def onnx_bytes(model: Any, metadata: Metadata) -> bytes:
    """The file of a tf_keras model: ``image`` (batch, h, w, c) to ``probabilities`` (batch, classes), float32.

    With a second input it has ``landmarks`` as well, with a second answer, or another one, ``values``.

    Raises:
        InputError: a package is missing.
        ConversionError: the converter cannot take an operator of the network; names it.
    """
    check_installed()
    import onnx
    import tensorflow as tf
    import tf2onnx

    inputs, outputs = metadata.inputs, metadata.outputs
    shapes = [
        tf.TensorSpec((None, *x.shape[1:]), tf.float32, name=n) for x, n in zip(model.inputs, inputs, strict=True)
    ]

    def answers(*given: Any) -> dict[str, Any]:
        return dict(zip(outputs, listed(model(unlisted(list(given)), training=False)), strict=True))

    function = tf.function(answers, input_signature=shapes)
    try:
        converted, _ = tf2onnx.convert.from_function(function, input_signature=shapes, opset=OPSET)
    except (ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise ConversionError(f"the ONNX converter cannot take this network ({one_line(str(error))})") from error
    # What it has no translation for, it writes down under TensorFlow's name.
    if foreign := sorted({n.op_type for n in converted.graph.node if not onnx.defs.has(n.op_type, n.domain)}):
        raise ConversionError(f"the ONNX converter cannot take operator {', '.join(foreign)}: leave this format out")
    for tensor in (*converted.graph.input, *converted.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(converted, {KEY: metadata.to_json()})
    converted.doc_string = "exported by nanosynth"
    onnx.checker.check_model(converted)
    return bytes(converted.SerializeToString())


def run_onnx(content: bytes, given: Tensors) -> Tensors:
    """What the network answers, by ONNX Runtime, on one thread; see :mod:`nas.networks.tflite`.

    Raises:
        InputError: a package is missing.
        ConversionError: it is no ONNX file, or one for images of another shape.
    """
    check_installed()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    refused: tuple[type[Exception], ...] = (ValueError, RuntimeError, *runtime_errors(onnxruntime))
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        there = {tensor.name for tensor in session.get_outputs()}
        fed = dict(zip((INPUT, LANDMARKS), listed(given), strict=False))
        wanted = [name for name in (OUTPUT, VALUES) if name in there] or [OUTPUT]
        return unlisted([np.asarray(x, np.float32) for x in session.run(wanted, fed)])
    except refused as error:
        raise ConversionError(f"ONNX Runtime cannot run it: {error}") from error


def metadata_of(content: bytes) -> str:
    """The text that :func:`onnx_bytes` wrote.

    Raises:
        DecodeError: there is none, or it is no ONNX file.
        InputError: a package is missing.
    """
    if missing():
        raise InputError("neither a TFLite nor a .keras file; to read ONNX: pip install 'nanosynth[onnx]'")
    import onnx
    from google.protobuf.message import DecodeError as NoProtobuf

    try:
        model = onnx.load_model_from_string(content)
    except (NoProtobuf, ValueError) as error:
        raise DecodeError("not a TFLite, .keras or ONNX file; give an exported one") from error
    found = {p.key: p.value for p in model.metadata_props}
    if KEY not in found:
        raise DecodeError("an ONNX file without metadata of this engine; export it again")
    text: str = found[KEY]
    return text


def runtime_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its exceptions have no base class of their own."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    return tuple(e for e in vars(state).values() if isinstance(e, type) and issubclass(e, Exception))
