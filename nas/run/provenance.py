"""What a run should say of the software and the machine that it was made with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    *("nanosynth", "tensorflow", "tf-keras", "keras", "tensorflow-model-optimization", "ai-edge-litert"),
    *("optuna", "ray", "numpy", "scikit-learn", "tf2onnx", "onnx", "onnxruntime"),
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide results; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Processor, usable cores and system; no name of the machine or its user."""
    return {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "system": platform.system().lower()}


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
