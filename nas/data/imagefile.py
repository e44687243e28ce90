"""One image file: its header, and its pixels."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nas.errors import InputError

MAX_MEGAPIXELS = 64
# By name, since Pillow would otherwise also hand files to external programs (EPS to Ghostscript).
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})
_EXIF_ORIENTATION = 0x0112
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


class BrokenImageError(InputError):
    """A file that holds no image that can be decoded."""


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before it is decoded: size as shown, in pixels, and whether it is stored as grey."""

    height: int
    width: int
    is_grey: bool


def read_header(path: Path) -> ImageHeader:
    """Size and colour of the image at ``path``, without decoding it.

    Raises:
        BrokenImageError: not an image.
        InputError: more than 64 megapixels.
    """
    with _opened(path) as image:
        width, height = image.size
        if image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8):
            width, height = height, width
        return ImageHeader(height, width, image.mode in _GREY_MODES)


def read_pixels(path: Path, channels: int, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """The image at ``path``, upright, its first frame where there are several.

    Colour becomes grey by ITU-R 601 luma, transparent pixels become white, 16 bits become 8 by dropping the low ones.

    Args:
        path: an image file.
        channels: 1 for grey, 3 for RGB.
        size: (height, width) to which it is brought (stretched where the proportions differ); None keeps its own.

    Returns:
        uint8, shape (height, width, channels).

    Raises:
        BrokenImageError: not an image, or one cut short.
        InputError: more than 64 megapixels.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        plain = _eight_bits(upright).convert("L" if channels == 1 else "RGB")
        if size is not None and plain.size != size[::-1]:
            plain = plain.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(plain, dtype=np.uint8).reshape(plain.height, plain.width, channels)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=_FORMATS) as image:
                _refuse_huge(path, image)
                yield image
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise InputError(_too_large(path, "far")) from error
        except _BROKEN as error:
            raise BrokenImageError(f"{path}: not an image that can be read ({error}): replace or remove it") from error


def _refuse_huge(path: Path, image: Image.Image) -> None:
    megapixels = image.width * image.height / 1e6
    if megapixels > MAX_MEGAPIXELS:
        raise InputError(_too_large(path, f"{megapixels:.0f} megapixels,"))


def _too_large(path: Path, how_much: str) -> str:
    return f"{path}: {how_much} more than the {MAX_MEGAPIXELS} megapixels that are read: shrink or remove it"


def _eight_bits(image: Image.Image) -> Image.Image:
    """``image`` with 8 bits a channel and no transparency."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError(f"grey values from {values.min()} to {values.max()}; 0..65535 can be read")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.has_transparency_data:
        overlay = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", overlay.size, "white"), overlay)
    return image
