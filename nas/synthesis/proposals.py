"""What could be tried next: edits of parents, and fresh decodes of a generator."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from nas.architecture import Architecture, Edit
from nas.errors import InputError
from nas.space import SearchSpace
from nas.synthesis.encoding import Axis, Encoding, Rows
from nas.synthesis.evolution import EDIT_WEIGHTS
from nas.synthesis.generator import Generator, first_generator
from nas.synthesis.preference import Vector

_PARENTS_KEPT: Final = 128
_SECONDS: Final = 4  # second edits tried after each first one that is followed up
_FOLLOWED: Final = 16  # single children for one first edit that is followed up: its child's edits must be listed anew
_TWO: Final = 0.5  # share of children by two edits, in a plain study
_SAMPLES: Final = 256  # of a space's own sampling, for the generator that has learned nothing


class EditPrior(Protocol):
    """Where knowledge of single edits enters, such as the probes of a trained parent.

    Probes rank edits that nobody has tried yet (channels that can go, links whose gradient would be large); what they
    say is a factor of the probability that an edit is proposed, and the surrogate decides among the proposals.
    """

    def __call__(self, parent: Mapping[str, Any], edits: Sequence[str]) -> Sequence[float]:
        """Factors (> 0; 1 changes nothing), one an edit of the parent with these parameters."""


@dataclass(frozen=True)
class Proposal:
    """A point that could be tried.

    Attributes:
        row: (d,) its coordinates.
        parent: row of the point that it is a child of; None for a fresh decode.
        edits: from the parent, as text.
    """

    row: npt.NDArray[np.float64]
    parent: npt.NDArray[np.float64] | None = None
    edits: tuple[str, ...] = ()


class Proposals(Protocol):
    """Makes proposals of one kind of search space."""

    def first(self, objectives: int) -> Generator:
        """The generator that has learned nothing."""

    def fresh(self, generator: Generator, preference: Vector, count: int, rng: np.random.Generator) -> list[Proposal]:
        """Decodes of a generator."""

    def children(
        self, parent: npt.NDArray[np.float64], odds: Mapping[str, Vector], count: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Some ``count`` children of ``parent`` by one or two edits, the likelier the more ``odds`` speak for them."""


@dataclass(frozen=True)
class _Neighbourhood:
    """The edits of one parent: which axis becomes which coordinate, and how often each is tried."""

    axis: npt.NDArray[np.int64]
    coordinate: npt.NDArray[np.float64]
    weight: Vector


