"""Errors that a user can act on.

Every error of this package derives from :class:`NasError`.  A message names the thing, the value, the bound and the
remedy, in one or two sentences; the command line prints it and exits with :attr:`NasError.exit_code`.
"""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 2000


class NasError(Exception):
    """Base of every error of ours."""

    exit_code = 1


class InputError(NasError):
    """The user gave something that cannot be used: a path, a file's content, an option.

    Its message is one line that any terminal can show, whatever was given: paths and values may hold line ends, bytes
    that are no text, or a megabyte.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class DecodeError(InputError):
    """A file or text of ours does not hold what it should (wrong field, wrong type, newer version)."""


class NothingEvaluatedError(NasError):
    """No candidate could be evaluated."""

    exit_code = 3


class NotCertifiedError(NasError):
    """A training that a certificate needs failed; what did not fail is kept."""

    exit_code = 3


class EnvironmentStopError(NasError):
    """The environment stopped the search: a full disk, a lost Ray cluster, a run that another process holds."""

    exit_code = 4


def one_line(text: str) -> str:
    """``text`` with what cannot be printed escaped, and the middle of what is longer than a few lines left out."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
