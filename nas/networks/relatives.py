"""How near two networks are: how much of one could be inherited from the other, from their graphs alone."""

from __future__ import annotations

from collections.abc import Sequence

from nas.graph import Graph
from nas.networks.outline import outline, shared_kernels


def distance(a: Graph, b: Graph) -> float:
    """From 0 (every kernel of either serves in the other) to 1 (none does).

    One minus the shared part of the operators with kernels over all that either graph has (Jaccard's distance).  A pair
    of kernels shares (smaller / larger number of inputs) x (the same of outputs), half of it at another stride or at
    another resolution, and a link its part of common sources.  Operators count alike: by parameters the last stage
    alone would decide.
    """
    shared, count = shared_kernels(outline(a), outline(b))
    return 1.0 - shared / count if count else 0.0


def nearest(child: Graph, relatives: Sequence[Graph]) -> tuple[int, float] | None:
    """(index, distance) of the nearest of ``relatives``, the first of equals; None where there are none."""
    distances = [distance(relative, child) for relative in relatives]
    if not distances:
        return None
    best = min(range(len(distances)), key=distances.__getitem__)
    return best, distances[best]
