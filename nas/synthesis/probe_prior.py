"""Which edit to try, from the probes of the trained parent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.architecture import Architecture, Edit, EditKind
from nas.graph import Graph
from nas.networks.channels import groups_of
from nas.networks.links import links_of
from nas.networks.outline import match
from nas.networks.probes import Probes
from nas.space import SearchSpace
from nas.synthesis.merit import ProbeMerit

Lookup = Callable[[str], Probes | None]

_STRENGTH: Final = 4.0  # how much likelier the best edit of a kind becomes, and unlikelier the worst
_REMEMBERED: Final = 256
_PRODUCERS: Final = ("conv", "dense")


@dataclass(frozen=True)
class Forecast:
    """What probes say of one edit.

    Attributes:
        kind: of the probe, the name of the edit's :class:`nas.architecture.EditKind`.
        rank: of the edit among those of its kind and scope that the parent can have, inside 0..1, 1 for the best.
    """

    kind: str
    rank: float


class ProbePrior:
    """An :class:`nas.synthesis.proposals.EditPrior` made of probes.

    An edit's factor grows with its rank among the parent's edits of the same kind and scope: ``4^(2 rank - 1)``, over
    the mean of these, so that kinds are tried as often as before.  What is ranked:

    ============= =====================================================================================
    add_link      virtual gain of the link
    narrow        less the mean importance of the channels that would go
    widen         mean effective rank of the layers that would be widened, as a share of their widths
    remove_block  less the importance of the block's branches
    remove_link   less the importance of the link's source
    ============= =====================================================================================

    Edits of other kinds, and of parents without probes, keep factor 1.

    Args:
        space: that the edits belong to.
        probes: of an architecture by its id, None where it was not probed.
        merit: switches off kinds of probes that are shown to be worthless; None to listen to all.
    """

    def __init__(self, space: SearchSpace, probes: Lookup, merit: ProbeMerit | None = None) -> None:
        self._space = space
        self._probes = probes
        self._merit = merit
        self._known: OrderedDict[str, dict[str, tuple[Forecast, float]]] = OrderedDict()

    def __call__(self, parent: Mapping[str, Any], edits: Sequence[str]) -> npt.NDArray[np.float64]:
        """Factors (> 0; 1 changes nothing), one an edit of the parent with these parameters."""
        found = self._all(self._space.from_params(parent))
        return np.array([self._factor(found.get(text)) for text in edits], dtype=np.float64)

    def forecast(self, parent: Mapping[str, Any], edit: str) -> Forecast | None:
        """What is recorded as predicted when ``edit`` was tried, whether or not its kind of probe steers.

        None where the parent has no probes, or where these say nothing of such an edit.
        """
        found = self._all(self._space.from_params(parent)).get(edit)
        return None if found is None else found[0]

    def _factor(self, found: tuple[Forecast, float] | None) -> float:
        if found is None or (self._merit is not None and not self._merit.useful(found[0].kind)):
            return 1.0
        return found[1]

    def _all(self, architecture: Architecture) -> dict[str, tuple[Forecast, float]]:
        """By an edit's text: what probes say of it, and its factor."""
        found = self._known.get(architecture.id)
        if found is not None:
            self._known.move_to_end(architecture.id)
            return found
        probes = self._probes(architecture.id)
        if probes is None:  # may still come
            return {}
        found = self._known[architecture.id] = _ranked(probes, architecture, self._space.edits(architecture))
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found


def _ranked(probes: Probes, parent: Architecture, edits: Sequence[Edit]) -> dict[str, tuple[Forecast, float]]:
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    graph = parent.graph()
    worth: dict[tuple[str, str], dict[str, float]] = {}
    for edit in edits:
        value = _worth(probes, graph, parent, edit)
        if value is not None:
            worth.setdefault((edit.kind.value, edit.scope), {})[str(edit)] = value
    out = {}
    for (kind, _), values in worth.items():
        ranks = (rankdata(list(values.values())) - 0.5) / len(values)
        factors = _STRENGTH ** (2 * ranks - 1)
        for text, rank, factor in zip(values, ranks, factors / factors.mean(), strict=True):
            out[text] = Forecast(kind, float(rank)), float(factor)
    return out


def _worth(probes: Probes, graph: Graph, parent: Architecture, edit: Edit) -> float | None:
    """What an edit's rank rests on, more for a better one; None where the probes do not say."""
    if edit.kind is EditKind.ADD_LINK:
        return _added(probes, graph, edit.apply(parent).graph())
    if edit.kind is EditKind.REMOVE_LINK:
        return _unlinked(probes, graph, edit.apply(parent).graph())
    if edit.kind is EditKind.NARROW:
        return _narrowed(probes, graph, edit.apply(parent).graph())
    if edit.kind is EditKind.WIDEN:
        return _widened(probes, graph, edit.apply(parent).graph())
    if edit.kind is EditKind.REMOVE_BLOCK:
        return _shortened(probes, graph, edit.apply(parent).graph())
    return None


def _added(probes: Probes, graph: Graph, child: Graph) -> float | None:
    new = links_of(child).keys() - links_of(graph).keys()
    known = [probes.gains[pair].gain for pair in sorted(new) if pair in probes.gains]
    return sum(known) if known and len(known) == len(new) else None


def _unlinked(probes: Probes, graph: Graph, child: Graph) -> float | None:
    gone = links_of(graph).keys() - links_of(child).keys()
    known = [probes.links[pair] for pair in sorted(gone) if pair in probes.links]
    return -sum(known) if known and len(known) == len(gone) else None


def _resized(graph: Graph, child: Graph) -> Iterator[tuple[str, str, int, int]]:
    """(operator, its group in ``graph``, width there, width in ``child``) of every producer whose width changes."""
    widths = {op.name: op.shape[2] for op in child.ops}
    for op, group in zip(graph.ops, groups_of(graph), strict=True):
        after = widths.get(op.name, op.shape[2])
        if op.kind in _PRODUCERS and after != op.shape[2]:
            yield op.name, group, op.shape[2], after


def _narrowed(probes: Probes, graph: Graph, child: Graph) -> float | None:
    gone = {group: before - after for _, group, before, after in _resized(graph, child) if after < before}
    if not gone or not gone.keys() <= probes.importance.keys():
        return None
    lost = [np.sort(probes.importance[group])[:count] for group, count in gone.items()]
    return -float(np.concatenate(lost).mean())


def _widened(probes: Probes, graph: Graph, child: Graph) -> float | None:
    changed = [(name, before) for name, _, before, after in _resized(graph, child) if after > before]
    if not changed or any(name not in probes.rank for name, _ in changed):
        return None
    return float(np.mean([probes.rank[name] / width for name, width in changed]))


def _shortened(probes: Probes, graph: Graph, child: Graph) -> float | None:
    """By the blocks that inheritance would leave out."""
    matching = match(graph, child)
    gone = matching.parent.units.keys() - matching.units.values()
    known = [value for name, value in probes.branches.items() if name.partition("_")[0] in gone]
    return -sum(known) if known else None
