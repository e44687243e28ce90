"""The photographs behind a data set, at their own size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.data.affectnet_npy import looks_like_affectnet
from nas.data.ckplus import load_ckplus_points
from nas.data.dataset import Dataset
from nas.data.imagefile import read_pixels
from nas.data.layouts import unwrapped
from nas.data.paths import existing_path
from nas.data.recognise import SYNTHETIC, load_dataset
from nas.errors import InputError
from nas.preparation.view import Pixels, Points


@dataclass(frozen=True, eq=False)
class Source:
    """A data set and its photographs.

    Attributes:
        dataset: what is known of each image; its own images are small.
        files: the n files that its images come from, or None where it has none: then its images are the photographs.
        points: 68 landmarks of the frames of CK+, by name, in pixels from the centre of the first one.
        cropped: whether the loader cut faces out of the files, so that landmarks are shares of what was cut out.
    """

    dataset: Dataset
    files: tuple[Path, ...] | None
    points: Mapping[str, Points]
    cropped: bool = False

    def name(self, index: int) -> str:
        """How image ``index`` is called."""
        names = self.dataset.names
        return f"{index:06d}" if names is None else str(names[index])

    def photograph(self, index: int) -> Pixels:
        """Image ``index``, uint8 of shape (h, w, 3).

        Raises:
            BrokenImageError: it cannot be read.
        """
        if self.files is not None:
            return read_pixels(self.files[index], channels=3)
        return np.repeat(image, 3, axis=2) if (image := self.dataset.images[index]).shape[2] == 1 else image

    def landmarks(self, index: int, photograph: Pixels) -> Points | None:
        """Landmarks (x, y) of image ``index``, in pixels from the photograph's outer edge; None where it has none."""
        if (points := self.points.get(self.name(index))) is not None:
            return points + 0.5
        if self.dataset.landmarks is None or self.cropped:
            return None
        height, width, _ = photograph.shape
        return np.asarray(self.dataset.landmarks[index], np.float64) * (width, height)


def open_source(source: str | Path) -> Source:
    """The data set that ``source`` names, and where its photographs are.

    Raises:
        InputError: no data set that can be used, or some of its files are not where they were.
    """
    dataset = load_dataset(source)
    if source == SYNTHETIC or dataset.names is None:
        return Source(dataset, None, {})
    root = existing_path(source)
    files = _files(root, [str(name) for name in dataset.names])
    points = load_ckplus_points(root, dataset.names.tolist()) if dataset.kind == "ck+" else {}
    cropped = dataset.kind == "affectnet" and not (root.is_dir() and looks_like_affectnet(unwrapped(root)))
    return Source(dataset, files, points, cropped)


def _files(root: Path, names: list[str]) -> tuple[Path, ...] | None:
    """The files of these names: in ``root``, or where its archive's wrapping ends; None where no name is a file's."""
    folder = root if root.is_dir() else root.parent
    for base in (folder, unwrapped(folder)):
        if (base / names[0]).is_file():
            files = tuple(base / name for name in names)
            if missing := next((file for file in files if not file.is_file()), None):
                raise InputError(
                    f"{missing}: no such file, though its data set names it: rename what holds odd letters"
                )
            return files
    return None
