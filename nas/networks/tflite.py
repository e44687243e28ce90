"""From a Keras model to a TFLite file, and the comparison without which no file is trusted.

What a network is *given* is float32 images (n, h, w, c) in [0, 1]; of one with landmarks a list of these and of the
landmarks (n, 2 x points).  What it *answers* is its probabilities, or its values; of one with both, a list of the two.
In a file of two inputs or two answers their order is found by name: the inputs have those of the model's, and the
answers come as ``Identity`` and ``Identity_1``, which a frozen function calls them in the model's order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from nas.errors import NasError, one_line
from nas.graph import LANDMARKS

FLOAT_TOLERANCE: Final = 1e-4  # largest difference of a probability between the model and its float32 file
_REFUSED: Final = re.compile(r"'tf\.(\w+)' op is neither")

_NUMBERED: Final = re.compile(r"(?:.*/)?Identity(?:_(\d+))?(?::\d+)?")  # an answer of a frozen function

Storage = Literal["float32", "float16", "dynamic"]
Array = npt.NDArray[np.float32]
Tensors = Array | list[Array]
"""What a network is given, or what it answers: one array, or a list where there are two."""


class ConversionError(NasError):
    """A network cannot be converted, or its file does not compute what it computes."""


def listed(tensors: Any) -> list[Any]:
    """``tensors`` as a list, of one where it is no list."""
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


def unlisted(tensors: list[Array]) -> Tensors:
    """The only one of ``tensors``, or all."""
    return tensors if len(tensors) > 1 else tensors[0]


def to_tflite(model: Any, *, calibration: Tensors | None = None, storage: Storage = "float32") -> bytes:
    """The bytes of a TFLite file for one image at a time.

    By way of a frozen concrete function: ten times faster than ``from_keras_model`` and free of its traps.

    Args:
        model: a tf_keras or Keras 3 model.
        calibration: what the model is given; with it, the file is quantized to int8 throughout, all inputs (landmarks
            as well: 256 steps over the range that they have here) and all outputs included.
        storage: of the weights, without calibration: ``float32``; ``float16``, computed in float32; or ``dynamic``,
            large ones as int8, activations quantized image by image as the file runs.

    Raises:
        ConversionError: the converter cannot take an operator of the network; names it.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    several = len(model.inputs) > 1  # else nothing is named, and files stay what they were
    specs = [tf.TensorSpec((1, *x.shape[1:]), tf.float32, _plain(x.name) if several else None) for x in model.inputs]
    call = (lambda *x: model(list(x), training=False)) if several else (lambda x: model(x, training=False))
    function = tf.function(call).get_concrete_function(*specs)
    frozen = convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if calibration is not None or storage != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibration is not None:
        given = listed(calibration)
        converter.representative_dataset = lambda: ([x[i : i + 1] for x in given] for i in range(len(given[0])))
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


def _plain(name: str) -> str:
    """A tensor's name without its number."""
    return name.partition(":")[0]


def input_details(interpreter: Any) -> list[dict[str, Any]]:
    """Of an interpreter, the image's input, then the landmarks', where there are some."""
    found: list[dict[str, Any]] = list(interpreter.get_input_details())
    return [found[i] for i in order_of_inputs([detail["name"] for detail in found])]


def order_of_inputs(names: Sequence[str]) -> list[int]:
    """Indices into the names of a file's inputs: the image's, then the landmarks'."""
    return sorted(range(len(names)), key=lambda i: LANDMARKS in names[i])


def order_of_answers(names: Sequence[str]) -> list[int]:
    """Indices into the names of a file's answers, in the order of the model's.

    Raises:
        ConversionError: several that are not called as :func:`to_tflite` calls them.
    """
    if len(names) == 1:
        return [0]
    places: dict[int, int] = {}
    for i, name in enumerate(names):
        numbered = _NUMBERED.fullmatch(name)
        if numbered is None:
            raise ConversionError(f"the file's answer {name!r:.80}: which one it is cannot be told")
        places[int(numbered[1] or 0)] = i
    if len(places) != len(names):
        raise ConversionError("two of the file's answers have one name: which one is which cannot be told")
    return [places[place] for place in sorted(places)]


