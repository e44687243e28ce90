"""Whether what probes say is worth listening to: their ranks against the gains that followed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nas.errors import InputError
from nas.statistics.ranks import RankCorrelation, rank_correlation

FEWEST: Final = 16  # pairs, before a probe is judged
WORTH: Final = 0.25  # correlation below which a probe is not worth steering by
CONFIDENCE: Final = 0.8  # one-sided, that it is below
_SHOWN: Final = 0.95  # one-sided, of the interval that is shown


@dataclass(frozen=True)
class Merit:
    """What is known of one kind of probe.

    Attributes:
        pairs: how many edits were tried whose rank had been predicted.
        correlation: Spearman's, of predicted rank and realised gain; None where it is not defined yet.
        useful: whether the probe steers.
    """

    pairs: int
    correlation: RankCorrelation | None
    useful: bool

    def to_json(self) -> dict[str, Any]:
        """For the run's record: pairs, correlation, its two-sided 90 % interval, and whether the probe steers."""
        r = self.correlation
        shown = {} if r is None else {"correlation": r.value, "low": r.low(_SHOWN), "high": r.high(_SHOWN)}
        return {"pairs": self.pairs, "useful": self.useful, **shown}


class ProbeMerit:
    """Collects (predicted rank, realised gain) by kind of probe, and switches off what is shown to be worthless.

    A probe steers until, after :data:`FEWEST` pairs, the upper bound of its rank correlation at :data:`CONFIDENCE` is
    below :data:`WORTH`.  It goes on being scored, and steers again as soon as that no longer holds.  The state depends
    on the pairs alone, not on their order.

    The gain is the accuracy of the child less that of its parent, at equal effort.  Record children by a single edit
    alone: of two edits nobody knows whose gain it was.
    """

    def __init__(self) -> None:
        self._pairs: dict[str, list[tuple[float, float]]] = {}
        self._known: dict[str, Merit] = {}

    def record(self, kind: str, predicted: float, gain: float) -> None:
        """Takes in one edit that was tried.

        Args:
            kind: of the probe, see :class:`nas.synthesis.probe_prior.Forecast`.
            predicted: its rank among the parent's edits of that kind, higher for a better one.
            gain: accuracy of child less parent.

        Raises:
            InputError: values that are not finite.
        """
        if not (math.isfinite(predicted) and math.isfinite(gain)):
            raise InputError(f"merit of {kind}: rank {predicted!r} and gain {gain!r} must be finite numbers")
        self._pairs.setdefault(kind, []).append((predicted, gain))
        self._known.pop(kind, None)

    def of(self, kind: str) -> Merit:
        """What is known of one kind of probe."""
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = self._judge(kind)
        return found

    def useful(self, kind: str) -> bool:
        """Whether probes of this kind steer."""
        return self.of(kind).useful

    def all(self) -> Mapping[str, Merit]:
        """By kind, what is known of every one that was scored."""
        return {kind: self.of(kind) for kind in sorted(self._pairs)}

    def _judge(self, kind: str) -> Merit:
        pairs = sorted(self._pairs.get(kind, ()))
        r = rank_correlation([p for p, _ in pairs], [g for _, g in pairs])
        worthless = r is not None and len(pairs) >= FEWEST and r.high(CONFIDENCE) < WORTH
        return Merit(len(pairs), r, not worthless)