class PlainProposals:
    """Proposals in any Optuna search space: an edit is a neighbouring value of one parameter.

    Args:
        encoding: of the parameters.
        prior: of edits, such as ``x: 3->5``.
    """

    def __init__(self, encoding: Encoding, prior: EditPrior | None = None) -> None:
        self._encoding = encoding
        self._prior = prior
        sizes = [encoding.axes[i].bins for i in encoding.free]
        self._starts = dict(zip(encoding.free, np.cumsum([0, *sizes]).tolist(), strict=False))
        self._known: dict[tuple[int, float], tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], int]] = {}

    def first(self, objectives: int) -> Generator:
        """Uniform bins."""
        return first_generator(self._encoding, objectives)

    def fresh(self, generator: Generator, preference: Vector, count: int, rng: np.random.Generator) -> list[Proposal]:
        """Decodes of a generator."""
        return [Proposal(row) for row in generator.rows(self._encoding, preference, count, rng)]

    def children(
        self, parent: npt.NDArray[np.float64], odds: Mapping[str, Vector], count: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """Children by one edit or by two of different parameters."""
        near = self._neighbourhood(parent, odds, rng)
        if not len(near.axis):
            return []
        picks = rng.choice(len(near.axis), size=(count, 2), p=near.weight)
        two = rng.random(count) < _TWO
        out = []
        for (a, b), both in zip(picks, two, strict=True):
            row = parent.copy()
            chosen = (a, b) if both and near.axis[a] != near.axis[b] else (a,)
            for e in chosen:
                row[near.axis[e]] = near.coordinate[e]
            out.append(Proposal(row, parent, tuple(self._text(parent, near, e) for e in chosen)))
        return out

    def _neighbourhood(
        self, parent: npt.NDArray[np.float64], odds: Mapping[str, Vector], rng: np.random.Generator
    ) -> _Neighbourhood:
        """Every parameter is as likely to change as another; among its new values the generator's odds decide."""
        free = self._encoding.free
        if not free:
            return _Neighbourhood(np.empty(0, np.int64), np.empty(0), np.empty(0))
        flat = np.concatenate([odds[self._encoding.names[i]] for i in free])
        parts = [self._around(i, float(parent[i]), rng) for i in free]
        sizes = np.array([len(values) for values, _, _ in parts])
        share = flat[np.concatenate([bins for _, bins, _ in parts])]
        here = np.repeat(flat[[own for _, _, own in parts]], sizes)
        weight = share / (share + here) / np.repeat(sizes, sizes)
        near = _Neighbourhood(np.repeat(np.array(free), sizes), np.concatenate([v for v, _, _ in parts]), weight)
        if self._prior is not None and len(weight):
            texts = [self._text(parent, near, e) for e in range(len(weight))]
            weight = weight * np.asarray(self._prior(self._encoding.decode(parent), texts), np.float64)
        return _Neighbourhood(near.axis, near.coordinate, weight / weight.sum() if len(weight) else weight)

    def _around(
        self, index: int, at: float, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], int]:
        """New coordinates of an axis, their bins, and the bin of ``at``; bins are counted through all free axes."""
        axis = self._encoding.axes[index]
        found = self._known.get((index, at))
        if found is None:
            values = _neighbours(axis, at, rng)
            start = self._starts[index]
            bins = np.array([start + _bin(axis, v) for v in values], dtype=np.int64)
            found = np.array(values), bins, start + _bin(axis, at)
            if axis.values:  # those of a continuum are random
                self._known[index, at] = found
        return found

    def _text(self, parent: npt.NDArray[np.float64], near: _Neighbourhood, edit: int) -> str:
        axis = self._encoding.axes[near.axis[edit]]
        before = axis.decode(float(parent[near.axis[edit]]))
        return f"{axis.name}: {before}->{axis.decode(float(near.coordinate[edit]))}"


def _bin(axis: Axis, coordinate: float) -> int:
    if axis.values:
        return int(axis.bin_of_level[int(coordinate)])
    return min(int(coordinate * axis.bins), axis.bins - 1)


def _neighbours(axis: Axis, at: float, rng: np.random.Generator) -> list[float]:
    """Every other choice; one, two, a tenth and a quarter of the steps up and down; or normal steps on a continuum."""
    if not axis.values:
        steps = at + np.array([0.02, 0.02, 0.1, 0.1, 0.3]) * rng.standard_normal(5)
        return [float(s) for s in np.clip(steps, 0.0, 1.0)]
    last = len(axis.values) - 1
    if axis.categorical:
        return [float(v) for v in range(last + 1) if v != at]
    sizes = {1, 2, max(1, round(last / 10)), max(1, round(last / 4))}
    moves = sorted({int(at) + s for size in sizes for s in (-size, size)})
    return [float(v) for v in moves if 0 <= v <= last]


@dataclass(frozen=True)
class _Family:
    """An architecture, its legal edits, and the children that these give."""

    architecture: Architecture
    edits: tuple[Edit, ...]
    texts: tuple[str, ...]
    rows: Rows
    weight: Vector


