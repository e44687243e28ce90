"""A ``.keras`` file: written with metadata, and loaded again as anybody would."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.deploy.metadata import KEY
from nas.errors import DecodeError, EnvironmentStopError
from nas.networks.tflite import ConversionError

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


def run_keras(content: bytes, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probabilities (n, classes) of images (n, h, w, c) by Keras 3, which loads the file in safe mode.

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
    if tuple(model.input_shape[1:]) != images.shape[1:]:
        raise ConversionError(f"the file takes {model.input_shape[1:]}, the images are {images.shape[1:]}")
    return probabilities(model, images)


def probabilities(model: Any, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Outputs (n, classes) of a tf_keras or Keras 3 model for float32 images (n, h, w, c), batch by batch."""
    parts = [np.asarray(model(images[i : i + _BATCH], training=False)) for i in range(0, len(images), _BATCH)]
    return np.concatenate(parts)


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
