"""From a Keras model to a TFLite file, and the comparison without which no file is trusted."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from nas.errors import NasError, one_line

FLOAT_TOLERANCE: Final = 1e-4  # largest difference of a probability between the model and its float32 file
_REFUSED: Final = re.compile(r"'tf\.(\w+)' op is neither")

Storage = Literal["float32", "float16", "dynamic"]


class ConversionError(NasError):
    """A network cannot be converted, or its file does not compute what it computes."""


def to_tflite(model: Any, *, calibration: npt.NDArray[np.float32] | None = None, storage: Storage = "float32") -> bytes:
    """The bytes of a TFLite file for one image at a time.

    By way of a frozen concrete function: ten times faster than ``from_keras_model`` and free of its traps.

    Args:
        model: a tf_keras or Keras 3 model.
        calibration: images (n, h, w, c) in [0, 1]; when given, the file is quantized to int8 throughout, inputs and
            outputs included.
        storage: of the weights, without calibration: ``float32``; ``float16``, computed in float32; or ``dynamic``,
            large ones as int8, activations quantized image by image as the file runs.

    Raises:
        ConversionError: the converter cannot take an operator of the network; names it.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shape = (1, *model.input_shape[1:])
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    frozen = convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if calibration is not None or storage != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibration is not None:
        converter.representative_dataset = lambda: ([image[None]] for image in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    elif storage == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        return bytes(converter.convert())
    except ConverterError as error:
        raise ConversionError(_refusal(str(error))) from error


def open_interpreter(content: bytes, *, threads: int = 1) -> Any:
    """A LiteRT interpreter with its tensors allocated.  Raises ConversionError for bytes that are no TFLite file."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ConversionError(f"not a TFLite file that this interpreter can run: {error}") from error
    return interpreter


def run_tflite(content: bytes, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probabilities (n, classes) of images (n, h, w, c) in [0, 1], one image at a time; (de)quantizes where needed.

    Raises:
        ConversionError: ``content`` is no TFLite file, or one for images of another shape.
    """
    interpreter = open_interpreter(content)
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if tuple(source["shape"]) != (1, *images.shape[1:]):
        raise ConversionError(f"the file takes {tuple(map(int, source['shape']))}, the images are {images.shape[1:]}")
    out = []
    for image in images:
        interpreter.set_tensor(source["index"], _quantized(image[None], source))
        interpreter.invoke()
        value = interpreter.get_tensor(target["index"])[0].astype(np.float32)
        scale, zero = target["quantization"]
        out.append((value - zero) * scale if scale else value)
    return np.asarray(out, np.float32)


def _quantized(image: npt.NDArray[np.float32], detail: dict[str, Any]) -> npt.NDArray[Any]:
    scale, zero = detail["quantization"]
    if not scale:
        return image.astype(np.float32)
    limits = np.iinfo(detail["dtype"])
    quantized: npt.NDArray[Any] = np.clip(np.rint(image / scale + zero), limits.min, limits.max).astype(detail["dtype"])
    return quantized


def check_same_output(model: Any, content: bytes, images: npt.NDArray[np.float32]) -> float:
    """Largest difference between the probabilities of ``model`` and of its float32 file on ``images``.

    Raises:
        ConversionError: the difference is above :data:`FLOAT_TOLERANCE`, or not a number.
    """
    expected = np.asarray(model(images, training=False))
    difference = float(np.max(np.abs(expected - run_tflite(content, images))))
    if not difference <= FLOAT_TOLERANCE:
        raise ConversionError(
            f"the TFLite file's output differs from the model's by {difference:.2g}, allowed {FLOAT_TOLERANCE:.0e}: "
            "the converter mistranslated this network"
        )
    return difference


def _refusal(message: str) -> str:
    operators = sorted(set(_REFUSED.findall(message)))
    if operators:
        return f"the TFLite converter cannot take operator {', '.join(operators)}: leave this format out"
    return f"the TFLite converter cannot take this network ({one_line(message[:300])})"
