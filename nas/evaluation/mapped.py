"""An array of an uncompressed ``.npz`` file, mapped into memory."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_LOCAL_HEADER: Final = 30  # bytes of a member's own header before its name; the lengths of name and extra end it


def mapped_member(path: Path, name: str) -> npt.NDArray[Any]:
    """The array ``name`` of an ``.npz`` file that :func:`numpy.savez` wrote, read-only, its bytes left in the file.

    Processes that map the same file share the pages that they read.

    Raises:
        KeyError: no such array.
        ValueError: it is compressed, holds Python objects, or is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{path}: {name} is compressed: save it with numpy.savez")
    with path.open("rb") as file:
        file.seek(member.header_offset)
        lengths = struct.unpack("<HH", file.read(_LOCAL_HEADER)[-4:])
        file.seek(sum(lengths), 1)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"{path}: {name} holds Python objects, which are never unpickled")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, "r", file.tell(), shape, "F" if fortran else "C")
