"""Super-resolution by a model that the user gives, as a TFLite or an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from nas.data.paths import open_file
from nas.deploy.onnx_named import runtime_errors
from nas.errors import InputError, one_line
from nas.networks.tflite import ConversionError, open_interpreter
from nas.preparation.view import Pixels

LANCZOS: Final = "lanczos"
LANCZOS_IS: Final = "Lanczos interpolation, which adds no detail: no super-resolution"
_MAX_MODEL_BYTES: Final = 1_000_000_000
_MAX_FACTOR: Final = 16
# The mean of an image that a model enlarges may move by so much of the full scale.
_MEAN_MAY_MOVE: Final = 0.25
_PROBE_SIDE: Final = 24

Array = npt.NDArray[Any]


class Upscaler(Protocol):
    """Enlarges images by a whole factor."""

    @property
    def name(self) -> str:
        """What it is."""

    @property
    def side(self) -> int | None:
        """The only side in pixels that it takes, or None where it takes any."""

    def enlarged(self, image: Pixels) -> Pixels:
        """A square image, uint8 of shape (s, s, c), as (k·s, k·s, c)."""


class _Runner(Protocol):
    """One model in its runtime: (1, h, w, c) in, (1, k·h, k·w, c) out, both in its own type."""

    shape: tuple[int | None, ...]
    dtype: npt.DTypeLike

    def run(self, batch: Array) -> Array: ...


class ModelUpscaler:
    """A super-resolution model in a file.

    Its input is (1, h, w, c), or (1, c, h, w) in ONNX, with h and w fixed and equal or free, and c 1 or 3; its output
    is k times as high and wide, k from 2 to 16.  Floats are 0..1 on both sides, uint8 0..255, int8 the same less 128.
    Grey images are shown to a model of three channels as three equal ones, and the mean of its output is taken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runner = _runner(path)
        self._first = len(self._runner.shape) == 4 and self._runner.shape[3] not in (1, 3)  # channels first
        shape = self._runner.shape
        ordered = (shape[0], shape[2], shape[3], shape[1]) if self._first else shape
        if len(shape) != 4 or ordered[0] not in (1, None) or ordered[3] not in (1, 3) or ordered[1] != ordered[2]:
            raise InputError(
                f"{path}: its input is {_named(shape)}; a super-resolution model takes (1, side, side, channels), "
                "channels 1 or 3: convert it so"
            )
        self.side: int | None = ordered[1]
        self.channels = ordered[3]
        self.factor = self._checked_factor()

    @property
    def name(self) -> str:
        """The file, and by how much it enlarges."""
        return f"{self._path.name} (x{self.factor})"

    def enlarged(self, image: Pixels) -> Pixels:
        """A square image, uint8 of shape (s, s, c), as (k·s, k·s, c).

        Raises:
            InputError: it is in colour and the model grey, or the model gives another shape than it should.
        """
        if self.channels < image.shape[2]:
            raise InputError(f"{self._path}: it takes grey images, these are in colour: add --grey, or give another")
        output = self._output(image if image.shape[2] == self.channels else np.repeat(image, self.channels, axis=2))
        if image.shape[2] < self.channels:
            output = output.mean(axis=2, keepdims=True)
        pixels: Pixels = np.clip(np.rint(output * 255.0), 0, 255).astype(np.uint8)
        return pixels

    def _checked_factor(self) -> int:
        """By how much it enlarges, told by a smooth image whose mean must stay about what it is."""
        side = self.side or _PROBE_SIDE
        ramp = np.linspace(64, 192, side)
        probe = np.repeat(((ramp[:, None] + ramp) / 2.0).astype(np.uint8)[:, :, None], self.channels, axis=2)
        output = self._output(probe)
        moved = abs(float(output.mean()) - float(probe.mean()) / 255.0)
        if not moved <= _MEAN_MAY_MOVE:
            raise InputError(
                f"{self._path}: it turns an image of mean {probe.mean() / 255.0:.2f} into one of mean "
                f"{output.mean():.2f} (of 0..1): a model of floats must take and give 0..1"
            )
        return int(output.shape[0]) // side

    def _output(self, image: Pixels) -> npt.NDArray[np.float32]:
        """What the model makes of an image, 0..1, shape (k·s, k·s, c); refused where it has another shape."""
        batch = _given(image, self._runner.dtype)[None]
        found = self._runner.run(batch.transpose(0, 3, 1, 2) if self._first else batch)
        output = found.transpose(0, 2, 3, 1) if self._first and found.ndim == 4 else found
        side = image.shape[0]
        factor = output.shape[1] // side if output.ndim == 4 else 0
        wanted = (1, factor * side, factor * side, self.channels)
        if output.shape != wanted or not 2 <= factor <= _MAX_FACTOR:
            raise InputError(
                f"{self._path}: for {_named(batch.shape)} it gives {_named(found.shape)}; a super-resolution model "
                f"gives (1, k·{side}, k·{side}, {self.channels}) with k from 2 to {_MAX_FACTOR}: give another file"
            )
        return _taken(output[0])


