"""The layouts in which data sets come, from the most specific to the least."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nas.data.affectnet_csv import is_affectnet_list, load_affectnet_csv, looks_like_affectnet_csv
from nas.data.affectnet_npy import load_affectnet, looks_like_affectnet, nearly_affectnet
from nas.data.ckdata import is_ck_data, is_hdf5, load_ck_data
from nas.data.ckplus import load_ckplus, load_ckplus_landmarks
from nas.data.ckplus48 import load_ckplus48, looks_like_ckplus48
from nas.data.ckplus_files import looks_like_ckplus
from nas.data.dataset import Dataset
from nas.data.fer2013 import load_fer_folders, load_pixel_csv, looks_like_fer_folders, pixel_csv_of
from nas.data.ferplus import is_votes_csv, load_ferplus
from nas.data.folders import load_folders
from nas.data.idx import load_idx, looks_like_idx, nearly_idx
from nas.data.manifest import is_manifest, load_manifest, manifest_in, nearly_manifest
from nas.data.nearest import nearly_ckplus, nearly_ckplus48, nearly_pixels
from nas.data.npypair import load_npy_pair, looks_like_npy_pair, nearly_npy_pair
from nas.data.npz import load_npz
from nas.data.parts import part_called
from nas.data.paths import identity, image_files, subfolders, visible_entries
from nas.data.pixelcsv import is_pixel_csv
from nas.data.rafdb import load_rafdb, looks_like_rafdb, nearly_rafdb
from nas.data.resize import resized
from nas.data.stored import KIND, is_stored, load_stored


@dataclass(frozen=True)
class Layout:
    """One way in which a data set lies on disk.

    Attributes:
        name: what :attr:`nas.data.dataset.Dataset.kind` will say.
        wanted: what it is recognised by, in half a line, for the message about a layout that nothing recognises.
        matches: whether a path (a folder, or a file) has this layout; cheap, and raises nothing.
        load: reads it; the image size is the side to which images are brought, None leaves it to the layout.
        near: what a path that nothing recognises has of this layout and what it lacks, in a clause; None where it does
            not resemble it.
        load_landmarks: reads it with landmarks, where it has them and ``load`` leaves them out.
    """

    name: str
    wanted: str
    matches: Callable[[Path], bool]
    load: Callable[[Path, int | None], Dataset]
    near: Callable[[Path], str | None] = lambda path: None
    load_landmarks: Callable[[Path, int | None], Dataset] | None = None


def unwrapped(root: Path) -> Path:
    """The folder with the class folders, where archives have wrapped it into folders that hold nothing else."""
    inside = subfolders(root)
    seen = {identity(root)}
    while len(inside) == 1 and not part_called(inside[0].name) and not image_files(root):
        if identity(inside[0]) in seen or not subfolders(inside[0]) or image_files(inside[0]):
            break
        seen.add(identity(inside[0]))
        root = inside[0]
        inside = subfolders(root)
    return root


def held_files(root: Path, wanted: Callable[[Path], bool]) -> tuple[Path, ...]:
    """The files in ``root`` that are ``wanted``, or in the only folder in it, where archives have wrapped them."""
    seen = {identity(root)}
    while True:
        inside, files = visible_entries(root)
        if found := tuple(file for file in files if wanted(file)):
            return found
        if len(inside) != 1 or identity(inside[0]) in seen:
            return ()
        root = inside[0]
        seen.add(identity(root))


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz" or (path.suffix == "" and zipfile.is_zipfile(path))


FOLDERS: Final[tuple[Layout, ...]] = (
    Layout(KIND, "meta.yaml and images.npy, as nas data convert writes them", is_stored, load_stored),
    # What the user has written for this purpose comes first.
    Layout(
        "manifest",
        "manifest.csv, or one other csv file, with the columns path and label",
        lambda root: manifest_in(root) is not None,
        load_manifest,
    ),
    Layout(
        "ck+",
        "cohn-kanade-images/S005/001/*.png and Emotion/",
        looks_like_ckplus,
        load_ckplus,
        nearly_ckplus,
        load_ckplus_landmarks,
    ),
    Layout(
        "ck+48",
        "class folders with S138_008_00000007.png",
        lambda root: looks_like_ckplus48(unwrapped(root)),
        lambda root, size: load_ckplus48(unwrapped(root), size),
        nearly_ckplus48,
    ),
    Layout(
        "raf-db",
        "basic/EmoLabel/list_patition_label.txt and basic/Image/aligned/, or DATASET/train|test/1..7/",
        lambda root: looks_like_rafdb(unwrapped(root)),
        lambda root, size: load_rafdb(unwrapped(root), size),
        nearly_rafdb,
    ),
    Layout(
        "affectnet",
        "train_set/images/0.jpg and train_set/annotations/0_exp.npy (and val_set)",
        lambda root: looks_like_affectnet(unwrapped(root)),
        lambda root, size: load_affectnet(unwrapped(root), size),
        nearly_affectnet,
    ),
    Layout(
        "affectnet",
        "training.csv with the columns subDirectory_filePath and expression (and validation.csv)",
        lambda root: looks_like_affectnet_csv(unwrapped(root)),
        lambda root, size: load_affectnet_csv(unwrapped(root), size),
    ),
    Layout(
        "ferplus",
        "fer2013new.csv beside fer2013.csv",
        lambda root: bool(held_files(root, is_votes_csv)),
        lambda root, size: load_ferplus(held_files(root, is_votes_csv)[0], size),
    ),
    Layout(
        "fer2013",  # or ckextended, which shares the format
        "fer2013.csv or ckextended.csv",
        lambda root: bool(held_files(root, is_pixel_csv)),
        lambda root, size: load_pixel_csv(pixel_csv_of(held_files(root, is_pixel_csv)), size),
        nearly_pixels,
    ),
    Layout(
        "fer2013",
        "train/angry/Training_10118481.jpg",
        lambda root: looks_like_fer_folders(unwrapped(root)),
        lambda root, size: load_fer_folders(unwrapped(root), size),
    ),
    Layout(
        "ck_data.h5",
        "CK_data.h5",
        lambda root: bool(held_files(root, is_ck_data)),
        lambda root, size: load_ck_data(held_files(root, is_ck_data)[0], size),
    ),
    Layout(
        "npy",
        "x.npy and y.npy",
        looks_like_npy_pair,
        lambda root, size: resized(load_npy_pair(root), size),
        nearly_npy_pair,
    ),
    Layout(
        "idx",
        "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz (and t10k)",
        looks_like_idx,
        lambda root, size: resized(load_idx(root), size),
        nearly_idx,
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
    Layout(
        "affectnet",
        "a list with the columns subDirectory_filePath and expression",
        is_affectnet_list,
        load_affectnet_csv,
    ),
    Layout("manifest", "a csv file with the columns path and label", is_manifest, load_manifest, nearly_manifest),
    Layout("ferplus", "fer2013new.csv with fer2013.csv beside it", is_votes_csv, load_ferplus),
    Layout("fer2013", "a csv with the columns emotion,pixels,Usage", is_pixel_csv, load_pixel_csv, nearly_pixels),
    Layout("ck_data.h5", "an HDF5 file with data_pixel and data_label", is_hdf5, load_ck_data),
    Layout(
        "npz",
        "an .npz file with arrays x and y",
        _is_npz,
        lambda path, size: resized(load_npz(path), size),
        nearly_npy_pair,
    ),
)
