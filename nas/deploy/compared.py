"""A file's answers beside those of the trained network, on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.deploy.held import HeldImages
from nas.graph import VALUES
from nas.measurement import Measurement
from nas.networks.tflite import ConversionError, listed, relative_difference, run_tflite
from nas.statistics.accuracy import accuracy_estimate
from nas.statistics.paired import Difference, paired_difference

CONFIDENCE: Final = 0.95  # of every interval here, two-sided
HELD: Final = "out-of-fold images of fold 0"

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network or its file says of n images.

    Attributes:
        probabilities: (n, classes), None where it names no class.
        values: (n, targets), None where it answers no numbers.
    """

    probabilities: Array | None = None
    values: Array | None = None

    @classmethod
    def of(cls, outputs: Sequence[str], tensors: Any) -> Answers:
        """From what a model puts out, whose answers are called as in :attr:`nas.graph.Graph.outputs`.

        Raises:
            ConversionError: another number of answers.
        """
        found = listed(tensors)
        if len(found) != len(outputs):
            raise ConversionError(f"{len(found)} answers, the network gives {len(outputs)}: another network's file")
        named = dict(zip(outputs, found, strict=True))
        values = named.pop(VALUES, None)
        return cls(next(iter(named.values()), None), values)

    @property
    def all(self) -> list[Array]:
        """Those that there are."""
        return [x for x in (self.probabilities, self.values) if x is not None]


@dataclass(frozen=True)
class Comparison:
    """What a file answers, beside a reference on the same images.

    Attributes:
        images: how many they are.
        on: what they are, in words.
        largest_difference: of a probability, over images and classes; of values, over images and targets, as a share
            of the largest value where that is above 1.
        agreement: share of the images to which both give the same answer; None where no class is named.
        accuracy, reference_accuracy: shares with their intervals; None where the images have no labels.
        difference: the file's accuracy less the reference's, paired by image and with an interval over subjects; None
            likewise.
        numbers: the same of values; None where no numbers are answered.
    """

    images: int
    on: str
    largest_difference: float
    agreement: float | None
    accuracy: Measurement | None = None
    reference_accuracy: Measurement | None = None
    difference: Difference | None = None
    numbers: Numbers | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, as cards hold it; what is not known is left out."""
        found: dict[str, Any] = {
            "largest_difference": self.largest_difference,
            **({} if self.agreement is None else {"agreement_with_float": self.agreement}),
            "compared_images": self.images,
            "compared_on": self.on,
        }
        if self.numbers is not None:
            found |= self.numbers.to_json()
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


@dataclass(frozen=True)
class Numbers:
    """Values that a file answers, beside a reference's.

    Attributes:
        largest_difference: over images and targets.
        rms_difference: root mean square of the differences.
        rmse, reference_rmse: root mean square errors, means over the targets; None where the targets are not known.
        spread: mean standard deviation of the targets; None likewise.
    """

    largest_difference: float
    rms_difference: float
    rmse: float | None = None
    reference_rmse: float | None = None
    spread: float | None = None

    @classmethod
    def of(cls, got: Array, expected: Array, targets: Array | None) -> Numbers:
        """Of values (n, k), and where they are known the targets (n, k)."""
        apart = got.astype(np.float64) - expected
        largest, rms = float(np.abs(apart).max()), float(np.sqrt(np.mean(apart**2)))
        if targets is None:
            return cls(largest, rms)
        own, reference = (
            float(np.sqrt(np.mean((x - targets.astype(np.float64)) ** 2, 0)).mean()) for x in (got, expected)
        )
        return cls(largest, rms, own, reference, float(targets.astype(np.float64).std(0).mean()))

    def to_json(self) -> dict[str, float]:
        """Plain data, as cards hold it; what is not known is left out."""
        found = {"values_largest_difference": self.largest_difference, "values_rms_difference": self.rms_difference}
        if self.rmse is not None and self.reference_rmse is not None:
            found |= {"rmse": self.rmse, "float_rmse": self.reference_rmse}
            found |= {"rmse_difference": self.rmse - self.reference_rmse}
        return found


def answers(content: bytes, images: HeldImages, outputs: Sequence[str]) -> Answers:
    """What LiteRT computes from the bytes of a TFLite file of the m test images.

    Raises:
        ConversionError: they are no TFLite file, or one of another network.
    """
    return Answers.of(outputs, run_tflite(content, images.given()))


def compare(got: Answers, expected: Answers, images: HeldImages, on: str = HELD) -> Comparison:
    """A file's ``got`` beside ``expected``, both of the m test images of ``images``.

    Raises:
        ConversionError: the two are not of one kind, or not all numbers.
    """
    found = compare_outputs(got, expected, on)
    if got.values is not None and expected.values is not None:
        found = replace(found, numbers=Numbers.of(got.values, expected.values, images.targets))
    if got.probabilities is None or expected.probabilities is None:
        return found
    hits, reference = (p.argmax(1) == images.labels for p in (got.probabilities, expected.probabilities))
    return replace(
        found,
        accuracy=_accuracy(hits, images),
        reference_accuracy=_accuracy(reference, images),
        difference=paired_difference(hits, reference, images.groups, confidence=CONFIDENCE),
    )


def compare_outputs(got: Answers, expected: Answers, on: str) -> Comparison:
    """The same, of images without labels.

    Raises:
        ConversionError: as :func:`compare`.
    """
    if (got.probabilities is None, got.values is None) != (expected.probabilities is None, expected.values is None):
        raise ConversionError("the file does not answer what the network answers: another network's file")
    for mine, theirs in zip(got.all, expected.all, strict=True):
        if mine.shape != theirs.shape:
            raise ConversionError(f"outputs {mine.shape}, the network's are {theirs.shape}: another network's file")
    for what, answer in (("file", got), ("network", expected)):
        if not all(np.isfinite(values).all() for values in answer.all):
            raise ConversionError(f"the {what}'s outputs are not all numbers: damaged weights, or a wrong conversion")
    same, numbers = None, None
    differences: list[float] = []
    if got.probabilities is not None and expected.probabilities is not None:
        differences.append(float(np.max(np.abs(got.probabilities - expected.probabilities))))
        same = float((got.probabilities.argmax(1) == expected.probabilities.argmax(1)).mean())
    if got.values is not None and expected.values is not None:
        differences.append(relative_difference(got.values, expected.values))
        numbers = Numbers.of(got.values, expected.values, None)
    return Comparison(len(got.all[0]), on, max(differences), same, numbers=numbers)


def _accuracy(hits: npt.NDArray[np.bool_], images: HeldImages) -> Measurement:
    estimate, one_sided = accuracy_estimate(hits, images.groups), (1 + CONFIDENCE) / 2
    count = len(np.unique(images.groups))
    how = (
        f"cluster-t over {count} {images.group_kind}, without the variance between trainings, two-sided {CONFIDENCE:g}"
    )
    return Measurement(estimate.value, estimate.low(one_sided), estimate.high(one_sided), "share", len(hits), how)
