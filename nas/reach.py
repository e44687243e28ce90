"""Whether the architectures of a space can meet an indicator at all: proved from their exact costs, before training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from nas.architecture import Architecture
from nas.cost import BYTES
from nas.errors import InputError
from nas.indicator import COSTS, METRICS, Constraint, Indicator
from nas.space import ProvableSpace, SearchSpace


def check_reachable(space: SearchSpace, indicator: Indicator) -> None:
    """Refuses an indicator that no architecture of ``space`` can meet, where that can be proved.

    Params, MACs, weight bytes and peak activation bytes are known exactly; a file is larger than the kernels in it, of
    float32 or int8 numbers as the indicator says.  Latency and accuracy are not known beforehand, nor is anything of a
    space that does not know its extremes.

    Raises:
        InputError: a bound beyond what the space can do; the message says the least or the most that it can.
    """
    if not isinstance(space, ProvableSpace):
        return
    for constraint in indicator.constraints:
        if constraint.upper:
            _check_upper(space, indicator, constraint)
        elif constraint.metric in COSTS:
            _check_lower(space, indicator, constraint)


def _check_upper(space: ProvableSpace, indicator: Indicator, constraint: Constraint) -> None:
    if constraint.metric in COSTS:
        value_of, what = _exact(indicator, constraint.metric), "has at least"
    elif constraint.metric == "size_bytes":
        value_of, what = (
            partial(kernel_bytes, element_bytes=indicator.element_bytes),
            "has kernels, all of which are in its file, of at least",
        )
    else:
        return
    least, network = _extreme(min, space.cheapest(), value_of)
    if least > constraint.limit:
        raise InputError(
            f"constraint {constraint}: no architecture of the space can meet it; every one {what} {least:,} "
            f"{METRICS[constraint.metric].unit} (the least: {network.id}): raise the bound to {least} or more, or "
            "lower the low bounds of the space"
        )


def _check_lower(space: ProvableSpace, indicator: Indicator, constraint: Constraint) -> None:
    most, network = _extreme(max, space.dearest(), _exact(indicator, constraint.metric))
    if most < constraint.limit:
        raise InputError(
            f"constraint {constraint}: no architecture of the space can meet it; every one has at most {most:,} "
            f"{METRICS[constraint.metric].unit} (the most: {network.id}): lower the bound to {most} or less, or raise "
            "the high bounds of the space"
        )


def _exact(indicator: Indicator, metric: str) -> Callable[[Architecture], int]:
    def value(architecture: Architecture) -> int:
        return int(indicator.known(architecture.cost())[metric].value)

    return value


def kernel_bytes(architecture: Architecture, element_bytes: int = BYTES) -> int:
    """Bytes of all kernels, 4 a number or 1 in int8; biases are left out, since a converter stores equal ones once."""
    ops = architecture.graph().ops
    weights = 0
    for op in ops:
        if op.kind in ("conv", "dense", "depthwise"):
            fan_in = 1 if op.kind == "depthwise" else ops[op.inputs[0]].shape[2]
            weights += op.kernel * op.kernel * fan_in * op.shape[2]
    return element_bytes * weights


def _extreme(
    choose: Callable[..., tuple[int, Architecture]],
    architectures: Iterable[Architecture],
    value_of: Callable[[Architecture], int],
) -> tuple[int, Architecture]:
    return choose(((value_of(a), a) for a in architectures), key=lambda pair: pair[0])
