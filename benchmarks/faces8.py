"""Writes synthetic faces of eight classes as a csv manifest: neutral first frames, valence, arousal, landmarks.

    python benchmarks/faces8.py FOLDER [--seed 0]

The 118 people and 327 sequences of the default set (docs/tasks.md), with the first frame of each sequence as a class of
its own, ``neutral``, beside the last three: 1,308 images, as the field uses CK+ with eight classes.  They say nothing
about CK+ itself.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from PIL import Image

from nas.data.captions import SYNTHETIC_CAPTION
from nas.data.facecrop import crop_face, landmarks_in_crop
from nas.data.synthetic.difficulty import DEFAULT_DIFFICULTY
from nas.data.synthetic.faces import IMAGE_SIZE
from nas.data.synthetic.sequence import PEAK_FRAMES, draw_sequences

COLUMNS = ("path", "label", "subject", "sequence", "valence", "arousal", "landmarks")


def write(folder: Path, seed: int) -> int:
    """Writes images and manifest.csv; returns the number of images."""
    (folder / "images").mkdir(parents=True)
    (folder / "README.txt").write_text(SYNTHETIC_CAPTION + "\n")
    rows = []
    for sequence in draw_sequences(seed, DEFAULT_DIFFICULTY):
        for index in (0, *range(sequence.frames - PEAK_FRAMES, sequence.frames)):
            frame = sequence.frame(index)
            path = f"images/{sequence.sequence_id}_{index:08d}.png"
            Image.fromarray(crop_face(frame.image, frame.landmarks, IMAGE_SIZE)).save(folder / path)
            points = (landmarks_in_crop(frame.landmarks) * IMAGE_SIZE - 0.5).reshape(-1)
            valence, arousal = sequence.affect(index)
            told = f"{valence:.4f}", f"{arousal:.4f}", ";".join(f"{value:.3f}" for value in points)
            label = "neutral" if index == 0 else sequence.expression
            rows.append((path, label, sequence.subject_id, sequence.sequence_id, *told))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="must not be there yet")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{arguments.folder}: {write(arguments.folder, arguments.seed)} images")


if __name__ == "__main__":
    main()
