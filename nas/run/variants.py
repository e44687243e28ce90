"""Compressed variants of a run's candidates: what is recorded of each, and where its file lies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nas import decoding
from nas.errors import DecodeError
from nas.measurement import Measurement
from nas.run.atomic import write_atomic
from nas.run.directory import RunDirectory

VARIANT: Final = "variant"  # the kind of event
FILE: Final = "model.tflite"
FOLDER: Final = "variants"


@dataclass(frozen=True)
class Variant:
    """One compressed variant of a candidate, or why there is none.

    Attributes:
        id: of the candidate.
        name: of the variant among the candidate's, such as ``prune-0.8``.
        method: as it was asked for, such as ``prune:0.8``.
        epochs: of fine-tuning; 0 where nothing was trained.
        weights_sha256: of the candidate's weights that it was made from.
        file_sha256: of its TFLite file; None where it failed.
        failure: kind and reason; None where it did not fail.
        measurements: of the file, as LiteRT runs it: ``accuracy``, ``difference`` (accuracy less the float network's,
            paired), ``agreement``, ``size_bytes``, ``zip_bytes``, ``sparsity``, ``latency_ms``, ``latency_ratio`` (to
            the float network's).
        original: the same of the float network's own file, measured beside it.
        details: layers, operators left in float, seconds, and how it was trained.
    """

    id: str
    name: str
    method: str
    epochs: int
    weights_sha256: str
    file_sha256: str | None = None
    failure: Mapping[str, Any] | None = None
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    original: Mapping[str, Measurement] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What ``--pick`` takes."""
        return f"{self.id}:{self.name}"

    def value(self, metric: str) -> float | None:
        """A measured value; None where it was not measured."""
        measured = self.measurements.get(metric)
        return None if measured is None else measured.value

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {
            "id": self.id,
            "name": self.name,
            "method": self.method,
            "epochs": self.epochs,
            "weights_sha256": self.weights_sha256,
            "file_sha256": self.file_sha256,
            "failure": None if self.failure is None else dict(self.failure),
            "measurements": {name: m.to_json() for name, m in self.measurements.items()},
            "original": {name: m.to_json() for name, m in self.original.items()},
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Variant:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError for anything else."""
        failure = decoding.field(data, "failure", dict, type(None))
        if failure is not None:
            decoding.field(failure, "reason", str)
        return cls(
            id=decoding.field(data, "id", str),
            name=decoding.field(data, "name", str),
            method=decoding.field(data, "method", str),
            epochs=decoding.field(data, "epochs", int),
            weights_sha256=decoding.field(data, "weights_sha256", str),
            file_sha256=decoding.field(data, "file_sha256", str, type(None)),
            failure=failure,
            measurements=_measurements(data, "measurements"),
            original=_measurements(data, "original"),
            details=decoding.field(data, "details", dict),
        )

    def row(self) -> dict[str, Any]:
        """One entry of a member's ``variants`` in front.json; what was not measured is null."""
        accuracy, difference = self.measurements.get("accuracy"), self.measurements.get("difference")
        sizes = {name: self.value(name) for name in ("size_bytes", "zip_bytes")}
        return {
            "name": self.name,
            "method": self.method,
            "accuracy": None if accuracy is None else accuracy.value,
            "accuracy_low": None if accuracy is None else accuracy.low,
            "accuracy_high": None if accuracy is None else accuracy.high,
            "difference": None if difference is None else difference.value,
            "difference_low": None if difference is None else difference.low,
            "difference_high": None if difference is None else difference.high,
            "agreement": self.value("agreement"),
            **{name: None if value is None else int(value) for name, value in sizes.items()},
            "sparsity": self.value("sparsity"),
            "latency_ms": self.value("latency_ms"),
            "latency_ratio": self.value("latency_ratio"),
            "failure": None if self.failure is None else self.failure["reason"],
        }


def _measurements(data: Mapping[str, Any], name: str) -> dict[str, Measurement]:
    return {key: Measurement.from_json(m) for key, m in decoding.field(data, name, dict).items()}


def variants_of(directory: RunDirectory) -> dict[str, tuple[Variant, ...]]:
    """The last record of each variant, by the candidate's id, in the order in which they were first made.

    Records that cannot be read are passed over, as are lines that a crash tore.
    """
    found: dict[str, dict[str, Variant]] = {}
    for event in directory.events(VARIANT):
        try:
            variant = Variant.from_json(decoding.field(event, "variant", dict))
        except DecodeError:
            continue
        found.setdefault(variant.id, {})[variant.name] = variant
    return {candidate: tuple(made.values()) for candidate, made in found.items()}


def variant_file(directory: RunDirectory, candidate_id: str, name: str) -> Path:
    """Where the file of a variant lies.  Raises DecodeError for a name that would leave the folder."""
    directory.model_file(candidate_id, name)  # checks both
    return directory.model_file(candidate_id, FOLDER) / name / FILE


def read_variant(directory: RunDirectory, variant: Variant) -> bytes | None:
    """The bytes of its file; None where there is none, or another one than was recorded."""
    try:
        content = variant_file(directory, variant.id, variant.name).read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == variant.file_sha256 else None


def keep_variant(directory: RunDirectory, variant: Variant, content: bytes | None) -> None:
    """Writes the file, then the record: a record without its file is made again.

    Raises:
        EnvironmentStopError: the disk is full, or the folder cannot be written.
    """
    if content is not None:
        write_atomic(variant_file(directory, variant.id, variant.name), content)
    directory.append_event(VARIANT, variant=variant.to_json())


def variant_rows(directory: RunDirectory) -> dict[str, list[dict[str, Any]]]:
    """What front.json says of a run's variants, by the candidate's id."""
    return {candidate: [v.row() for v in made] for candidate, made in variants_of(directory).items()}
