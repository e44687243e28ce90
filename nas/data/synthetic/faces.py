"""The synthetic face set in memory."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from nas.data.captions import SYNTHETIC_CAPTION
from nas.data.dataset import Dataset
from nas.data.facecrop import crop_face, landmarks_in_crop
from nas.data.synthetic.difficulty import DEFAULT_DIFFICULTY, Difficulty
from nas.data.synthetic.expressions import CLASS_NAMES, TARGET_NAMES
from nas.data.synthetic.sequence import PEAK_FRAMES, draw_sequences
from nas.errors import InputError

SYNTHETIC_VERSION = "1"
IMAGE_SIZE = 48


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes."""
    if seed < 0:
        raise InputError(f"seed {seed} of the synthetic faces is negative: give 0 or more")


def synthetic_faces(
    seed: int = 0, difficulty: Difficulty = DEFAULT_DIFFICULTY, *, wanted: Collection[str] = ()
) -> Dataset:
    """Draw 118 people making 327 expressions, the last three frames of each: 981 images of shape (48, 48, 1).

    Args:
        seed: 0 or more; the same seed gives the same pixels on every machine.
        difficulty: how hard the expressions are to tell apart.
        wanted: what else to tell, ``targets`` (valence and arousal) and ``landmarks`` (68 in each crop); the pixels are
            the same with them.

    Raises:
        InputError: if ``seed`` is negative.
    """
    check_seed(seed)
    images, labels, subjects, ids = [], [], [], []
    targets, landmarks = [], []
    for sequence in draw_sequences(seed, difficulty):
        for index in range(sequence.frames - PEAK_FRAMES, sequence.frames):
            frame = sequence.frame(index)
            images.append(crop_face(frame.image, frame.landmarks, IMAGE_SIZE)[:, :, None])
            labels.append(CLASS_NAMES.index(sequence.expression))
            subjects.append(sequence.subject_id)
            ids.append(sequence.sequence_id)
            targets.append(sequence.affect(index))
            landmarks.append(landmarks_in_crop(frame.landmarks))
    return Dataset(
        images=np.stack(images),
        labels=np.array(labels, dtype=np.int64),
        class_names=CLASS_NAMES,
        subjects=np.array(subjects),
        sequences=np.array(ids),
        kind="synthetic",
        caption=SYNTHETIC_CAPTION,
        targets=np.array(targets, dtype=np.float32) if "targets" in wanted else None,
        target_names=TARGET_NAMES if "targets" in wanted else (),
        landmarks=np.stack(landmarks) if "landmarks" in wanted else None,
    )
