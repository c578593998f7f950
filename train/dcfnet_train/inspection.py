"""What is wrong with footage, found before the first step: bad boxes, and images that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.images import read_image
from dcfnet_train.recipe import Recipe
from dcfnet_train.videos import MIN_SIDE, Video

READERS = 8  # threads; decoding lets others run
Seen = Callable[[int], None]


@dataclass(frozen=True)
class Findings:
    """passed_over: what is not learnt from, or odd, and does no harm. faults: what would end a run, or spoil it."""

    passed_over: tuple[str, ...]
    faults: tuple[str, ...]


def inspect(
    videos: Sequence[Video],
    photos: Sequence[Path],
    recipe: Recipe,
    every: bool = False,
    seen: Seen = lambda images: None,
) -> Findings:
    """Looks at all boxes, and at the first and last image with a box of every video and of the photographs.

    every: at all images instead. seen(images) is called as they are read.
    """
    with ThreadPoolExecutor(READERS) as readers:
        looked = list(readers.map(lambda video: _look(video, _chosen(len(video.usable()), every), seen), videos))
        pictures = list(readers.map(_photo_fault, (photos[i] for i in _chosen(len(photos), every))))
    passed_over = [told for video in videos if (told := describe_boxes(video))]
    outside = [told for found in looked for told in found.passed_over]
    broken = [told for found in looked for told in found.faults] + [fault for fault in pictures if fault]
    return Findings((*passed_over, *outside), (*_too_tight(videos, recipe), *broken))


def images_looked_at(videos: Iterable[Video], every: bool) -> int:
    """How many images of the videos `inspect` reads."""
    return sum(len(_chosen(len(video.usable()), every)) for video in videos)


def describe_boxes(video: Video) -> str:
    """Which frames of a video are passed over, and why; "" where none is."""
    shown = np.isfinite(video.boxes).all(axis=1) & (video.boxes[:, 2:] > 0).all(axis=1)
    small = shown & (video.boxes[:, 2:] < MIN_SIDE).any(axis=1)
    kinds = (
        (np.flatnonzero(~shown), "without a target, or its box without a size"),
        (np.flatnonzero(small), f"with a box under {MIN_SIDE:g} px"),
    )
    told = [f"{len(found)} {what} (first: frame {found[0]})" for found, what in kinds if len(found)]
    if not len(video.usable()):
        told.append("nothing is left of it")
    return f"{video.name}: of {len(video.boxes)} frames {', '.join(told)}" if told else ""


def _chosen(count: int, every: bool) -> list[int]:
    return list(range(count)) if every else sorted({0, count - 1} & set(range(count)))


def _look(video: Video, places: Sequence[int], seen: Seen) -> Findings:
    """Reads some of the usable frames, counted among them."""
    outside, broken = [], []
    for index in video.usable()[list(places)].tolist():
        try:
            image, box = video.read(index)
        except SequenceError as error:
            broken.append(str(error))
        else:
            height, width = image.shape[:2]
            if min(box.x + box.w, box.y + box.h, width - box.x, height - box.y) <= 0:
                outside.append(f"{video.name}: the box of frame {index} lies outside its {width} x {height} px")
        seen(1)
    return Findings(tuple(outside), tuple(broken))


def _photo_fault(file: Path) -> str:
    try:
        read_image(file)
    except ValueError as error:
        return str(error)
    return ""


def _too_tight(videos: Sequence[Video], recipe: Recipe) -> list[str]:
    """Caches of crops that show less than the recipe's patches do."""
    needed = 1 + recipe.padding + 2 * recipe.displacement
    tight = sorted({video.around for video in videos if video.around < needed})
    return [
        f"crops of {around:g} times the target: padding={recipe.padding:g} and displacement={recipe.displacement:g} "
        f"need {needed:g}; cut them with dcfnet-crops --around {np.ceil(needed):g}"
        for around in tight
    ]
