"""What is sent to an evaluator, and what it needs to know once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nas.evaluation.augment import Augmentation
from nas.evaluation.limits import Limits
from nas.evaluation.train import Recipe
from nas.graph import Graph
from nas.indicator import Indicator
from nas.rung import Rung


@dataclass(frozen=True)
class Job:
    """One candidate to evaluate.

    Attributes:
        trial, id: of the candidate.
        graph: what to build; the evaluator knows nothing of families.
        rung: training effort.
        seed: of initial weights, order of images and augmentation.
        reference: whether it is trained even where a cheap constraint refuses it (the prototype, to which others are
            compared).
    """

    trial: int
    id: str
    graph: Graph
    rung: Rung
    seed: int
    reference: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {
            "trial": self.trial,
            "id": self.id,
            "graph": self.graph.to_json(),
            "rung": str(self.rung),
            "seed": self.seed,
            "reference": self.reference,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """Reads what :meth:`to_json` wrote."""
        graph, rung = Graph.from_json(data["graph"]), Rung.parse(data["rung"])
        return cls(data["trial"], data["id"], graph, rung, data["seed"], data["reference"])


@dataclass(frozen=True)
class Setup:
    """What every candidate of a run shares.

    Attributes:
        prototype: the network beside which latency is measured.
        indicator: the constraints.
        recipe: how candidates are trained.
        threads: of TensorFlow, a worker.
        gpus: whether the worker may use a GPU.
        limits: what a candidate may use.
    """

    prototype: Graph
    indicator: Indicator
    recipe: Recipe
    threads: int = 1
    gpus: bool = False
    limits: Limits = field(default_factory=Limits)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {
            "prototype": self.prototype.to_json(),
            "indicator": self.indicator.to_json(),
            "recipe": asdict(self.recipe),
            "threads": self.threads,
            "gpus": self.gpus,
            "limits": asdict(self.limits),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Setup:
        """Reads what :meth:`to_json` wrote."""
        return cls(
            Graph.from_json(data["prototype"]),
            Indicator.from_json(data["indicator"]),
            recipe_from_json(data["recipe"]),
            data["threads"],
            data["gpus"],
            Limits(**data["limits"]),
        )


def recipe_from_json(data: Mapping[str, Any]) -> Recipe:
    """A recipe from plain data; what older runs did not record has its default."""
    return Recipe(**{**data, "augmentation": Augmentation(**data["augmentation"])})
