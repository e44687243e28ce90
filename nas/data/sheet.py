"""A contact sheet: some images of each class, to look at."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from nas.data.dataset import Dataset
from nas.data.leaks import name_of

MAX_CLASSES: Final = 40
_COLUMNS: Final = 12
_SIDE: Final = 84
_GAP: Final = 8
_NAME_HEIGHT: Final = 13
_TITLE_HEIGHT: Final = 50
_PAPER, _INK, _GREY = "white", "#1a1a1a", "#707070"


@dataclass(frozen=True)
class _Fonts:
    title: ImageFont.FreeTypeFont | ImageFont.ImageFont
    label: ImageFont.FreeTypeFont | ImageFont.ImageFont
    small: ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(dataset: Dataset) -> bytes:
    """A PNG with a row of up to 12 images a class, evenly spread over it, with their names; of 40 classes at most."""
    fonts = _Fonts(*(ImageFont.load_default(size) for size in (17, 15, 10)))
    classes = range(min(len(dataset.class_names), MAX_CLASSES))
    chosen = {index: _spread(np.flatnonzero(dataset.labels == index)) for index in classes}
    counts = dataset.class_counts()
    margin = _margin(list(counts)[: len(classes)], fonts)
    columns = max(len(images) for images in chosen.values())
    wide = max(margin + columns * (_SIDE + _GAP) + _GAP, 640)
    row_height = _SIDE + _NAME_HEIGHT + _GAP
    sheet = Image.new("RGB", (wide, _TITLE_HEIGHT + len(classes) * row_height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _title(draw, dataset, fonts, wide)
    for row, index in enumerate(classes):
        top = _TITLE_HEIGHT + row * row_height
        name = dataset.class_names[index]
        middle = top + _SIDE // 2
        draw.text((_GAP * 2, middle - 17), _fitted(draw, name, fonts.label, margin - 3 * _GAP), _INK, fonts.label)
        draw.text((_GAP * 2, middle + 3), f"{counts[name]:,} images", _GREY, fonts.small)
        for column, image in enumerate(chosen[index].tolist()):
            left = margin + column * (_SIDE + _GAP)
            sheet.paste(_cell(dataset.images[image]), (left, top))
            short = name_of(dataset, image).removeprefix("image ").rsplit("/", 1)[-1]
            draw.text((left, top + _SIDE + 1), _fitted(draw, short, fonts.small, _SIDE), _GREY, fonts.small)
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def _title(draw: ImageDraw.ImageDraw, dataset: Dataset, fonts: _Fonts, wide: int) -> None:
    height, width, channels = dataset.input_shape
    kind = "grey" if channels == 1 else "colour"
    hidden = len(dataset.class_names) - MAX_CLASSES
    more = f"; {hidden} more classes are not shown" if hidden > 0 else ""
    about = f"{len(dataset):,} images of {width}x{height}, {kind}, {len(dataset.class_names)} classes{more}"
    room = wide - 4 * _GAP
    draw.text((_GAP * 2, 8), _fitted(draw, dataset.caption, fonts.title, room), _INK, fonts.title)
    draw.text((_GAP * 2, 30), _fitted(draw, about, fonts.small, room), _GREY, fonts.small)


def _margin(names: list[str], fonts: _Fonts) -> int:
    """Width of the column with the classes' names."""
    widest = max(fonts.label.getlength(name) for name in names)
    return int(min(max(widest, 70), 220)) + 4 * _GAP


def _spread(members: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Up to 12 of a class's images, evenly spread, so that they are not frames of one sequence."""
    return members[np.linspace(0, len(members) - 1, min(_COLUMNS, len(members))).astype(np.int64)]


def _cell(image: npt.NDArray[np.uint8]) -> Image.Image:
    """An image, its proportions kept, centred in a square; small ones are enlarged without smoothing."""
    height, width = image.shape[:2]
    shown = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else np.ascontiguousarray(image)).convert("RGB")
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    filter_ = Image.Resampling.NEAREST if scale >= 3 else Image.Resampling.LANCZOS
    cell = Image.new("RGB", (_SIDE, _SIDE), "#eeeeee")
    cell.paste(shown.resize(size, filter_), ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2))
    return cell


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: object, room: int) -> str:
    """``text``, its middle left out where it is too long."""
    if draw.textlength(text, font=font) <= room:  # type: ignore[arg-type]
        return text
    for kept in range(len(text) - 1, 1, -1):
        head = kept // 2
        shorter = f"{text[:head]}...{text[len(text) - (kept - head) :]}"
        if draw.textlength(shorter, font=font) <= room:  # type: ignore[arg-type]
            return shorter
    return text[:1]
