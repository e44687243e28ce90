"""One image file: its header, and its pixels."""

from __future__ import annotations

import logging
import os
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from nas.data.paths import open_file
from nas.errors import InputError
from nas.silence import without_stderr

MAX_MEGAPIXELS = 64
# By name, since Pillow would otherwise also hand files to external programs (EPS to Ghostscript).
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})
_STRIP_PIXELS = 1_000_000
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EXIF_ORIENTATION = 0x0112
_MAX_FILE_BYTES = 512_000_000  # the pixels of as many megapixels with four channels of 16 bits
# Whatever Pillow's readers raise on damaged files; there is no list of it.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(AssertionError, MemoryError, RuntimeError, struct.error, zlib.error),
)
_log = logging.getLogger("PIL")


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


def read_pixels(
    path: Path,
    channels: int,
    size: tuple[int, int] | None = None,
    box: tuple[int, int, int, int] | None = None,
) -> npt.NDArray[np.uint8]:
    """The image at ``path``, upright, its first frame where there are several.

    Colour becomes grey by ITU-R 601 luma, transparent pixels become white, 16 bits become 8 by dropping the low ones.

    Args:
        path: an image file.
        channels: 1 for grey, 3 for RGB.
        size: (height, width) to which it is brought (stretched where the proportions differ); None keeps its own.
        box: left, top, width and height, in pixels, of what is cut out before; None is the whole image.

    Returns:
        uint8, shape (height, width, channels).

    Raises:
        BrokenImageError: not an image, or one cut short.
        InputError: more than 64 megapixels.
    """
    with _opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        plain = _eight_bits(upright).convert("L" if channels == 1 else "RGB")
        if box is not None:
            left, top, width, height = box
            plain = plain.crop((left, top, left + width, top + height))
        if size is not None and plain.size != size[::-1]:
            plain = plain.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(plain, dtype=np.uint8).reshape(plain.height, plain.width, channels)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with open_file(path) as file, _silent(file.read(4) in _TIFF):
            file.seek(0)
            size = os.fstat(file.fileno()).st_size
            if size > _MAX_FILE_BYTES:
                raise InputError(f"{path}: {size} bytes, more than the {_MAX_FILE_BYTES} that are read: shrink it")
            with Image.open(file, formats=_FORMATS) as image:
                _refuse_huge(path, image.width * image.height)
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit lies above ours, and it names the number of pixels.
        pixels = re.search(r"\d+", str(error))
        _refuse_huge(path, int(pixels[0]) if pixels else sys.maxsize)
    except _BROKEN as error:
        raise BrokenImageError(f"{path}: not an image that can be read ({error}): replace or remove it") from error


@contextmanager
def _silent(is_tiff: bool) -> Iterator[None]:
    """While entered, neither warnings nor log lines about an image's oddities reach the terminal."""
    level = _log.level
    _log.setLevel(logging.CRITICAL)
    try:
        # libtiff writes to standard error by itself
        with without_stderr() if is_tiff else nullcontext(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        _log.setLevel(level)


def _refuse_huge(path: Path, pixels: int) -> None:
    if pixels > MAX_MEGAPIXELS * 1e6:
        raise InputError(
            f"{path}: {pixels / 1e6:.0f} megapixels, more than the {MAX_MEGAPIXELS} megapixels that are read: "
            "shrink or remove it"
        )


def _eight_bits(image: Image.Image) -> Image.Image:
    """``image`` with 8 bits a channel and no transparency."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError(f"grey values from {values.min()} to {values.max()}; 0..65535 can be read")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image


def _on_white(image: Image.Image) -> Image.Image:
    """The RGBA ``image`` laid on white, in strips, since whole copies of a large one fill the memory."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        strip = image.crop(box)
        image.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip), box)
    return image
