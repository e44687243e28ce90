"""The networks that the field uses, by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from nas.comparison.xception import MINI, TINY, xception
from nas.errors import InputError
from nas.families.residual import ResidualArchitecture, Stage
from nas.graph import Graph
from nas.head import Head, with_head
from nas.networks.applications import APPLICATIONS, IMAGENET, Application
from nas.networks.network import Network

_REDRAWN: Final = ResidualArchitecture(  # by others, from the description of EmotionNet Nano B (Lee, Wang, Wong 2021)
    (48, 48, 1), 7, 11, 1, (Stage(11, (9, 8, 7)), Stage(27, (27, 19, 26)), Stage(64, (36, 39, 24))), (), "none", True
)
_RESNET20: Final = ResidualArchitecture(  # He et al. 2016, section 4.2
    (48, 48, 1), 7, 16, 1, (Stage(16, (16,) * 3), Stage(32, (32,) * 3), Stage(64, (64,) * 3))
)
_Build = Callable[[tuple[int, int, int], int], Graph]


def _residual(drawn: ResidualArchitecture, input_shape: tuple[int, int, int], classes: int) -> Graph:
    return replace(drawn, input_shape=input_shape, classes=classes).graph()


def _xception(widths: tuple[int, Sequence[int]], input_shape: tuple[int, int, int], classes: int) -> Graph:
    return xception(input_shape, classes, *widths)


_GRAPHS: Final[Mapping[str, _Build]] = {
    "nano-b-redrawn": partial(_residual, _REDRAWN),  # without normalisation, as its drawing has it
    "nano-b-redrawn-bn": partial(_residual, replace(_REDRAWN, norm="batch", bias=False)),
    "resnet20": partial(_residual, _RESNET20),
    "mini-xception": partial(_xception, MINI),
    "tiny-xception": partial(_xception, TINY),
}
KNOWN: Final = (*_GRAPHS, *APPLICATIONS)
_ID_DIGITS: Final = 8


@dataclass(frozen=True)
class Contender:
    """One network of a comparison.

    Attributes:
        id: names its folder; it tells apart what differs in any operator, in size or in initial weights.
        name: for people.
        network: what is trained; None where it cannot be had for such data.
        member: whether it is of the run's front.
        failure: why there is no network.
    """

    id: str
    name: str
    network: Network | None
    member: bool
    failure: str | None = None


def known_network(
    name: str, input_shape: tuple[int, int, int], classes: int, weights: str | None = None, head: Head | None = None
) -> Contender:
    """The network of that name for images of ``input_shape`` and ``classes`` classes.

    Those that an operator graph describes take any other head as well; of the others there is then no network.

    Args:
        name: one of :data:`KNOWN`.
        input_shape: (height, width, channels).
        classes: number of outputs.
        weights: ``imagenet`` starts those that have such weights from them.
        head: what it is to answer, and be given, where that is more than classes of images; see :mod:`nas.head`.

    Raises:
        InputError: an unknown name.
    """
    if name not in KNOWN:
        raise InputError(f"{name!r}: no network of that name; known: {', '.join(KNOWN)}")
    try:
        network = _built(name, input_shape, classes, weights, head)
    except InputError as error:
        return Contender(name, name, None, False, f"cannot be built for this data: {error}")
    pretrained = isinstance(network, Application) and network.weights is not None
    shown = f"{name} ({IMAGENET})" if pretrained else name
    digest = hashlib.sha256(json.dumps(network.to_json(), sort_keys=True).encode()).hexdigest()[:_ID_DIGITS]
    return Contender(f"{name}-{digest}", shown, network, False)


def _built(
    name: str, input_shape: tuple[int, int, int], classes: int, weights: str | None, head: Head | None
) -> Network:
    """Raises InputError where it cannot be."""
    build, other = _GRAPHS.get(name), head is not None and not head.plain
    if build is None:
        if other:
            raise InputError("it is known as a classifier of images alone, without a graph to put another end on")
        return Application(name, input_shape, classes, weights)
    graph = build(input_shape, classes)
    return graph if head is None or not other else with_head(graph, head)


def known_networks(
    names: Sequence[str],
    input_shape: tuple[int, int, int],
    classes: int,
    weights: str | None = None,
    head: Head | None = None,
) -> tuple[Contender, ...]:
    """Those of ``names``, each once; ``all`` stands for all of them.

    Raises:
        InputError: an unknown name or weights, or no name.
    """
    if weights not in (None, IMAGENET):
        raise InputError(f"weights {weights!r}: give {IMAGENET}, or leave them out to start from scratch")
    wanted = [known for name in names for known in (KNOWN if name == "all" else (name,))]
    if not wanted:
        raise InputError(f"compare: name at least one network to compare with; known: {', '.join(KNOWN)}")
    return tuple(known_network(name, input_shape, classes, weights, head) for name in dict.fromkeys(wanted))
