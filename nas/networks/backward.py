"""The pass that probes rest on: one batch forwards and backwards through a network, reduced to sums on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.errors import InputError
from nas.graph import VALUES, Graph
from nas.networks.channels import groups_of
from nas.networks.links import Pair, pooling_factor
from nas.networks.spectra import Matrix, Scatter

_PART: Final = 32  # images at a time, at most: memory, and parts whose gradients are independent
_PARTS: Final = 4  # at least, where there are so many images
_BRANCHES: Final = frozenset({"conv", "bn"})
_POOLS: Final = frozenset({"pool", "global_pool"})


@dataclass
class Sums:
    """What a batch leaves behind; names are of operators.

    Attributes:
        losses: (images,) cross-entropies, nats, and mean squares of what the values are off by.
        parts: number of images of each part of the batch.
        carriers: {channel group: tensors that carry it to an operator that mixes channels}.
        edges: {(reader, carrier): (images, channels)} sums over positions of activation x gradient, the gradient that
            comes through this reader alone.
        scatters: {(tensor, side of average pooling): of its channels}.
        sources: {(source, target): of the source at the target's resolution}.
        layers: {convolution: of what it puts out after its batch normalisation}.
        peaks: {ReLU: (channels,) largest value}.
        branches: {operand of an add: (images,) sums of activation x gradient}.
        products: {(source, target): for every part of the batch, (source channels, target channels) sums of pooled
            source x gradient, and (target channels,) sums of gradients}.
    """

    losses: Matrix = field(default_factory=lambda: np.empty(0))
    parts: list[int] = field(default_factory=list)
    carriers: dict[str, list[str]] = field(default_factory=dict)
    edges: dict[tuple[str, str], Matrix] = field(default_factory=dict)
    scatters: dict[tuple[str, int], Scatter] = field(default_factory=dict)
    sources: dict[Pair, Scatter] = field(default_factory=dict)
    layers: dict[str, Scatter] = field(default_factory=dict)
    peaks: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    branches: dict[str, Matrix] = field(default_factory=dict)
    products: dict[Pair, list[tuple[Matrix, Matrix]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Batch:
    """What a network is shown, and what it should answer.

    Attributes:
        images, labels: (n, h, w, c) and (n,).
        landmarks: (n, 2 x points) of networks that take them.
        targets: (n, targets) of networks that answer values.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    landmarks: npt.NDArray[np.float32] | None = None
    targets: npt.NDArray[np.float32] | None = None

    def part(self, chosen: npt.NDArray[np.int64]) -> Batch:
        """Of the images ``chosen``."""
        told = (None if values is None else values[chosen] for values in (self.landmarks, self.targets))
        return Batch(self.images[chosen], self.labels[chosen], *told)


def backward(model: Any, graph: Graph, batch: Batch, pairs: Sequence[Pair]) -> Sums:
    """Sends a batch through ``model`` in inference mode and its gradients back.

    Args:
        model: of ``graph``, with one layer an operator.
        graph: the network.
        batch: what it is shown.
        pairs: (source, target) operators between which products are wanted.

    Raises:
        InputError: a pair that no pooling brings to the same resolution, or a network that diverged.
    """
    walk = _Walk(model, graph, pairs)
    part = max(min(_PART, len(batch.images) // _PARTS), 1)
    # Dealt at random, so that parts are alike also where the images come sorted by class.
    order = np.random.default_rng(0).permutation(len(batch.images))
    for start in range(0, len(order), part):
        walk.send(batch.part(order[start : start + part]))
    return walk.sums


class _Walk:
    """Operators are called one by one, so that gates can be put before readers and every tensor is at hand.

    A gate is a factor of 1 for every image and channel of what an operator reads: the gradient by it is the sum over
    positions of activation x gradient, which tells what taking the channel out would do (Theis et al. 2018).
    """

    def __init__(self, model: Any, graph: Graph, pairs: Sequence[Pair]) -> None:
        self._graph = graph
        self._layers = {layer.name: layer for layer in model.layers}
        self.sums = Sums()
        index = {op.name: i for i, op in enumerate(graph.ops)}
        self._pairs = {
            pair: (index[pair[0]], index[pair[1]], pooling_factor(*(graph.ops[index[name]] for name in pair)))
            for pair in pairs
        }
        self._reads = {
            i: _carriers(graph, op.inputs[0]) for i, op in enumerate(graph.ops) if op.kind in ("conv", "dense")
        }
        self._inputs = {i for i, op in enumerate(graph.ops) if op.kind == "input"}
        self._layered = {i: i for i in self._reads}
        self._layered |= {op.inputs[0]: i for i, op in enumerate(graph.ops) if op.kind == "bn"}
        adds = [op for op in graph.ops if op.kind == "add"]
        self._branches = sorted({j for op in adds for j in op.inputs if graph.ops[j].kind in _BRANCHES})
        self._prepare(pairs)

    def _prepare(self, pairs: Sequence[Pair]) -> None:
        """Says which tensors carry which group, and makes room for covariances."""
        ops, groups, sums = self._graph.ops, groups_of(self._graph), self.sums
        given = {groups[i] for i in self._inputs}
        for i in sorted({j for read in self._reads.values() for j in read} - self._inputs):
            if groups[i] not in given:  # a depthwise convolution of the image passes the image's channels on
                sums.carriers.setdefault(groups[i], []).append(ops[i].name)
                sums.scatters[ops[i].name, 1] = Scatter()
        for pair in pairs:
            sums.sources[pair] = sums.scatters.setdefault((pair[0], self._pairs[pair][2]), Scatter())

    def send(self, batch: Batch) -> None:
        """Adds what one part of the batch says."""
        import tensorflow as tf

        ops, targets = self._graph.ops, sorted({target for _, target, _ in self._pairs.values()})
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            count = len(batch.images)
            gates = {(i, j): tf.ones((count, ops[j].shape[2])) for i, read in self._reads.items() for j in read}
            tape.watch(list(gates.values()))
            values = self._forward(batch, gates)
            losses = self._losses(batch, values)
            total = tf.reduce_sum(losses)
        wanted = {"gates": gates, "tensors": {j: values[j] for j in {*self._branches, *targets}}}
        found = tape.gradient(total, wanted, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        if not all(np.isfinite(part).all() for part in (losses, *found["gates"].values())):
            raise InputError("the network's loss or gradients are no numbers: it diverged; probe one that did not")
        self.sums.parts.append(count)
        self.sums.losses = np.concatenate([self.sums.losses, losses.numpy().astype(np.float64)])
        self._note_edges(found["gates"])
        for j in self._branches:
            product = tf.reshape(values[j] * found["tensors"][j], (count, -1))
            _append(self.sums.branches, ops[j].name, tf.reduce_sum(product, 1))
        self._note_values(values)
        self._note_pairs(values, found["tensors"])

    def _losses(self, batch: Batch, values: Sequence[Any]) -> Any:
        """One number an image."""
        import tensorflow as tf

        ops, losses = self._graph.ops, []
        if self._graph.classes:
            losses.append(tf.nn.sparse_softmax_cross_entropy_with_logits(batch.labels, values[ops[-1].inputs[0]]))
        if self._graph.targets:
            answer = next(values[i] for i, op in enumerate(ops) if op.name == VALUES)
            losses.append(tf.reduce_mean(tf.square(answer - batch.targets), axis=-1))
        return losses[0] if len(losses) == 1 else tf.add_n(losses)

    def _forward(self, batch: Batch, gates: dict[tuple[int, int], Any]) -> list[Any]:
        """The values of all operators but the softmax."""
        import tensorflow as tf

        values: list[Any] = []
        for i, op in enumerate(self._graph.ops):
            if op.kind == "input":
                values.append(tf.constant(batch.landmarks if i else batch.images))
                continue
            if op.kind == "softmax":
                break
            inputs = [values[j] for j in op.inputs]
            if i in self._reads:
                gate = tf.concat([gates[i, j] for j in self._reads[i]], 1)
                inputs[0] = inputs[0] * (gate if op.kind == "dense" else gate[:, None, None, :])
            arguments = {"training": False} if op.kind == "bn" else {}
            values.append(self._layers[op.name](inputs if len(inputs) > 1 else inputs[0], **arguments))
        return values

    def _note_edges(self, gradients: dict[tuple[int, int], Any]) -> None:
        names = [op.name for op in self._graph.ops]
        for (i, j), gradient in gradients.items():
            if j not in self._inputs:
                _append(self.sums.edges, (names[i], names[j]), gradient)

    def _note_values(self, values: Sequence[Any]) -> None:
        import tensorflow as tf

        ops = self._graph.ops
        for i, j in self._layered.items():
            if i in self._reads:
                _scatter(self.sums.layers.setdefault(ops[i].name, Scatter()), values[j])
        for i, op in enumerate(ops):
            if (op.name, 1) in self.sums.scatters:
                _scatter(self.sums.scatters[op.name, 1], values[i])
            if op.kind == "relu":
                peak = tf.reduce_max(_flat(values[i]), 0).numpy()
                self.sums.peaks[op.name] = np.maximum(self.sums.peaks.get(op.name, peak), peak)

    def _note_pairs(self, values: Sequence[Any], gradients: dict[int, Any]) -> None:
        import tensorflow as tf

        pooled: dict[tuple[int, int], Any] = {}
        for pair, (source, target, factor) in self._pairs.items():
            if (source, factor) not in pooled:
                x = values[source]
                pooled[source, factor] = x if factor == 1 else tf.nn.avg_pool2d(x, factor, factor, "SAME")
            x, g = _flat(pooled[source, factor]), _flat(gradients[target])
            product = tf.matmul(x, g, transpose_a=True).numpy().astype(np.float64)
            total = tf.reduce_sum(g, 0).numpy().astype(np.float64)
            self.sums.products.setdefault(pair, []).append((product, total))
        for (source, factor), x in pooled.items():
            if factor > 1:
                _scatter(self.sums.scatters[self._graph.ops[source].name, factor], x)


def _carriers(graph: Graph, i: int) -> list[int]:
    """Tensors that operator ``i`` puts side by side, without the pooling in between, in order of their channels."""
    op = graph.ops[i]
    if op.kind == "concat":
        return [c for j in op.inputs for c in _carriers(graph, j)]
    return _carriers(graph, op.inputs[0]) if op.kind in _POOLS else [i]


def _append(sums: dict[Any, Matrix], key: Any, values: Any) -> None:
    new = values.numpy().astype(np.float64)
    sums[key] = np.concatenate([sums[key], new]) if key in sums else new


def _flat(x: Any) -> Any:
    import tensorflow as tf

    return tf.reshape(x, (-1, x.shape[-1]))


def _scatter(scatter: Scatter, x: Any) -> None:
    import tensorflow as tf

    flat = _flat(x)
    mean = tf.reduce_mean(flat, 0)
    centred = flat - mean
    scatter.add(int(flat.shape[0]), mean.numpy(), tf.matmul(centred, centred, transpose_a=True).numpy())
