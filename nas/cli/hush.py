"""Keeps TensorFlow's native log lines off a user's terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """While entered, what native code writes to standard output and error goes to a temporary file.

    Python's own errors come through: they are raised, not printed.  After one, the file's content is shown, since it
    may say why.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 1)
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException as error:
            _back(kept)
            if not hasattr(error, "exit_code"):
                aside.seek(0)
                sys.stderr.write(aside.read().decode(errors="replace"))
            raise
        _back(kept)


def _back(kept: tuple[int, int]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for number, copy in zip((1, 2), kept, strict=True):
        os.dup2(copy, number)
        os.close(copy)
