"""What one forward and backward batch of a trained network tells about the edits that could follow.

Probe a network on images that it was trained on, never on those that it is tested on: what is kept of a parent, and
which edit is tried, would otherwise depend on test labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.decoding import field, of_kind, reason
from nas.errors import DecodeError, InputError
from nas.graph import Graph
from nas.networks.backward import Batch, Sums, backward
from nas.networks.links import Pair, links_of
from nas.networks.spectra import Matrix, dispensed, effective_rank, whitened_energy

SCHEMA: Final = 1
ENOUGH: Final = 128  # images from which on the tests' figures hold
_ARROW: Final = "->"
_WIDEST: Final = 1_000_000  # channels that a file may speak of


@dataclass(frozen=True)
class Gain:
    """What a link that does not exist promises.

    Attributes:
        gain: square root of an unbiased estimate of tr(G^T C^-1 G), where G (source channels, target channels) is the
            gradient of the mean loss by the link's 1x1 convolution at zero, of centred sources, and C their covariance.
            It is the norm of the gradient (nats) by the gammas of the link's batch normalisation when every filter
            points where the loss falls fastest.  It stays as it is when channels of the source are scaled, and noise
            does not make it grow with the source's width.  0 where the batch shows nothing.
        gradient: the plain Frobenius norm of the gradient by the 1x1 convolution at zero, nats per unit of weight.
    """

    gain: float
    gradient: float


@dataclass(frozen=True)
class Probes:
    """Findings about one trained network, named by its operators.

    Attributes:
        images: how many the batch had.
        loss: mean over the batch of the cross-entropy, nats, and of the square that the values are off by.
        importance: {channel group: (channels,)}, see :meth:`nas.graph.Graph.channel_groups`; the classifier's outputs,
            which nothing reads, are left out.  The order is that in which channels had best go; a value is the one of
            :attr:`fisher` times the part of the channel that those left at that point do not explain
            (:func:`nas.networks.spectra.dispensed`).  For :func:`nas.networks.inherit.inherit`.
        fisher: {channel group: (channels,)} increase of the loss (nats) when the channel alone is taken out of all that
            reads the group: 1/2 mean over images of (sum over readers and positions of activation x gradient)^2, the
            Fisher approximation (Theis et al. 2018, arXiv:1801.05787; Molchanov et al. 2019), of whole tied groups
            (Liu et al. 2021, Group Fisher Pruning).
        rank: {operator: effective rank of what it puts out}, of convolutions after their batch normalisation.
        dead: {ReLU: (channels,) whether the channel was never above 0 on the batch}.
        branches: {operator: increase of the loss (nats)} by the same formula for all that it puts out at once, of
            convolutions and batch normalisations that an add reads.
        links: the same for the sources of links that exist: {(source, target): nats}.
        gains: {(source, target): what a new link promises}.
    """

    images: int
    loss: float
    importance: Mapping[str, Matrix]
    fisher: Mapping[str, Matrix]
    rank: Mapping[str, float]
    dead: Mapping[str, npt.NDArray[np.bool_]]
    branches: Mapping[str, float]
    links: Mapping[Pair, float]
    gains: Mapping[Pair, Gain]

    def to_bytes(self) -> bytes:
        """Canonical JSON, for :meth:`from_bytes`; a few dozen kilobytes, a third of that when compressed."""
        data = {
            "schema": SCHEMA,
            "images": self.images,
            "loss": self.loss,
            "importance": {name: values.tolist() for name, values in self.importance.items()},
            "fisher": {name: values.tolist() for name, values in self.fisher.items()},
            "rank": dict(self.rank),
            "dead": {name: [int(c) for c in np.flatnonzero(dead)] + [len(dead)] for name, dead in self.dead.items()},
            "branches": dict(self.branches),
            "links": {_ARROW.join(pair): value for pair, value in self.links.items()},
            "gains": {_ARROW.join(pair): [g.gain, g.gradient] for pair, g in self.gains.items()},
        }
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Probes:
        """Reads what :meth:`to_bytes` wrote.

        Raises:
            DecodeError: anything else.
        """
        try:
            data = json.loads(content)
            if field(data, "schema", int) != SCHEMA:
                raise DecodeError(f"schema {data['schema']!r} is not known; this version reads {SCHEMA}")
            return cls(
                images=field(data, "images", int),
                loss=_number(field(data, "loss", int, float)),
                importance={name: _vector(v) for name, v in field(data, "importance", dict).items()},
                fisher={name: _vector(v) for name, v in field(data, "fisher", dict).items()},
                rank={name: _number(v) for name, v in field(data, "rank", dict).items()},
                dead={name: _dead(v) for name, v in field(data, "dead", dict).items()},
                branches={name: _number(v) for name, v in field(data, "branches", dict).items()},
                links={_pair(name): _number(v) for name, v in field(data, "links", dict).items()},
                gains={_pair(name): Gain(*_vector(v).tolist()) for name, v in field(data, "gains", dict).items()},
            )
        except (DecodeError, ValueError, TypeError, IndexError, ArithmeticError, RecursionError) as error:
            raise DecodeError(f"not probes of a network: {reason(error)}") from error


def probe(
    model: Any,
    graph: Graph,
    images: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    pairs: Sequence[Pair] = (),
    *,
    landmarks: npt.NDArray[np.float32] | None = None,
    targets: npt.NDArray[np.float32] | None = None,
) -> Probes:
    """Probes a trained network.

    Measured on emotionnet-nano's prototype (48x48) with its 36 possible links: 128 images take 1.0 to 1.4 seconds of
    one core, a quarter to a third of a training epoch over 1,000 images.

    The network is probed as it infers, with the statistics of its batch normalisations.  Its weights stay as they are.

    Args:
        model: what :func:`nas.networks.build.build_model` made of ``graph`` with tf_keras, trained.
        graph: the network.
        images: (n, h, w, c) in 0..1, of the training part, n at least 2; :data:`ENOUGH` or more are worth having.
        labels: (n,) class numbers; of a network that answers no class, any.
        landmarks: (n, 2 x points) of a network that takes them.
        targets: (n, targets) of a network that answers values: the mean square of what it is off by is then a part of
            the loss, or all of it.
        pairs: (source, target) names of operators between which a link could be, see
            :func:`nas.networks.links.possible_links`.

    Raises:
        InputError: images, labels, landmarks, targets or pairs that do not fit the network, or a network that diverged.
    """
    batch = Batch(images, labels, landmarks if graph.points else None, targets if graph.targets else None)
    _check(graph, batch, pairs)
    sums = backward(model, graph, batch, pairs)
    fisher, importance = _channels(sums)
    return Probes(
        images=len(images),
        loss=float(sums.losses.mean()),
        importance=importance,
        fisher=fisher,
        rank={name: effective_rank(s.covariance) for name, s in sums.layers.items()},
        dead={name: peak <= 0 for name, peak in sums.peaks.items()},
        branches={name: _fisher(s) for name, s in sums.branches.items()},
        links={
            (source, target): _fisher(sums.edges[conv, source].sum(1))
            for (source, target), conv in links_of(graph).items()
            if (conv, source) in sums.edges
        },
        gains={pair: _gain(sums, pair) for pair in pairs},
    )


def _check(graph: Graph, batch: Batch, pairs: Sequence[Pair]) -> None:
    images, labels = batch.images, batch.labels
    if images.shape[1:] != graph.input_shape or labels.shape != images.shape[:1] or len(images) < 2:
        raise InputError(
            f"images {images.shape} with labels {labels.shape}: give at least two images {graph.input_shape} and one "
            "label for each"
        )
    for what, values, width in (
        ("landmarks", batch.landmarks, 2 * graph.points),
        ("targets", batch.targets, graph.targets),
    ):
        if width and (values is None or values.shape != (len(images), width)):
            shape = None if values is None else values.shape
            raise InputError(f"{what} {shape}: the network wants {width} numbers for each of {len(images)} images")
    if graph.classes and (labels.min() < 0 or labels.max() >= graph.classes):
        raise InputError(f"labels {labels.min()}..{labels.max()}: the network knows 0..{graph.classes - 1}")
    places = {op.name: i for i, op in enumerate(graph.ops)}
    for source, target in pairs:
        if source not in places or target not in places or places[source] >= places[target]:
            raise InputError(
                f"a link {source}{_ARROW}{target}: name two operators of the network, the earlier one first"
            )


def _fisher(sums: Matrix) -> Any:
    """1/2 mean over images of the squares of ``sums`` (images, ...)."""
    return 0.5 * np.mean(np.square(sums), axis=0)


def _channels(sums: Sums) -> tuple[dict[str, Matrix], dict[str, Matrix]]:
    """(Fisher, importance) of every group."""
    fisher: dict[str, Matrix] = {}
    importance: dict[str, Matrix] = {}
    for group, carriers in sums.carriers.items():
        each = [np.sum([s for (_, c), s in sums.edges.items() if c == carrier], axis=0) for carrier in carriers]
        fisher[group] = _fisher(np.sum(each, axis=0))
        covariances = [sums.scatters[carrier, 1].covariance for carrier in carriers]
        importance[group] = dispensed([_fisher(s) for s in each], covariances, fisher[group])
    return fisher, importance


def _gain(sums: Sums, pair: Pair) -> Gain:
    parts = sums.products[pair]
    images = sums.losses.size
    source = sums.sources[pair]
    centred = [product - np.outer(source.mean, total) for product, total in parts]
    covariance = source.covariance
    together = whitened_energy(np.sum(centred, axis=0), covariance)
    alone = sum(whitened_energy(part, covariance) for part in centred)
    # Products of different parts alone: their noise is independent, so that it has no share in the mean.
    unbiased = (together - alone) / (images**2 - sum(size**2 for size in sums.parts))
    plain = np.linalg.norm(np.sum([product for product, _ in parts], axis=0)) / images
    return Gain(float(np.sqrt(max(unbiased, 0.0))), float(plain))


def _number(value: object) -> float:
    number = float(of_kind(value, "a value", int, float))
    if not np.isfinite(number):
        raise DecodeError(f"{number} is no finite number")
    return number


def _vector(values: object) -> Matrix:
    vector = np.array([_number(v) for v in of_kind(values, "values", list)], dtype=np.float64)
    if not vector.size:
        raise DecodeError("no value at all")
    return vector


def _dead(values: object) -> npt.NDArray[np.bool_]:
    numbers = [of_kind(v, "a channel", int) for v in of_kind(values, "dead channels", list)]
    if not numbers or not all(0 <= v <= _WIDEST for v in numbers):
        raise DecodeError("dead channels: not numbers of channels, and how many there are")
    out = np.zeros(numbers[-1], dtype=np.bool_)
    out[numbers[:-1]] = True
    return out


def _pair(text: str) -> Pair:
    source, arrow, target = text.partition(_ARROW)
    if not arrow:
        raise DecodeError(f"{text!r} names no link")
    return source, target
