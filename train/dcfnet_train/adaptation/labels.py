"""Labels from the tracker itself: if a target comes back to its start, its boxes are probably right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dcfnet.result import Box
from dcfnet_evaluation.passes import SingleTracker
from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.adaptation.consistency import Trip, candidates
from dcfnet_train.adaptation.segments import HeldFrames, Unlabelled
from dcfnet_train.crops.cutting import cut_clip
from dcfnet_train.footage.crop_manifest import Clip, CropSettings, Manifest
from dcfnet_train.footage.videos import Video, read_videos

FEWEST = 8  # smallest number of targets that came back: half a batch of different targets


@dataclass(frozen=True)
class Labels:
    """videos: crops around the targets that came back. tried: number of tracked targets."""

    videos: list[Video]
    tried: int


def make_labels(
    footage: Sequence[Unlabelled],
    tracker: SingleTracker,
    seed: int,
    folder: Path,
    seen: Callable[[], None] = lambda: None,
) -> Labels:
    """Tracks targets through all training segments, and writes crops around those that came back into `folder`.

    seen() is called after each segment. Raises SequenceError if fewer than FEWEST targets came back.
    """
    clips: dict[str, Clip] = {}
    settings, tried = CropSettings(), 0
    for number, video in enumerate(footage):
        for labelled in _label(video, tracker, seed, seen):
            tried += 1
            if labelled is not None:
                name = f"{number:03d}-{tried:06d}"
                clips[name] = cut_clip(labelled, settings, folder / name)
    if len(clips) < FEWEST:
        raise SequenceError(f"{len(clips)} of {tried} targets came back, at least {FEWEST} are needed; add footage")
    Manifest((), settings, clips).save(folder)
    return Labels(read_videos(folder), tried)


def _label(video: Unlabelled, tracker: SingleTracker, seed: int, seen: Callable[[], None]) -> Iterator[Video | None]:
    """One item per tracked target: its video with labels, or None if it did not come back."""
    known = video.box
    for start in video.learnt_from():
        for number, target in enumerate(candidates(video, start, seed, known)):
            trip = Trip.take(tracker, target.frames, target.box, target.rng)
            returned = trip.returned()
            if known is not None and number == 0:  # the next segment starts from its last box, until it is lost
                known = Box(*trip.labels()[-1]) if returned else None
            times = np.arange(start, start + len(target.frames))
            yield Video("", HeldFrames(target.frames), trip.labels(), times) if returned else None
        seen()
