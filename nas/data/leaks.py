"""Whether what a split tests on is nearly in what it trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nas.data.dataset import Dataset
from nas.data.duplicates import MAX_ALL, NearCopies, near_copies
from nas.data.folds import Split
from nas.errors import InputError

# A near copy of a training image is answered rightly at best where it would not have been: a share s of them adds up to
# s times the error rate, and so at 15 % of errors up to 1.5 points, which is the standard error of an accuracy on data
# of CK+'s size.  Synthetic faces in CK+48's layout without their subjects have over 85 %, Fashion-MNIST has 6 %.
SUBSTANTIAL: Final = 0.10
GUARD_MAX_ALL: Final = 10_000
GUARD_MAX_LOOKED_AT: Final = 2_000
_EXAMPLES: Final = 5


@dataclass(frozen=True)
class Leaks:
    """Near copies across the sides of a split.

    Attributes:
        tested: share of the images that folds test on which have a near copy in what their fold trains on.
        holdout: share of the images set aside which have one in what is searched on; None where nothing is set aside.
        pairs: number of pairs of near copies that lie across, those with a copy of one of the two not counted.
        examples: some of these pairs, by name.
        looked_at: number of images for which copies were looked for; fewer than there are in a large set.
        capped: whether there are more pairs than were looked at, so that the shares are lower bounds.
    """

    tested: float
    holdout: float | None
    pairs: int
    examples: tuple[tuple[str, str], ...]
    looked_at: int
    capped: bool = False

    @property
    def worst(self) -> float:
        """The larger of the two shares."""
        return max(self.tested, self.holdout or 0.0)

    @property
    def substantial(self) -> bool:
        """Whether figures measured on this split say little about new images."""
        return self.worst >= SUBSTANTIAL

    def to_json(self) -> dict[str, Any]:
        """What ``nas data inspect --json`` says of them."""
        return {
            "tested": self.tested,
            "holdout": self.holdout,
            "pairs": self.pairs,
            "examples": [list(pair) for pair in self.examples],
            "images_looked_at": self.looked_at,
        }


def leaks_of(dataset: Dataset, split: Split, copies: NearCopies | None = None) -> Leaks:
    """Counts the near copies that ``split`` parts.

    Args:
        dataset: what was split.
        split: of it.
        copies: those of :func:`nas.data.duplicates.near_copies`, where they are at hand.
    """
    copies = near_copies(dataset.images) if copies is None else copies
    part = _parts(split, len(dataset))
    across = part[copies.pairs[:, 0]] != part[copies.pairs[:, 1]]
    met = _met(copies, part, len(split.folds))
    looked = np.zeros(len(dataset), bool)
    looked[copies.looked_at] = True
    aside, searched = looked & (part == len(split.folds)), looked & (part < len(split.folds))
    return Leaks(
        tested=_share(met, searched),
        holdout=_share(met, aside) if len(split.holdout) else None,
        pairs=int(across.sum()),
        examples=tuple(
            (name_of(dataset, int(a)), name_of(dataset, int(b))) for a, b in copies.pairs[across][:_EXAMPLES]
        ),
        looked_at=len(copies.looked_at),
        capped=copies.capped,
    )


def guard(dataset: Dataset, split: Split, *, allow: bool) -> float | None:
    """Refuses a split by chance of data whose images come in near copies; reads every image twice at most.

    Sets of more than 10,000 images are judged by 2,000 of them, drawn by chance, each compared with all.

    Args:
        dataset: what was split.
        split: of it.
        allow: whether the user has allowed it.

    Returns:
        The share that leaks, where it is substantial and was allowed; None where there is nothing to say.

    Raises:
        InputError: the share is substantial, and was not allowed.
    """
    if split.unit == "subject":  # then near copies are other people's, and a fair test
        return None
    copies = near_copies(dataset.images, max_all=GUARD_MAX_ALL, max_looked_at=GUARD_MAX_LOOKED_AT)
    found = leaks_of(dataset, split, copies)
    if not found.substantial:
        return None
    if not allow:
        raise InputError(refusal(dataset, split, found))
    return found.worst


def refusal(dataset: Dataset, split: Split, found: Leaks) -> str:
    """Why a split is not used, and what to do."""
    first = " ~ ".join(found.examples[0]) if found.examples else "none by name"
    where = "training" if found.tested >= (found.holdout or 0.0) else "what is searched on"
    return (
        f"{dataset.caption}: random split refused, as of CK+48 without its subjects: {found.worst:.0%} of test images "
        f"have a near-copy in {where} (first: {first}), so that accuracy would be that of remembered "
        f"images, and no subjects are known that could be kept apart. Give subjects (a csv manifest with path, label "
        "and subject), keep near-copies together with --group duplicates, or allow it with --allow-leaks: results "
        "will then be called leaky"
    )


def group_near_copies(dataset: Dataset) -> npt.NDArray[np.str_]:
    """The near-duplicate group of each image, shape (n,): what a chain of near copies connects, or a known sequence.

    Raises:
        InputError: too many images to compare all with all.
    """
    if len(dataset) > MAX_ALL:
        raise InputError(
            f"{dataset.caption}: {len(dataset)} images; near-duplicate groups are made of at most {MAX_ALL}: give "
            "subjects or sequences instead"
        )
    copies = near_copies(dataset.images)
    if copies.capped:
        raise InputError(
            f"{dataset.caption}: nearly all images are near copies of each other: give subjects or sequences instead"
        )
    return np.char.mod("near-copies-%05d", copies.groups(dataset.sequences))


def name_of(dataset: Dataset, index: int) -> str:
    """How an image is called: by its name where there is one, else by its number."""
    return f"image {index}" if dataset.names is None else str(dataset.names[index])


def _parts(split: Split, count: int) -> npt.NDArray[np.int64]:
    """The fold that tests each image, shape (n,); the number of folds for what is set aside."""
    part = np.full(count, len(split.folds))
    for number, fold in enumerate(split.folds):
        part[fold.test] = number
    return part


def _met(copies: NearCopies, part: npt.NDArray[np.int64], folds: int) -> npt.NDArray[np.bool_]:
    """Whether each image has a near copy in another fold, shape (n,)."""
    from scipy.sparse import coo_array  # type: ignore[import-untyped]

    links = copies.links()
    ones = np.ones(len(part), np.int32)
    there = coo_array((ones, (copies.same, part)), shape=(links.shape[0], folds + 1)).tocsr()
    counts = (links @ there).tocsr()[:, :folds].toarray()  # of each group's near copies, by the fold that tests them
    elsewhere = counts[copies.same] > 0
    inside = part < folds
    elsewhere[inside, part[inside]] = False
    return np.asarray(elsewhere.any(axis=1), np.bool_)


def _share(met: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float:
    return float(met[among].mean()) if among.any() else 0.0
