"""No evaluator trains on a core on which another measures, whatever drives them: shown with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.evaluation.quiet import Quiet

# Trains in epochs of 50 ms, measures for 100 ms now and then, and tells when it did which; killed evaluators included.
EVALUATOR = """
import json, sys, time
from pathlib import Path
from nas.evaluation.quiet import Quiet
shared, exclusive, seconds = Path(sys.argv[1]), sys.argv[2] == "1", float(sys.argv[3])
quiet = Quiet(exclusive, shared)
spans, end, now = [], time.monotonic() + seconds, time.monotonic
while now() < end:
    quiet.pause()
    for _ in range(3):
        start = now(); time.sleep(0.05); spans.append(["train", start, now()])
        quiet.pause()
    with quiet.alone(5.0) as alone:
        start = now(); time.sleep(0.1); spans.append(["alone" if alone else "beside", start, now()])
    quiet.rest()
    time.sleep(0.01)
print(json.dumps(spans))
"""


def evaluate(shared: Path, homes: tuple[bool, ...], seconds: float = 3.0) -> list[list[tuple[str, float, float]]]:
    """What each of several evaluators did when; ``homes`` says which have a core of their own."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", EVALUATOR, shared, str(int(home)), str(seconds)], stdout=subprocess.PIPE, text=True
        )
        for home in homes
    ]
    return [[tuple(span) for span in json.loads(process.communicate(timeout=60)[0])] for process in started]


def together(one: list[tuple[str, float, float]], other: list[tuple[str, float, float]]) -> int:
    """How often one measures while the other does anything."""
    mine = [(a, b) for kind, a, b in one if kind == "alone"]
    return sum(a < d and c < b for a, b in mine for _, c, d in other)


def test_who_has_a_core_waits_for_nobody(tmp_path: Path) -> None:
    one, other = evaluate(tmp_path, (True, True))
    assert {kind for kind, _, _ in one + other} == {"train", "alone"}
    assert together(one, other) > 0  # each on its own core


def test_nobody_trains_beside_who_measures_where_cores_are_too_few(tmp_path: Path) -> None:
    spans = evaluate(tmp_path, (True, False, False), 4.0)
    whole = max(span[0][1] for span in spans), min(span[-1][2] for span in spans)  # while all three were there
    inside = [[s for s in span if whole[0] + 0.5 < s[1] < whole[1]] for span in spans]
    for i, one in enumerate(inside):
        assert {kind for kind, _, _ in one} == {"train", "alone"}, one
        assert all(together(one, other) == 0 for j, other in enumerate(inside) if j != i)


def test_who_does_not_stop_is_told_of(tmp_path: Path) -> None:
    stubborn, measuring = Quiet(False, tmp_path), Quiet(False, tmp_path)
    stubborn.pause()  # begins an epoch that does not end
    begin = time.monotonic()
    with measuring.alone(0.2) as alone:
        assert not alone
    assert 0.2 <= time.monotonic() - begin < 2
    stubborn.rest()
    with measuring.alone(0.2) as alone:
        assert alone
    stubborn.close()
    measuring.close()


def test_a_killed_evaluator_holds_nobody_up(tmp_path: Path) -> None:
    code = "import time\nfrom pathlib import Path\nfrom nas.evaluation.quiet import Quiet\n"
    code += f"q = Quiet(False, Path({str(tmp_path)!r}))\nq.pause()\nprint('on', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        quiet = Quiet(True, tmp_path)
        with quiet.alone(0.1) as alone:
            assert not alone
        process.kill()
        process.wait()
        with quiet.alone(0.1) as alone:
            assert alone
    quiet.close()


@pytest.mark.parametrize("exclusive", [True, False])
def test_without_a_folder_for_locks(tmp_path: Path, exclusive: bool) -> None:
    """Something else lies where the locks would be: nobody waits, and only who has a core is alone."""
    (tmp_path / f"nas-cores-{os.getuid()}").write_text("in the way")
    quiet = Quiet(exclusive, tmp_path)
    quiet.pause()
    with quiet.alone() as alone:
        assert alone is exclusive
    quiet.rest()
    quiet.close()
