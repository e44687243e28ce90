"""How sure one test must be when many candidates are put to the test."""

from __future__ import annotations


def corrected_confidence(confidence: float, tested: int, planned: int | None = None) -> float:
    """The one-sided confidence that each candidate must reach so that all claims of a search hold at ``confidence``.

    Bonferroni (Dunn 1961): 1 - (1 - confidence) / tests, tests being how many candidates were put to the test, or are
    to be.  It holds however the candidates depend on each other, and whichever of those called ``met`` is picked.

    The alternatives were measured with ``benchmarks/honesty.py --corrections`` (50 candidates, 5 of them truly at 96 %,
    bound 92 %, CK+'s structure), where this calls 28 % of the good ones.  Holm's step-down calls at most a point more,
    and makes a verdict depend on the other candidates' values.  Spending alpha over an endless sequence,
    6 alpha / (pi i)^2 or alpha / (i (i + 1)), calls 11 and 12 %.  Benjamini-Hochberg calls 43 %, but bounds the share
    of false ones among all that are called, and a user takes home one: the smallest, the likeliest to be false.

    With ``planned`` a verdict stays as it is while no more are tested than planned.  Without, it is to be judged again
    as ``tested`` grows: it holds at any moment fixed beforehand, but not for a search that ends at its first ``met``
    (of networks barely below the bound, one was called in 13.5 % of the searches, in the row "tested so far").

    Args:
        confidence: of all claims together, one-sided, in 0.5..1.
        tested: candidates whose value was compared with the bound so far, at least 1.
        planned: how many are to be tested at most, where that is known beforehand: a search's budget.

    Raises:
        ValueError: an argument out of its range.
    """
    if not 0.5 <= confidence <= 1:
        raise ValueError(f"confidence {confidence!r} must lie in 0.5..1")
    if tested < 1 or (planned is not None and planned < 1):
        raise ValueError(f"tested {tested!r} and planned {planned!r} must be at least 1")
    return 1 - (1 - confidence) / max(tested, planned or 1)
