"""How many faces `nas data prepare` finds in a data set, by class, and how many images it makes in a second.

python benchmarks/prepare.py DATA [--align] [--size 48] [--ignore-landmarks] [--turn DEGREES] [--every N]

--turn turns every image before (the rate of detection falls with the angle).  --ignore-landmarks has the detector place
faces of data that have landmarks, and measures how far from the landmarks' eyes its own are, in distances of the eyes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter

import numpy as np
from PIL import Image

from nas.preparation.faces import Mtcnn
from nas.preparation.picture import Maker
from nas.preparation.plan import Plan
from nas.preparation.source import open_source
from nas.preparation.view import eye_centres


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--align", action="store_true")
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--ignore-landmarks", action="store_true")
    parser.add_argument("--turn", type=float, default=0.0)
    parser.add_argument("--every", type=int, default=1, help="take every so-manyth image only")
    given = parser.parse_args()

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    source = open_source(given.data)
    detector = Mtcnn()
    maker = Maker(Plan(detect=True, align=given.align, size=given.size), grey=False, detector=detector)
    indices = range(0, len(source.dataset), given.every)
    maker.made(source.photograph(0), None)  # loads the detector
    found: Counter[str] = Counter()
    total: Counter[str] = Counter()
    off: list[float] = []
    seconds = 0.0
    for index in indices:
        photograph = source.photograph(index)
        if given.turn:
            turned = Image.fromarray(photograph).rotate(given.turn, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))
            photograph = np.asarray(turned)
        landmarks = source.landmarks(index, photograph)
        start = time.perf_counter()
        made = maker.made(photograph, None if given.ignore_landmarks else landmarks)
        seconds += time.perf_counter() - start
        name = source.dataset.class_names[int(source.dataset.labels[index])]
        total[name] += 1
        found[name] += made is not None
        if given.ignore_landmarks and landmarks is not None and not given.turn and made is not None:
            faces = detector.faces(photograph)
            eyes = eye_centres(landmarks)
            if faces[0].eyes is not None:
                apart = float(np.linalg.norm(eyes[0] - eyes[1]))
                off.append(float(np.linalg.norm(faces[0].eyes - eyes, axis=1).mean()) / apart)
    for name in total:
        print(f"{name}: {found[name]} of {total[name]} found")
    everything = sum(total.values())
    print(f"all: {sum(found.values()) / everything:.1%} of {everything}; {everything / seconds:.1f} images/s")
    if off:
        print(f"eyes off by {np.median(off):.3f} of their distance (median), {np.percentile(off, 95):.3f} (95 %)")


if __name__ == "__main__":
    main()
