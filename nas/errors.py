"""Errors that a user can act on.

Every error of this package derives from :class:`NasError`.  A message names the thing, the value, the bound and the
remedy, in one or two sentences; the command line prints it and exits with :attr:`NasError.exit_code`.
"""

from __future__ import annotations


class NasError(Exception):
    """Base of every error of ours."""

    exit_code = 1


class InputError(NasError):
    """The user gave something that cannot be used: a path, a file's content, an option."""

    exit_code = 2


class DecodeError(InputError):
    """A file or text of ours does not hold what it should (wrong field, wrong type, newer version)."""


class NothingEvaluatedError(NasError):
    """No candidate could be evaluated."""

    exit_code = 3


class EnvironmentStopError(NasError):
    """The environment stopped the search: a full disk, a lost Ray cluster, a run that another process holds."""

    exit_code = 4
