"""Networks to measure on a device, so that the latency of others can be foretold."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from nas.architecture import Architecture, EditKind
from nas.devices.features import features
from nas.errors import InputError
from nas.space import SearchSpace

_POOL: Final = 8  # architectures drawn for each that is kept
_DRAWS: Final = 4  # at most for each that is wanted
_SHRUNK: Final = 40  # edits at most by which a drawn one is made smaller
_SMALLER: Final = frozenset({EditKind.NARROW, EditKind.REMOVE_BLOCK})
_LANES: Final = 8


def drawn(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """Different architectures of ``space``, from small to large: drawn at random, every other one then made smaller.

    Uniform draws alone are large networks, and what a search looks for is small.

    Returns:
        ``count`` of them; fewer where so many draws gave no more that differ.
    """
    found: dict[str, Architecture] = {}
    for i in range(_DRAWS * count):
        if len(found) == count:
            break
        architecture = space.sample(rng)
        if i % 2:
            architecture = _shrunk(space, architecture, rng)
        found.setdefault(architecture.id, architecture)
    return list(found.values())


def calibration_networks(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """Architectures whose features are far apart, the prototype first.

    Of a pool of :func:`drawn` ones, each next is the one whose nearest among those chosen is the farthest (Gonzalez
    1985), by the logarithms of the features.

    Raises:
        InputError: the space has not so many.
    """
    pool = [space.prototype, *(a for a in drawn(space, _POOL * count, rng) if a != space.prototype)]
    if len(pool) < count:
        raise InputError(f"{count} networks: the space gave only {len(pool)} different ones; ask for fewer")
    return [pool[i] for i in _spread(_positions(pool), count)]


def _shrunk(space: SearchSpace, architecture: Architecture, rng: np.random.Generator) -> Architecture:
    for _ in range(int(rng.integers(1, _SHRUNK + 1))):
        smaller = [e for e in space.edits(architecture) if e.kind in _SMALLER]
        if not smaller:
            break
        architecture = smaller[int(rng.integers(len(smaller)))].apply(architecture)
    return architecture


def _positions(pool: list[Architecture]) -> npt.NDArray[np.float64]:
    """(n, features) standardised logarithms; features that are the same in all are left out."""
    rows = np.array([list(features(a.graph(), _LANES).values()) for a in pool])
    logs = np.log1p(rows)
    logs = logs[:, np.ptp(logs, axis=0) > 0]
    standard: npt.NDArray[np.float64] = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    return standard


def _spread(positions: npt.NDArray[np.float64], count: int) -> list[int]:
    chosen = [0]
    nearest = np.linalg.norm(positions - positions[0], axis=1)
    while len(chosen) < count:
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(positions - positions[chosen[-1]], axis=1))
    return chosen
