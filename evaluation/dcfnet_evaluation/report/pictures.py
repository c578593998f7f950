"""Frames with boxes drawn on them, still or moving, as WebP."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from dcfnet.backend import Frame
from PIL import Image, ImageDraw, ImageFont

from dcfnet_evaluation.report.palette import TRUTH, Colour

WIDTH = 320  # px that a picture is wide, at most
QUALITY = 60  # of WebP: faces of 20 px can still be told apart
CLIP_RATE = 15  # pictures a second
FONT_PX = 11
LINE_PX = FONT_PX + 4
TEXT_LEFT, TEXT_GAP = 3.0, 10.0  # px before a line and between its words
TRUTH_SIGN = "T"  # trackers are numbered
MARGIN = 4  # frame widths outside the frame beyond which a box is drawn no further
INK, PAPER = (255, 255, 255), (0, 0, 0)

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Place: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Marked:
    """A frame and what to draw on it.

    frame: uint8 (H, W, 3) BGR. boxes: name -> x, y, w, h, 0-based frame pixels, NaN where there is none; colours: of
    the names; the truth is `TRUTH`. title: stands below, over the names. The truth comes
    first.
    """

    frame: Frame
    boxes: Mapping[str, Sequence[float]]
    colours: Mapping[str, Colour]
    title: str


def draw(marked: Marked) -> Image.Image:
    """The frame, no wider than WIDTH, with the boxes, each with its sign, over lines that say what the signs mean."""
    size = _shown_size(marked.frame)
    scale = size[0] / marked.frame.shape[1]
    small = cv2.resize(marked.frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else marked.frame
    image = Image.fromarray(np.ascontiguousarray(small[..., ::-1]))
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(FONT_PX)
    signs = {name: TRUTH_SIGN if name == TRUTH else str(number) for number, name in enumerate(marked.boxes)}
    visible = {name: _place(box, scale, size) for name, box in marked.boxes.items() if np.isfinite(box).all()}
    for name, place in visible.items():
        _outline(canvas, place, marked.colours[name], thin=name == TRUTH)
    taken: list[Place] = []
    for name, place in visible.items():
        corner = (place[0], place[3] + 2) if name == TRUTH else (place[0], place[1] - LINE_PX - 1)
        taken.append(_tag(canvas, font, signs[name], corner, marked.colours[name], size, taken))
    words = {f"{signs[name]} = {name}": marked.colours[name] for name in marked.boxes}
    return _over_words(image, marked.title, words, font)


def still(image: Image.Image) -> bytes:
    """The picture as WebP."""
    return _encoded(image)


def clip(images: Sequence[Image.Image]) -> bytes:
    """The pictures as an animated WebP that repeats for ever, all of the first one's size."""
    first, *others = images
    others = [image if image.size == first.size else image.resize(first.size) for image in others]
    return _encoded(first, save_all=True, append_images=others, duration=round(1000 / CLIP_RATE), loop=0)


def _encoded(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=QUALITY, method=4, **options)
    return stream.getvalue()


def _shown_size(frame: Frame) -> tuple[int, int]:
    """Width and height in px of a frame in its picture, uint8 (H, W, 3): no wider than WIDTH, never enlarged."""
    height, width = frame.shape[:2]
    scale = min(WIDTH / width, 1.0)
    return round(width * scale), max(round(height * scale), 1)


def _over_words(image: Image.Image, title: str, words: Mapping[str, Colour], font: Font) -> Image.Image:
    """The picture over its title, on a line of its own since it changes in a clip, and as many lines as words need."""
    measure = ImageDraw.Draw(image)
    places = [(TEXT_LEFT, 0)]
    left, line = TEXT_LEFT, 1
    for word in words:
        width = measure.textlength(word, font) + TEXT_GAP
        if left > TEXT_LEFT and left + width > image.width:
            left, line = TEXT_LEFT, line + 1
        places.append((left, line))
        left += width
    whole = Image.new("RGB", (image.width, image.height + (line + 1) * LINE_PX), PAPER)
    whole.paste(image, (0, 0))
    canvas = ImageDraw.Draw(whole)
    for (x, row), (word, colour) in zip(places, [(title, INK), *words.items()], strict=True):
        canvas.text((x, image.height + row * LINE_PX + 1), word, fill=colour, font=font)
    return whole


def _place(box: Sequence[float], scale: float, size: tuple[int, int]) -> Place:
    """Outermost pixels of a box in the scaled picture: pixel i of the frame lies at (i + 1/2) scale - 1/2."""
    x, y, w, h = box
    ends = [(end + 0.5) * scale - 0.5 for end in (x, y, x + max(w - 1, 0), y + max(h - 1, 0))]
    left, top, right, bottom = (float(np.clip(end, -MARGIN * WIDTH, MARGIN * WIDTH)) for end in ends)
    return left, top, right, bottom


def _outline(canvas: ImageDraw.ImageDraw, place: Place, colour: Colour, thin: bool) -> None:
    """A box with a dark rim, so that it shows on any ground."""
    left, top, right, bottom = place
    canvas.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=PAPER, width=3 if thin else 4)
    canvas.rectangle(place, outline=colour, width=1 if thin else 2)


def _tag(
    canvas: ImageDraw.ImageDraw,
    font: Font,
    text: str,
    corner: tuple[float, float],
    colour: Colour,
    size: tuple[int, int],
    taken: Sequence[Place],
) -> Place:
    """A sign on a dark ground, moved down until it covers no other and into the picture."""
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
