"""One picture of a face with its landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.data.synthetic.action_units import Activation
from nas.data.synthetic.camera import Camera
from nas.data.synthetic.creases import draw_creases
from nas.data.synthetic.draw import Draw
from nas.data.synthetic.expressions import at_intensity, prototype
from nas.data.synthetic.features import draw_brows, draw_eyes, draw_mouth, draw_nose, draw_sockets
from nas.data.synthetic.head import draw_backdrop, draw_glasses, draw_head
from nas.data.synthetic.identity import Identity
from nas.data.synthetic.pose import Pose
from nas.data.synthetic.sketch import Sketch


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture and where the face's points are in it.

    Attributes:
        image: uint8 grey, shape (98, 128).
        landmarks: (x, y) in pixels of ``image``, rounded to 2 decimals as CK+'s text files would hold them,
            shape (68, 2), iBUG order.
    """

    image: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float64]


def draw_frame(face: Identity, activation: Activation, pose: Pose, camera: Camera, grain: Draw) -> Frame:
    """Draw one frame; ``grain`` draws its noise."""
    sketch = Sketch(face, activation, pose)
    draw_backdrop(sketch)
    draw_head(sketch, camera.light)
    draw_sockets(sketch)
    draw_creases(sketch)
    draw_nose(sketch)
    draw_eyes(sketch, camera.gaze)
    draw_brows(sketch)
    draw_mouth(sketch)
    draw_glasses(sketch)
    return Frame(camera.expose(sketch.canvas.grey, grain), np.round(sketch.landmarks, 2))


def prototype_frame(face: Identity, expression: str, intensity: float) -> Frame:
    """``face`` seen frontally in plain light, making the bare prototype of ``expression`` at ``intensity`` (0..1)."""
    return draw_frame(face, at_intensity(prototype(expression), intensity), Pose(), Camera(), Draw.of(0))
