"""Load a data set from whatever layout it comes in."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from nas.data.dataset import Dataset
from nas.data.layouts import FILES, FOLDERS
from nas.data.paths import existing_path
from nas.data.resize import check_image_size, resized
from nas.errors import InputError

SYNTHETIC = "synthetic"


def load_dataset(
    source: str | Path | Dataset, *, image_size: int | None = None, wanted: Collection[str] = ()
) -> Dataset:
    """The data that ``source`` gives; its ``kind`` and ``caption`` say what was recognised.

    Tried from the most specific layout to the least: :data:`nas.data.layouts.FOLDERS`, :data:`nas.data.layouts.FILES`.

    Args:
        source: a data set (returned as it is), the name ``synthetic``, or a path.
        image_size: the side to which images are brought; None leaves it to the layout (48 for CK+, the images' own
            size where they share one of at most 224 a side, else 48).
        wanted: ``targets``, ``landmarks``: what is to be used beside images and labels.  Synthetic faces and CK+ have
            them only where they are wanted, so that their fingerprint is what it is without; other data always do.

    Raises:
        InputError: nothing there, or nothing that can be used; the message says what was found and what to give.
    """
    check_image_size(image_size)
    if isinstance(source, Dataset):
        return resized(source, image_size)
    if isinstance(source, str) and source == SYNTHETIC:
        from nas.data.synthetic import synthetic_faces

        return resized(synthetic_faces(wanted=wanted) if wanted else synthetic_faces(), image_size)
    path = existing_path(source, names=(SYNTHETIC,))
    if path.is_dir():
        layout = next(layout for layout in FOLDERS if layout.matches(path))
        load = layout.load_landmarks if "landmarks" in wanted and layout.load_landmarks is not None else layout.load
        return load(path, image_size)
    return _load_file(path, image_size)


def _load_file(path: Path, image_size: int | None) -> Dataset:
    if not path.is_file():
        raise InputError(f"data {path}: neither a folder nor a file, but a pipe or a device: save the data to a file")
    layout = next((layout for layout in FILES if layout.matches(path)), None)
    if layout is not None:
        return layout.load(path, image_size)
    raise InputError(
        f"data {path}: a {path.suffix or 'nameless'} file cannot be read; give a folder with one subfolder of images "
        "per class, CK+ as distributed, CK+48, or an .npz file with arrays x and y"
    )
