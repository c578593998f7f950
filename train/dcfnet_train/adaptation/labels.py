"""Labels that the tracker makes for itself: where it came back, it was probably right on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dcfnet.geometry import Box
from dcfnet_evaluation.passes import SingleTracker
from dcfnet_evaluation.sequences import SequenceError

from dcfnet_train.adaptation.consistency import Trip, candidates
from dcfnet_train.adaptation.segments import HeldFrames, Unlabelled
from dcfnet_train.crops.cutting import cut_clip
from dcfnet_train.crops.manifest import Clip, CropSettings, Manifest
from dcfnet_train.videos import Video, read_videos

FEWEST = 8  # targets that came back: half a batch of different ones


@dataclass(frozen=True)
class Labels:
    """videos: crops around the targets that came back. tried: targets that were followed."""

    videos: list[Video]
    tried: int


def make_labels(
    footage: Sequence[Unlabelled],
    tracker: SingleTracker,
    seed: int,
    folder: Path,
    seen: Callable[[], None] = lambda: None,
) -> Labels:
    """Follows targets through all segments to learn from, and writes crops around those that came back into `folder`.

    seen() is called once a segment. Raises SequenceError where too few came back to learn from.
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
        raise SequenceError(
            f"{len(clips)} of {tried} targets came back, at least {FEWEST} are needed; give more footage"
        )
    Manifest((), settings, clips).save(folder)
    return Labels(read_videos(folder), tried)


def _label(video: Unlabelled, tracker: SingleTracker, seed: int, seen: Callable[[], None]) -> Iterator[Video | None]:
    """Every target that is followed, with its labels where it came back."""
    given = video.box
    for start in video.learnt_from():
        for number, target in enumerate(candidates(video, start, seed, given)):
            trip = Trip.take(tracker, target.frames, target.box, target.rng)
            returned = trip.returned()
            if given is not None and number == 0:  # followed on from where it is now, until it is lost
                given = Box(*trip.labels()[-1]) if returned else None
            times = np.arange(start, start + len(target.frames))
            yield Video("", HeldFrames(target.frames), trip.labels(), times) if returned else None
        seen()
