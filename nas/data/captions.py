"""How data must be named wherever a figure measured on it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nas.data.paths import open_file

SYNTHETIC_CAPTION: Final = "synthetic faces, CK+ protocol; says nothing about CK+ itself"


def is_synthetic(root: Path) -> bool:
    """Whether a folder in CK+'s layout was written by ``nas data synth``, as its README.txt says."""
    for folder in (root, root.parent):
        try:
            with open_file(folder / "README.txt") as file:
                if file.read(len(SYNTHETIC_CAPTION)) == SYNTHETIC_CAPTION.encode():
                    return True
        except OSError:
            continue
    return False
