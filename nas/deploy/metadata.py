"""What an exported file says of itself: its classes, its input, its network; written into the file, and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nas.decoding import field, of_kind, texts
from nas.errors import DecodeError

SCHEMA: Final = 1
KEY: Final = "nanosynth"  # of the entry in a file's metadata
SIGNATURE: Final = "serving_default"
INPUT: Final = "image"
LANDMARKS: Final = "landmarks"
OUTPUT: Final = "probabilities"
VALUES: Final = "values"
_OUTPUTS: Final = {
    OUTPUT: "one a class, in the order of classes",
    VALUES: "one a target, in the order of targets, as it is",
}


def output_names(classes: int, targets: int) -> tuple[str, ...]:
    """What a file's outputs are called: ``probabilities``, then ``values``, those that there are."""
    return (OUTPUT,) * bool(classes) + (VALUES,) * bool(targets)


@dataclass(frozen=True)
class Metadata:
    """What is written into a file.

    Attributes:
        network: id of the architecture.
        classes: names, in the order of the probabilities; none where no class is named.
        input: how an image becomes the input (:func:`nas.deploy.card.input_convention`).
        quantization: how the weights and activations are stored.
        measured_on: how the data must be named.
        targets: names, in the order of the values; none where no numbers are answered.
        landmarks: how landmarks become the second input (:func:`nas.deploy.card.landmarks_convention`), None where it
            takes none.
    """

    network: str
    classes: tuple[str, ...]
    input: Mapping[str, Any]
    quantization: str
    measured_on: str
    targets: tuple[str, ...] = ()
    landmarks: Mapping[str, Any] | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the file's inputs are called."""
        return (INPUT,) if self.landmarks is None else (INPUT, LANDMARKS)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the file's outputs are called."""
        return output_names(len(self.classes), len(self.targets))

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "network": self.network,
                "classes": list(self.classes),
                "input": dict(self.input),
                "output": "; ".join(f"{name}: {_OUTPUTS[name]}" for name in self.outputs),
                **({"targets": list(self.targets)} if self.targets else {}),
                **({} if self.landmarks is None else {"landmarks": dict(self.landmarks)}),
                "quantization": self.quantization,
                "measured_on": self.measured_on,
            },
            ensure_ascii=False,
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Metadata:
        """Reads what :meth:`to_json` wrote.  Raises DecodeError on anything else."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"metadata that are no JSON: {error}") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise DecodeError("metadata of another version or tool; upgrade nanosynth, or export again")
        return cls(
            network=field(data, "network", str),
            classes=tuple(of_kind(name, "a class", str) for name in field(data, "classes", list)),
            input=field(data, "input", dict),
            quantization=field(data, "quantization", str),
            measured_on=field(data, "measured_on", str),
            targets=texts({"targets": [], **data}, "targets"),
            landmarks=of_kind(data.get("landmarks"), "landmarks", dict, type(None)),
        )


def read(file: str | Path | bytes) -> Metadata:
    """What an exported file (TFLite, ONNX or Keras), or its bytes, says of itself.

    Raises:
        DecodeError: it cannot be read, is none of these, or was not exported by this engine.
        InputError: it is an ONNX file, and the packages for those are not installed.
    """
    name = "the file" if isinstance(file, bytes) else str(file)
    try:
        content = file if isinstance(file, bytes) else Path(file).read_bytes()
    except OSError as error:
        raise DecodeError(f"{name}: cannot be read ({error.strerror}); give an exported file") from error
    try:
        return Metadata.from_json(_text(content))
    except DecodeError as error:
        raise DecodeError(f"{name}: {error}") from error


def _text(content: bytes) -> str | bytes:
    if content[4:8] == b"TFL3":
        from nas.deploy.tflite_signed import metadata_of

        return metadata_of(content)
    if content[:2] == b"PK":
        from nas.deploy.keras_named import metadata_of as metadata_of_keras

        return metadata_of_keras(content)
    from nas.deploy.onnx_named import metadata_of as metadata_of_onnx

    return metadata_of_onnx(content)
