"""The file formats that a trained network can be exported to: one function a format, each compares what it wrote."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.deploy.held import HeldImages, as_input
from nas.errors import InputError
from nas.graph import Graph
from nas.networks.build import Weights, build_model, set_weights
from nas.networks.tflite import (
    FLOAT_TOLERANCE,
    ConversionError,
    check_same_output,
    open_interpreter,
    run_tflite,
    to_tflite,
)

COMPARED: Final = 8  # images on which a float file is compared with the trained network
LATER: Final = frozenset({"tflite-f16", "tflite-dynamic", "onnx"})
_BATCH: Final = 64


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, ready to be exported.

    Attributes:
        graph, weights: what it is.
        model: the tf_keras model with these weights, to which every file is compared.
        sample: float32 (n, h, w, c), the images of the comparison.
        sample_kind: what they are, in words.
        images: for calibration and test, None where there is no data at hand.
    """

    graph: Graph
    weights: Weights
    model: Any
    sample: npt.NDArray[np.float32]
    sample_kind: str
    images: HeldImages | None

    @classmethod
    def of(cls, graph: Graph, weights: Weights, images: HeldImages | None) -> Trained:
        """Builds the network.  Raises InputError for weights or images of another network."""
        import tf_keras

        if images is not None and images.test.shape[1:] != graph.input_shape:
            raise InputError(f"the images are {images.test.shape[1:]}, the network takes {graph.input_shape}")
        model = build_model(graph, tf_keras)
        set_weights(model, weights)
        if images is None:
            noise = np.random.default_rng(0).random((COMPARED, *graph.input_shape), dtype=np.float32)
            return cls(graph, weights, model, noise, "images of random noise", None)
        return cls(graph, weights, model, as_input(images.test[:COMPARED]), "out-of-fold images", images)


@dataclass(frozen=True)
class Exported:
    """One file, and what comparing it with the trained network gave."""

    content: bytes
    found: dict[str, Any]


def keras_file(trained: Trained) -> Exported:
    """A Keras 3 ``.keras`` file, loaded again with ``safe_mode`` and compared.

    Raises:
        ConversionError: its output differs from the trained network's by more than 1e-4.
    """
    import keras

    model = build_model(trained.graph, keras)
    set_weights(model, trained.weights)
    with tempfile.TemporaryDirectory(prefix="nas-export-") as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        again = keras.saving.load_model(path, compile=False, safe_mode=True)
        content = path.read_bytes()
    expected = probabilities(trained.model, trained.sample)
    rebuilt = _difference(expected, probabilities(model, trained.sample), "the Keras 3 model")
    loaded = _difference(expected, probabilities(again, trained.sample), "the model loaded from its .keras file")
    return Exported(content, _compared(trained, loaded) | {"largest_difference_before_saving": rebuilt})


def tflite_file(trained: Trained) -> Exported:
    """A float32 TFLite file.  Raises ConversionError where its output differs from the trained network's."""
    content = to_tflite(trained.model)
    return Exported(content, _compared(trained, check_same_output(trained.model, content, trained.sample)))


def int8_file(trained: Trained) -> Exported:
    """A TFLite file quantized to int8 throughout after training, with its own accuracy on the test images.

    Raises:
        InputError: there are no images to calibrate with.
    """
    images = trained.images
    if images is None:
        raise InputError(
            "tflite-int8 is calibrated on images of the run's data: give the data, or leave the format out"
        )
    calibration = images.spread()
    content = to_tflite(trained.model, calibration=as_input(calibration))
    test = as_input(images.test)
    expected, got = probabilities(trained.model, test), run_tflite(content, test)
    return Exported(
        content,
        {
            "accuracy": _share(got.argmax(1) == images.labels),
            "float_accuracy": _share(expected.argmax(1) == images.labels),
            "agreement_with_float": _share(got.argmax(1) == expected.argmax(1)),
            "largest_difference": float(np.max(np.abs(got - expected))),
            "compared_images": len(test),
            "compared_on": "all out-of-fold images of fold 0",
            "calibration_images": len(calibration),
            "calibrated_on": "training images of fold 0, of search subjects",
            **_quantization(content),
        },
    )


def _quantization(content: bytes) -> dict[str, Any]:
    """How to write the input and read the output: real = (q - zero_point) * scale."""
    interpreter = open_interpreter(content)
    out: dict[str, Any] = {}
    for name, detail in (
        ("input", interpreter.get_input_details()[0]),
        ("output", interpreter.get_output_details()[0]),
    ):
        scale, zero = detail["quantization"]
        out[name] = {"dtype": np.dtype(detail["dtype"]).name, "scale": float(scale), "zero_point": int(zero)}
    return out


def probabilities(model: Any, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Outputs (n, classes) of a tf_keras or Keras 3 model for float32 images (n, h, w, c), batch by batch."""
    parts = [np.asarray(model(images[i : i + _BATCH], training=False)) for i in range(0, len(images), _BATCH)]
    return np.concatenate(parts)


def _difference(expected: npt.NDArray[np.float32], got: npt.NDArray[np.float32], what: str) -> float:
    difference = float(np.max(np.abs(expected - got)))
    if not difference <= FLOAT_TOLERANCE:
        raise ConversionError(
            f"the output of {what} differs from the trained network's by {difference:.2g}, "
            f"allowed {FLOAT_TOLERANCE:.0e}: export with the package versions that the run's run.yaml names"
        )
    return difference


def _compared(trained: Trained, difference: float) -> dict[str, Any]:
    n = len(trained.sample)
    return {"largest_difference": difference, "compared_images": n, "compared_on": trained.sample_kind}


def _share(hits: npt.NDArray[np.bool_]) -> float:
    return float(hits.mean())


@dataclass(frozen=True)
class Format:
    """One format: the file's name, what it is, and how it is made."""

    file: str
    what: str
    make: Callable[[Trained], Exported]


FORMATS: Final[Mapping[str, Format]] = {
    "keras": Format("model.keras", "Keras 3, float32", keras_file),
    "tflite": Format("model.tflite", "TFLite, float32", tflite_file),
    "tflite-int8": Format("model.int8.tflite", "TFLite, int8 throughout, quantized after training", int8_file),
}


def check_formats(names: tuple[str, ...]) -> tuple[str, ...]:
    """``names``, each once.  Raises InputError for none, or one that is not available; names those that are."""
    available = f"available: {', '.join(FORMATS)}"
    if not names:
        raise InputError(f"no format named; {available}")
    for name in names:
        if name in LATER:
            raise InputError(f"format {name!r} is planned but not in this version; {available}")
        if name not in FORMATS:
            raise InputError(f"format {name!r} is not known; {available}")
    return tuple(dict.fromkeys(names))
