"""Large arrays that are made once: memory-mapped files in a cache folder, shared by all processes that need them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import __version__ as pillow_version

from nas.data.imagefile import BrokenImageError, read_pixels
from nas.errors import InputError

VERSION: Final = 1  # of what the files hold: another number, and all is made anew
IN_MEMORY_BYTES: Final = 200_000_000
MAX_MEMORY_BYTES: Final = 8_000_000_000
OFF: Final = "off"
_ABANDONED_S: Final = 3600  # a writer that lives writes every few seconds
_TOLD_EVERY_S: Final = 30
_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class CachedRows:
    """Rows of one shape, in memory or mapped from a file.

    Attributes:
        values: shape (m, ...); a read-only :class:`numpy.memmap` where it is on disk.
        kept: int64, shape (m,), which of the rows that were asked for could be made, ascending.
        warnings: why a large array is in memory.
    """

    values: npt.NDArray[Any]
    kept: npt.NDArray[np.int64]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """How many rows are asked for, of what shape and type."""

    count: int
    shape: tuple[int, ...]
    dtype: str = "u1"

    @property
    def row_bytes(self) -> int:
        """The size of one row."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    @property
    def total_bytes(self) -> int:
        """The size of all rows."""
        return self.count * self.row_bytes


def cache_folder() -> Path | None:
    """``$NAS_CACHE``, else ``$XDG_CACHE_HOME/nas``, else ``~/.cache/nas``; None where ``NAS_CACHE`` is ``off``."""
    given = os.environ.get("NAS_CACHE", "")
    if given.lower() == OFF:
        return None
    if given:
        return Path(os.path.expanduser(given))
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "nas"


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 (first 32 hex digits) of path, size and time of change of every file; one that is missing says so."""
    here = os.getcwd()
    digest = hashlib.sha256()
    for file in files:
        name = os.fspath(file)
        try:
            found = os.stat(name)
            state = f"{found.st_size} {found.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(os.fsencode(f"{name if name.startswith('/') else os.path.join(here, name)}\0{state}\n"))
    return digest.hexdigest()[:32]


def decoded(
    files: Sequence[Path],
    size: tuple[int, int],
    channels: int,
    progress: Progress | None = None,
    boxes: npt.NDArray[np.int64] | None = None,
) -> CachedRows:
    """The pixels of ``files``, decoded once: above 200 MB they are kept in the cache and mapped from there.

    Args:
        files: image files; those that cannot be read have no row.
        size: (height, width) to which each is brought.
        channels: 1 or 3.
        progress: told how many of how many are done; by default the log is, every half a minute.
        boxes: shape (n, 4), left, top, width and height in pixels of what is cut out of each file, or None.

    Returns:
        uint8 rows of shape (height, width, channels).

    Raises:
        InputError: neither the disk nor the memory has room.
    """
    form = Form(len(files), (*size, channels))

    def rows() -> Iterator[npt.NDArray[np.uint8] | None]:
        tell = progress or _to_log(form)
        for index, file in enumerate(files):
            tell(index, len(files))
            try:
                yield read_pixels(file, channels, size, None if boxes is None else tuple(boxes[index].tolist()))
            except BrokenImageError:
                yield None

    def key() -> str:
        cut = b"" if boxes is None else np.ascontiguousarray(boxes, "<i8").tobytes()
        what = f"pixels {digest_of(files)} {size} {channels} {pillow_version} {hashlib.sha256(cut).hexdigest()}"
        return what

    return cached_rows(key, rows, form)


def cached_rows(
    key: Callable[[], str],
    rows: Callable[[], Iterator[npt.NDArray[Any] | None]],
    form: Form,
    least_bytes: int | None = None,
) -> CachedRows:
    """The rows that ``rows`` makes; from the cache where they are there already, into it where they are large.

    Args:
        key: names what decides the rows; asked for only where the cache is used.
        rows: makes them, in order; None for one that cannot be made.
        form: how many of what shape and type.
        least_bytes: what is not larger is simply kept in memory; None is 200 MB.

    Raises:
        InputError: neither the disk nor the memory has room.
    """
    if form.total_bytes <= (IN_MEMORY_BYTES if least_bytes is None else least_bytes):
        return _in_memory(rows(), form)
    folder = cache_folder()
    if folder is None:
        reason = f"NAS_CACHE is {OFF}"
    else:
        name = hashlib.sha256(f"{VERSION} {form} {key()}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
        path = folder / f"{name}.rows"
        try:
            if (found := _mapped(path, form)) is None:
                _log.info("%s is made (%.1f GB)", path, form.total_bytes / 1e9)
                _write(path, rows(), form)
                found = _mapped(path, form)
            if found is not None:
                return found
            reason = f"{path} was lost while it was made"
        except OSError as error:
            reason = f"the cache {folder} cannot be written ({error.strerror or error})"
    _refuse_too_much(form, reason)
    made = _in_memory(rows(), form)
    size = f"{form.total_bytes / 1e9:.1f} GB"
    return CachedRows(made.values, made.kept, (f"{reason}: {size} of images are kept in memory, in each process",))


def _in_memory(rows: Iterator[npt.NDArray[Any] | None], form: Form) -> CachedRows:
    values = np.empty((form.count, *form.shape), form.dtype)
    kept: list[int] = []
    for index, row in enumerate(rows):
        if row is not None:
            values[len(kept)] = row
            kept.append(index)
    return CachedRows(values[: len(kept)], np.array(kept, np.int64))


def _mapped(path: Path, form: Form) -> CachedRows | None:
    """What lies in the cache under ``path``: the rows, then one byte for each that was asked for, 1 where it was made.

    None where nothing does, or what does has another length than it must have.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= form.count:
                return None
            file.seek(size - form.count)
            kept = np.flatnonzero(np.frombuffer(file.read(form.count), np.uint8))
    except FileNotFoundError:
        return None
    if size != len(kept) * form.row_bytes + form.count:
        return None
    values = np.memmap(path, form.dtype, "r", 0, (len(kept), *form.shape))
    return CachedRows(values, kept.astype(np.int64))


