"""How far a file may be from the network that it was made from; beyond it is an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nas.deploy.compared import Comparison
from nas.networks.tflite import FLOAT_TOLERANCE, ConversionError


@dataclass(frozen=True)
class Tolerance:
    """Bounds on a comparison; None where there is none.

    Attributes:
        largest_difference: of a probability.
        disagreement: share of images with another answer; one image is always allowed, since one tie may fall either
            way.
        accuracy_loss: share; it is exceeded where the whole interval of the paired difference lies below it, so that
            few images, which can show little, refuse little.
    """

    largest_difference: float | None = None
    disagreement: float | None = None
    accuracy_loss: float | None = None

    def check(self, found: Comparison, what: str) -> None:
        """Raises ConversionError where ``found``, of ``what``, is beyond a bound; names both and what to do."""
        most = self.largest_difference
        if most is not None and found.largest_difference > most:
            raise _beyond(what, f"a probability by {found.largest_difference:.2g}, allowed {most:g}", found)
        others = round((1 - found.agreement) * found.images)
        if self.disagreement is not None and others > max(1, int(self.disagreement * found.images)):
            raise _beyond(what, f"the answer to {others} images, allowed {self.disagreement:.0%}", found)
        loss, difference = self.accuracy_loss, found.difference
        if loss is not None and difference is not None and difference.high < -loss:
            raise _beyond(
                what,
                f"accuracy by {difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}], "
                f"allowed {-loss:+.3f}",
                found,
            )

    def to_json(self) -> dict[str, float]:
        """The bounds that there are, as cards hold them."""
        return {name: bound for name, bound in vars(self).items() if bound is not None}


FLOAT: Final = Tolerance(largest_difference=FLOAT_TOLERANCE, disagreement=0.01)
TOLERANCES: Final[Mapping[str, Tolerance]] = {
    "keras": FLOAT,
    "tflite": FLOAT,
    "onnx": FLOAT,
    "tflite-f16": Tolerance(largest_difference=0.02, disagreement=0.01),
    "tflite-dynamic": Tolerance(largest_difference=0.2, disagreement=0.01),
    "tflite-int8": Tolerance(disagreement=0.5, accuracy_loss=0.05),
}


def _beyond(what: str, how: str, found: Comparison) -> ConversionError:
    return ConversionError(
        f"{what}: it differs from the trained network in {how} ({found.images} {found.on}): the converter "
        "mistranslated this network; leave this format out, or export with the package versions of run.yaml"
    )
