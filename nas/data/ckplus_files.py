"""Where the frames, labels and landmarks of CK+ lie, however its archives were unpacked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.data.paths import identity, subfolders
from nas.errors import InputError

_SUBJECT = re.compile(r"S\d{3}", re.IGNORECASE)
_SEQUENCE = re.compile(r"\d{3}")
_FRAME = re.compile(r"(S\d{3}_\d{3})_(\d{8})\.(?:png|jpe?g|tiff?|bmp)", re.IGNORECASE)
_LABEL = re.compile(r"(S\d{3}_\d{3})_\d{8}_emotion\.txt", re.IGNORECASE)
_LANDMARKS = re.compile(r"(S\d{3}_\d{3}_\d{8})_landmarks\.txt", re.IGNORECASE)
_SEARCH_DEPTH = 3
_MAX_FOLDERS = 50_000


@dataclass(frozen=True)
class CkPlusFiles:
    """The files of CK+.

    Attributes:
        frames: sequence (``S005_001``) to its frames in order of time, sorted by sequence.
        labels: sequence to the file with its emotion.
        landmarks: frame (``S005_001_00000011``) to the file with its 68 points.
        repeated: number of frames found more than once; the first in alphabetical order is kept.
    """

    frames: Mapping[str, tuple[Path, ...]]
    labels: Mapping[str, Path]
    landmarks: Mapping[str, Path]
    repeated: int


def looks_like_ckplus(root: Path) -> bool:
    """Whether folders such as ``S005/001`` lie in ``root`` or at most three folders deeper.

    Raises:
        InputError: a folder that cannot be listed, or so many of them that this is no data set.
    """
    level = [root]
    seen = {identity(root)}  # links may lead back, and then each level would hold all those before it
    for _ in range(_SEARCH_DEPTH + 1):
        inside = [child for folder in level for child in subfolders(folder)]
        if any(map(_is_subject, inside)):
            return True
        level = []
        for folder in inside:
            if (key := identity(folder)) not in seen:
                seen.add(key)
                level.append(folder)
        if len(seen) > _MAX_FOLDERS:
            raise InputError(f"{root}: more than {_MAX_FOLDERS} folders: give the folder of the data set itself")
    return False


def _is_subject(folder: Path) -> bool:
    named = _SUBJECT.fullmatch(folder.name)
    return named is not None and any(_SEQUENCE.fullmatch(child.name) for child in subfolders(folder))


def find_ckplus_files(root: Path) -> CkPlusFiles:
    """All frames, labels and landmarks under ``root``, told by their names, so that any nesting will do.

    Given the image folder itself, labels and landmarks are also looked for in the folders beside it.
    """
    frames: dict[str, dict[int, Path]] = {}
    labels: dict[str, Path] = {}
    landmarks: dict[str, Path] = {}
    repeated = 0
    for path in _files(root):
        if frame := _FRAME.fullmatch(path.name):
            numbered = frames.setdefault(frame[1].upper(), {})
            repeated += int(frame[2]) in numbered
            numbered.setdefault(int(frame[2]), path)
        elif label := _LABEL.fullmatch(path.name):
            labels.setdefault(label[1].upper(), path)
        elif points := _LANDMARKS.fullmatch(path.name):
            landmarks.setdefault(points[1].upper(), path)
    ordered = {
        sequence: tuple(path for _, path in sorted(numbered.items())) for sequence, numbered in sorted(frames.items())
    }
    return CkPlusFiles(ordered, labels, landmarks, repeated)


def _files(root: Path) -> Iterator[Path]:
    """Files under ``root``, in alphabetical order, links followed, each folder once."""
    places = [root]
    if root.resolve().name.lower() == "cohn-kanade-images":
        beside = subfolders(root.resolve().parent)
        places += [folder for folder in beside if folder.name.lower().startswith(("emotion", "landmarks"))]
    seen: set[str] = set()
    for place in places:
        for folder, inside, names in os.walk(place, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                inside.clear()
                continue
            seen.add(real)
            inside.sort()
            for name in sorted(names):
                yield Path(folder, name)
