"""Which file a search judges: the float32 one, or the int8 one that is quantized after training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from nas.deploy.held import as_input, spread
from nas.evaluation.extras import Answer, Inputs
from nas.evaluation.train import SPOKEN, Trainer
from nas.graph import VALUES
from nas.measurement import Measurement
from nas.networks.tflite import check_same_output, listed, run_tflite, to_tflite

_COMPARED: Final = 8  # images on which a float file is compared with its model

Given = npt.NDArray[np.float32] | list[npt.NDArray[np.float32]]


class Precision(Protocol):
    """How the file is made that candidates are judged by.

    Attributes:
        file: the name under which it is kept.
        what: it is, in words.
    """

    file: str
    what: str

    def convert(self, model: Any, train: Inputs) -> bytes:
        """The file of a tf_keras model; ``train`` are inputs that it may be calibrated on."""

    def answer(self, trainer: Trainer, train: Inputs, test: Inputs) -> Answer:
        """What the trained network, as it is judged, answers to the inputs ``test``."""

    def compare(self, model: Any, content: bytes, inputs: Inputs) -> dict[str, float]:
        """How far the file is from its model.  Raises ConversionError where it is another network."""

    def said(self, measurements: dict[str, Measurement]) -> dict[str, Measurement]:
        """The same measurements, saying what they are of."""


class Float32:
    """The float32 file; accuracy is the model's, which the file repeats within a tolerance that is checked."""

    file = "model.tflite"
    what = "float32 TFLite file"

    def convert(self, model: Any, train: Inputs) -> bytes:
        """As :class:`Precision` says."""
        return to_tflite(model)

    def answer(self, trainer: Trainer, train: Inputs, test: Inputs) -> Answer:
        """As :class:`Precision` says."""
        return trainer.answer(test)

    def compare(self, model: Any, content: bytes, inputs: Inputs) -> dict[str, float]:
        """As :class:`Precision` says."""
        return {"conversion_difference": check_same_output(model, content, given(inputs, slice(_COMPARED)))}

    def said(self, measurements: dict[str, Measurement]) -> dict[str, Measurement]:
        """As :class:`Precision` says."""
        return measurements


class Int8:
    """The int8 file, calibrated on training images of the fold; accuracy is the file's own, run by LiteRT."""

    file = "model.int8.tflite"
    what = "int8 TFLite file"

    def convert(self, model: Any, train: Inputs) -> bytes:
        """As :class:`Precision` says."""
        return to_tflite(model, calibration=given(train, spread(len(train[0]))))

    def answer(self, trainer: Trainer, train: Inputs, test: Inputs) -> Answer:
        """As :class:`Precision` says."""
        answers = listed(run_tflite(self.convert(trainer.model, train), given(test)))
        return {SPOKEN[name]: answer for name, answer in zip(trainer.answers, answers, strict=True)}

    def compare(self, model: Any, content: bytes, inputs: Inputs) -> dict[str, float]:
        """As :class:`Precision` says; int8 has no tolerance, its accuracy is what is judged."""
        shown = given(inputs, spread(len(inputs[0])))
        pairs = zip(listed(model(shown, training=False)), listed(run_tflite(content, shown)), strict=True)
        found = {}
        for name, (own, files) in zip(model.output_names, pairs, strict=True):
            if name == VALUES:
                found["values_difference"] = float(np.abs(np.asarray(own) - files).mean())
            else:
                found["agreement_with_float"] = float((np.asarray(own).argmax(1) == files.argmax(1)).mean())
        return found

    def said(self, measurements: dict[str, Measurement]) -> dict[str, Measurement]:
        """As :class:`Precision` says."""
        return {name: replace(m, provenance=f"{m.provenance}; of the {self.what}") for name, m in measurements.items()}


def given(inputs: Inputs, which: slice | npt.NDArray[np.int64] = slice(None)) -> Given:
    """Inputs of the images ``which`` as models and files take them: one array, or a list of images and landmarks."""
    images, *told = inputs
    first = as_input(images[which])
    return [first, *(each[which] for each in told)] if told else first


def precision_of(quantized: bool) -> Precision:
    """The one that a search is set up with."""
    return Int8() if quantized else Float32()
