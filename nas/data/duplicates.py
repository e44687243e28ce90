"""Images that are copies, or nearly copies, of each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Pairs = npt.NDArray[np.int64]
Features = npt.NDArray[np.float32]

SIDE: Final = 16
# Of 981 synthetic faces, three frames a sequence, .97 finds 99.6 % of the pairs within sequences and no other pair (two
# people reach .89 at most); of Fashion-MNIST's 60,000 images, where nothing is a frame of anything, 6 % have such a
# copy.  See benchmarks/leaks.py.
SIMILARITY: Final = 0.97
MAX_ALL: Final = 40_000
MAX_LOOKED_AT: Final = 4_000
MAX_PAIRS: Final = 2_000_000
_COMPONENTS: Final = 63
_FIT_ON: Final = 4_000
_OTHERS: Final = 20_000
_BLOCK: Final = 2_048
_SLACK: Final = 1e-4  # of float32 products of unit vectors
_CHUNK_BYTES: Final = 64_000_000


@dataclass(frozen=True, eq=False)
class NearCopies:
    """Which images of a set are near copies of each other.

    Attributes:
        pairs: int64, shape (m, 2), sorted; each pair once, the smaller index first.
        looked_at: sorted indices of the images whose copies were looked for, among all others, shape (k,).
        same: a number for each image, shape (n,): those that agree in every pixel share one.  Their neighbours are
            listed with the first of them alone.
        capped: whether there are more pairs than :data:`MAX_PAIRS`, and the search for them was given up.
    """

    pairs: Pairs
    looked_at: npt.NDArray[np.int64]
    same: npt.NDArray[np.int64]
    capped: bool = False

    @property
    def sampled(self) -> bool:
        """Whether only some of the images were looked at."""
        return len(self.looked_at) < len(self.same)

    def links(self) -> Any:
        """Which groups of ``same`` are near copies, each of itself too: sparse, shape (groups, groups)."""
        from scipy.sparse import coo_array, eye_array  # type: ignore[import-untyped]

        count = int(self.same.max()) + 1
        left, right = self.same[self.pairs].T
        links = coo_array((np.ones(len(left), np.int32), (left, right)), shape=(count, count))
        return (links + links.T + eye_array(count, dtype=np.int32)).tocsr()

    def groups(self, sequences: npt.NDArray[np.str_] | None = None) -> npt.NDArray[np.int64]:
        """A number for each image, shape (n,): those that a chain of pairs connects share one.

        Args:
            sequences: shape (n,); images of one sequence are connected too.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

        links = self.links()
        if sequences is not None:
            first, number = np.unique(sequences, return_index=True, return_inverse=True)[1:]
            ones = np.ones(len(sequences), np.int32)
            links += coo_array((ones, (self.same, self.same[first[number]])), shape=links.shape)
        return np.asarray(connected_components(links, directed=False)[1], np.int64)[self.same]


def pixel_groups(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """A number for each image, shape (n,): images that agree in every pixel share one (SHA-256).

    Args:
        images: uint8, shape (n, height, width, channels).
    """
    digests = np.array([hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images], "S32")
    return np.asarray(np.unique(digests, return_inverse=True)[1], np.int64)


def exact_pairs(groups: npt.NDArray[np.int64]) -> Pairs:
    """Each image with the first of its group, where that is another one; shape (m, 2), sorted."""
    first = np.unique(groups, return_index=True)[1][groups]
    own = np.arange(len(groups))
    return np.asarray(np.stack([first, own], axis=1)[first != own], np.int64)


def near_copies(
    images: npt.NDArray[np.uint8],
    *,
    similarity: float = SIMILARITY,
    max_all: int = MAX_ALL,
    max_looked_at: int = MAX_LOOKED_AT,
    groups: npt.NDArray[np.int64] | None = None,
) -> NearCopies:
    """Pairs whose differences of neighbouring pixels correlate to at least ``similarity``; exact copies are among them.

    Each image is averaged over boxes to 16×16 grey values, of which the differences between neighbours, less their
    mean, make a vector of length 1: brightness and contrast do not matter.  Correlation is the product of two vectors.
    Products of their 63 first principal components, and what the rest can add at most (Cauchy-Schwarz), leave out what
    cannot reach the bound; what remains is computed in full, so that nothing is missed.  Of copies that agree in every
    pixel only the first is compared with the others.

    Args:
        images: uint8, shape (n, height, width, channels).
        similarity: of 0.5 to 1.
        max_all: with more images than this, only ``max_looked_at`` of them, drawn by chance, are compared with all.
        max_looked_at: see there.
        groups: those of :func:`pixel_groups`, where they are at hand.
    """
    groups = pixel_groups(images) if groups is None else groups
    count = len(images)
    looked_at = np.arange(count)
    if count > max_all:
        looked_at = np.sort(np.random.default_rng(0).choice(count, max_looked_at, replace=False))
    exact = exact_pairs(groups)
    if count > max_all:
        exact = exact[np.isin(exact, looked_at).any(axis=1)]
    distinct = np.unique(groups, return_index=True)[1]
    if count <= max_all:
        found, capped = _found(features(images, distinct), np.arange(len(distinct)), similarity)
    else:
        found, capped = _found_of_some(images, distinct, np.flatnonzero(np.isin(distinct, looked_at)), similarity)
    pairs = np.concatenate([np.sort(distinct[found], axis=1), exact])
    return NearCopies(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))], looked_at, groups, capped)


