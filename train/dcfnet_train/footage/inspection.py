"""Checks footage before the first step: finds bad boxes and unreadable images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.footage.images import read_image
from dcfnet_train.footage.videos import MIN_SIDE, Video
from dcfnet_train.recipe import Recipe

READERS = 8  # threads; decoding releases the GIL
ImagesRead = Callable[[int], None]


@dataclass(frozen=True)
class Findings:
    """passed_over: skipped frames and unusual boxes, which are harmless. faults: would end or spoil a run."""

    passed_over: tuple[str, ...]
    faults: tuple[str, ...]


def inspect(
    videos: Sequence[Video],
    photos: Sequence[Path],
    recipe: Recipe,
    every: bool = False,
    seen: ImagesRead = lambda images: None,
) -> Findings:
    """Checks all boxes, the first and last usable frame of every video, and the first and last photo.

    every: checks all usable frames and all photos. seen: called with the number of images after each read.
    """
    with ThreadPoolExecutor(READERS) as readers:
        results = list(
            readers.map(lambda video: _check_video(video, _selected(len(video.usable()), every), seen), videos)
        )
        photo_faults = list(readers.map(_photo_fault, (photos[i] for i in _selected(len(photos), every))))
    passed_over = [text for video in videos if (text := describe_boxes(video))]
    outside = [text for result in results for text in result.passed_over]
    broken = [text for result in results for text in result.faults] + [fault for fault in photo_faults if fault]
    return Findings((*passed_over, *outside), (*_too_tight(videos, recipe), *broken))


def images_looked_at(videos: Iterable[Video], every: bool) -> int:
    """Number of video images that `inspect` reads."""
    return sum(len(_selected(len(video.usable()), every)) for video in videos)


def describe_boxes(video: Video) -> str:
    """The skipped frames of a video, with the reason; "" if there is none."""
    valid = np.isfinite(video.boxes).all(axis=1) & (video.boxes[:, 2:] > 0).all(axis=1)
    small = valid & (video.boxes[:, 2:] < MIN_SIDE).any(axis=1)
    kinds = (
        (np.flatnonzero(~valid), "without a target or with an empty box"),
        (np.flatnonzero(small), f"with a box under {MIN_SIDE:g} px"),
    )
    texts = [f"{len(frames)} {kind} (first: frame {frames[0]})" for frames, kind in kinds if len(frames)]
    if not len(video.usable()):
        texts.append("no usable frame")
    return f"{video.name}: {len(video.boxes)} frames, {', '.join(texts)}" if texts else ""


def _selected(count: int, every: bool) -> list[int]:
    return list(range(count)) if every else sorted({0, count - 1} & set(range(count)))


def _check_video(video: Video, positions: Sequence[int], seen: ImagesRead) -> Findings:
    """Reads some usable frames. positions: in the list of usable frames."""
    outside, broken = [], []
    for index in video.usable()[list(positions)].tolist():
        try:
            image, box = video.read(index)
        except SequenceError as error:
            broken.append(str(error))
        else:
            height, width = image.shape[:2]
            if min(box.x + box.w, box.y + box.h, width - box.x, height - box.y) <= 0:
                outside.append(f"{video.name}: the box of frame {index} is outside its {width} x {height} px")
        seen(1)
    return Findings(tuple(outside), tuple(broken))


def _photo_fault(file: Path) -> str:
    try:
        read_image(file)
    except ValueError as error:
        return str(error)
    return ""


def _too_tight(videos: Sequence[Video], recipe: Recipe) -> list[str]:
    """Messages for caches whose crops are smaller than the patches of the recipe."""
    needed = 1 + recipe.padding + 2 * recipe.displacement
    tight = sorted({video.around for video in videos if video.around < needed})
    return [
        f"crops of {around:g} times the target: padding={recipe.padding:g} and displacement={recipe.displacement:g} "
        f"need {needed:g}; cut them again with dcfnet-crops --around {np.ceil(needed):g}"
        for around in tight
    ]
