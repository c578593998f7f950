"""The footage of a run: what is learnt from, what is held out, and what is left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcfnet.errors import ConfigError
from dcfnet_evaluation.sequences import AnnotatedSequence

from dcfnet_train.overlap import overlapping
from dcfnet_train.split import hold_out
from dcfnet_train.videos import Video, open_sequences, read_footage


@dataclass(frozen=True)
class Footage:
    """videos: to learn from. held_out: never learnt from. left_out: names of neither, and why."""

    videos: Sequence[Video]
    held_out: Sequence[Video]
    left_out: Mapping[str, str]

    @classmethod
    def gather(cls, places: Sequence[str], tests: Sequence[str], share: float = 0, hashes: bool = False) -> Footage:
        """All videos of some places, without those of test sets, and with a share held out, where it is above 0.

        A video with the pictures of one that is held out is left out too. hashes: see `read_videos`.
        Raises SequenceError for files that do not fit together, and ConfigError for a share that divides nothing.
        """
        found = [video for place in places for video in read_footage(place, hashes)]
        left_out = overlapping(found, [sequence for place in tests for sequence in open_sequences(place)])
        videos, held_out = [video for video in found if video.name not in left_out], list[Video]()
        if share:
            videos, held_out = hold_out(videos, share)
            copies = overlapping(videos, [video.sequence() for video in held_out if not video.centred])
            left_out |= {name: f"{reason}, which is held out" for name, reason in copies.items()}
        return cls([video for video in videos if video.name not in left_out], held_out, left_out)

    def judges(self, place: str | None) -> list[AnnotatedSequence]:
        """The sequences of a place, and those that are held out and can be tracked.

        Raises ConfigError where one of the place is learnt from.
        """
        given = list(open_sequences(place)) if place else []
        shared = overlapping(self.videos, given)
        if shared:
            told = "; ".join(f"{name} {reason}" for name, reason in shared.items())
            raise ConfigError(f"in --videos and in --validate, and a score on what is trained on is none: {told}")
        return given + [video.sequence() for video in self.held_out if not video.centred]

    def check_held_out(self, before: Sequence[str]) -> None:
        """Raises ConfigError where a video is learnt from that was held out when the run began."""
        now = sorted({video.name for video in self.videos} & set(before))
        if now:
            raise ConfigError(f"held out when the run began: {', '.join(now)}; resume with the same --hold-out")
