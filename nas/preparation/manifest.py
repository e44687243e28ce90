"""The images of a prepared set and the list of them, in the layout that :mod:`nas.data.manifest` reads."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

from PIL import Image

from nas.preparation.plan import Prepared
from nas.preparation.source import Source

MANIFEST: Final = "manifest.csv"
_IMAGES: Final = "images"
_TARGETS: Final = ("valence", "arousal")  # columns of their own; others are called target:NAME


class Manifest:
    """Writes ``images/`` and ``manifest.csv``.

    Its columns are ``path``, ``label``, and what is known of ``subject``, ``sequence``, ``part``, targets and
    ``landmarks`` (``x;y;x;y;...`` in pixels of the image, from its outer edge).

    Args:
        folder: to write into.
        source: what the images are made from.
    """

    def __init__(self, folder: Path, source: Source) -> None:
        self._folder = folder
        self._source = source
        self._taken: set[str] = set()
        dataset = source.dataset
        ids = {"subject": dataset.subjects, "sequence": dataset.sequences, "part": dataset.parts}
        self._ids = {name: values for name, values in ids.items() if values is not None}
        self._has_landmarks = bool(source.points) or source.dataset.landmarks is not None
        self._file = (folder / MANIFEST).open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        targets = [name if name in _TARGETS else f"target:{name}" for name in dataset.target_names]
        landmarks = ["landmarks"] if self._has_landmarks else []
        self._rows.writerow(["path", "label", *self._ids, *targets, *landmarks])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, index: int, prepared: Prepared) -> None:
        """Writes what was made of image ``index``."""
        path = self._path(self._source.name(index))
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = prepared.pixels
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
        dataset = self._source.dataset
        row = [path, dataset.class_names[int(dataset.labels[index])]]
        row += [str(values[index]) for values in self._ids.values()]
        if dataset.targets is not None:
            row += [repr(float(value)) for value in dataset.targets[index]]
        if self._has_landmarks:
            points = prepared.landmarks
            row.append("" if points is None else ";".join(f"{v:.3f}" for v in (points * len(pixels)).ravel().tolist()))
        self._rows.writerow(row)

    def finish(self) -> None:
        """Raises OSError where the list did not reach the disk."""
        self._file.close()

    def _path(self, name: str) -> str:
        """Where the image of this name goes: its own path below ``images``, as PNG, each once."""
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..")]
        plain = PurePosixPath(_IMAGES, *parts)
        path = str(plain.with_suffix(".png"))
        if path.lower() in self._taken:  # a.jpg beside a.png
            path = f"{plain}.png"
        number = 1
        while path.lower() in self._taken:
            number += 1
            path = f"{plain}-{number}.png"
        self._taken.add(path.lower())
        return path
