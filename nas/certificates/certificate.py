"""A certificate: what was recorded, and what follows from it and from the stored predictions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nas.architecture import Architecture
from nas.certificates.results import Pooled, gap, judged, scored
from nas.certificates.statements import statements
from nas.decoding import field, of_kind, reason
from nas.errors import DecodeError
from nas.indicator import METRICS, Constraint, Indicator, Status, Step
from nas.run.atomic import write_atomic
from nas.run.predictions import Predictions
from nas.statistics.correction import corrected_confidence

SCHEMA: Final = 1
DERIVED: Final = ("costs", "result", "holdout_result", "bounds", "verdict", "statements")
# What certificates of earlier versions do not say of the recipe, since there was no choice.
UNSAID: Final = {"class_weights": "none", "target_weight": 1.0, "target_loss": "mse", "soft_labels": False}
NO_BOUND: Final = "no bound on accuracy"
_MOST_BYTES: Final = 20_000_000
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def class_bounds(indicator: Indicator) -> list[Constraint]:
    """The bounds that a certificate is about: on what training decides of the classes."""
    return [c for c in indicator.at(Step.TRAINING) if METRICS[c.metric].task == "classification"]


@dataclass(frozen=True, eq=False)
class Certificate:
    """What a protocol found of one network.

    Attributes:
        data: the content of the JSON file: what was recorded, and :data:`DERIVED`, which follows from it and from the
            predictions beside it.
        path: of that file.
    """

    data: Mapping[str, Any]
    path: Path

    @property
    def id(self) -> str:
        """Of the architecture."""
        return str(self.data["id"])

    @property
    def verdict(self) -> str:
        """``met``, ``violated`` or ``undecided``; or that no accuracy was bound."""
        return str(self.data["verdict"])

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """Value and ends of the interval, as shares."""
        found = self.data["result"]["accuracy"]
        return float(found["value"]), float(found["low"]), float(found["high"])

    @property
    def line(self) -> str:
        """On one line: id, verdict, interval and protocol."""
        value, low, high = self.accuracy
        kind = "reduced protocol" if self.data["reduced"] else "full protocol"
        return (
            f"{self.id} {self.verdict}: accuracy {value:.1%} [{low:.1%}, {high:.1%}], {kind} "
            f"{self.data['protocol']['name']}, {self.path.name}"
        )

    def write(self) -> None:
        """Writes the JSON file, and beside it the same for people as Markdown."""
        from nas.certificates.text import markdown

        write_atomic(self.path, json.dumps(self.data, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        write_atomic(self.path.with_suffix(".md"), markdown(self.data))

    @classmethod
    def read(cls, path: Path) -> Certificate:
        """Reads what :meth:`write` wrote.  Raises DecodeError where it is none."""
        try:
            if not path.is_file():
                raise DecodeError("there is no such file")
            if path.stat().st_size > _MOST_BYTES:
                raise DecodeError(f"{path}: larger than any certificate")
            data = json.loads(path.read_bytes())
            if field(data, "schema", int) > SCHEMA:
                raise DecodeError(f"schema {data['schema']}; this version reads up to {SCHEMA}: upgrade nanosynth")
            for name, kind in _FIELDS.items():
                field(data, name, kind)
            certificate = cls(data, path)
            _check_shown(certificate)
        except DecodeError as error:
            raise DecodeError(f"{path}: no certificate ({error})") from error
        except OSError as error:
            raise DecodeError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (ValueError, RecursionError, LookupError, TypeError) as error:
            raise DecodeError(f"{path}: no certificate ({reason(error)})") from error
        return certificate


_FIELDS: Final[Mapping[str, type]] = {
    **{"id": str, "issued": str, "architecture": dict, "protocol": dict, "reduced": bool, "split": dict, "data": dict},
    **{"recipe": dict, "constraints": list, "not_judged": list, "selection": dict, "files": list},
    **{"holdout_files": list, "versions": dict, "machine": dict, "seal": str},
    **{"result": dict, "bounds": list, "verdict": str, "statements": list},
}


def _check_shown(certificate: Certificate) -> None:
    """What reaches a terminal is what it should be.  Raises DecodeError or what formatting raises."""
    shown = (certificate.id, certificate.data["protocol"]["name"])
    if not all(isinstance(text, str) and _NAME.fullmatch(text) for text in shown):
        raise DecodeError(f"id or name of the protocol {shown!r:.80} is none")
    if certificate.verdict not in (NO_BOUND, *(status.value for status in Status)):
        raise DecodeError(f"verdict {certificate.verdict!r:.80} is none")
    _ = certificate.line


def composed(recorded: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The whole content: ``recorded``, and what follows from it and from the predictions in ``folder``.

    Raises:
        DecodeError: predictions that are not there, are damaged, or do not fit.
    """
    derived = derive(recorded, predictions(recorded["files"], folder), predictions(recorded["holdout_files"], folder))
    content = {**recorded, **derived}
    return {**content, "seal": seal_of(content)}