def _given(image: Pixels, dtype: npt.DTypeLike) -> Array:
    if dtype == np.uint8:
        return image
    if dtype == np.int8:
        return (image.astype(np.int16) - 128).astype(np.int8)
    return image.astype(np.float32) / np.float32(255.0)


def _taken(output: Array) -> npt.NDArray[np.float32]:
    if output.dtype == np.uint8:
        return output.astype(np.float32) / np.float32(255.0)
    if output.dtype == np.int8:
        return (output.astype(np.float32) + np.float32(128.0)) / np.float32(255.0)
    return output.astype(np.float32)


def _named(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _runner(path: Path) -> _Runner:
    content = _content(path)
    kind = path.suffix.lower()
    if kind == ".onnx":
        return _Onnx(path, content)
    if kind == ".tflite":
        return _TfLite(path, content)
    raise InputError(f"{path}: a {kind or 'nameless'} file; --upscale takes 'lanczos', a .tflite or an .onnx file")


def _content(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            content = file.read(_MAX_MODEL_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"--upscale {path}: cannot be read ({error.strerror or error}); give 'lanczos', or a .tflite or .onnx file"
        ) from error
    if len(content) > _MAX_MODEL_BYTES:
        raise InputError(f"{path}: more than {_MAX_MODEL_BYTES} bytes: no model of a size that is run here")
    return content


class _TfLite:
    """By LiteRT."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        try:
            self._interpreter = open_interpreter(content)
        except ConversionError as error:
            raise InputError(f"{path}: {one_line(str(error))}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise InputError(f"{path}: {len(inputs)} inputs and {len(outputs)} outputs; one of each is expected")
        self._input, self._result = inputs[0]["index"], outputs[0]["index"]
        self.dtype: npt.DTypeLike = inputs[0]["dtype"]
        self.shape = tuple(None if size < 0 else int(size) for size in inputs[0]["shape_signature"])
        self._now = tuple(map(int, inputs[0]["shape"]))

    def run(self, batch: Array) -> Array:
        try:
            if batch.shape != self._now:
                self._interpreter.resize_tensor_input(self._input, batch.shape)
                self._interpreter.allocate_tensors()
                self._now = batch.shape
            self._interpreter.set_tensor(self._input, batch)
            self._interpreter.invoke()
            return np.array(self._interpreter.get_tensor(self._result))
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{self._path}: cannot be run on {_named(batch.shape)}: {error}") from error


class _Onnx:
    """By ONNX Runtime, which comes with the extra ``onnx``."""

    def __init__(self, path: Path, content: bytes) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(f"{path}: to run ONNX files: pip install 'nanosynth[onnx]'") from error
        self._path = path
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._refused: tuple[type[Exception], ...] = (ValueError, RuntimeError, *runtime_errors(onnxruntime))
        try:
            self._session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except self._refused as error:
            raise InputError(f"{path}: not an ONNX file that can be run ({error})") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        types = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type not in types:
            raise InputError(
                f"{path}: {len(inputs)} inputs (the first {inputs[0].type}) and {len(outputs)} outputs; one of each is "
                "expected, the input float, uint8 or int8"
            )
        self._input = inputs[0].name
        self.dtype: npt.DTypeLike = types[inputs[0].type]
        self.shape = tuple(size if isinstance(size, int) and size > 0 else None for size in inputs[0].shape)

    def run(self, batch: Array) -> Array:
        try:
            return np.asarray(self._session.run(None, {self._input: batch})[0])
        except self._refused as error:
            raise InputError(f"{self._path}: cannot be run on {_named(batch.shape)}: {error}") from error
