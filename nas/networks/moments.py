"""Mean and variance of every channel of an operator, read from a trained network's batch normalisations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.graph import Graph
from nas.networks.build import Weights

Moments = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def moments(graph: Graph, weights: Weights, i: int) -> Moments:
    """(means, variances), each (channels,), of operator ``i``, taken for Gaussian and independent.

    Batch normalisation puts out mean beta and variance gamma squared; a ReLU makes a rectified Gaussian of it; an add
    sums both.  Pooling is taken to keep them; what no batch normalisation precedes is taken for standard.
    """
    op = graph.ops[i]
    if op.kind == "bn":
        gamma, beta = (np.asarray(weights[f"{op.name}/{name}"], dtype=np.float64) for name in ("gamma", "beta"))
        return beta, gamma**2
    if op.kind == "relu":
        return _rectified(*moments(graph, weights, op.inputs[0]))
    if op.kind == "add":
        (mean, variance), (other, spread) = (moments(graph, weights, j) for j in op.inputs)
        return mean + other, variance + spread
    if op.kind == "pool":
        return moments(graph, weights, op.inputs[0])
    return np.zeros(op.shape[2]), np.ones(op.shape[2])


def _rectified(mean: npt.NDArray[Any], variance: npt.NDArray[Any]) -> Moments:
    """Of max(x, 0) where x is Gaussian."""
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    ratio = mean / deviation
    below = 0.5 * (1 + _erf(ratio / math.sqrt(2)))
    density = np.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
    first = mean * below + deviation * density
    second = (mean**2 + variance) * below + mean * deviation * density
    return first, np.maximum(second - first**2, 0.0)
