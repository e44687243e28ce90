"""Starting weights of a network from the trained weights of a relative, transferred on the operator graph.

Widening repeats channels and divides what reads them (Net2WiderNet: Chen, Goodfellow, Shlens 2016); narrowing keeps the
most important channels of whole tied groups; a new block or link contributes zero at birth, by the gamma of its last
batch normalisation (by its last kernel where there is none), while its other weights are random, so that it learns from
the second step on.

Whether the child computes what its parent computed is not claimed by kind of edit but proven on the graph, by numbering
the values of both (:mod:`nas.networks.values`).  The proof is about inference; in training mode a new projection in
place of an identity shortcut has batch statistics of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.errors import InputError
from nas.graph import Graph
from nas.networks.build import Weights
from nas.networks.changes import Change, changes_of
from nas.networks.channels import Importance
from nas.networks.transfer import Relatives, Transfer, relate, transfer


@dataclass(frozen=True)
class Inherited:
    """A child's starting weights, and what they owe to the parent.

    Attributes:
        weights: all of them by ``operator/variable``, float32, for :func:`nas.networks.build.set_weights`.
        preserving: whether the child's outputs are proven equal to the parent's, up to rounding, in inference.
        changes: what differs between the two graphs, each with its own share in that.
        inherited_share: part of the child's numbers (statistics of batch normalisation among them) that come from the
            parent, copied or divided; zeros that keep a function and fresh numbers do not count.
        kept_share: part of the parent's numbers that live on in the child.
        fresh: operators with weights that took none from the parent.
    """

    weights: Mapping[str, npt.NDArray[np.float32]]
    preserving: bool
    changes: tuple[Change, ...]
    inherited_share: float
    kept_share: float
    fresh: tuple[str, ...]


def inherit(
    parent: Graph, weights: Weights, child: Graph, fresh: Weights, *, seed: int, importance: Importance | None = None
) -> Inherited:
    """Starting weights for ``child`` from a trained relative.

    Args:
        parent, weights: the relative's graph and its weights, as :func:`nas.networks.build.get_weights` gives them.
        child, fresh: the child's graph and its own initial weights; they also say which arrays there are.
        seed: decides how weights are divided among copies of a channel; nothing else is random.
        importance: {channel group of the parent: (channels,)}, see :meth:`nas.graph.Graph.channel_groups`; groups that
            it does not name are ranked by :func:`nas.networks.channels.importance_of`.

    Raises:
        InputError: networks for different images, weights of another network, or importance of another network.
    """
    if parent.input_shape != child.input_shape:
        raise InputError(
            f"a network for {child.input_shape} images cannot inherit from one for {parent.input_shape}; "
            "take a relative that was trained on the same input"
        )
    _check(parent, weights, "the parent's weights")
    _check(child, fresh, "the child's initial weights")
    relatives = relate(parent, weights, child, fresh, importance)
    result = transfer(relatives, np.random.default_rng(seed))
    proven = not result.assumed and _same_answers(relatives, result)
    return Inherited(
        weights={name: result.arrays[name].astype(np.float32, copy=False) for name in fresh},
        preserving=proven,
        changes=changes_of(relatives, result),
        inherited_share=result.inherited / sum(a.size for a in fresh.values()),
        kept_share=result.kept / sum(a.size for a in weights.values()),
        fresh=tuple(child.ops[i].name for i in sorted(result.new)),
    )


def _same_answers(relatives: Relatives, result: Transfer) -> bool:
    """Whether parent and child answer the same things, all with the same values."""
    ours, theirs = ({op.name: i for i, op in enumerate(graph.ops)} for graph in (relatives.child, relatives.parent))
    return relatives.child.outputs == relatives.parent.outputs and all(
        np.array_equal(result.numbers[ours[name]], relatives.values.of[theirs[name]])
        for name in relatives.child.outputs
    )


def _check(graph: Graph, weights: Weights, what: str) -> None:
    """Raises InputError unless ``weights`` are those of ``graph``, by names and shapes, and finite."""
    expected = shapes_of(graph)
    if expected.keys() != weights.keys():
        wrong = ", ".join(sorted(expected.keys() ^ weights.keys())[:4])
        raise InputError(f"{what} are of another network: {wrong} on one side only")
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise InputError(f"{what} are of another network: {name} is {weights[name].shape}, not {shape}")
        if not np.isfinite(weights[name]).all():
            raise InputError(f"{what}: {name} has values that are no numbers; take a relative that did not diverge")


def shapes_of(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights of ``graph`` by ``operator/variable``."""
    shapes: dict[str, tuple[int, ...]] = {}
    for op in graph.ops:
        outputs = op.shape[2]
        if op.kind == "bn":
            shapes |= {f"{op.name}/{name}": (outputs,) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
        elif op.kind in ("conv", "depthwise", "dense"):
            inputs = graph.ops[op.inputs[0]].shape[2]
            window = () if op.kind == "dense" else (op.kernel, op.kernel)
            name = "depthwise_kernel" if op.kind == "depthwise" else "kernel"
            shapes[f"{op.name}/{name}"] = (*window, inputs, 1 if op.kind == "depthwise" else outputs)
            if op.bias:
                shapes[f"{op.name}/bias"] = (outputs,)
    return shapes