def _write(path: Path, rows: Iterator[npt.NDArray[Any] | None], form: Form) -> None:
    """Writes the rows beside ``path`` and puts them there at once; of several writers at a time any may win.

    Raises:
        OSError: the folder cannot be written, or the disk has no room (known before the first row is made).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb", buffering=1 << 20) as file:
            _reserve(file.fileno(), form.total_bytes + form.count)
            made = bytearray(form.count)
            for index, row in enumerate(rows):
                if row is not None:
                    file.write(np.ascontiguousarray(row, form.dtype).tobytes())
                    made[index] = 1
            file.write(made)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C, too, leaves nothing behind
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _reserve(handle: int, size: int) -> None:
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that cannot
            raise


def _remove_abandoned(folder: Path) -> None:
    """Removes what writers that were killed have left."""
    for path in folder.glob(".*.rows.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()


def _refuse_too_much(form: Form, reason: str) -> None:
    bound = min(MAX_MEMORY_BYTES, _available_bytes() // 2)
    if form.total_bytes > bound:
        raise InputError(
            f"{form.count} images of {'x'.join(map(str, form.shape))} are {form.total_bytes / 1e9:.1f} GB, more than "
            f"the {bound / 1e9:.1f} GB that may be kept in memory, and {reason}: set NAS_CACHE to a folder with "
            f"{form.total_bytes / 1e9:.1f} GB of room, or give a smaller image size"
        )


def _available_bytes() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return 2 * MAX_MEMORY_BYTES


def _to_log(form: Form) -> Progress:
    """Tells the log, every half a minute."""
    began = last = time.monotonic()

    def tell(done: int, count: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _TOLD_EVERY_S:
            last = now
            rest = (now - began) / done * (count - done) if done else 0.0
            _log.warning("%d of %d images are decoded; about %.0f s more, this once", done, count, rest)

    return tell
