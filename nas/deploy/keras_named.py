"""A ``.keras`` file: written with metadata, and loaded again as anybody would."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.deploy.metadata import KEY
from nas.errors import DecodeError, EnvironmentStopError
from nas.networks.tflite import ConversionError, Tensors, listed, unlisted

_MEMBER: Final = f"{KEY}.json"  # beside Keras' own config.json; Keras passes over what it does not know
_BATCH: Final = 64


def keras_bytes(model: Any, metadata: str) -> bytes:
    """The file of a Keras 3 model.

    Raises:
        EnvironmentStopError: there is no room for temporary files.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="nas-export-") as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(zipfile.ZipInfo(_MEMBER), metadata)
            return path.read_bytes()
    except OSError as error:
        raise _no_room(error) from error


def run_keras(content: bytes, given: Tensors) -> Tensors:
    """What the network answers, by Keras 3, which loads the file in safe mode; see :mod:`nas.networks.tflite`.

    Raises:
        ConversionError: it cannot be loaded so.
        EnvironmentStopError: there is no room for temporary files.
    """
    import keras

    with tempfile.TemporaryDirectory(prefix="nas-export-") as folder:
        path = Path(folder) / "model.keras"
        try:
            path.write_bytes(content)
        except OSError as error:
            raise _no_room(error) from error
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except (OSError, ValueError, TypeError, LookupError, zipfile.BadZipFile) as error:
            raise ConversionError(f"Keras cannot load it in safe mode: {error}") from error
    takes, shown = [tuple(x.shape[1:]) for x in model.inputs], [x.shape[1:] for x in listed(given)]
    if takes != shown:
        raise ConversionError(
            f"the file takes {' and '.join(map(str, takes))}, the images are {' and '.join(map(str, shown))}"
        )
    return outputs_of(model, given)


def outputs_of(model: Any, given: Tensors) -> Tensors:
    """What a tf_keras or Keras 3 model answers to float32 inputs, batch by batch."""
    fed = listed(given)
    parts = [
        listed(model(unlisted([x[i : i + _BATCH] for x in fed]), training=False)) for i in range(0, len(fed[0]), _BATCH)
    ]
    return unlisted([np.concatenate([np.asarray(part) for part in answer]) for answer in zip(*parts, strict=True)])


def metadata_of(content: bytes) -> bytes:
    """The text that :func:`keras_bytes` wrote.  Raises DecodeError where there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(_MEMBER)
    except KeyError as error:
        raise DecodeError("a .keras file without metadata of this engine; export it again") from error
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError, NotImplementedError) as error:
        raise DecodeError(f"a damaged .keras file ({error}); export it again") from error


def _no_room(error: OSError) -> EnvironmentStopError:
    return EnvironmentStopError(
        f"{tempfile.gettempdir()}: cannot hold the file while it is checked ({error.strerror or error}); make room, "
        "or set TMPDIR"
    )
