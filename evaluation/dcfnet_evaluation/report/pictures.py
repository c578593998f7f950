"""Draws boxes on frames and encodes them as still or animated WebP."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from dcfnet.io.frame import Frame
from PIL import Image, ImageDraw, ImageFont

from dcfnet_evaluation.report.palette import TRUTH, Colour

WIDTH = 320  # px, largest width of a picture
QUALITY = 60  # of WebP; faces of 20 px are still recognisable
CLIP_RATE = 15  # pictures per second
FONT_PX = 11
LINE_PX = FONT_PX + 4
TEXT_LEFT, TEXT_GAP = 3.0, 10.0  # px before a line and between its entries
TRUTH_SIGN = "T"  # the signs of trackers are numbers
MARGIN = 4  # picture widths outside the picture; box edges are clipped there
INK, PAPER = (255, 255, 255), (0, 0, 0)

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Place: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class MarkedFrame:
    """A frame and the boxes to draw on it.

    frame: uint8 (H, W, 3) BGR. boxes: name -> x, y, w, h, 0-based frame pixels, NaN if there is no box; the true box is
    the first and has the name `TRUTH`. colours: name -> colour. title: first line below the frame.
    """

    frame: Frame
    boxes: Mapping[str, Sequence[float]]
    colours: Mapping[str, Colour]
    title: str


def draw(marked: MarkedFrame) -> Image.Image:
    """Draws the frame, at most WIDTH px wide, with boxes and signs. A title and the legend are below it."""
    size = _picture_size(marked.frame)
    scale = size[0] / marked.frame.shape[1]
    small = cv2.resize(marked.frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else marked.frame
    image = Image.fromarray(np.ascontiguousarray(small[..., ::-1]))
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(FONT_PX)
    signs = {name: TRUTH_SIGN if name == TRUTH else str(number) for number, name in enumerate(marked.boxes)}
    visible = {name: _place(box, scale, size) for name, box in marked.boxes.items() if np.isfinite(box).all()}
    for name, place in visible.items():
        _draw_box(canvas, place, marked.colours[name], thin=name == TRUTH)
    taken: list[Place] = []
    for name, place in visible.items():
        corner = (place[0], place[3] + 2) if name == TRUTH else (place[0], place[1] - LINE_PX - 1)
        taken.append(_draw_sign(canvas, font, signs[name], corner, marked.colours[name], size, taken))
    legend = {f"{signs[name]} = {name}": marked.colours[name] for name in marked.boxes}
    return _add_legend(image, marked.title, legend, font)


def still(image: Image.Image) -> bytes:
    """Encodes the picture as WebP."""
    return _encode(image)


def clip(images: Sequence[Image.Image]) -> bytes:
    """Encodes the pictures as an animated WebP that repeats. All get the size of the first one."""
    first, *others = images
    others = [image if image.size == first.size else image.resize(first.size) for image in others]
    return _encode(first, save_all=True, append_images=others, duration=round(1000 / CLIP_RATE), loop=0)


def _encode(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=QUALITY, method=4, **options)
    return stream.getvalue()


def _picture_size(frame: Frame) -> tuple[int, int]:
    """Width and height of a frame in its picture, px: at most WIDTH wide, never enlarged."""
    height, width = frame.shape[:2]
    scale = min(WIDTH / width, 1.0)
    return round(width * scale), max(round(height * scale), 1)


def _add_legend(image: Image.Image, title: str, legend: Mapping[str, Colour], font: Font) -> Image.Image:
    """Adds the title and the legend below the picture. The title has its own line, because it changes in a clip."""
    measure = ImageDraw.Draw(image)
    places = [(TEXT_LEFT, 0)]
    left, line = TEXT_LEFT, 1
    for entry in legend:
        width = measure.textlength(entry, font) + TEXT_GAP
        if left > TEXT_LEFT and left + width > image.width:
            left, line = TEXT_LEFT, line + 1
        places.append((left, line))
        left += width
    canvas_image = Image.new("RGB", (image.width, image.height + (line + 1) * LINE_PX), PAPER)
    canvas_image.paste(image, (0, 0))
    canvas = ImageDraw.Draw(canvas_image)
    for (x, row), (entry, colour) in zip(places, [(title, INK), *legend.items()], strict=True):
        canvas.text((x, image.height + row * LINE_PX + 1), entry, fill=colour, font=font)
    return canvas_image


def _place(box: Sequence[float], scale: float, size: tuple[int, int]) -> Place:
    """Outermost pixels of a box in the scaled picture: frame pixel i is at (i + 1/2) scale - 1/2."""
    x, y, w, h = box
    ends = [(end + 0.5) * scale - 0.5 for end in (x, y, x + max(w - 1, 0), y + max(h - 1, 0))]
    left, top, right, bottom = (float(np.clip(end, -MARGIN * WIDTH, MARGIN * WIDTH)) for end in ends)
    return left, top, right, bottom


def _draw_box(canvas: ImageDraw.ImageDraw, place: Place, colour: Colour, thin: bool) -> None:
    """Draws a box with a dark border, so that it is visible on any background."""
    left, top, right, bottom = place
    canvas.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=PAPER, width=3 if thin else 4)
    canvas.rectangle(place, outline=colour, width=1 if thin else 2)


def _draw_sign(
    canvas: ImageDraw.ImageDraw,
    font: Font,
    text: str,
    corner: tuple[float, float],
    colour: Colour,
    size: tuple[int, int],
    taken: Sequence[Place],
) -> Place:
    """Draws a sign on a dark background, inside the picture, moved down until it covers no other sign."""
    width, height = canvas.textlength(text, font) + 4, LINE_PX
    left = float(np.clip(corner[0], 0, max(size[0] - width, 0)))
    top = float(np.clip(corner[1], 0, max(size[1] - height, 0)))
    for other in sorted(taken, key=lambda place: place[1]):
        if left < other[2] and other[0] < left + width and top < other[3] and other[1] < top + height:
            top = other[3] + 1
    place = (left, top, left + width, top + height)
    canvas.rectangle(place, fill=PAPER)
    canvas.text((left + 2, top + 1), text, fill=colour, font=font)
    return place
