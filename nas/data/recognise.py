"""Load a data set from whatever layout it comes in."""

from __future__ import annotations

import zipfile
from pathlib import Path

from nas.data.ckplus import load_ckplus
from nas.data.ckplus48 import load_ckplus48, looks_like_ckplus48
from nas.data.ckplus_files import looks_like_ckplus
from nas.data.dataset import Dataset
from nas.data.folders import is_split_name, load_folders
from nas.data.npz import load_npz
from nas.data.paths import existing_path, identity, image_files, subfolders
from nas.data.resize import check_image_size, resized
from nas.errors import InputError

SYNTHETIC = "synthetic"


def load_dataset(source: str | Path | Dataset, *, image_size: int | None = None) -> Dataset:
    """The data that ``source`` gives; its ``kind`` and ``caption`` say what was recognised.

    Tried from the most specific layout to the least: CK+ as distributed, CK+48, one folder a class; a file is an .npz.

    Args:
        source: a data set (returned as it is), the name ``synthetic``, or a path.
        image_size: the side to which images are brought; None leaves it to the layout (48 for CK+, the images' own
            size where they share one of at most 224 a side, else 48).

    Raises:
        InputError: nothing there, or nothing that can be used; the message says what was found and what to give.
    """
    check_image_size(image_size)
    if isinstance(source, Dataset):
        return resized(source, image_size)
    if isinstance(source, str) and source == SYNTHETIC:
        from nas.data.synthetic import synthetic_faces

        return resized(synthetic_faces(), image_size)
    path = existing_path(source, names=(SYNTHETIC,))
    if path.is_dir():
        return _load_folder(path, image_size)
    return resized(_load_file(path), image_size)


def _load_folder(root: Path, image_size: int | None) -> Dataset:
    if looks_like_ckplus(root):
        return load_ckplus(root, image_size)
    inner = _unwrapped(root)
    if looks_like_ckplus48(inner):
        return load_ckplus48(inner, image_size)
    return load_folders(inner, image_size)


def _unwrapped(root: Path) -> Path:
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


def _load_file(path: Path) -> Dataset:
    if not path.is_file():
        raise InputError(f"data {path}: neither a folder nor a file, but a pipe or a device: save the data to a file")
    if path.suffix.lower() == ".npz" or (path.suffix == "" and zipfile.is_zipfile(path)):
        return load_npz(path)
    raise InputError(
        f"data {path}: a {path.suffix or 'nameless'} file cannot be read; give a folder with one subfolder of images "
        "per class, CK+ as distributed, CK+48, or an .npz file with arrays x and y"
    )
