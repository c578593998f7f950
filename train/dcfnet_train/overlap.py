"""Footage that is also in a test set, found by name and by picture: TempleColor-128, for one, holds OTB's videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import cv2
import numpy as np
from dcfnet_evaluation.sequences import Frames
from numpy.typing import NDArray

from dcfnet_train.images import Image
from dcfnet_train.videos import Video

SAMPLES = 12  # frames of a video that are looked for in the test set
# Bits of 128 by which two copies of a picture may differ. Of 2,250 copies of frames of 21 sequences, down to half their
# size and JPEG's quality 30, 99 in 100 differed by up to 7, all by up to 16; frames of two sequences by 30 and more.
SAME = 16
BLANK = 4.0  # grey levels: a picture whose brightness varies by less is like every other such


class Footage(Protocol):
    """A sequence to judge by."""

    @property
    def name(self) -> str: ...

    @property
    def frames(self) -> Frames: ...


def fingerprint(image: Image) -> NDArray[np.uint8] | None:
    """128 bits of a picture, uint8 (16,), that outlast another size or compression; None of one that shows nothing.

    Whether it grows brighter, from each of 8 x 8 places to the next, along rows and along columns ("difference hash").
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if grey.std() < BLANK:
        return None
    small = cv2.resize(grey, (9, 9), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits([small[:8, 1:] > small[:8, :-1], small[1:, :8] > small[:-1, :8]])


def fingerprints(frames: Frames, indices: Iterable[int]) -> NDArray[np.uint8]:
    """Those of some frames, uint8 (N, 16). Raises SequenceError for a frame that cannot be read."""
    found = [bits for index in indices if (bits := fingerprint(frames.read(index))) is not None]
    return np.array(found, dtype=np.uint8).reshape(-1, 16)


def overlapping(videos: Sequence[Video], tests: Sequence[Footage]) -> dict[str, str]:
    """Names of the videos that are also among `tests`, and why each is thought so: its name, or a frame of it."""
    known = {test.name.casefold(): test.name for test in tests}
    found = {
        video.name: f"has the name of {known[video.name.casefold()]}"
        for video in videos
        if video.name.casefold() in known
    }
    held = [fingerprints(test.frames, range(len(test.frames))) for test in tests]
    owner = np.repeat(np.arange(len(tests)), [len(prints) for prints in held])
    pictures, matcher = np.concatenate([np.empty((0, 16), np.uint8), *held]), cv2.BFMatcher(cv2.NORM_HAMMING)
    for video in videos:
        if video.name in found or not len(pictures):
            continue
        same = [m for m in matcher.match(_samples(video), pictures) if m.distance <= SAME]
        if same:
            found[video.name] = f"shows frames of {tests[owner[same[0].trainIdx]].name}"
    return found


def _samples(video: Video) -> NDArray[np.uint8]:
    """Fingerprints of some of a video's frames; of crops those that were taken of the whole frames."""
    if video.prints is not None:
        return video.prints
    return fingerprints(video.frames, spread(len(video.frames)))


def spread(count: int) -> NDArray[np.intp]:
    """SAMPLES indices of `count` frames, from the first to the last; all of them where there are fewer."""
    return np.unique(np.linspace(0, count - 1, SAMPLES).round().astype(np.intp))
