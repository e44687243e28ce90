"""The engine keeps out of the way as a run grows: the benchmark's state machine at a reduced size."""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import scale

from nas.evaluation.limits import resident_bytes
from nas.indicator import load_indicator
from nas.run.directory import FrontWriter, RunDirectory
from nas.run.front import front_of
from nas.run.study import RunStudy
from nas.space import load_space

CANDIDATES = 1_000


def test_a_candidate_costs_the_driver_the_same_early_and_late(tmp_path: Path) -> None:
    """Ratios within one run and generous bounds: the machine may be busy.  benchmarks/scale.py has the figures."""
    space, indicator = load_space("emotionnet-nano"), load_indicator("emotionnet-nano")
    search = scale.open_search(tmp_path / "run", space, indicator, CANDIDATES, "evolution")
    seconds, resident = [], {}
    for done, (spent, _) in enumerate(scale.clock(search, indicator), 1):
        seconds.append(spent)
        if done in (200, CANDIDATES):
            resident[done] = resident_bytes(os.getpid())
    assert len(seconds) == CANDIDATES == search.charged
    early, late = statistics.median(seconds[100:300]), statistics.median(seconds[-200:])
    assert late < 3 * early
    assert late < 0.1
    assert (resident[CANDIDATES] - resident[200]) / (CANDIDATES - 200) < 40_000
    start = time.perf_counter()
    kept = RunStudy.read(tmp_path / "run" / "study.journal")
    assert time.perf_counter() - start < 5
    assert kept == search.candidates
    assert front_of(kept, scale.OBJECTIVES, scale.POINT) == search.front
    written = (tmp_path / "run" / "front.json").read_text()
    (tmp_path / "run" / "front.json").unlink()
    start = time.perf_counter()
    FrontWriter(RunDirectory(tmp_path / "run"), {}).write(search.front)
    assert time.perf_counter() - start < 1
    assert (tmp_path / "run" / "front.json").read_text() == written


def test_workers_stay_busy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scale.fleet(tmp_path, 400, 20, 60.0, 0.6, "evolution")
    busy = float(capsys.readouterr().out.split(" busy over")[0].split()[-1].rstrip("%"))
    assert 95 <= busy <= 100
