"""The frames of sequences in short turns of several trackers, so that all of them see the same load of the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dcfnet import Box
from dcfnet.io.frame import Frame
from dcfnet_evaluation.datasets.otb import read_otb

TURN = 25  # frames
Key = TypeVar("Key")


def in_turns(
    folder: Path, names: Sequence[str], trackers: Mapping[Key, Any], count: int
) -> Iterator[tuple[Key, Sequence[Frame]]]:
    """Keys of trackers, each with the frames of its turn. The order alternates from turn to turn.

    folder, names: sequences in OTB's layout. count: largest number of frames of a sequence after the first one, on
    which all trackers are started.
    """
    for name in names:
        sequence = read_otb(folder / name)
        frames = [sequence.read(index) for index in range(min(len(sequence), count + 1))]
        for tracker in trackers.values():
            tracker.init(frames[0].copy(), Box(*sequence.boxes[0]))
        for number, first in enumerate(range(1, len(frames), TURN)):
            for key in list(trackers)[:: 1 if number % 2 else -1]:
                yield key, frames[first : first + TURN]