class SpaceProposals:
    """Proposals in a :class:`nas.space.SearchSpace`: its legal edits, and decodes in the form of its architectures.

    Args:
        encoding: of the space's parameters.
        space: what may be proposed.
        prior: of edits, such as ``narrow s3 64->32``.
    """

    def __init__(self, encoding: Encoding, space: SearchSpace, prior: EditPrior | None = None) -> None:
        self._encoding = encoding
        self._space = space
        self._prior = prior
        self._known: OrderedDict[bytes, _Family] = OrderedDict()

    def first(self, objectives: int) -> Generator:
        """The frequencies of the space's own sampling."""
        rng = np.random.default_rng(0)
        rows = np.array([self._row(self._space.sample(rng)) for _ in range(_SAMPLES)])
        return first_generator(self._encoding, objectives, rows)

    def fresh(self, generator: Generator, preference: Vector, count: int, rng: np.random.Generator) -> list[Proposal]:
        """Decodes of a generator, as architectures of the space."""
        out = []
        for row in generator.rows(self._encoding, preference, count, rng):
            try:
                out.append(Proposal(self._row(self._space.from_params(self._encoding.decode(row)))))
            except InputError:  # some spaces forbid combinations that their parameters could express
                continue
        return out

    def children(
        self, parent: npt.NDArray[np.float64], odds: Mapping[str, Vector], count: int, rng: np.random.Generator
    ) -> list[Proposal]:
        """``count`` children by one legal edit, and a few by two."""
        family = self._family(parent)
        if not family.edits:
            return []
        weight = family.weight * self._favour(family, parent, odds)
        if self._prior is not None:  # asked anew each time: what it knows of a parent may have come in the meantime
            weight = weight * np.asarray(self._prior(self._encoding.decode(parent), family.texts), np.float64)
        weight = weight / weight.sum()
        singles = rng.choice(len(weight), size=min(count, int(np.count_nonzero(weight))), replace=False, p=weight)
        out = [Proposal(family.rows[e], parent, (family.texts[e],)) for e in singles]
        twice = -(-count // _FOLLOWED)
        for e in rng.choice(len(weight), size=twice, p=weight):
            out += self._second(family, int(e), parent, rng)
        return out

    def _second(
        self, family: _Family, first: int, parent: npt.NDArray[np.float64], rng: np.random.Generator
    ) -> Iterable[Proposal]:
        child = family.edits[first].apply(family.architecture)
        edits = tuple(self._space.edits(child))
        if not edits:
            return
        weight = _kind_weights(edits)
        for e in rng.choice(len(edits), size=_SECONDS, p=weight):
            grandchild = edits[e].apply(child)
            if grandchild.id != family.architecture.id:
                yield Proposal(self._row(grandchild), parent, (family.texts[first], str(edits[e])))

    def _favour(self, family: _Family, parent: npt.NDArray[np.float64], odds: Mapping[str, Vector]) -> Vector:
        """Odds of every child against its parent, as a number between 0 and 1."""
        bins = self._encoding.bins(np.vstack([family.rows, parent]))
        total = np.zeros(len(bins))
        for i in self._encoding.free:
            total += np.log(odds[self._encoding.names[i]])[bins[:, i]]
        return np.asarray(1 / (1 + np.exp(-np.clip(total[:-1] - total[-1], -4, 4))), np.float64)

    def _family(self, row: npt.NDArray[np.float64]) -> _Family:
        key = row.tobytes()
        found = self._known.get(key)
        if found is None:
            architecture = self._space.from_params(self._encoding.decode(row))
            edits = tuple(self._space.edits(architecture))
            texts = tuple(str(e) for e in edits)
            rows = np.array([self._row(e.apply(architecture)) for e in edits]).reshape(len(edits), len(row))
            found = self._known[key] = _Family(architecture, edits, texts, rows, _kind_weights(edits))
            if len(self._known) > _PARENTS_KEPT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found

    def _row(self, architecture: Architecture) -> npt.NDArray[np.float64]:
        return self._encoding.encode(self._space.to_params(architecture))


def _kind_weights(edits: Sequence[Edit]) -> Vector:
    """A kind by the weights of plain evolution, then a scope, then one edit of those; summing to 1."""
    scopes: dict[Any, set[str]] = {}
    sizes: dict[tuple[Any, str], int] = {}
    for edit in edits:
        scopes.setdefault(edit.kind, set()).add(edit.scope)
        sizes[edit.kind, edit.scope] = sizes.get((edit.kind, edit.scope), 0) + 1
    weight = np.array(
        [EDIT_WEIGHTS[e.kind] / len(scopes[e.kind]) / sizes[e.kind, e.scope] for e in edits], dtype=np.float64
    )
    return np.asarray(weight / weight.sum() if len(weight) else weight, np.float64)
