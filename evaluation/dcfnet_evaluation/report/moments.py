"""Where a tracker goes wrong: for each sequence the moment that says most about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet_evaluation.metrics import overlaps, scored
from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.records import Record
from dcfnet_evaluation.sequences import AnnotatedSequence

MISSED = 0.2  # overlap below which a box is on something else: at 0.2 equal boxes share a third of each


@dataclass(frozen=True)
class Moment:
    """The longest stretch in which a tracker's box misses the target, or else the frame of its lowest overlap.

    turn: which of the passes over the sequence. frame, last: first and last frame of it, counted from 0 in the
    sequence. before: the last frame before it in which the box was on the target. frames: those of it that are scored.
    overlap: in its first frame, 0 to 1. lowest: the lowest of the whole pass. said: status -> frames of the stretch.
    """

    sequence: str
    turn: int
    frame: int
    last: int
    before: int
    frames: int
    overlap: float
    lowest: float
    said: Mapping[str, int]

    @property
    def missed(self) -> bool:
        """Whether the box misses the target; else this is only the worst frame of a good pass."""
        return self.overlap < MISSED

    @property
    def unaware(self) -> int:
        """Frames of the stretch in which the tracker misses the target and says "tracked"."""
        return self.said.get("tracked", 0) if self.missed else 0


def worst_moments(records: Mapping[str, Record], sequences: Sequence[AnnotatedSequence]) -> list[Moment]:
    """One moment a sequence, the longest misses first; records: of one tracker, by sequence."""
    found = [
        max((_worst(done, sequence, turn) for turn, done in enumerate(records[sequence.name].passes)), key=_badness)
        for sequence in sequences
    ]
    return sorted(found, key=_badness, reverse=True)


def unaware_share(records: Mapping[str, Record], sequences: Sequence[AnnotatedSequence]) -> float:
    """Share of all scored updates in which the box misses the target and the tracker says "tracked", 0 to 1.

    NaN for a tracker that never says how it is.
    """
    wrong = updates = spoken = 0
    for sequence in sequences:
        for done in records[sequence.name].passes:
            truth = done.truth(sequence)
            missed = (scored(truth) & (overlaps(done.boxes, truth) < MISSED))[1:]
            statuses = np.array(done.statuses[1:], dtype=object)
            wrong += int((missed & (statuses == "tracked")).sum())
            updates += int(scored(truth)[1:].sum())
            spoken += sum(bool(status) for status in statuses)
    return wrong / updates if spoken and updates else float("nan")


def _badness(moment: Moment) -> tuple[int, float]:
    return (moment.frames if moment.missed else 0, -moment.overlap)


def _worst(done: Pass, sequence: AnnotatedSequence, turn: int) -> Moment:
    truth = done.truth(sequence)
    counted = np.flatnonzero(scored(truth))
    overlap = overlaps(done.boxes, truth)[counted]
    start, stop = _longest_run(overlap < MISSED) or _around(int(overlap.argmin()))
    frames = counted[start:stop]
    return Moment(
        sequence=sequence.name,
        turn=turn,
        frame=done.start + int(frames[0]),
        last=done.start + int(frames[-1]),
        before=done.start + int(counted[max(start - 1, 0)]),
        frames=len(frames),
        overlap=float(overlap[start]),
        lowest=float(overlap.min()),
        said=Counter(done.statuses[i] for i in frames),
    )


def _longest_run(flags: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First and one past the last index of the longest run of True, the earliest of equals; None without any."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    runs = edges.reshape(-1, 2)
    if not len(runs):
        return None
    start, stop = runs[int((runs[:, 1] - runs[:, 0]).argmax())]
    return int(start), int(stop)


def _around(index: int) -> tuple[int, int]:
    return index, index + 1
