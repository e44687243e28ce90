"""Tied channel groups: which channels of a parent the channels of a child continue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.errors import InputError
from nas.graph import Graph
from nas.networks.build import BN_EPSILON, Weights

Indices = npt.NDArray[np.int64]
Importance = Mapping[str, npt.NDArray[Any]]
_KERNEL: Final = {"conv": "kernel", "dense": "kernel", "depthwise": "depthwise_kernel"}


def groups_of(graph: Graph) -> list[str]:
    """Name of the tied group that every operator's output channels belong to.

    Names are those of :meth:`nas.graph.Graph.channel_groups`; the image's channels are a group named after the input,
    and a concatenation belongs to none (an empty name).
    """
    named = {producer: name for name, producers in graph.channel_groups().items() for producer in producers}
    groups: list[str] = []
    for op in graph.ops:
        if op.kind in ("conv", "dense"):
            groups.append(named[op.name])
        elif op.kind in ("input", "concat"):
            groups.append(op.name if op.kind == "input" else "")
        else:
            groups.append(next((groups[j] for j in op.inputs if groups[j]), ""))
    return groups


def importance_of(graph: Graph, weights: Weights) -> dict[str, npt.NDArray[np.float64]]:
    """How much every channel of every group matters, read from the weights: {group: (channels,)}.

    The sum over the group's producers of the batch normalisation's abs(gamma), which is the standard deviation of what
    they put out (Liu et al. 2017, network slimming), times the L1 norm of all kernels that read the channel, each
    folded with the batch normalisation behind it.  A convolution without batch normalisation puts in the L1 norm of its
    own kernel (Li et al. 2017).
    """
    groups = groups_of(graph)
    widths = {groups[i]: op.shape[2] for i, op in enumerate(graph.ops) if op.kind in ("conv", "dense")}
    spread = {name: np.zeros(width) for name, width in widths.items()}
    read = {name: np.zeros(width) for name, width in widths.items()}
    behind = {op.inputs[0]: op.name for op in graph.ops if op.kind == "bn"}
    for i, op in enumerate(graph.ops):
        if op.kind not in _KERNEL:
            continue
        kernel = np.abs(np.asarray(weights[f"{op.name}/{_KERNEL[op.kind]}"], dtype=np.float64))
        gamma = np.abs(weights[f"{behind[i]}/gamma"]) if i in behind else None
        if op.kind != "depthwise":
            spread[groups[i]] += kernel.reshape(-1, op.shape[2]).sum(0) if gamma is None else gamma
            if gamma is not None:
                kernel = kernel * gamma / np.sqrt(weights[f"{behind[i]}/moving_variance"] + BN_EPSILON)
            norms = np.moveaxis(kernel, -2, 0).reshape(kernel.shape[-2], -1).sum(1)
            for name, part in segments(graph, groups, op.inputs[0]):
                if name in read:
                    read[name] += norms[part]
    return {name: spread[name] * read[name] for name in widths}


def segments(graph: Graph, groups: list[str], i: int) -> list[tuple[str, slice]]:
    """(group, its place among the channels) of what operator ``i`` puts side by side."""
    parts = graph.ops[i].inputs if graph.ops[i].kind == "concat" else (i,)
    found, start = [], 0
    for j in parts:
        width = graph.ops[j].shape[2]
        found.append((groups[j], slice(start, start + width)))
        start += width
    return found


def completed(importance: Importance | None, graph: Graph, weights: Weights) -> dict[str, npt.NDArray[np.float64]]:
    """``importance`` with :func:`importance_of` for the groups that it does not name.

    Raises:
        InputError: a group that ``graph`` does not have, or another number of channels, or values that are not finite.
    """
    full = importance_of(graph, weights)
    for name, values in (importance or {}).items():
        if name not in full:
            raise InputError(f"importance of {name!r}: the network has no such channel group; it has {', '.join(full)}")
        array = np.asarray(values, dtype=np.float64)
        if array.shape != full[name].shape or not np.all(np.isfinite(array)):
            raise InputError(
                f"importance of {name!r}: give {len(full[name])} finite numbers, one a channel, not {array.shape}"
            )
        full[name] = array
    return full


def continued(importance: npt.NDArray[np.float64], width: int) -> Indices:
    """For ``width`` channels of a child, the channel of the parent that each continues.

    A narrower group keeps the channels of the largest importance, in their order.  A wider one keeps all and repeats
    the most important ones.  Of equals the first counts as more important.
    """
    order = np.argsort(-importance, kind="stable")
    if width <= len(order):
        return np.sort(order[:width]).astype(np.int64)
    return np.concatenate([np.arange(len(order)), np.resize(order, width - len(order))]).astype(np.int64)
