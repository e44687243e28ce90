"""How a child's kernel is made of its parent's: which input channels stand for which, and who shares a weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.networks.values import ZERO, Numbers

_UNEVEN: Final = (0.5, 1.5)  # shares of copies are drawn from here, then divided by their sum


@dataclass(frozen=True)
class Pairing:
    """Input channels of a child's operator and of its parent's.

    Attributes:
        copies: {the parent's channel: the child's channels that stand for it}.
        proven: channels of the parent that the child has with the very same value.
    """

    copies: Mapping[int, tuple[int, ...]]
    proven: frozenset[int]


def pair_inputs(child: Numbers, parent: Numbers, place: Mapping[int, tuple[str, int]]) -> Pairing:
    """Channels of equal values first; of those left, channels of the same place in the same tied group."""
    copies: dict[int, list[int]] = {}
    _pair(_by(child, range(len(child)), None), _by(parent, range(len(parent)), None), copies)
    proven = frozenset(copies)
    taken = {i for group in copies.values() for i in group}
    ours = _by(child, (i for i in range(len(child)) if i not in taken), place)
    theirs = _by(parent, (c for c in range(len(parent)) if c not in proven), place)
    _pair(ours, theirs, copies)
    return Pairing({c: tuple(group) for c, group in copies.items()}, proven)


def _by(numbers: Numbers, channels: Any, place: Mapping[int, tuple[str, int]] | None) -> dict[Any, list[int]]:
    """Channels by number, or by place where ``place`` is given; those of unknown value belong nowhere."""
    found: dict[Any, list[int]] = {}
    for i in channels:
        number = int(numbers[i])
        key = number if place is None else place.get(number)
        if number >= ZERO and key is not None:
            found.setdefault(key, []).append(i)
    return found


def _pair(ours: Mapping[Any, list[int]], theirs: Mapping[Any, list[int]], copies: dict[int, list[int]]) -> None:
    """Deals the channels of every common key to each other, so that none on either side is left out."""
    for key in theirs.keys() & ours.keys():
        a, b = ours[key], theirs[key]
        for k in range(max(len(a), len(b))):
            copies.setdefault(b[k % len(b)], []).append(a[k % len(a)])


def dealt(kernel: npt.NDArray[Any], pairing: Pairing, inputs: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The kernel (..., inputs, outputs) of the child; channels without counterpart read with weight 0.

    Where several channels stand for one (Net2WiderNet: Chen, Goodfellow, Shlens 2016), every weight is divided among
    them unevenly and at random: the sum stays, and the copies get different gradients, so that they part in training.
    """
    out = np.zeros((*kernel.shape[:-2], inputs, kernel.shape[-1]), dtype=np.float64)
    for c in sorted(pairing.copies):
        channels = pairing.copies[c]
        weight = kernel[..., c, :].astype(np.float64)
        for i, share in zip(channels, uneven(rng, len(channels), weight.shape), strict=True):
            out[..., i, :] += weight * share
    return out.astype(np.float32)


def uneven(rng: np.random.Generator, parts: int, shape: tuple[int, ...] = ()) -> npt.NDArray[np.float64]:
    """Random positive shares (parts, *shape) that sum to 1 along the first axis."""
    if parts == 1:
        return np.ones((1, *shape))
    shares = rng.uniform(*_UNEVEN, (parts, *shape))
    return np.asarray(shares / shares.sum(0))
