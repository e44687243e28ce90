"""What the fuzz tests share: the law, how inputs are mutated, and a count of what was really tried.

The law: an input is accepted, or answered by a NasError with exit code 2 and one line; never by another exception, nor
after more than five seconds of a core, nor with more than a gigabyte of memory.  ``NAS_FUZZ=n`` sets the examples a
test; ``NAS_FUZZ_TALLY=FILE`` appends the counts to a file (benchmarks/fuzz.py reads it).
"""

from __future__ import annotations

import atexit
import copy
import hashlib
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from nas.errors import InputError, NasError

EXAMPLES: Final = int(os.environ.get("NAS_FUZZ", "12"))
SECONDS: Final = 5  # of a core
WAIT_S: Final = 60  # by the clock: other work shares the machine
GIGABYTE: Final = 1_000_000_000

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize="NAS_FUZZ" not in os.environ,
)


class HangError(BaseException):
    """An input kept the program busy for too long; no handler of the program's catches it."""


@dataclass
class Tally:
    """What became of the distinct inputs of one target."""

    accepted: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)


TALLIES: Final[dict[str, Tally]] = {}


def law(target: str, given: object, read: Callable[[], Any]) -> Any:
    """What ``read`` returns; None where it refused the input as it must.  Fails the test where the law is broken."""
    tally = TALLIES.setdefault(target, Tally())
    digest = hashlib.sha256(repr(given).encode("utf-8", "surrogatepass")).hexdigest()
    new = digest not in tally.seen
    tally.seen.add(digest)
    begin, before = time.process_time(), _peak_bytes()
    try:
        with _alarm():
            found = read()
        tally.accepted += new
    except NasError as error:
        tally.refused += new
        found = None
        _check_refusal(tally, error)
    except (Exception, HangError) as error:
        tally.wrong.append(f"{type(error).__name__}: {error!s:.200}")
        raise
    if _peak_bytes() - before > GIGABYTE or time.process_time() - begin > SECONDS:
        tally.wrong.append(f"{_peak_bytes() - before} bytes, {time.process_time() - begin:.1f} s")
        pytest.fail(tally.wrong[-1])
    return found


def _check_refusal(tally: Tally, error: NasError) -> None:
    message = str(error)
    faults = [
        not isinstance(error, InputError) and f"{type(error).__name__} is no InputError",
        error.exit_code != 2 and f"exit code {error.exit_code}",
        (not message or not message.isprintable()) and "not one line that can be printed",
        len(message) > 2100 and f"{len(message)} characters",
        any(word in message for word in ("Error(", "Traceback", "<class ")) and "a Python repr",
    ]
    found = [fault for fault in faults if fault]
    if found:
        tally.wrong.append(f"{found}: {message[:200]}")
        pytest.fail(tally.wrong[-1])


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _alarm() -> Iterator[None]:
    """Ends what takes more seconds of a core than allowed, or waits for something that may never come."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise HangError(f"more than {SECONDS} s")

    timers = {signal.SIGALRM: (signal.ITIMER_REAL, WAIT_S), signal.SIGPROF: (signal.ITIMER_PROF, SECONDS)}
    before = {number: signal.signal(number, ring) for number in timers}
    try:
        for timer, seconds in timers.values():
            signal.setitimer(timer, seconds)
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@atexit.register
def _write_tallies() -> None:
    path = os.environ.get("NAS_FUZZ_TALLY")
    if path and TALLIES:
        with open(path, "a") as file:
            for target, t in TALLIES.items():
                row = {"target": target, "tried": len(t.seen), "accepted": t.accepted, "refused": t.refused}
                file.write(json.dumps({**row, "wrong": t.wrong}) + "\n")


# What is put in place of a value in otherwise valid data.
odd_numbers = st.sampled_from([0, -1, 1, 2, 7, 10**6, 10**12, -(2**63), 10**30, 0.5, -0.0, 1e308, 5e-324])
odd_values = st.one_of(
    st.none(),
    st.booleans(),
    odd_numbers,
    st.sampled_from([float("nan"), float("inf"), "", " ", "0", "1x8", "nan", "\x00", "é☃", "a\nb", "../..", "params"]),
    st.text(max_size=8),
    st.builds(list),
    st.builds(dict),
    st.lists(st.integers(-3, 3), max_size=3),
    st.dictionaries(st.sampled_from(["family", "metric", "x"]), st.integers(), max_size=2),
)


def places(data: Any, trail: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested plain data."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    found = [(*trail, key) for key in keys]
    for key in keys:
        found += places(data[key], (*trail, key))
    return found


@st.composite
def altered(draw: st.DrawFn, valid: Any, most: int = 3) -> Any:
    """``valid`` with up to ``most`` of its values replaced, left out, renamed or repeated."""
    data = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, most))):
        found = places(data)
        if not found:
            return data
        *trail, key = draw(st.sampled_from(found))
        holder = data
        for step in trail:
            holder = holder[step]
        what = draw(st.sampled_from(["replace", "replace", "nudge", "remove", "rename", "repeat"]))
        _alter(draw, holder, key, what)
    return data


def _alter(draw: st.DrawFn, holder: Any, key: Any, what: str) -> None:
    value = holder[key]
    if what == "nudge" and isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = draw(st.sampled_from([value + 1, value - 1, value * 2, -value, float(value)]))
    elif what == "remove":
        del holder[key]
    elif what == "rename" and isinstance(holder, dict):
        holder[draw(st.text(max_size=4)) + str(key)] = holder.pop(key)
    elif what == "repeat" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(value))
    else:
        holder[key] = draw(odd_values)


@st.composite
def damaged(draw: st.DrawFn, valid: bytes, *, most: int = 6) -> bytes:
    """``valid`` with bytes changed, cut out, doubled, put in, or the end cut off."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.integers(1, 64))
        what = draw(st.sampled_from(["byte", "byte", "bit", "cut", "double", "insert", "end"]))
        if what in ("byte", "bit") and content:
            content[at] = draw(st.integers(0, 255)) if what == "byte" else content[at] ^ (1 << draw(st.integers(0, 7)))
        elif what == "cut":
            del content[at : at + length]
        elif what == "double":
            content[at:at] = content[at : at + length]
        elif what == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=16))
        else:
            del content[at:]
    return bytes(content)
