"""What the rows of a comparison show of each known network: whether a front member is smaller, faster, and as good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nas.comparison.rows import Row, difference
from nas.statistics.accuracy import SeedNoise
from nas.statistics.correction import corrected_confidence
from nas.statistics.paired import Difference

MARGIN: Final = 0.01  # of accuracy, within which a member counts as not worse
CONFIDENCE: Final = 0.95  # one-sided, of each statement


@dataclass(frozen=True)
class Statement:
    """Of one known network: is a member of the front smaller, faster, and not worse by more than :data:`MARGIN`?

    Attributes:
        rival: the known network.
        shown: whether the data shows that there is one.
        better: whether the data shows that this one is better, too.
        member: which comes nearest; None where none has fewer parameters and lower latency.
        text: in a sentence.
    """

    rival: str
    shown: bool
    better: bool
    member: str | None
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def statements(rows: Sequence[Row], noise: SeedNoise | None) -> list[Statement]:
    """One for each known network among ``rows``.

    A member qualifies where it has fewer parameters and the interval of its latency ratio lies below the rival's.  The
    test of non-inferiority is one-sided at :data:`CONFIDENCE`, corrected for how many members qualify (Bonferroni).
    Members that cannot be told from guessing show nothing; a known network that cannot is told of.

    Args:
        rows: of members and known networks.
        noise: between trainings of one network; None where nothing was repeated.
    """
    members = [r for r in rows if r.member]
    return [_statement(rival, members, noise) for rival in rows if not rival.member]


def _statement(rival: Row, members: Sequence[Row], noise: SeedNoise | None) -> Statement:
    if any(rival.value(name) is None for name in ("params", "latency_ratio", "accuracy")):
        return Statement(rival.name, False, False, None, f"{rival.name}: not shown (it could not be measured)")
    known = [m for m in members if all(m.value(name) is not None for name in ("params", "latency_ratio", "accuracy"))]
    fitting = [m for m in known if _smaller(m, rival) and _faster(m, rival)]
    if not fitting:
        nearly = any(_smaller(m, rival) for m in known)
        why = "none of those with fewer parameters is surely faster" if nearly else "no member has fewer parameters"
        return Statement(rival.name, False, False, None, f"{rival.name}: not shown ({why})")
    level = corrected_confidence(CONFIDENCE, len(fitting))
    found = [
        (m, d) for m in fitting if not _guesses(m) and (d := difference(m, rival, noise, 2 * level - 1)) is not None
    ]
    if not found:
        why = "no member that is smaller and faster can be told from one that names the commonest class: train longer"
        return Statement(rival.name, False, False, None, f"{rival.name}: not shown ({why})")
    member, gap = max(found, key=lambda pair: pair[1].low)
    shown, better = gap.low >= -MARGIN, gap.low > 0
    return Statement(rival.name, shown, better, member.id, _text(member, rival, gap, len(fitting)))


def _smaller(member: Row, rival: Row) -> bool:
    return member.figures["params"].value < rival.figures["params"].value


def _faster(member: Row, rival: Row) -> bool:
    return member.figures["latency_ratio"].high < rival.figures["latency_ratio"].low


def _guesses(row: Row) -> bool:
    """Whether its accuracy cannot be told from that of naming the commonest class always."""
    if row.pooled is None:
        return True
    return row.figures["accuracy"].low <= float(np.bincount(row.pooled.labels).max() / len(row.pooled.labels))


def _text(member: Row, rival: Row, gap: Difference, tests: int) -> str:
    ends = f"{100 * gap.value:+.1f} points, interval from {100 * gap.low:+.1f} on"
    how = f"one-sided {CONFIDENCE:.0%}" + (f", corrected for {tests} members" if tests > 1 else "")
    if gap.low > 0:
        word = "shown, and better"
    elif gap.low >= -MARGIN:
        word = "shown"
    else:
        word = f"not shown (the interval reaches beyond -{100 * MARGIN:.0f})"
    a, b = member.figures, rival.figures
    doubt = f". {rival.name} itself cannot be told from guessing: it has hardly learned" if _guesses(rival) else ""
    return (
        f"{rival.name}: a member with fewer parameters and lower latency, not worse by more than {100 * MARGIN:.0f} "
        f"point: {word}. {member.name} has {a['params'].value:,.0f} < {b['params'].value:,.0f} parameters, "
        f"{a['latency_ms'].value:.3g} < {b['latency_ms'].value:.3g} ms, accuracy {a['accuracy'].value:.1%} against "
        f"{b['accuracy'].value:.1%}: {ends} ({how}){doubt}"
    )
