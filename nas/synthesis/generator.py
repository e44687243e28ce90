"""The generator: a distribution over parameters for every trade-off, learned from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.errors import DecodeError, InputError
from nas.synthesis.encoding import Encoding, Rows
from nas.synthesis.preference import Vector, anchor_weights, anchors, scalarised

SCHEMA: Final = 1
FIRST: Final = 10  # results that the first update waits for
_GROWTH: Final = 8  # later updates wait for one in so many more
_ELITE: Final = 0.15
_FEWEST, _MOST = 5, 40
_FLOOR: Final = 0.1
_BLOCK: Final = 32  # draws at a time, so that the first of many are those that a few would be
_PATIENCE: Final = 2_000  # draws in a row without a new one, before the rest is given up

Measured = tuple[Rows, Rows, npt.NDArray[np.intp]]  # rows (n, d), losses (n, m), trial numbers (n,)
Probabilities = npt.NDArray[np.float64]  # (a, b): one row an anchor, one column a bin


@dataclass(frozen=True)
class Generator:
    """G(s; theta), s = (noise, preference): independent bins of every parameter, mixed over a lattice of preferences.

    Attributes:
        index: 0 has learned nothing.
        theta: by parameter, (a, b) probabilities of its bins at every anchor.
        anchors: (a, m) preferences.
        finished: how many results there were, by trial number; it was learned from those that violate nothing.
        elites: by anchor, the numbers of the trials that it moved to.
    """

    index: int
    theta: Mapping[str, Probabilities]
    anchors: npt.NDArray[np.float64]
    finished: int = 0
    elites: tuple[tuple[int, ...], ...] = field(default=())

    def mixed(self, preference: Vector) -> dict[str, Vector]:
        """By parameter, the probabilities (b,) of its bins for a preference (m,)."""
        weights = anchor_weights(preference, self.anchors)
        return {name: weights @ table for name, table in self.theta.items()}

    def rows(self, encoding: Encoding, preference: Vector, count: int, rng: np.random.Generator) -> Rows:
        """``count`` fresh decodes (count, d)."""
        mixed = self.mixed(preference)
        bins = np.zeros((count, len(encoding)), dtype=np.int64)
        for i in encoding.free:
            steps = np.cumsum(mixed[encoding.names[i]])
            bins[:, i] = np.minimum(np.searchsorted(steps / steps[-1], rng.random(count)), len(steps) - 1)
        return encoding.from_bins(bins, rng)

    def draw(
        self,
        encoding: Encoding,
        preference: Vector,
        count: int,
        rng: np.random.Generator,
        feasible: Callable[[Mapping[str, Any]], bool] | None = None,
        canonical: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
    ) -> list[dict[str, Any]]:
        """Up to ``count`` different feasible parameter sets; fewer where two thousand draws in a row find no more.

        Args:
            encoding: of the parameters.
            preference: (m,) shares of the objectives.
            count: how many.
            rng: of the draws.
            feasible: the free part of the indicator.
            canonical: brings parameters to the form in which equal architectures are equal.
        """
        seen: set[bytes] = set()
        kept: list[dict[str, Any]] = []
        since = 0
        while len(kept) < count and since < _PATIENCE:
            for row in self.rows(encoding, preference, _BLOCK, rng):
                since += 1
                params = encoding.decode(row)
                if canonical is not None:
                    try:
                        params = canonical(params)
                    except InputError:  # some spaces forbid combinations that their parameters could express
                        continue
                key = encoding.encode(params).tobytes()
                if key in seen:
                    continue
                seen.add(key)
                if feasible is None or feasible(params):
                    kept.append(params)
                    since = 0
        return kept[:count]

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {
            "schema": SCHEMA,
            "index": self.index,
            "anchors": self.anchors.tolist(),
            "theta": {name: table.tolist() for name, table in self.theta.items()},
            "learned_from": {"finished": self.finished, "elites": [list(e) for e in self.elites]},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Generator:
        """Reads what :meth:`to_json` wrote.

        Raises:
            DecodeError: anything else.
        """
        try:
            if data["schema"] != SCHEMA:
                raise DecodeError(f"generator: schema {data['schema']!r} is not known; this version reads {SCHEMA}")
            learned = data["learned_from"]
            return cls(
                index=int(data["index"]),
                theta={name: np.array(table, dtype=np.float64) for name, table in data["theta"].items()},
                anchors=np.array(data["anchors"], dtype=np.float64),
                finished=int(learned["finished"]),
                elites=tuple(tuple(int(n) for n in e) for e in learned["elites"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DecodeError(f"not a generator: {error!r}") from error


def first_generator(encoding: Encoding, objectives: int, samples: Rows | None = None) -> Generator:
    """The generator that has learned nothing.

    Args:
        encoding: of the parameters.
        objectives: how many.
        samples: (n, d) points of the space's own random sampling, whose frequencies it takes; None for uniform.
    """
    lattice = anchors(objectives)
    tables = {}
    bins = None if samples is None else encoding.bins(samples)
    for i in encoding.free:
        count = encoding.axes[i].bins
        flat = np.full(count, 1 / count)
        if bins is not None:
            share = np.bincount(bins[:, i], minlength=count) / len(bins)
            flat = _FLOOR * flat + (1 - _FLOOR) * share
        tables[encoding.names[i]] = np.tile(flat, (len(lattice), 1))
    return Generator(0, tables, lattice)


def milestones(finished: int) -> list[int]:
    """How many results each update rests on: 10, 20, ... and later one in eight more than the last."""
    out = []
    at = FIRST
    while at <= finished:
        out.append(at)
        at += max(FIRST, at // _GROWTH)
    return out


def learn(last: Generator, first: Generator, encoding: Encoding, measured: Measured, step: float = 0.6) -> Generator:
    """Moves ``last`` to the frequencies of the elites, with a floor of ``first``.

    .. math:: \\theta_k = (1 - f) ((1 - s) \\theta_{k-1} + s\\, \\hat p_{elite}) + f \\theta_0

    Args:
        last: the generator before.
        first: the one that had learned nothing.
        encoding: of the parameters.
        measured: what was measured and violates no constraint.
        step: how far it moves, 0 to 1.
    """
    rows, losses, numbers = measured
    ranks = losses.argsort(0, kind="stable").argsort(0) / max(len(losses) - 1, 1)
    bins = encoding.bins(rows)
    size = int(np.clip(round(_ELITE * len(rows)), min(_FEWEST, len(rows)), _MOST))
    tables = {encoding.names[i]: np.empty_like(last.theta[encoding.names[i]]) for i in encoding.free}
    elites = []
    for a, preference in enumerate(first.anchors):
        elite = np.argsort(scalarised(ranks, preference), kind="stable")[:size]
        elites.append(tuple(int(numbers[e]) for e in elite))
        for i in encoding.free:
            axis, name = encoding.axes[i], encoding.names[i]
            share = _shares(bins[elite, i], axis.bins, ordered=not axis.categorical)
            moved = (1 - step) * last.theta[name][a] + step * share
            tables[name][a] = (1 - _FLOOR) * moved + _FLOOR * first.theta[name][a]
    return Generator(last.index + 1, tables, first.anchors, elites=tuple(elites))


def _shares(bins: npt.NDArray[np.int64], count: int, *, ordered: bool) -> Vector:
    """Frequencies (count,) of bins; of ordered ones a quarter goes to each neighbour."""
    share = np.bincount(bins, minlength=count) / len(bins)
    if ordered and count > 2:
        padded = np.pad(share, 1, mode="edge")
        share = 0.5 * share + 0.25 * (padded[:-2] + padded[2:])
    return np.asarray(share / share.sum(), np.float64)
