"""Searches with made-up evaluations: all but TensorFlow is real, and a search takes a second."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nas.cli.main import app
from nas.evaluation.job import Job
from nas.loop import Search
from nas.measurement import Measurement
from nas.run.candidate import Outcome, State


def outcome(job: Job) -> Outcome:
    """An accuracy that depends on the architecture alone."""
    value = 0.4 + int(job.id, 16) % 1000 / 2000
    return Outcome(State.TRAINED, (), {"accuracy": Measurement(value, value - 0.1, value + 0.1, "share", 9, "made up")})


class Fabrication:
    """Takes the place of the executors, and of the plots.

    Attributes:
        file_bytes: of the file that every candidate leaves.
        before: called with every job.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file_bytes = 1000
        self.before: Callable[[Job], object] = lambda job: None
        self.evaluated: list[int] = []
        monkeypatch.setattr("nas.api.drive", self._drive)
        monkeypatch.setattr("nas.report.plots.write_plots", lambda *arguments, **options: [])

    def _drive(self, search: Search, *others: Any) -> None:
        while (job := search.propose()) is not None:
            self.before(job)
            self.evaluated.append(job.trial)
            search.finish(job, outcome(job), {"predictions.npz": os.urandom(self.file_bytes)})


def nas_(*arguments: object) -> Result:
    """The command line, in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"}, catch_exceptions=False)


def begin(out: object, data: object, *more: object, budget: int = 8) -> Result:
    """``nas search`` on a small space."""
    options = ["--space", "tiny", "--constraints", "none", "--effort", "1x1", "--executor", "local"]
    return nas_("search", "--out", out, "--data", data, "--budget", budget, *options, *more)
