"""Finds videos that are also in a test set, by name and by frame content. Example: TempleColor-128 contains OTB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import cv2
import numpy as np
from dcfnet_evaluation.sequences import Frames
from numpy.typing import NDArray

from dcfnet_train.footage.images import Image
from dcfnet_train.footage.videos import Video

SAMPLES = 12  # frames of a video that are compared with the test set
# Bits of 128 in which two copies of a frame may differ. Measured on 2,250 copies from 21 sequences, down to half size
# and JPEG quality 30: 99 % differ by up to 7 bits, all by up to 16. Frames of two sequences differ by 30 or more.
SAME = 16
BLANK = 4.0  # grey levels: frames with a smaller std of brightness are too similar to compare


class Footage(Protocol):
    """A sequence of a test set."""

    @property
    def name(self) -> str: ...

    @property
    def frames(self) -> Frames: ...


def fingerprint(image: Image) -> NDArray[np.uint8] | None:
    """The 128-bit difference hash of a frame, uint8 (16,); None for a blank frame.

    Each bit is set if the brightness rises to the next of 8 x 8 cells, along rows and along columns. A new size or
    compression changes few bits.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if grey.std() < BLANK:
        return None
    small = cv2.resize(grey, (9, 9), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits([small[:8, 1:] > small[:8, :-1], small[1:, :8] > small[:-1, :8]])


def fingerprints(frames: Frames, indices: Iterable[int]) -> NDArray[np.uint8]:
    """Fingerprints of some frames, uint8 (N, 16), without blank ones. Raises SequenceError for an unreadable frame."""
    prints = [bits for index in indices if (bits := fingerprint(frames.read(index))) is not None]
    return np.array(prints, dtype=np.uint8).reshape(-1, 16)


def overlapping(videos: Sequence[Video], tests: Sequence[Footage]) -> dict[str, str]:
    """The videos that are also in `tests`: {name: reason}. The reason is an equal name or a shared frame."""
    known = {test.name.casefold(): test.name for test in tests}
    reasons = {
        video.name: f"has the same name as {known[video.name.casefold()]}"
        for video in videos
        if video.name.casefold() in known
    }
    test_prints = [fingerprints(test.frames, range(len(test.frames))) for test in tests]
    owner = np.repeat(np.arange(len(tests)), [len(prints) for prints in test_prints])
    all_prints, matcher = np.concatenate([np.empty((0, 16), np.uint8), *test_prints]), cv2.BFMatcher(cv2.NORM_HAMMING)
    for video in videos:
        if video.name in reasons or not len(all_prints):
            continue
        same = [m for m in matcher.match(_samples(video), all_prints) if m.distance <= SAME]
        if same:
            reasons[video.name] = f"shares frames with {tests[owner[same[0].trainIdx]].name}"
    return reasons


def _samples(video: Video) -> NDArray[np.uint8]:
    """Fingerprints of some frames of a video. For crops, the cache has those of the whole frames."""
    if video.prints is not None:
        return video.prints
    return fingerprints(video.frames, spread(len(video.frames)))


def spread(count: int) -> NDArray[np.intp]:
    """SAMPLES indices of `count` frames, evenly from the first to the last; all of them if there are fewer."""
    return np.unique(np.linspace(0, count - 1, SAMPLES).round().astype(np.intp))
