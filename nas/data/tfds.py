"""Data sets that TensorFlow Datasets has prepared on this machine, by name: ``tfds:NAME``, ``tfds:NAME/config``."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.data.cache import Form, cached_rows, digest_of
from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.parts import part_called, parts_of
from nas.data.pictures import DEFAULT_SIDE, MAX_NATIVE_SIDE
from nas.errors import InputError

PREFIX: Final = "tfds:"
_NAME: Final = re.compile(r"\w+(/[\w.+-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)


def load_tfds(source: str, image_size: int | None = None) -> Dataset:
    """A prepared data set of images with one class each; its splits are the official parts.  Never downloads.

    Images keep a size that all share, of at most 224 a side; others are brought to 48×48, or to ``image_size``.

    Args:
        source: ``tfds:NAME`` or ``tfds:NAME/config``, looked for in ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
        image_size: the side to which images are brought; None as above.

    Raises:
        InputError: the package is not installed; the set is unknown, not prepared, or not one of images with a class.
    """
    name = source.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise InputError(f"data {source!r}: give tfds:NAME or tfds:NAME/config, such as tfds:cifar10")
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise InputError(
            f"data {source}: the package tensorflow_datasets is not installed: pip install 'nanosynth[tfds]'"
        )
    prepared = _prepared(source, name)
    labels, parts, warnings = _labels(source, prepared)
    size, size_warnings = _size(prepared.shape, image_size)
    rows = _images(prepared, parts, (*size, prepared.channels))
    return Dataset(
        images=rows,
        labels=labels,
        class_names=prepared.class_names,
        kind="tfds",
        caption=f"{prepared.full_name} (TensorFlow Datasets, {len(labels)} images)",
        warnings=(*warnings, *size_warnings, *coverage_warnings(labels, prepared.class_names, None)),
        parts=parts_of(np.array([part_called(part) or part for part in parts])),
    )


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A data set of TensorFlow Datasets that lies on disk, and which of its features hold image and class."""

    package: Any
    builder: Any
    image: str
    label: str

    @property
    def full_name(self) -> str:
        return str(self.builder.info.full_name)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(map(str, self.builder.info.features[self.label].names))

    @property
    def shape(self) -> tuple[int | None, int | None]:
        """Height and width of the images, None where they differ."""
        height, width, _ = self.builder.info.features[self.image].shape
        return height, width

    @property
    def channels(self) -> int:
        return self.builder.info.features[self.image].shape[2] or 3

    @property
    def splits(self) -> list[str]:
        return sorted(self.builder.info.splits, key=lambda name: (part_called(name) != "train", name))

    def examples(self, split: str, what: str) -> Iterator[Any]:
        """The images, or the labels, of a split in the order in which they are stored."""
        # One file after another, or the order would hang on the number of cores.
        reading = self.package.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        skipped = {} if what == self.image else {self.image: self.package.decode.SkipDecoding()}
        stored = self.builder.as_dataset(split=split, shuffle_files=False, read_config=reading, decoders=skipped)
        return (example[what] for example in self.package.as_numpy(stored))


def _prepared(source: str, name: str) -> _Prepared:
    package = importlib.import_module("tensorflow_datasets")
    folder = os.environ.get("TFDS_DATA_DIR")
    try:
        builder = package.builder(name, **({"data_dir": folder} if folder else {}))
        there = builder.is_prepared()
    except (ValueError, AssertionError, OSError, ImportError, RuntimeError, KeyError, TypeError) as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"data {source}: TensorFlow Datasets does not know it ({why}): check the name") from error
    if not there:
        raise InputError(
            f"data {source}: not prepared in {builder.data_dir}, and nothing is downloaded during a search: prepare it "
            f"before, with  tfds build {name}  or  tensorflow_datasets.builder({name!r}).download_and_prepare()"
        )
    features = builder.info.features
    images = [key for key in features if isinstance(features[key], package.features.Image)]
    labels = [key for key in features if isinstance(features[key], package.features.ClassLabel)]
    supervised = builder.info.supervised_keys or ()
    image = next((key for key in supervised if key in images), images[0] if len(images) == 1 else None)
    label = next((key for key in supervised if key in labels), labels[0] if len(labels) == 1 else None)
    if image is None or label is None:
        found = ", ".join(f"{key} ({type(features[key]).__name__})" for key in features)
        raise InputError(f"data {source}: its features are {found}; read are sets with one image and one class label")
    shape = features[image].shape
    if np.dtype(features[image].np_dtype) != np.uint8 or shape[2] not in (1, 3, None):
        raise InputError(
            f"data {source}: images are {features[image].np_dtype} of shape {shape}; expected uint8, 1 or 3 channels"
        )
    return _Prepared(package, builder, image, label)


def _labels(source: str, prepared: _Prepared) -> tuple[npt.NDArray[np.int64], list[str], tuple[str, ...]]:
    """Class and split of each image, shapes (n,), of the splits that have labels, and what to warn about."""
    labels: list[int] = []
    parts: list[str] = []
    warnings: list[str] = []
    for split in prepared.splits:
        found = [int(label) for label in prepared.examples(split, prepared.label)]
        if not found or min(found) < 0:
            warnings.append(f"the split {split} is left out: {'no labels' if found else 'no image'}")
            continue
        labels += found
        parts += [split] * len(found)
    if not labels:
        raise InputError(f"data {source}: no split has images with labels")
    return np.array(labels, np.int64), parts, tuple(warnings)


def _size(shape: tuple[int | None, int | None], image_size: int | None) -> tuple[tuple[int, int], tuple[str, ...]]:
    height, width = shape
    if image_size is not None:
        return (int(image_size), int(image_size)), ()
    if height and width and max(height, width) <= MAX_NATIVE_SIDE:
        return (height, width), ()
    side = f"{DEFAULT_SIDE}x{DEFAULT_SIDE}"
    return (DEFAULT_SIDE, DEFAULT_SIDE), (f"images were brought to {side}: give an image size to choose another",)


def _images(prepared: _Prepared, parts: list[str], shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Shape (n, *shape); decoded once into the cache where they are large."""

    def rows() -> Iterator[npt.NDArray[np.uint8]]:
        for split in dict.fromkeys(parts):
            for image in prepared.examples(split, prepared.image):
                yield _fitted(image, shape)

    def key() -> str:
        files = sorted(Path(prepared.builder.data_path).iterdir())
        return f"tfds {prepared.full_name} {list(dict.fromkeys(parts))} {shape} {digest_of(files)}"

    return cached_rows(key, rows, Form(len(parts), shape)).values


def _fitted(image: npt.NDArray[np.uint8], shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    if image.shape == shape:
        return image
    plain = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    plain = plain.convert("L" if shape[2] == 1 else "RGB")
    if plain.size != shape[1::-1]:
        plain = plain.resize(shape[1::-1], Image.Resampling.BILINEAR)
    return np.asarray(plain, np.uint8).reshape(shape)
