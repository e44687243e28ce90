"""The ways to make a network smaller, as a user names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from nas.errors import InputError

Base = Literal["none", "prune", "cluster"]
Number = Literal["float32", "float16", "dynamic", "int8", "qat"]

# name -> (what is done to the weights, what numbers the file computes with)
KINDS: Final[dict[str, tuple[Base, Number]]] = {
    "ptq-f16": ("none", "float16"),
    "ptq-dynamic": ("none", "dynamic"),
    "ptq-int8": ("none", "int8"),
    "qat": ("none", "qat"),
    "prune": ("prune", "float32"),
    "prune-int8": ("prune", "int8"),
    "prune-qat": ("prune", "qat"),
    "cluster": ("cluster", "float32"),
    "cluster-int8": ("cluster", "int8"),
    "cluster-qat": ("cluster", "qat"),
}
SHORT: Final = {"ptq": "ptq-int8"}
WHAT: Final[dict[str, str]] = {
    "none": "weights as trained",
    "prune": "the smallest weights of each kernel set to 0, step by step, while it trains on",
    "cluster": "the weights of each kernel drawn to a few shared values, which train on",
    "float32": "float32 file",
    "float16": "weights in float16, computed in float32",
    "dynamic": "weights in int8, activations quantized as they come",
    "int8": "int8 throughout, quantized after training",
    "qat": "int8 throughout, trained with the rounding in it",
}
MOST_SPARSE: Final = 0.99
MOST_CLUSTERS: Final = 256


@dataclass(frozen=True)
class Method:
    """One way: ``kind`` is a key of :data:`KINDS`, ``amount`` the sparsity or the number of clusters, 0 for neither."""

    kind: str
    amount: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Method:
        """Reads ``qat``, ``prune:0.8``, ``cluster:16`` ...  Raises InputError, which names the bound."""
        kind, colon, amount = text.strip().partition(":")
        kind = SHORT.get(kind, kind)
        if kind not in KINDS:
            raise InputError(f"method {text!r} is not known; there are {', '.join(usage())}")
        base = KINDS[kind][0]
        if base == "none":
            if colon:
                raise InputError(f"method {text!r}: {kind} takes no number")
            return cls(kind)
        return cls(kind, _sparsity(text, amount) if base == "prune" else _clusters(text, amount))

    @property
    def base(self) -> Base:
        """What is done to the weights."""
        return KINDS[self.kind][0]

    @property
    def number(self) -> Number:
        """What the file computes with."""
        return KINDS[self.kind][1]

    @property
    def trains(self) -> bool:
        """Whether there is fine-tuning in it."""
        return self.base != "none" or self.number == "qat"

    @property
    def name(self) -> str:
        """As a file may be called: ``prune-0.8``."""
        return str(self).replace(":", "-")

    @property
    def what(self) -> str:
        """In words."""
        return f"{WHAT[self.base]}; {WHAT[self.number]}"

    def __str__(self) -> str:
        return self.kind if self.base == "none" else f"{self.kind}:{self.amount:g}"


def usage() -> list[str]:
    """Every method as it is written."""
    number = {"none": "", "prune": ":0.8", "cluster": ":16"}
    return ["ptq", *(kind + number[base] for kind, (base, _) in KINDS.items())]


def parse_methods(texts: Sequence[str]) -> tuple[Method, ...]:
    """Each once, in order.  Raises InputError for none, or one that is not known."""
    methods = tuple(dict.fromkeys(Method.parse(text) for text in texts))
    if not methods:
        raise InputError(f"no method named; there are {', '.join(usage())}")
    return methods


def _sparsity(text: str, amount: str) -> float:
    try:
        value = float(amount)
    except ValueError:
        value = -1.0
    if not 0.01 <= value <= MOST_SPARSE:
        raise InputError(f"method {text!r}: write the share of weights to set to 0, from 0.01 to 0.99, as in prune:0.8")
    return value


def _clusters(text: str, amount: str) -> float:
    if not (amount.isascii() and amount.isdecimal() and len(amount) < 6 and 2 <= int(amount) <= MOST_CLUSTERS):
        raise InputError(f"method {text!r}: write the number of values a kernel may have, 2 to 256, as in cluster:16")
    return float(int(amount))
