"""Load a data set from whatever layout it comes in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from nas.data.classfolders import part_folders
from nas.data.dataset import Dataset
from nas.data.layouts import FILES, FOLDERS, Layout, unwrapped
from nas.data.nearest import archive_in
from nas.data.paths import existing_path, image_files, subfolders, visible_entries
from nas.data.resize import check_image_size, resized
from nas.errors import InputError

SYNTHETIC = "synthetic"
TFDS_PREFIX = "tfds:"
_TRIED = 50


def load_dataset(
    source: str | Path | Dataset, *, image_size: int | None = None, wanted: Collection[str] = ()
) -> Dataset:
    """The data that ``source`` gives; its ``kind`` and ``caption`` say what was recognised.

    Tried from the most specific layout to the least: :data:`nas.data.layouts.FOLDERS`, :data:`nas.data.layouts.FILES`.

    Args:
        source: a data set (returned as it is), the name ``synthetic``, ``tfds:NAME``, or a path.
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
    if is_name(source):
        from nas.data.tfds import load_tfds

        return load_tfds(str(source), image_size)
    path = existing_path(source, names=(SYNTHETIC,))
    return _load_folder(path, image_size, wanted) if path.is_dir() else _load_file(path, image_size)


def is_name(source: str | Path) -> bool:
    """Whether ``source`` names data instead of saying where they lie: ``synthetic``, ``tfds:NAME``."""
    return isinstance(source, str) and (source == SYNTHETIC or source.startswith(TFDS_PREFIX))


def _load_folder(path: Path, image_size: int | None, wanted: Collection[str]) -> Dataset:
    layout = next(layout for layout in FOLDERS if layout.matches(path))
    load = layout.load_landmarks if "landmarks" in wanted and layout.load_landmarks is not None else layout.load
    try:
        return load(path, image_size)
    except InputError as error:
        if layout is not FOLDERS[-1]:
            raise
        nearest = _nearest(path, FOLDERS) or _in_a_subfolder(path)
        if nearest is None and _holds_class_folders(path):
            raise
        raise InputError(f"{error}{nearest or ''}; {_looked_for(FOLDERS)}") from error


def _load_file(path: Path, image_size: int | None) -> Dataset:
    if not path.is_file():
        raise InputError(f"data {path}: neither a folder nor a file, but a pipe or a device: save the data to a file")
    if path.stat().st_size == 0:
        raise InputError(f"data {path}: the file is empty: copy it again")
    layout = next((layout for layout in FILES if layout.matches(path)), None)
    if layout is not None:
        return layout.load(path, image_size)
    raise InputError(
        f"data {path}: a {path.suffix or 'nameless'} file cannot be read{_nearest(path, FILES) or ''}; "
        f"{_looked_for(FILES)}, or a folder with one subfolder of images per class or with one of the data sets that "
        "docs/data.md lists"
    )


def _holds_class_folders(path: Path) -> bool:
    root = unwrapped(path)
    return bool(part_folders(root)) or any(map(image_files, subfolders(root)))


def _nearest(path: Path, layouts: Sequence[Layout]) -> str | None:
    for layout in layouts:
        if has := layout.near(path):
            return f"; nearest: {layout.name}: {has}"
    archive = archive_in(path)
    return f"; {archive}" if archive else None


def _in_a_subfolder(path: Path) -> str | None:
    """Where a data set lies in one of several folders, or as one of the files, of what was given."""
    folders, files = visible_entries(path)
    for inner, layouts in [(folder, FOLDERS[:-1]) for folder in folders[:_TRIED]] + [
        (file, FILES) for file in files[:_TRIED]
    ]:
        layout = next((layout for layout in layouts if layout.matches(inner)), None)
        if layout is not None:
            return f"; nearest: {layout.name}: give {inner}"
    return None


def _looked_for(layouts: Sequence[Layout]) -> str:
    return "looked for: " + ", ".join(f"{layout.name} ({layout.wanted})" for layout in layouts)
