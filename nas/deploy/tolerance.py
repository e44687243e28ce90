"""How far a file may be from the network that it was made from; beyond it is an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nas.deploy.compared import Comparison
from nas.networks.tflite import FLOAT_TOLERANCE, ConversionError

SIGNIFICANCE: Final = 0.05


@dataclass(frozen=True)
class Tolerance:
    """Bounds on a comparison; None where there is none.

    The last two speak of all images that there may be, and are tested as such: few images can show little, and a badly
    trained network has many near ties, of which some fall the other way.

    Attributes:
        largest_difference: of a probability, or of a value as a share of the largest where that is above 1.
        agreement: share of images with the same answer; refuted where so many other answers, or more, have a
            probability below :data:`SIGNIFICANCE` at this share (binomial).
        accuracy_loss: share; refuted where the whole interval of the paired difference lies below it.
        rmse_loss: by which the values' root mean square error may grow, as a share of the targets' standard deviation.
    """

    largest_difference: float | None = None
    agreement: float | None = None
    accuracy_loss: float | None = None
    rmse_loss: float | None = None

    def check(self, found: Comparison) -> None:
        """Raises ConversionError where ``found`` is beyond a bound; names both and what to do."""
        most = self.largest_difference
        if most is not None and not found.largest_difference <= most:
            raise _beyond(f"in a probability or value by {found.largest_difference:.2g}, allowed {most:g}", found)
        self._check_numbers(found)
        if found.difference is None or found.agreement is None:  # noise: nobody would ask the network about it
            return
        if self.agreement is not None and surely_below(found.agreement, found.images, self.agreement):
            raise _beyond(f"in the answers: {found.agreement:.1%} agree, allowed {self.agreement:.0%}", found)
        loss, d = self.accuracy_loss, found.difference
        if loss is not None and d.high < -loss:
            interval = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
            raise _beyond(f"in accuracy by {interval}, allowed {-loss:+.3f}", found)

    def _check_numbers(self, found: Comparison) -> None:
        n = found.numbers
        if self.rmse_loss is None or n is None or n.rmse is None or n.reference_rmse is None or n.spread is None:
            return
        if not n.rmse - n.reference_rmse <= self.rmse_loss * n.spread:
            raise _beyond(
                f"in the values: rmse {n.rmse:.4g} in place of {n.reference_rmse:.4g}, allowed is "
                f"{self.rmse_loss:.0%} of the targets' deviation of {n.spread:.4g} more",
                found,
            )

    def to_json(self) -> dict[str, float]:
        """The bounds that there are, as cards hold them."""
        return {name: bound for name, bound in vars(self).items() if bound is not None}


FLOAT: Final = Tolerance(largest_difference=FLOAT_TOLERANCE, agreement=0.99)
TOLERANCES: Final[Mapping[str, Tolerance]] = {
    "keras": FLOAT,
    "tflite": FLOAT,
    "onnx": FLOAT,
    # Measured (docs/deploy/export.md): at most 0.0063 and 0.063, with 98.7 and 97.4 % of the answers.
    "tflite-f16": Tolerance(largest_difference=0.03, agreement=0.99),
    "tflite-dynamic": Tolerance(largest_difference=0.25, agreement=0.95, accuracy_loss=0.05, rmse_loss=0.25),
    # A broken calibration answers by chance, or values that are off by as much as the targets vary.
    "tflite-int8": Tolerance(agreement=0.8, accuracy_loss=0.05, rmse_loss=0.25),
}


def surely_below(share: float, images: int, bound: float) -> bool:
    """Whether ``share`` of so many images is significantly below ``bound``."""
    from scipy.stats import binom  # type: ignore[import-untyped]

    others = round((1 - share) * images)
    return bool(binom.sf(others - 1, images, 1 - bound) < SIGNIFICANCE)


def _beyond(how: str, found: Comparison) -> ConversionError:
    return ConversionError(
        f"the file differs from the trained network {how} ({found.images} {found.on}): the converter mistranslated "
        "this network; leave this format out, or export with the package versions that run.yaml names"
    )
