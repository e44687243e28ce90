"""Which constraints have had no word on a candidate."""

from __future__ import annotations

from nas.indicator import Indicator
from nas.run.candidate import Candidate


def not_judged(candidate: Candidate, indicator: Indicator) -> list[str]:
    """Constraints of ``indicator`` on which ``candidate`` has no verdict, as text and in order of evaluation."""
    judged = {(v.metric, v.side) for v in candidate.verdicts}
    return [str(c) for c in indicator.constraints if (c.measured, "max" if c.upper else "min") not in judged]
