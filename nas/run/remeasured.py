"""Latencies of finalists that were measured again after the search, as a run's events tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from nas.decoding import field
from nas.errors import DecodeError
from nas.measurement import is_number

if TYPE_CHECKING:
    from nas.run.candidate import Candidate
    from nas.run.directory import RunDirectory

EVENT: Final = "remeasured"
TOLERANCE: Final = 0.10  # by which a second measurement may differ from the search's


@dataclass(frozen=True)
class Remeasured:
    """One network's latency, measured again.

    Attributes:
        id, trial: of the candidate.
        latency_ms, low_ms, high_ms, p90_ms: as measured now.
        ratio, ratio_low, ratio_high: to ``beside``.
        beside: ``prototype``, or the name of the sentinel where the prototype's file was not kept.
        doubt: why this measurement is not to be trusted either; None where nothing speaks against it.
        device: hash of the machine's fingerprint.
        change: by which share the latency is now above the search's: of the quotients where both are to the prototype,
            else of the milliseconds; None where the search measured it on another machine, or not at all.
    """

    id: str
    trial: int
    latency_ms: float
    low_ms: float
    high_ms: float
    p90_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    beside: str
    doubt: str | None
    device: str
    change: float | None

    @property
    def differs(self) -> bool:
        """Whether the search's latency is not confirmed."""
        return self.change is not None and abs(self.change) > TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Plain data, the fields of its event."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Remeasured:
        """Reads the fields of an event.  Raises DecodeError where they are damaged."""
        numbers = ("latency_ms", "low_ms", "high_ms", "p90_ms", "ratio", "ratio_low", "ratio_high")
        change = data.get("change")
        if not all(is_number(data.get(name)) for name in numbers) or not (change is None or is_number(change)):
            raise DecodeError("not a remeasurement: something that should be a number is none")
        values: dict[str, float] = {name: float(data[name]) for name in numbers}
        return cls(
            id=field(data, "id", str),
            trial=field(data, "trial", int),
            **values,
            beside=field(data, "beside", str),
            doubt=field(data, "doubt", str, NoneType),
            device=field(data, "device", str),
            change=None if change is None else float(change),
        )

    def __str__(self) -> str:
        told = f"{self.id} {self.latency_ms:.3f} ms [{self.low_ms:.3f}, {self.high_ms:.3f}], "
        told += f"{self.ratio:.3g} of the {self.beside}'s [{self.ratio_low:.3g}, {self.ratio_high:.3g}]"
        if self.change is not None:
            told += f", {self.change:+.1%} against the search" + (": DIFFERS" if self.differs else "")
        return told + ("" if self.doubt is None else f"; in doubt: {self.doubt}")


def remeasured_in(directory: RunDirectory) -> dict[str, Remeasured]:
    """The last one of each candidate, by id; events that are damaged are passed over."""
    found = {}
    for event in directory.events(EVENT):
        try:
            one = Remeasured.from_json(event)
        except DecodeError:
            continue
        found[one.id] = one
    return found


def remeasured_fields(one: Remeasured | None) -> dict[str, Any]:
    """What front.json says of it; null where it was not measured again."""
    return {
        "latency_remeasured_ms": None if one is None else one.latency_ms,
        "latency_remeasured_ratio": None if one is None else one.ratio,
        "latency_differs": None if one is None or one.change is None else one.differs,
    }


def latency_lines(members: Sequence[Candidate], known: Mapping[str, Remeasured]) -> list[str]:
    """What is to be said of a front's latencies: of several machines, how many measured again, which differ.

    Args:
        members: the front's.
        known: what was measured again, by id.
    """
    lines = []
    devices = {
        m.outcome.worker.get("device") for m in members if m.outcome is not None and "device" in m.outcome.worker
    }
    ours = [known[m.id] for m in members if m.id in known]
    if len(devices | {one.device for one in ours}) > 1:
        lines.append("latencies are of different machines: milliseconds are not comparable, quotients only roughly")
    if ours:
        lines.append(f"latency measured again, with no evaluator beside it: {len(ours)} of {len(members)} members")
    return lines + [f"  {one}" for one in ours if one.differs or one.doubt]
