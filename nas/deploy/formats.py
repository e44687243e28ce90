"""The file formats that a trained network can be exported to: how each is made, and who runs it independently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from nas.deploy.compared import HELD, Answers, Comparison, compare, compare_outputs
from nas.deploy.held import HeldImages
from nas.deploy.keras_named import keras_bytes, outputs_of, run_keras
from nas.deploy.metadata import Metadata
from nas.deploy.onnx_named import check_installed, missing, onnx_bytes, run_onnx
from nas.deploy.tflite_signed import signed
from nas.errors import InputError
from nas.graph import Graph
from nas.networks.build import Weights, build_model, set_weights
from nas.networks.tflite import Tensors, run_tflite, to_tflite

ALL: Final = "all"  # every format that is available here
NOISE: Final = 64  # images of it, where there is no data
ON_NOISE: Final = "images of random noise"


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, ready to be exported.

    Attributes:
        graph, weights: what it is.
        model: the tf_keras model with these weights, to which every file is compared.
        images: for calibration and test, None where there is no data at hand.
    """

    graph: Graph
    weights: Weights
    model: Any
    images: HeldImages | None

    @classmethod
    def of(cls, graph: Graph, weights: Weights, images: HeldImages | None) -> Trained:
        """Builds the network.  Raises InputError for weights or images of another network."""
        import tf_keras

        images = None if images is None else images.fit_for(graph)
        model = build_model(graph, tf_keras)
        set_weights(model, weights)
        return cls(graph, weights, model, images)

    @cached_property
    def sample(self) -> Tensors:
        """What files are run on: float32 images (n, h, w, c), with landmarks where the network takes them."""
        return noise(self.graph, NOISE) if self.images is None else self.images.given()

    @cached_property
    def expected(self) -> Answers:
        """What the network itself says of them."""
        return Answers.of(self.graph.outputs, outputs_of(self.model, self.sample))

    def beside(self, got: Tensors) -> Comparison:
        """A file's outputs ``got`` for :attr:`sample`, beside the network's own.

        Raises:
            ConversionError: they are of another network, or not all numbers.
        """
        found = Answers.of(self.graph.outputs, got)
        if self.images is None:
            return compare_outputs(found, self.expected, ON_NOISE)
        return compare(found, self.expected, self.images, HELD)


def noise(graph: Graph, count: int) -> Tensors:
    """Random numbers in [0, 1) in place of ``count`` images, and of landmarks where the network takes them."""
    rng = np.random.default_rng(0)
    image = rng.random((count, *graph.input_shape), dtype=np.float32)
    return [image, rng.random((count, 2 * graph.points), dtype=np.float32)] if graph.points else image


def keras_file(trained: Trained, metadata: Metadata) -> bytes:
    """A Keras 3 ``.keras`` file of layers that Keras itself has; the model's name is the network's."""
    import keras

    model = build_model(trained.graph, keras)
    set_weights(model, trained.weights)
    model.name = f"network_{metadata.network}"
    return keras_bytes(model, metadata.to_json())


def tflite_file(trained: Trained, metadata: Metadata) -> bytes:
    """A float32 TFLite file."""
    return signed(to_tflite(trained.model), metadata)


def float16_file(trained: Trained, metadata: Metadata) -> bytes:
    """A TFLite file whose weights are float16."""
    return signed(to_tflite(trained.model, storage="float16"), metadata)


def dynamic_file(trained: Trained, metadata: Metadata) -> bytes:
    """A TFLite file whose large weights are int8."""
    return signed(to_tflite(trained.model, storage="dynamic"), metadata)


def int8_file(trained: Trained, metadata: Metadata) -> bytes:
    """A TFLite file quantized to int8 throughout after training.

    Raises:
        InputError: there are no images to calibrate with.
    """
    if trained.images is None:
        raise InputError(
            "tflite-int8 is calibrated on images of the run's data: give the data, or leave the format out"
        )
    return signed(to_tflite(trained.model, calibration=trained.images.given_to_calibrate()), metadata)


def onnx_file(trained: Trained, metadata: Metadata) -> bytes:
    """An ONNX file, float32."""
    return onnx_bytes(trained.model, metadata)


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        file: its name.
        what: it is.
        quantization: how weights and activations are stored and computed.
        make: the file's bytes.
        run: what it answers to images (n, h, w, c) in [0, 1], and landmarks, by an interpreter that reads the bytes.
        by: that interpreter.
    """

    file: str
    what: str
    quantization: str
    make: Callable[[Trained, Metadata], bytes]
    run: Callable[[bytes, Tensors], Tensors]
    by: str

    @property
    def is_tflite(self) -> bool:
        """Whether LiteRT runs it, and can time it."""
        return self.run is run_tflite


_F32: Final = "none: float32 weights and activations"
FORMATS: Final[Mapping[str, Format]] = {
    "keras": Format("model.keras", "Keras 3, float32", _F32, keras_file, run_keras, "Keras 3 in safe mode"),
    "tflite": Format("model.tflite", "TFLite, float32", _F32, tflite_file, run_tflite, "LiteRT"),
    "tflite-f16": Format(
        "model.f16.tflite",
        "TFLite, float16 weights",
        "float16 weights, float32 activations",
        *(float16_file, run_tflite, "LiteRT"),
    ),
    "tflite-dynamic": Format(
        "model.dynamic.tflite",
        "TFLite, int8 weights, dynamic range",
        "dynamic range: large weights int8, activations quantized as it runs; after training",
        *(dynamic_file, run_tflite, "LiteRT"),
    ),
    "tflite-int8": Format(
        "model.int8.tflite",
        "TFLite, int8 throughout, quantized after training",
        "int8 throughout, inputs and outputs included; after training, calibrated on training images",
        *(int8_file, run_tflite, "LiteRT"),
    ),
    "onnx": Format("model.onnx", "ONNX, float32", _F32, onnx_file, run_onnx, "ONNX Runtime"),
}


def available() -> tuple[str, ...]:
    """Formats whose packages are installed."""
    return tuple(name for name in FORMATS if name != "onnx" or not missing())


def check_formats(names: tuple[str, ...]) -> tuple[str, ...]:
    """``names``, each once; ``all`` stands for every available one.

    Raises:
        InputError: none, one that there is not, or one whose packages are missing; names those that there are, or what
            to install.
    """
    there = f"available: {', '.join(available())}"
    if not names:
        raise InputError(f"no format named; {there}")
    for name in names:
        if name not in FORMATS and name != ALL:
            raise InputError(f"format {name!r} is not known; {there}")
    if "onnx" in names:
        check_installed()
    return tuple(dict.fromkeys(each for name in names for each in (available() if name == ALL else (name,))))