def features(images: npt.NDArray[np.uint8], chosen: npt.NDArray[np.int64]) -> Features:
    """Float32 vectors of length 1 (0 for an image without any contrast), one an image ``chosen``, shape (m, d)."""
    height, width = images.shape[1:3]
    rows, columns = _averaging(height), _averaging(width).T
    size = len(rows) * (columns.shape[1] - 1) + (len(rows) - 1) * columns.shape[1]
    result = np.empty((len(chosen), size), np.float32)
    step = max(1, _CHUNK_BYTES // (4 * height * width * images.shape[3]))
    for start in range(0, len(chosen), step):
        part = images[chosen[start : start + step]]
        grey = part[..., 0].astype(np.float32) if part.shape[3] == 1 else part.mean(axis=3, dtype=np.float32)
        small = rows @ grey @ columns
        across, down = np.diff(small, axis=2), np.diff(small, axis=1)
        result[start : start + step] = np.concatenate([v.reshape(len(part), -1) for v in (across, down)], axis=1)
    result -= result.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(result, axis=1, keepdims=True)
    result /= np.where(lengths > 1e-3, lengths, np.inf)
    return result


def _averaging(length: int) -> Features:
    """The matrix, shape (min(16, length), length), that averages pixels over boxes of equal width."""
    boxes = min(SIDE, length)
    edges = np.linspace(0, length, boxes + 1)
    pixels = np.arange(length)
    overlap = np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None])
    return np.asarray(np.clip(overlap, 0, None) * (boxes / length), np.float32)


def _found(vectors: Features, queries: npt.NDArray[np.int64], similarity: float) -> tuple[Pairs, bool]:
    """Pairs (i, j) of ``queries`` with any other vector, each once, and whether there were too many."""
    short = _shortened(vectors)
    position = np.full(len(vectors), -1)
    position[queries] = np.arange(len(queries))
    pairs: list[Pairs] = []
    total = 0
    for rows, columns in _shortlists(short, queries, similarity):
        # A pair of two queries is met twice, or on the diagonal; it counts where the other one comes later.
        once = (position[columns] < 0) | (columns > rows)
        left, right = rows[once], columns[once]
        kept = _products(vectors, left, right) >= similarity
        pairs.append(np.stack([left[kept], right[kept]], axis=1))
        total += int(kept.sum())
        if total > MAX_PAIRS:
            return np.concatenate(pairs)[:MAX_PAIRS], True
    return (np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)), False


def _found_of_some(
    images: npt.NDArray[np.uint8], distinct: npt.NDArray[np.int64], queries: npt.NDArray[np.int64], similarity: float
) -> tuple[Pairs, bool]:
    """The same of images ``distinct``, the vectors of a part of which are in memory at a time."""
    asked = features(images, distinct[queries])
    others = np.setdiff1d(np.arange(len(distinct)), queries)
    found: list[Pairs] = []
    for start in range(0, max(len(others), 1), _OTHERS):
        part = others[start : start + _OTHERS]
        vectors = np.concatenate([asked, features(images, distinct[part])])
        pairs, capped = _found(vectors, np.arange(len(queries)), similarity)
        found.append(np.sort(np.concatenate([queries, part])[pairs], axis=1))
        if capped or sum(map(len, found)) > MAX_PAIRS:
            return np.unique(np.concatenate(found), axis=0)[:MAX_PAIRS], True
    # Pairs of two queries are met with every part.
    return np.unique(np.concatenate(found), axis=0), False


def _shortlists(
    short: Features, queries: npt.NDArray[np.int64], similarity: float
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """(rows, columns) of what may reach the bound, block by block; shapes (m,) and (m,)."""
    all_queries = len(queries) == len(short)
    for start in range(0, len(queries), _BLOCK):
        rows = queries[start : start + _BLOCK]
        for begin in range(start if all_queries else 0, len(short), 4 * _BLOCK):
            products = short[rows] @ short[begin : begin + 4 * _BLOCK].T
            hits = np.flatnonzero(products.ravel() >= similarity - _SLACK)
            row, column = np.divmod(hits, products.shape[1])
            yield rows[row], column + begin


def _products(vectors: Features, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> Features:
    """Products of pairs of vectors, shape (m,), a bounded number at a time."""
    result = np.empty(len(left), np.float32)
    step = max(1, _CHUNK_BYTES // (8 * vectors.shape[1]))
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        result[part] = np.einsum("ij,ij->i", vectors[left[part]], vectors[right[part]])
    return result


def _shortened(vectors: Features) -> Features:
    """(n, d) to (n, 64 at most): products of these are at least those of the vectors."""
    some = vectors[:: max(1, len(vectors) // _FIT_ON)]
    basis = np.linalg.eigh(some.T @ some)[1][:, ::-1][:, :_COMPONENTS].astype(np.float32)
    projected = vectors @ basis
    rest = np.einsum("ij,ij->i", vectors, vectors) - np.einsum("ij,ij->i", projected, projected)
    return np.concatenate([projected, np.sqrt(np.clip(rest, 0, None))[:, None]], axis=1)
