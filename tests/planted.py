"""Small networks in which something is planted that probes must find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.families.residual import ResidualArchitecture, Stage
from nas.graph import Graph
from nas.networks.build import build_model, get_weights, set_weights
from nas.networks.channels import groups_of, segments
from nas.networks.links import Pair

Arrays = dict[str, npt.NDArray[np.float32]]
Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]

SIDE = 12
USEFUL: Pair = ("s1b1_out", "s3b1_add")
CANDIDATES: tuple[Pair, ...] = (
    ("s2b1_out", "s2b2_add"),
    ("s2b1_out", "s3b1_add"),
    ("s2b2_out", "s3b1_add"),
    USEFUL,
    ("s2b1_out", "s3b2_add"),
    ("s2b2_out", "s3b2_add"),
    ("s3b1_out", "s3b2_add"),
)
DEEP = ResidualArchitecture((SIDE, SIDE, 2), 4, 8, 1, (Stage(8, (8,)), Stage(16, (12, 12)), Stage(8, (8, 8))))


def gratings(seed: int, count: int) -> Batch:
    """Two gratings of any phase in noise, one an image channel, each across or down; four classes by both."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    images = rng.normal(0, 0.5, (count, SIDE, SIDE, 2))
    for channel, down in ((0, labels // 2), (1, labels % 2)):
        wave = np.sin(np.arange(SIDE) * np.pi / 2 + rng.uniform(0, 2 * np.pi, (count, 1)))
        images[..., channel] += np.where(down[:, None, None] == 1, wave[:, None, :], wave[:, :, None])
    return images.astype(np.float32), labels.astype(np.int64)


def broken_path() -> Arrays:
    """Masks of :data:`DEEP`'s kernels by which the first grating reaches the first block's output and no further."""
    masks = {
        "stem/kernel": np.zeros((3, 3, 2, 8), np.float32),
        "s1b1_conv1/kernel": np.zeros((3, 3, 8, 8), np.float32),
        "s2b1_conv1/kernel": np.ones((3, 3, 8, 12), np.float32),
        "s2b1_project/kernel": np.ones((1, 1, 8, 16), np.float32),
    }
    for image, part in ((0, slice(0, 4)), (1, slice(4, 8))):
        masks["stem/kernel"][:, :, image, part] = 1
        masks["s1b1_conv1/kernel"][:, :, part, part] = 1
    masks["s1b1_conv2/kernel"] = masks["s1b1_conv1/kernel"]
    for name in ("s2b1_conv1/kernel", "s2b1_project/kernel"):
        masks[name][:, :, :4] = 0
    return masks


class Apprentice:
    """Trains one graph again and again, from given weights and under masks, with one traced step."""

    def __init__(self, graph: Graph, masks: Mapping[str, npt.NDArray[np.float32]]) -> None:
        import tensorflow as tf
        import tf_keras

        self.graph = graph
        self.model = build_model(graph, tf_keras)
        logits = tf_keras.Model(self.model.input, self.model.layers[-2].output)
        variables = self.model.trainable_variables
        self._masked = [(self.model.get_layer(name.split("/")[0]).weights[0], mask) for name, mask in masks.items()]
        self._optimizer = tf_keras.optimizers.legacy.Adam(2e-3)
        self._optimizer._create_all_weights(variables)

        @tf.function(
            input_signature=[tf.TensorSpec((None, *graph.input_shape), tf.float32), tf.TensorSpec((None,), tf.int64)]
        )
        def step(images: Any, labels: Any) -> None:
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(images, training=True))
                loss = tf.reduce_mean(losses)
            self._optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            self._mask()

        self._step: Callable[..., None] = step

    def _mask(self) -> None:
        for variable, mask in self._masked:
            variable.assign(variable * mask)

    def fresh(self, seed: int) -> Arrays:
        """Initial weights."""
        import tf_keras

        return get_weights(build_model(self.graph, tf_keras, seed=seed))

    def train(self, weights: Mapping[str, npt.NDArray[np.float32]], batch: Batch, epochs: int, seed: int) -> Any:
        """The model, trained on ``batch`` from ``weights``."""
        set_weights(self.model, weights)
        self._mask()
        for variable in self._optimizer.variables():
            variable.assign(np.zeros_like(variable.numpy()))
        rng = np.random.default_rng(seed)
        for _ in range(epochs):
            for chosen in rng.permutation(len(batch[1])).reshape(-1, 16):
                self._step(batch[0][chosen], batch[1][chosen])
        return self.model


def lived_in(shapes: Mapping[str, Sequence[int]], rng: np.random.Generator) -> Arrays:
    """Random weights of a plausible scale with statistics that are not trivial."""
    out: Arrays = {}
    for name, shape in shapes.items():
        if name.endswith("kernel"):
            value = rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        elif name.endswith(("variance", "gamma")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0, 0.3, shape)
        out[name] = value.astype(np.float32)
    return out


def cross_entropy(model: Any, batch: Batch) -> float:
    """Mean over the batch, of the probabilities that ``model`` infers."""
    images, labels = batch
    probabilities = np.asarray(model(images, training=False))
    return float(-np.log(probabilities[np.arange(len(labels)), labels] + 1e-12).mean())


def cut(graph: Graph, weights: Arrays, group: str, channel: int) -> Arrays:
    """``weights`` where all that reads ``channel`` of a tied group reads it with weight 0."""
    groups = groups_of(graph)
    out = {name: value.copy() for name, value in weights.items()}
    for op in graph.ops:
        if op.kind in ("conv", "dense"):
            j = op.inputs[0]
            while graph.ops[j].kind in ("pool", "global_pool"):
                j = graph.ops[j].inputs[0]
            for name, part in segments(graph, groups, j):
                if name == group:
                    out[f"{op.name}/kernel"][..., part.start + channel, :] = 0
    return out
