"""How much hypervolume a point would add to a front."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Losses = npt.NDArray[np.float64]

_POINTS: Final = 768


def hypervolume_gain(front: Losses, points: Losses, reference: Losses, rng: np.random.Generator) -> Losses:
    """Volume that each point alone would add.

    Args:
        front: (f, m) losses, less is better; need not be non-dominated.
        points: (p, m) losses.
        reference: (m,) the corner that bounds the volume.
        rng: of the uniform points by which the volume is estimated from three objectives on.

    Returns:
        (p,) volumes; exact for one and two objectives.
    """
    objectives = points.shape[1]
    front = front[np.all(front < reference, axis=1)]
    if objectives == 1:
        best = front.min(initial=reference[0])
        return np.asarray(np.maximum(best - points[:, 0], 0.0), np.float64)
    if objectives == 2:
        return _staircase_gain(front, points, reference)
    return _sampled_gain(front, points, reference, rng)


def _staircase_gain(front: Losses, points: Losses, reference: Losses) -> Losses:
    """Sum over the steps of the front of the part of a point's rectangle that lies below the step."""
    order = front[np.lexsort(front.T[::-1])]
    starts = np.concatenate([[-np.inf], order[:, 0]])
    ends = np.concatenate([order[:, 0], reference[:1]])
    heights = np.concatenate([reference[1:], np.minimum.accumulate(order[:, 1])])
    width = np.maximum(ends[None, :] - np.maximum(starts[None, :], points[:, :1]), 0.0)
    height = np.maximum(heights[None, :] - points[:, 1:], 0.0)
    return np.asarray((width * height).sum(1), np.float64)


def _sampled_gain(front: Losses, points: Losses, reference: Losses, rng: np.random.Generator) -> Losses:
    """Share of uniform points of the box that a point dominates and the front does not."""
    ideal = np.minimum(points.min(0), front.min(0, initial=np.inf))
    span = reference - ideal
    if not np.all(span > 0):
        return np.zeros(len(points))
    probes = ideal + rng.random((_POINTS, len(reference))) * span
    for member in front:
        probes = probes[~np.all(member <= probes, axis=1)]
    inside = np.ones((len(points), len(probes)), dtype=bool)
    for j in range(len(reference)):
        inside &= points[:, j, None] <= probes[None, :, j]
    return np.asarray(inside.sum(1) / _POINTS * np.prod(span), np.float64)
