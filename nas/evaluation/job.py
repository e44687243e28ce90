"""What is sent to an evaluator, and what it needs to know once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nas.evaluation.augment import Augmentation
from nas.evaluation.limits import Limits
from nas.evaluation.train import Recipe
from nas.graph import Graph
from nas.indicator import Indicator
from nas.networks.links import Pair
from nas.networks.network import Network, network_from_json
from nas.rung import Ladder, ladder_text, parse_ladder


@dataclass(frozen=True)
class Relative:
    """An evaluated candidate whose trained weights another one starts from, fold by fold.

    Attributes:
        id: of its architecture.
        graph: what the weights belong to.
        distance: 0..1, see :func:`nas.networks.relatives.distance`.
        epochs: that its weights have been trained for, inherited ones included, one number a fold from fold 0 on.
    """

    id: str
    graph: Graph
    distance: float
    epochs: tuple[int, ...]

    @property
    def folds(self) -> range:
        """Those that it has weights of."""
        return range(len(self.epochs))

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {"id": self.id, "graph": self.graph.to_json(), "distance": self.distance, "epochs": list(self.epochs)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Relative:
        """Reads what :meth:`to_json` wrote."""
        return cls(data["id"], Graph.from_json(data["graph"]), data["distance"], tuple(data["epochs"]))


@dataclass(frozen=True)
class Job:
    """One candidate to evaluate.

    Attributes:
        trial, id: of the candidate.
        network: what to build; the evaluator knows nothing of families.
        ladder: training efforts, the full one last; after each of the others its owner says whether it goes on.
        seed: of initial weights, order of images and augmentation.
        reference: whether it is trained even where a cheap constraint refuses it (the prototype, to which others are
            compared).
        relative: whose weights it starts from; None starts from scratch.
        folds: those to train and test on; None for the first ones of each rung.
        keep: the file name under which its predictions are kept, and nothing else of it; then it is trained alone, and
            neither exported nor timed nor judged.
        links: pairs (source, target) of operators between which a link could be, whose virtual gain is to be probed
            after training; None probes nothing.
        converts: whether it is only built and converted, untrained: its files are kept, ``keep`` the last of them.
    """

    trial: int
    id: str
    network: Network
    ladder: Ladder
    seed: int
    reference: bool
    relative: Relative | None = None
    folds: tuple[int, ...] | None = None
    keep: str | None = None
    links: tuple[Pair, ...] | None = None
    converts: bool = False

    @property
    def graph(self) -> Graph:
        """The operators.  Raises ValueError for a network that is known by name alone."""
        if not isinstance(self.network, Graph):
            raise ValueError(f"{self.network.name} has no operator graph: it can be trained, not searched from")
        return self.network

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {
            "trial": self.trial,
            "id": self.id,
            "network": self.network.to_json(),
            "ladder": ladder_text(self.ladder),
            "seed": self.seed,
            "reference": self.reference,
            "relative": None if self.relative is None else self.relative.to_json(),
            "folds": None if self.folds is None else list(self.folds),
            "keep": self.keep,
            "links": None if self.links is None else [list(pair) for pair in self.links],
            "converts": self.converts,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """Reads what :meth:`to_json` wrote."""
        network, ladder = network_from_json(data["network"]), parse_ladder(data["ladder"])
        relative = None if data["relative"] is None else Relative.from_json(data["relative"])
        seed, reference, keep = data["seed"], data["reference"], data["keep"]
        folds = None if data["folds"] is None else tuple(data["folds"])
        links = None if data["links"] is None else tuple((source, target) for source, target in data["links"])
        job = cls(data["trial"], data["id"], network, ladder, seed, reference, relative, folds, keep, links)
        return replace(job, converts=data["converts"])


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
        quantized: whether candidates are judged by their int8 file.
    """

    prototype: Graph
    indicator: Indicator
    recipe: Recipe
    threads: int = 1
    gpus: bool = False
    limits: Limits = field(default_factory=Limits)
    quantized: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {
            "prototype": self.prototype.to_json(),
            "indicator": self.indicator.to_json(),
            "recipe": asdict(self.recipe),
            "threads": self.threads,
            "gpus": self.gpus,
            "limits": asdict(self.limits),
            "quantized": self.quantized,
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
            data["quantized"],
        )


def recipe_from_json(data: Mapping[str, Any]) -> Recipe:
    """A recipe from plain data; what older runs did not record has its default."""
    return Recipe(**{**data, "augmentation": Augmentation(**data["augmentation"])})