def output_details(interpreter: Any) -> list[dict[str, Any]]:
    """Of an interpreter, its answers in the order of the model's.  Raises ConversionError where that is not known."""
    found: list[dict[str, Any]] = list(interpreter.get_output_details())
    return [found[i] for i in order_of_answers([detail["name"] for detail in found])]


def run_tflite(content: bytes, given: Tensors) -> Any:
    """What a file answers to what it is given, one image at a time; (de)quantizes where needed.

    Args:
        content: of the file.
        given: images (n, h, w, c) in [0, 1]; with landmarks a list of both.

    Returns:
        Float32 (n, width); of a file of two answers a list of them, in the order of the model's.

    Raises:
        ConversionError: ``content`` is no TFLite file, or one that is given something else.
    """
    interpreter = open_interpreter(content)
    sources, targets, fed = input_details(interpreter), output_details(interpreter), listed(given)
    shapes = [tuple(map(int, source["shape"])) for source in sources]
    if shapes != [(1, *x.shape[1:]) for x in fed]:
        takes = " and ".join(map(str, shapes))
        raise ConversionError(f"the file takes {takes}, the images are {' and '.join(str(x.shape[1:]) for x in fed)}")
    out: list[list[Array]] = [[] for _ in targets]
    for i in range(len(fed[0])):
        for x, source in zip(fed, sources, strict=True):
            interpreter.set_tensor(source["index"], _quantized(x[i : i + 1], source))
        interpreter.invoke()
        for answer, target in zip(out, targets, strict=True):
            value = interpreter.get_tensor(target["index"])[0].astype(np.float32)
            scale, zero = target["quantization"]
            answer.append((value - zero) * scale if scale else value)
    return unlisted([np.asarray(answer, np.float32) for answer in out])


def _quantized(values: Array, detail: dict[str, Any]) -> npt.NDArray[Any]:
    scale, zero = detail["quantization"]
    if not scale:
        return values.astype(np.float32)
    limits = np.iinfo(detail["dtype"])
    quantized: npt.NDArray[Any] = np.clip(np.rint(values / scale + zero), limits.min, limits.max).astype(
        detail["dtype"]
    )
    return quantized


def check_same_output(model: Any, content: bytes, given: Tensors) -> float:
    """Largest difference between what ``model`` and its float32 file answer to what they are given.

    Of values (what is not a probability), differences count as shares of the largest value where that is above 1.

    Raises:
        ConversionError: the difference is above :data:`FLOAT_TOLERANCE`, or not a number.
    """
    expected, got = listed(model(given, training=False)), listed(run_tflite(content, given))
    if len(expected) != len(got):
        raise ConversionError(f"the TFLite file gives {len(got)} answers, the model {len(expected)}")
    difference = max(relative_difference(a, np.asarray(b)) for a, b in zip(got, expected, strict=True))
    if not difference <= FLOAT_TOLERANCE:
        raise ConversionError(
            f"the TFLite file's output differs from the model's by {difference:.2g}, allowed {FLOAT_TOLERANCE:.0e}: "
            "the converter mistranslated this network"
        )
    return difference


def relative_difference(got: Array, expected: Array) -> float:
    """Largest of ``got - expected``, as a share of the largest value expected where that is above 1.

    Not a number where one of them holds some that are none.
    """
    if got.shape != expected.shape:
        raise ConversionError(f"outputs {got.shape}, the network's are {expected.shape}: another network's file")
    return float(np.max(np.abs(got - expected)) / max(1.0, float(np.max(np.abs(expected)))))


def _refusal(message: str) -> str:
    operators = sorted(set(_REFUSED.findall(message)))
    if operators:
        return f"the TFLite converter cannot take operator {', '.join(operators)}: leave this format out"
    return f"the TFLite converter cannot take this network ({one_line(message[:300])})"
