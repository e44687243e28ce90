"""What a path that no layout fits has in common with one, for the message that refuses it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from nas.data.csvfile import csv_columns
from nas.data.paths import image_files, subfolders, visible_entries

_ARCHIVES: Final = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_CK_FOLDERS: Final = ("cohn-kanade-images", "emotion", "emotion_labels", "landmarks", "facs", "facs_labels")
_SUBJECT: Final = re.compile(r"S\d{3}", re.IGNORECASE)
_CK48_FRAME: Final = re.compile(r"S\d{3}_\d{3}_\d{8}\.png", re.IGNORECASE)


def nearly_ckplus(root: Path) -> str | None:
    """What CK+ as distributed has and ``root`` lacks; None where it does not resemble CK+."""
    for folder in (root, *subfolders(root)):
        subject = next((inner for inner in subfolders(folder) if _SUBJECT.fullmatch(inner.name)), None)
        if subject is not None:
            return f"has {subject.relative_to(root)} but no sequence such as {subject.relative_to(root)}/001 in it"
    named = next((folder for folder in subfolders(root) if folder.name.lower() in _CK_FOLDERS), None)
    return f"has {named.name} but no folder such as {named.name}/S005/001 in it" if named else None


def nearly_ckplus48(root: Path) -> str | None:
    """Where images of CK+48 lie in ``root`` without the folders of their classes; None where there are none."""
    frame = next((file for file in image_files(root) if _CK48_FRAME.fullmatch(file.name)), None)
    return f"has {frame.name} but no class folders such as anger/{frame.name}" if frame else None


def nearly_pixels(path: Path) -> str | None:
    """Which columns of fer2013.csv a csv file, or one in a folder, has and lacks; None where it has none of them."""
    for file in (path,) if path.is_file() else visible_entries(path)[1]:
        columns = csv_columns(file)
        lacking = [name for name in ("emotion", "pixels") if name not in columns]
        if len(lacking) == 1:
            has = "pixels" if lacking[0] == "emotion" else "emotion"
            return f"{file.name} has the column {has} but the column {lacking[0]} is missing"
    return None


def archive_in(path: Path) -> str | None:
    """The archive that ``path`` is or holds, which nobody has unpacked; None where there is none."""
    for file in (path,) if path.is_file() else visible_entries(path)[1]:
        if file.name.lower().endswith(_ARCHIVES):
            return f"{file.name} is an archive: unpack it and give the folder"
    return None
