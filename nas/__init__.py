"""Neural architecture search for networks that must fit a phone or a microcontroller.

Everything is imported when it is first used, so that ``import nas`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas import errors
    from nas.api import Run, open_run, search
    from nas.architecture import Architecture
    from nas.certificates.protocol import CertifyProtocol
    from nas.data.dataset import Dataset
    from nas.data.recognise import load_dataset
    from nas.indicator import Indicator, load_indicator
    from nas.run.front import Front
    from nas.space import SearchSpace, load_space

__version__ = "0.1.0"
__all__ = [
    "Architecture",
    "CertifyProtocol",
    "Dataset",
    "Front",
    "Indicator",
    "Run",
    "SearchSpace",
    "__version__",
    "errors",
    "load_dataset",
    "load_indicator",
    "load_space",
    "open_run",
    "search",
]
_HOMES = {
    "Architecture": "nas.architecture",
    "CertifyProtocol": "nas.certificates.protocol",
    "Dataset": "nas.data.dataset",
    "Front": "nas.run.front",
    "Indicator": "nas.indicator",
    "Run": "nas.api",
    "SearchSpace": "nas.space",
    "load_dataset": "nas.data.recognise",
    "load_indicator": "nas.indicator",
    "load_space": "nas.space",
    "open_run": "nas.api",
    "search": "nas.api",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("nas.errors")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'nas' has no attribute {name!r}")
