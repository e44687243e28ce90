"""Our own synthetic faces, driven by facial action units, under the protocol of CK+."""

from nas.data.captions import SYNTHETIC_CAPTION
from nas.data.synthetic.difficulty import DEFAULT_DIFFICULTY, Difficulty
from nas.data.synthetic.faces import SYNTHETIC_VERSION, synthetic_faces
from nas.data.synthetic.layout import write_ckplus_layout

__all__ = [
    "DEFAULT_DIFFICULTY",
    "SYNTHETIC_CAPTION",
    "SYNTHETIC_VERSION",
    "Difficulty",
    "synthetic_faces",
    "write_ckplus_layout",
]
