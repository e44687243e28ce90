"""Which file a search judges: the float32 one, or the int8 one that is quantized after training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from nas.data.rows import Images
from nas.deploy.held import as_input, spread_of
from nas.evaluation.train import Trainer
from nas.measurement import Measurement
from nas.networks.tflite import check_same_output, run_tflite, to_tflite

_COMPARED: Final = 8  # images on which a float file is compared with its model

Probabilities = npt.NDArray[np.float32]


class Precision(Protocol):
    """How the file is made that candidates are judged by.

    Attributes:
        file: the name under which it is kept.
        what: it is, in words.
    """

    file: str
    what: str

    def convert(self, model: Any, train: Images) -> bytes:
        """The file of a tf_keras model; ``train`` (n, h, w, c) are images that it may be calibrated on."""

    def predict(self, trainer: Trainer, train: Images, test: Images) -> Probabilities:
        """What the trained network, as it is judged, says of images (m, h, w, c): (m, classes)."""

    def compare(self, model: Any, content: bytes, images: Images) -> dict[str, float]:
        """How far the file is from its model.  Raises ConversionError where it is another network."""

    def said(self, measurements: dict[str, Measurement]) -> dict[str, Measurement]:
        """The same measurements, saying what they are of."""


class Float32:
    """The float32 file; accuracy is the model's, which the file repeats within a tolerance that is checked."""

    file = "model.tflite"
    what = "float32 TFLite file"

    def convert(self, model: Any, train: Images) -> bytes:
        """As :class:`Precision` says."""
        return to_tflite(model)

    def predict(self, trainer: Trainer, train: Images, test: Images) -> Probabilities:
        """As :class:`Precision` says."""
        return trainer.predict(test)

    def compare(self, model: Any, content: bytes, images: Images) -> dict[str, float]:
        """As :class:`Precision` says."""
        return {"conversion_difference": check_same_output(model, content, as_input(images[:_COMPARED]))}

    def said(self, measurements: dict[str, Measurement]) -> dict[str, Measurement]:
        """As :class:`Precision` says."""
        return measurements


class Int8:
    """The int8 file, calibrated on training images of the fold; accuracy is the file's own, run by LiteRT."""

    file = "model.int8.tflite"
    what = "int8 TFLite file"

    def convert(self, model: Any, train: Images) -> bytes:
        """As :class:`Precision` says."""
        return to_tflite(model, calibration=as_input(spread_of(train)))

    def predict(self, trainer: Trainer, train: Images, test: Images) -> Probabilities:
        """As :class:`Precision` says."""
        return run_tflite(self.convert(trainer.model, train), as_input(test[:]))

    def compare(self, model: Any, content: bytes, images: Images) -> dict[str, float]:
        """As :class:`Precision` says; int8 has no tolerance, its accuracy is what is judged."""
        inputs = as_input(spread_of(images))
        same = np.asarray(model(inputs, training=False)).argmax(1) == run_tflite(content, inputs).argmax(1)
        return {"agreement_with_float": float(same.mean())}

    def said(self, measurements: dict[str, Measurement]) -> dict[str, Measurement]:
        """As :class:`Precision` says."""
        return {name: replace(m, provenance=f"{m.provenance}; of the {self.what}") for name, m in measurements.items()}


def precision_of(quantized: bool) -> Precision:
    """The one that a search is set up with."""
    return Int8() if quantized else Float32()
