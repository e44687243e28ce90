"""Data as one folder of plain arrays that are mapped into memory, not read: what ``nas data convert`` writes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import Field

from nas.data.dataset import PER_IMAGE, Dataset, SequenceKind
from nas.data.resize import resized
from nas.errors import EnvironmentStopError, InputError
from nas.yamlfile import StrictModel, parse_yaml

KIND: Final = "nas"
FORMAT: Final = 1
META: Final = "meta.yaml"
_ARRAYS: Final = ("images", "labels", *PER_IMAGE)
_IN_NPZ: Final = {"images": "x", "labels": "y", "subjects": "subject", "sequences": "sequence"}


class _Meta(StrictModel):
    """``meta.yaml``: what is no array."""

    format: Literal[1]
    class_names: Annotated[list[str], Field(min_length=2)]
    caption: str
    source: str
    fingerprint: str
    arrays: Annotated[list[str], Field(min_length=2)]
    target_names: Annotated[list[str], Field(default_factory=list)]
    sequence_kind: SequenceKind = "sequence"
    warnings: Annotated[list[str], Field(default_factory=list)]


def is_stored(root: Path) -> bool:
    """Whether a folder was written by :func:`store`."""
    return os.path.isfile(root / META) and os.path.isfile(root / "images.npy")


def load_stored(root: Path, image_size: int | None = None) -> Dataset:
    """What :func:`store` wrote; the images stay on disk until they are used, unless another size is asked for.

    Raises:
        InputError: a file is missing or damaged, or is not what ``meta.yaml`` says.
    """
    meta = parse_yaml(root / META, _Meta)
    unknown = set(meta.arrays) - set(_ARRAYS)
    if unknown or not {"images", "labels"} <= set(meta.arrays):
        raise InputError(f"{root / META}: arrays names {', '.join(meta.arrays)}; expected some of {', '.join(_ARRAYS)}")
    arrays: dict[str, Any] = {name: _array(root / f"{name}.npy", mapped=name == "images") for name in meta.arrays}
    kinds = {"images": "u", "labels": "i", "targets": "f", "landmarks": "f", "soft_labels": "f"}
    for name, array in arrays.items():
        if array.dtype.kind != kinds.get(name, "U") or array.ndim < 1:
            raise InputError(f"{root / name}.npy: {array.dtype} of shape {array.shape} is no array of {name}")
    stored = Dataset(
        **arrays,
        class_names=tuple(meta.class_names),
        target_names=tuple(meta.target_names),
        sequence_kind=meta.sequence_kind,
        kind=KIND,
        caption=meta.caption,
        warnings=tuple(meta.warnings),
    )
    return resized(stored, image_size)


def store(dataset: Dataset, out: Path, *, force: bool = False) -> None:
    """Writes ``dataset`` to ``out``: an ``.npz`` file where the name ends so, else a folder; all of it, or nothing.

    Args:
        dataset: what is written.
        out: must not exist, unless ``force``.
        force: replaces what was converted before, and nothing else.

    Raises:
        InputError: something is there, or an ``.npz`` file cannot hold all that is known of the images.
        EnvironmentStopError: it cannot be written.
    """
    as_file = out.suffix.lower() == ".npz"
    if as_file:
        _check_fits(dataset, out)
    if (above := next((folder for folder in out.parents if folder.exists()), None)) and not above.is_dir():
        raise InputError(f"{out}: {above} is a file and no folder; choose another name")
    if os.path.lexists(out):
        _check_replaceable(out, as_file=as_file, force=force)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if as_file:
            _replaced(out, lambda folder: _write_npz(dataset, folder / "data.npz"))
        else:
            _replaced(out, lambda folder: _write_folder(dataset, folder / "data"))
    except OSError as error:
        why = error.strerror or f"the disk is full: {error}"  # NumPy, of less than all that the disk has taken
        raise EnvironmentStopError(f"{out}: cannot be written ({why}); make room, or check permissions") from error


def _check_fits(dataset: Dataset, out: Path) -> None:
    lost = [name for name in PER_IMAGE if name not in (*_IN_NPZ, "names") and getattr(dataset, name) is not None]
    if lost:
        raise InputError(
            f"{out}: an .npz file holds images, labels, subjects and sequences; {', '.join(lost)} of this data would "
            "be lost: give a folder's name instead"
        )


def _check_replaceable(out: Path, *, as_file: bool, force: bool) -> None:
    if not force:
        raise InputError(f"{out}: is there already; choose another name, or replace it with --force")
    if out.is_symlink() or not (out.is_file() if as_file else is_stored(out)):
        raise InputError(f"{out}: is no converted data, and is not replaced; choose another name")


def _replaced(out: Path, write: Callable[[Path], Path]) -> None:
    """Puts what ``write`` makes in a temporary folder beside ``out`` into its place."""
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.{os.getpid()}-", suffix=".tmp"))
    try:
        made = write(folder)
        if out.is_dir():  # a folder cannot be replaced by another one at once: the old one is kept until it is
            os.rename(out, folder / "old")
            try:
                os.rename(made, out)
            except BaseException:
                os.rename(folder / "old", out)
                raise
        else:
            os.replace(made, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_folder(dataset: Dataset, folder: Path) -> Path:
    folder.mkdir()
    there = [name for name in _ARRAYS if getattr(dataset, name) is not None]
    for name in there:
        _save(folder / f"{name}.npy", getattr(dataset, name))
    meta = {
        "format": FORMAT,
        "source": dataset.kind,
        "caption": dataset.caption,
        "class_names": list(dataset.class_names),
        "target_names": list(dataset.target_names),
        "sequence_kind": dataset.sequence_kind,
        "fingerprint": dataset.fingerprint,
        "arrays": there,
        "warnings": list(dataset.warnings),
    }
    (folder / META).write_text(yaml.safe_dump(meta, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return folder


def _write_npz(dataset: Dataset, path: Path) -> Path:
    there = {key: array for name, key in _IN_NPZ.items() if (array := getattr(dataset, name)) is not None}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, classes=np.array(dataset.class_names), **there)
        file.flush()
        os.fsync(file.fileno())
    return path


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    if array.dtype.kind == "O":  # ids given as Python strings
        array = array.astype(np.str_)
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _array(path: Path, *, mapped: bool) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, OverflowError, SyntaxError) as error:
        why = getattr(error, "strerror", None) or "it is damaged, or no plain array"
        raise InputError(f"{path}: cannot be read ({why}): convert the data again") from error
    return array
