"""What events.jsonl says of certifications: which were begun, what was trained, who looked at the hold-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nas.run.directory import RunDirectory

BEGUN: Final = "certification_begun"
TRAINED: Final = "certification_trained"
FAILED: Final = "certification_failed"
CERTIFIED: Final = "certified"  # the verdict stands, before the subjects set aside are looked at
SPENT: Final = "holdout_spent"  # they are about to be looked at, or to be trained on
CHECKED: Final = "holdout_checked"

Key = tuple[str, str]  # id, name of the protocol


class Ledger:
    """Reads and appends events of certifications.

    Args:
        directory: of the run.
        trained, failed: the kinds of events that tell of trainings.
    """

    def __init__(self, directory: RunDirectory, *, trained: str = TRAINED, failed: str = FAILED) -> None:
        self.trained, self.failed = trained, failed
        self._directory = directory
        self._events = directory.events()

    def append(self, kind: str, key: Key, **fields: Any) -> None:
        """One event more."""
        self._directory.append_event(kind, id=key[0], protocol=key[1], **fields)
        self._events = self._directory.events()

    def of(self, *kinds: str) -> list[Mapping[str, Any]]:
        """Events of these kinds, in order."""
        return [e for e in self._events if e.get("event") in kinds]

    def begun(self) -> list[Key]:
        """Every (id, protocol) that was put to certification, in order, each once."""
        return list(dict.fromkeys(key_of(e) for e in self.of(BEGUN)))

    def begun_before(self, event: Mapping[str, Any]) -> list[Key]:
        """Those that had been begun when ``event`` was written."""
        there = next(k for k, e in enumerate(self._events) if e is event)
        return list(dict.fromkeys(key_of(e) for e in self._events[:there] if e.get("event") == BEGUN))

    def looks_before(self, key: Key) -> int | None:
        """How often the hold-out had been looked at before ``key`` looked at it; None where it has not."""
        looks = [key_of(e) for e in self.of(SPENT)]
        return looks.index(key) if key in looks else None

    def looks(self) -> int:
        """How often the hold-out has been looked at."""
        return len(self.of(SPENT))

    def hashes(self, key: Key) -> dict[str, str]:
        """SHA-256 of each predictions file of ``key``, as it was when its training ended."""
        return {str(e.get("file")): str(e.get("sha256")) for e in self.of(self.trained) if key_of(e) == key}

    def last(self, key: Key, *kinds: str) -> Mapping[str, Any] | None:
        """The last event of these kinds about ``key``."""
        found: Sequence[Mapping[str, Any]] = [e for e in self.of(*kinds) if key_of(e) == key]
        return found[-1] if found else None


def key_of(event: Mapping[str, Any]) -> Key:
    """Which certification an event is about."""
    return str(event.get("id")), str(event.get("protocol"))
