"""CK+ as distributed: the last three frames of each labelled sequence, cropped to the face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data.captions import SYNTHETIC_CAPTION, is_synthetic
from nas.data.ckplus_files import CkPlusFiles, find_ckplus_files
from nas.data.coverage import coverage_warnings
from nas.data.dataset import Dataset
from nas.data.facecrop import crop_face, landmarks_in_crop
from nas.data.imagefile import BrokenImageError, read_header, read_pixels
from nas.data.paths import small_text
from nas.errors import InputError, one_line

CLASS_NAMES = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
FRAMES_PER_SEQUENCE = 3
DEFAULT_SIDE = 48
LANDMARKS_PER_FACE = 68
_CENTRAL = "their central square was taken"
Points = npt.NDArray[np.float64]


def load_ckplus(root: Path, image_size: int | None = None) -> Dataset:
    """The labelled part of CK+ (Lucey et al. 2010), grey, sorted by sequence and frame.

    The box around the 68 landmarks of a frame is cut out where there are landmarks, else the central square.

    Raises:
        InputError: no frame, no label, one class only, or more than half of the frames unreadable.
    """
    return _loaded(root, image_size)[0]


def load_ckplus_landmarks(root: Path, image_size: int | None = None) -> Dataset:
    """The same with the landmarks of each frame, as shares of the crop; frames that have none are left out.

    Raises:
        InputError: as :func:`load_ckplus`, or no frame has landmarks.
    """
    dataset, points = _loaded(root, image_size)
    there = np.array([p is not None for p in points])
    if not there.any():
        raise InputError(f"{root}: no frame has 68 landmarks: put the folder Landmarks beside cohn-kanade-images")
    kept = replace(dataset, warnings=tuple(w for w in dataset.warnings if not w.endswith(_CENTRAL)))
    if not there.all():
        kept = kept.subset(np.flatnonzero(there))
        left_out = f"{int((~there).sum())} frames without usable landmarks are left out"
        kept = replace(kept, warnings=(*kept.warnings, left_out))
    return replace(kept, landmarks=np.stack([landmarks_in_crop(p) for p in points if p is not None]))


def _loaded(root: Path, image_size: int | None) -> tuple[Dataset, tuple[Points | None, ...]]:
    """The data set, and the landmarks of each image in pixels of its frame."""
    files = find_ckplus_files(root)
    labels, warnings = _labels(root, files)
    frames = [path for sequence in labels for path in files.frames[sequence][-FRAMES_PER_SEQUENCE:]]
    side = DEFAULT_SIDE if image_size is None else int(image_size)
    crops = _crops(frames, files.landmarks, side)
    if 2 * len(crops.broken) > len(frames):
        raise InputError(
            f"{root}: {len(crops.broken)} of {len(frames)} labelled CK+ frames cannot be read "
            f"(first: {crops.broken[0]}): unpack the archive again"
        )
    sequences = np.array([path.name[:8].upper() for path in crops.kept])
    subjects = np.array([sequence[:4] for sequence in sequences])
    numbers = np.array([labels[sequence] for sequence in sequences], np.int64)
    dataset = Dataset(
        images=crops.images,
        labels=numbers,
        class_names=CLASS_NAMES,
        subjects=subjects,
        sequences=sequences,
        kind="ck+",
        caption=SYNTHETIC_CAPTION
        if is_synthetic(root)
        else (
            f"CK+ (last {FRAMES_PER_SEQUENCE} frames of {len(np.unique(sequences))} labelled sequences, "
            f"{len(np.unique(subjects))} subjects)"
        ),
        warnings=warnings + crops.warnings() + coverage_warnings(numbers, CLASS_NAMES, subjects),
        names=np.array([one_line(str(path.relative_to(root))) for path in crops.kept]),
    )
    return dataset, crops.points


def load_ckplus_points(root: Path, names: Iterable[str]) -> dict[str, npt.NDArray[np.float64]]:
    """The 68 landmarks (x, y) of those frames that have usable ones, by name, in pixels of the frame, shape (68, 2)."""
    files = find_ckplus_files(root).landmarks
    found: dict[str, npt.NDArray[np.float64]] = {}
    for name in names:
        path = root / name
        try:
            header = read_header(path)
        except BrokenImageError:
            continue
        points = _points(files.get(path.stem.upper()), (header.height, header.width))
        if points is not None:
            found[name] = points
    return found


def _labels(root: Path, files: CkPlusFiles) -> tuple[dict[str, int], tuple[str, ...]]:
    """Index into ``CLASS_NAMES`` of each usable sequence, sorted by sequence, and what to warn about."""
    if not files.frames:
        raise InputError(f"{root}: CK+ folders but no frame like S005_001_00000001.png: unpack its images there too")
    if not files.labels:
        raise InputError(
            f"{root}: {len(files.frames)} CK+ sequences but no label like S005_001_00000011_emotion.txt: "
            "put the folder Emotion beside the folder cohn-kanade-images and give the folder that holds both"
        )
    found = {sequence: _emotion(files.labels[sequence]) for sequence in sorted(files.labels)}
    unreadable = [sequence for sequence, emotion in found.items() if emotion is None]
    neutral = [sequence for sequence, emotion in found.items() if emotion == 0]
    emotions = {sequence: emotion for sequence, emotion in found.items() if emotion}
    frameless = [sequence for sequence in emotions if sequence not in files.frames]
    usable = {sequence: emotion - 1 for sequence, emotion in emotions.items() if sequence in files.frames}
    counted = (
        (unreadable, "sequences left out: their label is no number in 0..7"),
        (neutral, "neutral sequences (label 0) left out"),
        (frameless, "labelled sequences left out: they have no frame"),
    )
    warnings = [f"{len(them)} {what} (first: {them[0]})" for them, what in counted if them]
    if files.repeated:
        warnings.append(f"{files.repeated} frames lie there more than once; the first in alphabetical order was taken")
    present = sorted({CLASS_NAMES[emotion] for emotion in usable.values()})
    if len(present) < 2:
        raise InputError(
            f"{root}: its {len(usable)} labelled CK+ sequences that have frames are of {len(present)} class"
            f"{'' if len(present) == 1 else 'es'}; a classifier needs at least two: unpack all of CK+"
        )
    return usable, tuple(warnings)


def _emotion(path: Path) -> int | None:
    """The emotion, 0..7, that a label file such as ``   3.0000000e+00`` holds; None where it holds none."""
    try:
        emotion = int(float(small_text(path)))
    except (OSError, ValueError, OverflowError):
        return None
    return emotion if 0 <= emotion <= len(CLASS_NAMES) else None


@dataclass(frozen=True, eq=False)
class _Crops:
    """Faces, uint8 of shape (n, side, side, 1), of the n files ``kept``, and the landmarks in each frame."""

    images: npt.NDArray[np.uint8]
    kept: tuple[Path, ...]
    broken: tuple[Path, ...]
    points: tuple[Points | None, ...]

    def warnings(self) -> tuple[str, ...]:
        found = []
        if self.broken:
            found.append(f"{len(self.broken)} frames cannot be read and are left out (first: {self.broken[0]})")
        without = sum(points is None for points in self.points)
        if without:
            found.append(f"{without} of {len(self.kept)} frames have no usable landmarks: {_CENTRAL}")
        return tuple(found)


def _crops(frames: Sequence[Path], landmarks: Mapping[str, Path], side: int) -> _Crops:
    faces: list[npt.NDArray[np.uint8]] = []
    kept: list[Path] = []
    broken: list[Path] = []
    found: list[Points | None] = []
    for path in frames:
        try:
            grey = read_pixels(path, channels=1)[:, :, 0]
        except BrokenImageError:
            broken.append(path)
            continue
        points = _points(landmarks.get(path.stem.upper()), grey.shape)
        found.append(points)
        faces.append(crop_face(grey, points, side))
        kept.append(path)
    images = np.array(faces, np.uint8).reshape(len(faces), side, side, 1)
    return _Crops(images, tuple(kept), tuple(broken), tuple(found))


def _points(path: Path | None, shape: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
    """The landmarks (x, y), shape (68, 2), that a file holds; None where it holds none that lie about the image."""
    if path is None:
        return None
    try:
        numbers = np.array(small_text(path).split(), np.float64)
    except (OSError, ValueError):
        return None
    if numbers.size != 2 * LANDMARKS_PER_FACE or not np.isfinite(numbers).all():
        return None
    points = numbers.reshape(LANDMARKS_PER_FACE, 2)
    reach = max(shape)
    return points if -reach <= points.min() and points.max() <= 2 * reach else None
