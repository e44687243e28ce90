"""The data of a search as a file that evaluators read."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from nas.errors import EnvironmentStopError
from nas.evaluation.bundle import Bundle
from nas.execution.janitor import Janitor


@contextlib.contextmanager
def bundled(bundle: Bundle) -> Iterator[Path]:
    """The file, while entered; removed also when this process is killed.

    Raises:
        EnvironmentStopError: there is no room for it.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"nas-data-{uuid.uuid4().hex[:12]}"
    except OSError as error:  # no folder for temporary files can be written
        raise _no_room(os.environ.get("TMPDIR", "/tmp"), error) from error
    try:
        janitor = Janitor([folder])  # before there is anything to remove
    except OSError as error:
        raise EnvironmentStopError(f"no process can be started ({error.strerror}); look at the machine") from error
    try:
        try:
            folder.mkdir(mode=0o700)
            bundle.save(folder / "bundle.npz")
        except OSError as error:
            raise _no_room(str(folder), error) from error
        yield folder / "bundle.npz"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        janitor.dismiss()


def _no_room(folder: str, error: OSError) -> EnvironmentStopError:
    return EnvironmentStopError(f"{folder}: cannot hold the data ({error.strerror or error}); make room, or set TMPDIR")
