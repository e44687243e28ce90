"""CK+48: faces cut from CK+ at 48×48, one folder a class, the subject in the file's name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from nas.data.classfolders import part_folders
from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.folders import read_class_folders
from nas.data.parts import parts_of
from nas.data.paths import image_files, subfolders
from nas.errors import InputError

_FRAME = re.compile(r"(S\d{3})_(\d{3})_\d{8}\.png", re.IGNORECASE)
_NEARLY_ALL = 0.9


def looks_like_ckplus48(root: Path) -> bool:
    """Whether nearly all images of the class folders of ``root`` are named like ``S138_008_00000007.png``."""
    inside = [*subfolders(root), *(folder for part in part_folders(root) for folder in subfolders(part))]
    named = [bool(_FRAME.fullmatch(file.name)) for folder in inside for file in image_files(folder)]
    return bool(named) and sum(named) >= _NEARLY_ALL * len(named)


def load_ckplus48(root: Path, image_size: int | None = None) -> Dataset:
    """The grey images of CK+48, with the subject (``S138``) and the sequence (``S138_008``) of each.

    Raises:
        InputError: fewer than two classes, or more than half of the files unreadable.
    """
    read = read_class_folders(root, image_size, channels=1)
    names = [_FRAME.fullmatch(file.name) for file in read.files]
    kept = np.array([name is not None for name in names])
    if not kept.any():
        raise InputError(f"{root}: no image that can be read is named like S138_008_00000007.png")
    subjects = np.array([name[1].upper() for name in names if name])
    sequences = np.array([f"{name[1].upper()}_{name[2]}" for name in names if name])
    labels = read.labels[kept]
    warnings = read.warnings
    if not kept.all():
        first = read.files[int(np.argmin(kept))]
        warnings = (*warnings, f"{int((~kept).sum())} images whose names give no subject are left out (first: {first})")
    return Dataset(
        images=read.images[kept],
        labels=labels,
        class_names=read.class_names,
        subjects=subjects,
        sequences=sequences,
        kind="ck+48",
        caption=f"CK+48 ({len(labels)} images, {len(np.unique(subjects))} subjects)",
        warnings=warnings + coverage_warnings(labels, read.class_names, subjects),
        parts=None if read.parts is None else parts_of(read.parts[kept]),
        names=read.names[kept],
    )
