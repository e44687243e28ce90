"""Probes of trained networks in a search: what evaluators are asked for, and what a sampler makes of it."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from nas.architecture import Architecture
from nas.errors import DecodeError
from nas.indicator import METRICS, PRIMARY
from nas.networks.links import Pair, possible_links
from nas.networks.probes import Probes
from nas.run.atomic import write_atomic
from nas.run.candidate import Candidate, State
from nas.run.directory import PROBES, RunDirectory
from nas.rung import Rung
from nas.space import SearchSpace
from nas.synthesis.merit import ProbeMerit
from nas.synthesis.probe_prior import ProbePrior

MERIT: Final = "probe-merit.json"  # of a run
_log = logging.getLogger(__name__)


class Probing:
    """Keeps account of what probes foretold and what followed.

    Args:
        space: of the search.
        directory: of the run, where candidates' probes lie.
    """

    def __init__(self, space: SearchSpace, directory: RunDirectory) -> None:
        self._space = space
        self._directory = directory
        self.merit = ProbeMerit()
        self.prior = ProbePrior(space, self._probes, self.merit)

    def pairs(self, network: Architecture) -> tuple[Pair, ...]:
        """The links that a network does not have but could, whose virtual gain is wanted."""
        return possible_links(self._space, network)

    def told(self, child: Candidate, parent: Candidate | None) -> None:
        """A candidate is finished: what had been foretold of its edit, beside what came of it.

        Args:
            child: the candidate.
            parent: of which it is a child by its edits; None where it has none.
        """
        if parent is None or len(child.edits) != 1 or child.state is not State.TRAINED:
            return
        gain = gain_at_equal_effort(child, parent)
        foretold = self.prior.forecast(self._space.to_params(parent.network()), child.edits[0])
        if gain is not None and foretold is not None:
            self.merit.record(foretold.kind, foretold.rank, gain)

    def write(self) -> None:
        """Writes the merit of every kind of probe beside the run's front."""
        merits = {kind: merit.to_json() for kind, merit in self.merit.all().items()}
        write_atomic(self._directory.path / MERIT, json.dumps({"schema": 1, "probes": merits}, indent=1) + "\n")

    def _probes(self, architecture_id: str) -> Probes | None:
        try:
            return Probes.from_bytes(self._directory.model_file(architecture_id, PROBES).read_bytes())
        except OSError:
            return None
        except DecodeError as error:
            _log.warning("%s: its probes are passed over: %s", architecture_id, error)
            return None


def gain_at_equal_effort(child: Candidate, parent: Candidate) -> float | None:
    """Accuracy of the child less that of its parent, after the largest effort that both were measured at.

    Of networks that predict numbers alone, how much lower the child's error is.  None where there is no such effort,
    or where one of them began with inherited weights and the other from scratch.
    """
    if _inherited(child) is not _inherited(parent):
        return None
    scored = child.score() or parent.score()
    metric = METRICS[PRIMARY[0] if scored is None else scored[0]]
    own, theirs = _by_effort(child, metric.name), _by_effort(parent, metric.name)
    common = own.keys() & theirs.keys()
    if not common:
        return None
    most = max(common, key=Rung.parse)
    gain = own[most] - theirs[most]
    return gain if metric.direction == "maximize" else -gain


def _inherited(candidate: Candidate) -> bool:
    return candidate.outcome is not None and candidate.outcome.inheritance is not None


def _by_effort(candidate: Candidate, metric: str) -> dict[str, float]:
    found = {r.rung: r.values[metric] for r in candidate.rungs if metric in r.values}
    last = candidate.value(metric)
    if candidate.outcome is not None and candidate.outcome.effort is not None and last is not None:
        found[candidate.outcome.effort] = last
    return found


def recorded_merit(directory: RunDirectory) -> dict[str, Any] | None:
    """What :meth:`Probing.write` wrote; None where there is nothing that can be read."""
    try:
        data = json.loads((directory.path / MERIT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    found = data.get("probes") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else None