def predictions(files: Sequence[Mapping[str, Any]], folder: Path) -> dict[tuple[int | None, int], Predictions]:
    """The predictions of ``files``, by (fold, seed).  Raises DecodeError."""
    return {(f["fold"], f["seed"]): Predictions.read(folder / Path(f["path"]).name) for f in files}


def derive(
    recorded: Mapping[str, Any],
    parts: Mapping[tuple[int | None, int], Predictions],
    aside: Mapping[tuple[int | None, int], Predictions],
) -> dict[str, Any]:
    """What follows from the recorded facts and the predictions.

    Args:
        recorded: see :class:`Certificate`.
        parts, aside: predictions of the folds, and of the subjects set aside (maybe none yet).
    """
    names = recorded["data"]["classes"]
    indicator = Indicator.from_json(recorded["constraints"])
    tests, counted = len(recorded["selection"]["tests"]), recorded["selection"]["judged"]
    pooled = Pooled.of(parts, len(names), recorded["split"]["search_images"])
    result = scored(pooled, names, corrected_confidence(indicator.confidence(), tests))
    bounds = judged(pooled, indicator.at(Step.TRAINING), tests, counted)
    held = None
    if aside:
        pooled_aside = Pooled.of(aside, len(names), recorded["holdout"]["images"])
        held = scored(pooled_aside, names, indicator.confidence())
        held["less_cross_validated"] = gap(pooled_aside, pooled, indicator.confidence())
    architecture = Architecture.from_json(json.dumps(recorded["architecture"]))
    found = {
        "costs": {"params": architecture.cost().params, "macs": architecture.cost().macs},
        "result": result,
        "bounds": bounds,
        "verdict": _verdict(bounds),
        "holdout_result": held,
    }
    return {**found, "statements": statements({**recorded, **found})}


def _verdict(bounds: Sequence[Mapping[str, Any]]) -> str:
    words = {b["status"] for b in bounds}
    order = (Status.VIOLATED.value, Status.UNDECIDED.value, Status.MET.value)
    return next((w for w in order if w in words), NO_BOUND)


def seal_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of all but the seal, as canonical JSON."""
    rest = {name: value for name, value in content.items() if name != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_entry(fold: int | None, seed: int, path: Path) -> dict[str, Any]:
    """What a certificate records of a predictions file beside it."""
    return {
        "fold": of_kind(fold, "fold", int, type(None)),
        "seed": seed,
        "path": path.name,
        "sha256": sha256_of(path),
    }


def sha256_of(path: Path) -> str:
    """Of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def certificates_in(models: Path) -> list[Certificate | DecodeError]:
    """Those of a run, by id and protocol; where one cannot be read, why.

    Args:
        models: folder with one folder a network.
    """
    found: list[Certificate | DecodeError] = []
    for path in sorted(models.glob("*/certificate*.json")):
        try:
            found.append(Certificate.read(path))
        except DecodeError as error:
            found.append(error)
    return found
