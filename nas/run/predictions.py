"""Out-of-fold predictions of a trained candidate, as they are kept beside its weights."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.errors import DecodeError, one_line

PREDICTIONS: Final = "predictions.npz"
_OPTIONAL: Final = ("labels", "groups", "values", "targets")
DAMAGED: Final = (
    *(OSError, ValueError, EOFError, MemoryError, RuntimeError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, SyntaxError, struct.error, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network said of images that it was not trained on.

    Attributes:
        index: number of each image in the search part of the data, shape (n,).
        probabilities: of the classes, shape (n, classes); (n, 0) where the network predicts numbers alone.
        labels: true classes, shape (n,); None in files of versions that did not write them.
        groups: number of each image's subject (else sequence, else image), shape (n,); None likewise.
        values: the numbers that it predicts, shape (n, k); None where it predicts none.
        targets: the true ones, shape (n, k); None likewise.
    """

    index: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None = None
    groups: npt.NDArray[np.int64] | None = None
    values: npt.NDArray[np.float32] | None = None
    targets: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n, shares, labels = self.index.size, self.probabilities, self.labels
        if shares.ndim != 2 or shares.dtype.kind != "f" or not (shares.size or (n and self.values is not None)):
            raise DecodeError(f"probabilities {shares.dtype} {shares.shape}: expected numbers (n, classes)")
        for name in ("index", "labels", "groups"):
            found = getattr(self, name)
            if found is not None and (found.shape != (n,) or found.dtype.kind != "i"):
                raise DecodeError(f"{name} {found.dtype} {found.shape}: expected {n} whole numbers")
        if len(shares) != n:
            raise DecodeError(f"{len(shares)} predictions for {n} images")
        if not np.isfinite(shares).all():
            raise DecodeError("probabilities that are no numbers")
        if len(np.unique(self.index)) != n:
            raise DecodeError("index: an image occurs twice")
        self._check_values(n)
        if labels is not None and shares.shape[1] and (labels.min() < 0 or labels.max() >= shares.shape[1]):
            raise DecodeError(f"labels outside 0..{shares.shape[1] - 1}")

    def _check_values(self, n: int) -> None:
        values, targets = self.values, self.targets
        if (values is None) != (targets is None):
            raise DecodeError("values and targets: one of them is missing")
        for name, found in (("values", values), ("targets", targets)):
            if found is None or values is None:
                continue
            if found.ndim != 2 or found.dtype.kind != "f" or len(found) != n or found.shape != values.shape:
                raise DecodeError(f"{name} {found.dtype} {found.shape}: expected numbers ({n}, targets)")
            if not found.size or not np.isfinite(found).all():
                raise DecodeError(f"{name}: none, or some that are no numbers")

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The likeliest class of each, shape (n,).  Raises DecodeError where the network names none."""
        if not self.probabilities.shape[1]:
            raise DecodeError("the network predicts numbers and names no class")
        called: npt.NDArray[np.int64] = self.probabilities.argmax(1).astype(np.int64)
        return called

    @property
    def hits(self) -> npt.NDArray[np.bool_] | None:
        """Which are right, shape (n,); None where the labels are not known, or the network names no class."""
        if self.labels is None or not self.probabilities.shape[1]:
            return None
        right: npt.NDArray[np.bool_] = self.predicted == self.labels
        return right

    def to_bytes(self) -> bytes:
        """The contents of predictions.npz."""
        arrays: dict[str, Any] = {"index": self.index, "probabilities": self.probabilities.astype(np.float32)}
        arrays |= {name: a for name in _OPTIONAL if (a := getattr(self, name)) is not None}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Reads what :meth:`to_bytes` made, now or in an earlier version.

        Raises:
            DecodeError: missing or damaged.
        """
        if not path.is_file():
            raise DecodeError(f"{path}: there is no such file")
        try:
            content = io.BytesIO(path.read_bytes())
            with zipfile.ZipFile(content) as archive:
                if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                    raise DecodeError("it is compressed, which this engine never does")
            with np.load(content, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ("index", "probabilities", *_OPTIONAL) if name in file}
            return cls(**arrays)
        except DecodeError as error:
            raise DecodeError(f"{path}: damaged: {error}") from error
        except DAMAGED as error:
            raise DecodeError(f"{path}: cannot be read ({one_line(str(error))})") from error
