"""The footage of a run: training videos, held-out videos, and excluded videos with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcfnet.errors import ConfigError
from dcfnet_evaluation.sequences import AnnotatedSequence

from dcfnet_train.footage.overlap import overlapping
from dcfnet_train.footage.split import hold_out
from dcfnet_train.footage.videos import Video, open_sequences, read_footage


@dataclass(frozen=True)
class Footage:
    """videos: for training. held_out: for validation only. left_out: names of the excluded videos, with the reason."""

    videos: Sequence[Video]
    held_out: Sequence[Video]
    left_out: Mapping[str, str]

    @classmethod
    def gather(cls, places: Sequence[str], tests: Sequence[str], share: float = 0, hashes: bool = False) -> Footage:
        """The videos of `places` without those of the test sets. A share above 0 of them is held out.

        Also excludes each training video that has a frame of a held-out video. hashes: see `read_videos`.
        Raises SequenceError for inconsistent files. Raises ConfigError if the share leaves one side empty.
        """
        available = [video for place in places for video in read_footage(place, hashes)]
        left_out = overlapping(available, [sequence for place in tests for sequence in open_sequences(place)])
        videos, held_out = [video for video in available if video.name not in left_out], list[Video]()
        if share:
            videos, held_out = hold_out(videos, share)
            copies = overlapping(videos, [video.sequence() for video in held_out if not video.centred])
            left_out |= {name: f"{reason}, which is held out" for name, reason in copies.items()}
        return cls([video for video in videos if video.name not in left_out], held_out, left_out)

    def judges(self, place: str | None) -> list[AnnotatedSequence]:
        """The sequences for validation: those of `place`, and the held-out videos that are not target-centred crops.

        Raises ConfigError if a sequence of `place` is also a training video.
        """
        sequences = list(open_sequences(place)) if place else []
        shared = overlapping(self.videos, sequences)
        if shared:
            listed = "; ".join(f"{name} {reason}" for name, reason in shared.items())
            raise ConfigError(
                f"--videos and --validate share videos: {listed}; a score on training videos is not valid, "
                "so exclude them with --exclude"
            )
        return sequences + [video.sequence() for video in self.held_out if not video.centred]

    def check_held_out(self, before: Sequence[str]) -> None:
        """Raises ConfigError if a training video was held out when the run started."""
        names = sorted({video.name for video in self.videos} & set(before))
        if names:
            raise ConfigError(f"{', '.join(names)}: held out when the run started; resume with the same --hold-out")
