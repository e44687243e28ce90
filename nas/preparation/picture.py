"""From one photograph to one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from nas.preparation.faces import Detector
from nas.preparation.plan import PlacedBy, Plan, Prepared
from nas.preparation.upscale import Upscaler
from nas.preparation.view import Pixels, Points, View, eye_centres, usable_eyes


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes images by a plan.

    Attributes:
        plan: what is to be done.
        grey: whether the results are grey.
        detector: finds faces where there are no landmarks; None where none is to be found.
        upscaler: enlarges what is smaller than it should be; None is Lanczos.
    """

    plan: Plan
    grey: bool
    detector: Detector | None = None
    upscaler: Upscaler | None = None

    def made(self, photograph: Pixels, landmarks: Points | None) -> Prepared | None:
        """The image of a photograph, uint8 of shape (h, w, 3), with landmarks (x, y), shape (68, 2), where known.

        None where no face was found and the plan leaves such images out.
        """
        view, placed_by, several = self._view(photograph, landmarks)
        missed = view is None
        if view is None:
            if self.plan.missing == "drop":
                return None
            view, placed_by = View.whole(*photograph.shape[:2]), "whole"
        toned = _grey(photograph) if self.grey else photograph
        pixels, by_model = self._pixels(view, toned)
        return Prepared(
            pixels=pixels,
            landmarks=None if landmarks is None else view.shares(landmarks),
            placed_by=placed_by,
            enlarged=view.side < self.plan.size,
            by_model=by_model,
            several=several,
            missed=missed,
        )

    def _view(self, photograph: Pixels, landmarks: Points | None) -> tuple[View | None, PlacedBy, bool]:
        """The square to take, None where no face was found; by what it was placed; whether there were several faces."""
        if not self.plan.wants_face:
            return View.whole(*photograph.shape[:2]), "whole", False
        if landmarks is not None:
            eyes = eye_centres(landmarks)
            if not self.plan.align:
                return View.about(landmarks), "landmarks", False
            if usable_eyes(eyes):
                return View.from_eyes(eyes), "landmarks", False
        faces = () if self.detector is None else self.detector.faces(photograph)
        several = len(faces) > 1
        if not faces:
            return None, "detector", False
        if not self.plan.align:
            return View.about(faces[0].corners), "detector", several
        eyes_found = faces[0].eyes
        return (None if eyes_found is None else View.from_eyes(eyes_found)), "detector", several

    def _pixels(self, view: View, photograph: Pixels) -> tuple[Pixels, bool]:
        """What the view shows, at the plan's size, and whether the model enlarged it."""
        size = self.plan.size
        if self.upscaler is None or view.side >= size:
            return view.pixels(photograph, size), False
        # The model is shown as many pixels as there are, or as many as it takes.
        given = self.upscaler.side or max(1, round(view.side))
        large = self.upscaler.enlarged(view.pixels(photograph, given))
        return View.whole(*large.shape[:2]).pixels(large, size), True


def _grey(photograph: Pixels) -> Pixels:
    """ITU-R 601 luma, shape (h, w, 1)."""
    return np.asarray(Image.fromarray(photograph).convert("L"), dtype=np.uint8)[:, :, np.newaxis]
