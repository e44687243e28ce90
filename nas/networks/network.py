"""What an evaluator can train: an operator graph, or a network that is known by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.errors import DecodeError
from nas.graph import Graph
from nas.networks.applications import Application
from nas.networks.build import build_model

Network = Graph | Application


def build_network(network: Network, keras: Any, *, seed: int = 0) -> Any:
    """A functional Keras model of either; see :func:`nas.networks.build.build_model`."""
    if isinstance(network, Graph):
        return build_model(network, keras, seed=seed)
    return network.build(keras, seed=seed)


def network_from_json(data: Sequence[Any] | Mapping[str, Any]) -> Network:
    """Reads what ``to_json`` of either wrote.  Raises DecodeError on anything else."""
    if isinstance(data, Mapping):
        return Application.from_json(data)
    if isinstance(data, list):
        return Graph.from_json(data)
    raise DecodeError(f"{str(data)[:80]}: neither a graph nor a known network")
