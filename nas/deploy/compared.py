"""A file's answers beside those of the trained network, on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.deploy.held import HeldImages, as_input
from nas.measurement import Measurement
from nas.networks.tflite import ConversionError, run_tflite
from nas.statistics.accuracy import accuracy_estimate
from nas.statistics.paired import Difference, paired_difference

CONFIDENCE: Final = 0.95  # of every interval here, two-sided
HELD: Final = "out-of-fold images of fold 0"

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """What a file answers, beside a reference on the same images.

    Attributes:
        images: how many they are.
        on: what they are, in words.
        largest_difference: of a probability, over images and classes.
        agreement: share of the images to which both give the same answer.
        accuracy, reference_accuracy: shares with their intervals; None where the images have no labels.
        difference: the file's accuracy less the reference's, paired by image and with an interval over subjects; None
            likewise.
    """

    images: int
    on: str
    largest_difference: float
    agreement: float
    accuracy: Measurement | None = None
    reference_accuracy: Measurement | None = None
    difference: Difference | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, as cards hold it; what is not known is left out."""
        found: dict[str, Any] = {
            "largest_difference": self.largest_difference,
            "agreement_with_float": self.agreement,
            "compared_images": self.images,
            "compared_on": self.on,
        }
        if (own := self.accuracy) is not None and (float_ := self.reference_accuracy) is not None:
            found |= {"accuracy": own.value, "accuracy_low": own.low, "accuracy_high": own.high}
            found |= {"accuracy_how": own.provenance, "float_accuracy": float_.value}
        if (d := self.difference) is not None:
            found |= {
                "accuracy_difference": d.value,
                "accuracy_difference_low": d.low,
                "accuracy_difference_high": d.high,
                "accuracy_difference_how": f"paired by image, over {d.groups} groups, two-sided {CONFIDENCE:g}",
            }
        return found


def answers(content: bytes, images: HeldImages) -> Probabilities:
    """What LiteRT computes from the bytes of a TFLite file: (m, classes), of the m test images.

    Raises:
        ConversionError: they are no TFLite file, or one of another network.
    """
    return run_tflite(content, as_input(images.test))


def compare(got: Probabilities, expected: Probabilities, images: HeldImages, on: str = HELD) -> Comparison:
    """A file's ``got`` beside ``expected``, both (m, classes) of the m test images of ``images``.

    Raises:
        ConversionError: the two are not of one kind, or not all numbers.
    """
    bare = compare_outputs(got, expected, on)
    hits, reference = got.argmax(1) == images.labels, expected.argmax(1) == images.labels
    return Comparison(
        bare.images,
        on,
        bare.largest_difference,
        bare.agreement,
        _accuracy(hits, images),
        _accuracy(reference, images),
        paired_difference(hits, reference, images.groups, confidence=CONFIDENCE),
    )


def compare_outputs(got: Probabilities, expected: Probabilities, on: str) -> Comparison:
    """The same, of images without labels.

    Raises:
        ConversionError: as :func:`compare`.
    """
    if got.shape != expected.shape:
        raise ConversionError(f"outputs {got.shape}, the network's are {expected.shape}: another network's file")
    for what, values in (("file", got), ("network", expected)):
        if not np.isfinite(values).all():
            raise ConversionError(f"the {what}'s outputs are not all numbers: damaged weights, or a wrong conversion")
    same = got.argmax(1) == expected.argmax(1)
    return Comparison(len(got), on, float(np.max(np.abs(got - expected))), float(same.mean()))


def _accuracy(hits: npt.NDArray[np.bool_], images: HeldImages) -> Measurement:
    estimate, one_sided = accuracy_estimate(hits, images.groups), (1 + CONFIDENCE) / 2
    count = len(np.unique(images.groups))
    how = (
        f"cluster-t over {count} {images.group_kind}, without the variance between trainings, two-sided {CONFIDENCE:g}"
    )
    return Measurement(estimate.value, estimate.low(one_sided), estimate.high(one_sided), "share", len(hits), how)
