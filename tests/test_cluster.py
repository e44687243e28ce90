"""Runs tests/cluster_checks.py in a process of its own.

Ray keeps what it knows of a cluster in the process that was connected to it, and may end that process when it starts
another Ray there later: tests that come after would go with it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_clusters(tmp_path: Path) -> None:
    checks = Path(__file__).with_name("cluster_checks.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", str(checks)]
    log = tmp_path / "log.txt"
    with log.open("w") as file:  # a pipe would wait for whatever still holds its other end
        subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, cwd=checks.parents[1], check=False)
    text = log.read_text()
    summary = r"^\d+ passed(, \d+ (skipped|warnings?))* in "  # without namespaces those on a cluster are skipped
    assert re.search(summary, text, re.MULTILINE), text[-6000:]
