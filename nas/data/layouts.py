"""The layouts in which data sets come, from the most specific to the least."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nas.data.ckplus import load_ckplus, load_ckplus_landmarks
from nas.data.ckplus48 import load_ckplus48, looks_like_ckplus48
from nas.data.ckplus_files import looks_like_ckplus
from nas.data.dataset import Dataset
from nas.data.folders import is_split_name, load_folders
from nas.data.npz import load_npz
from nas.data.paths import identity, image_files, subfolders
from nas.data.resize import resized


@dataclass(frozen=True)
class Layout:
    """One way in which a data set lies on disk.

    Attributes:
        name: what :attr:`nas.data.dataset.Dataset.kind` will say.
        wanted: what it is recognised by, in half a line, for the message about a layout that nothing recognises.
        matches: whether a path (a folder, or a file) has this layout; cheap, and raises nothing.
        load: reads it; the image size is the side to which images are brought, None leaves it to the layout.
        load_landmarks: reads it with landmarks, where it has them and ``load`` leaves them out.
    """

    name: str
    wanted: str
    matches: Callable[[Path], bool]
    load: Callable[[Path, int | None], Dataset]
    load_landmarks: Callable[[Path, int | None], Dataset] | None = None


def unwrapped(root: Path) -> Path:
    """The folder with the class folders, where archives have wrapped it into folders that hold nothing else."""
    inside = subfolders(root)
    seen = {identity(root)}
    while len(inside) == 1 and not is_split_name(inside[0].name) and not image_files(root):
        if identity(inside[0]) in seen or not subfolders(inside[0]) or image_files(inside[0]):
            break
        seen.add(identity(inside[0]))
        root = inside[0]
        inside = subfolders(root)
    return root


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz" or (path.suffix == "" and zipfile.is_zipfile(path))


FOLDERS: Final[tuple[Layout, ...]] = (
    Layout(
        "ck+",
        "cohn-kanade-images/S005/001/*.png and Emotion/",
        looks_like_ckplus,
        load_ckplus,
        load_ckplus_landmarks,
    ),
    Layout(
        "ck+48",
        "class folders with S138_008_00000007.png",
        lambda root: looks_like_ckplus48(unwrapped(root)),
        lambda root, size: load_ckplus48(unwrapped(root), size),
    ),
    # Takes any folder: what it says of one that holds no images is the last word.
    Layout(
        "folders",
        "one folder of images a class",
        lambda root: True,
        lambda root, size: load_folders(unwrapped(root), size),
    ),
)
FILES: Final[tuple[Layout, ...]] = (
    Layout("npz", "an .npz file with arrays x and y", _is_npz, lambda path, size: resized(load_npz(path), size)),
)
