"""The synthetic faces as a folder in CK+'s own layout, to exercise its loader."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from nas.data.captions import SYNTHETIC_CAPTION
from nas.data.synthetic.difficulty import DEFAULT_DIFFICULTY
from nas.data.synthetic.expressions import CK_NUMBERS
from nas.data.synthetic.faces import SYNTHETIC_VERSION, check_seed
from nas.data.synthetic.frame import Frame
from nas.data.synthetic.sequence import Sequence, draw_sequences
from nas.errors import InputError

_README = """{caption}

Drawn by nas.data.synthetic, version {version}, seed {seed}; no real person is shown.
The layout is that of CK+ (Lucey et al. 2010): cohn-kanade-images, Emotion, FACS, Landmarks.
"""


def _number(value: float) -> str:
    """As CK+ writes numbers: three spaces and seven decimals."""
    return f"   {value:.7e}"


def _folder(root: Path, sequence: Sequence) -> Path:
    folder = root / sequence.subject_id / f"{sequence.number:03d}"
    folder.mkdir(parents=True)
    return folder


def _facs_lines(sequence: Sequence) -> str:
    """Action unit and intensity on FACS' scale of 1 (A, trace) to 5 (E, maximum), a line each."""
    graded = {unit: max(1, min(5, int(5.0 * max(pair)) + 1)) for unit, pair in sorted(sequence.apex.items())}
    return "".join(f"{_number(unit)}{_number(grade)}\n" for unit, grade in graded.items())


def _write_sequence(directory: Path, sequence: Sequence) -> int:
    images = _folder(directory / "cohn-kanade-images", sequence)
    landmarks = _folder(directory / "Landmarks", sequence)
    for index in range(sequence.frames):
        stem = f"{sequence.sequence_id}_{index + 1:08d}"
        frame = sequence.frame(index)
        Image.fromarray(frame.image).save(images / f"{stem}.png")
        (landmarks / f"{stem}_landmarks.txt").write_text(_landmark_lines(frame), encoding="ascii")
    last = f"{sequence.sequence_id}_{sequence.frames:08d}"
    label = _folder(directory / "Emotion", sequence) / f"{last}_emotion.txt"
    label.write_text(f"{_number(CK_NUMBERS[sequence.expression])}\n", encoding="ascii")
    facs = _folder(directory / "FACS", sequence) / f"{last}_facs.txt"
    facs.write_text(_facs_lines(sequence), encoding="ascii")
    return sequence.frames


def _landmark_lines(frame: Frame) -> str:
    return "".join(f"{_number(x)}{_number(y)}\n" for x, y in frame.landmarks.tolist())


def write_ckplus_layout(directory: Path, seed: int = 0) -> int:
    """Write every frame of the 327 sequences of :func:`synthetic_faces` in CK+'s layout.

    Args:
        directory: made if absent; must be empty.
        seed: of the faces, 0 or more.

    Returns:
        Number of images written.

    Raises:
        InputError: if ``directory`` holds anything, or ``seed`` is negative.
    """
    check_seed(seed)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} exists and is not an empty folder: name a new one, or remove what it holds")
    directory.mkdir(parents=True, exist_ok=True)
    readme = _README.format(caption=SYNTHETIC_CAPTION, version=SYNTHETIC_VERSION, seed=seed)
    (directory / "README.txt").write_text(readme, encoding="utf-8")
    return sum(_write_sequence(directory, sequence) for sequence in draw_sequences(seed, DEFAULT_DIFFICULTY))
