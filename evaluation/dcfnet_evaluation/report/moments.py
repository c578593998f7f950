"""The worst moment of a tracker in each sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.passes.records import Record
from dcfnet_evaluation.scores.metrics import overlaps, scored
from dcfnet_evaluation.sequences import AnnotatedSequence

MISSED = 0.2  # overlap below which a box misses the target; at 0.2 two equal boxes share a third of their area


@dataclass(frozen=True)
class Moment:
    """The longest run of scored frames in which the box misses the target; without a miss, the frame of lowest overlap.

    pass_index: index of the pass. frame, last: first and last frame, 0-based in the sequence. last_hit: the scored
    frame before them. frames: number of scored frames. overlap: overlap in the first frame, 0 to 1. lowest: lowest
    overlap of the pass. statuses: status -> number of frames.
    """

    sequence: str
    pass_index: int
    frame: int
    last: int
    last_hit: int
    frames: int
    overlap: float
    lowest: float
    statuses: Mapping[str, int]

    @property
    def missed(self) -> bool:
        """Whether the box misses the target. False: the pass has no miss, and this is its worst frame."""
        return self.overlap < MISSED

    @property
    def unaware(self) -> int:
        """Number of frames in which the box misses the target although the status is "tracked"."""
        return self.statuses.get("tracked", 0) if self.missed else 0


def worst_moments(records: Mapping[str, Record], sequences: Sequence[AnnotatedSequence]) -> list[Moment]:
    """One moment per sequence, the longest miss first. records: sequence -> record of one tracker."""
    moments = [
        max(
            (
                _worst(one_pass, sequence, pass_index)
                for pass_index, one_pass in enumerate(records[sequence.name].passes)
            ),
            key=_badness,
        )
        for sequence in sequences
    ]
    return sorted(moments, key=_badness, reverse=True)


def unaware_share(records: Mapping[str, Record], sequences: Sequence[AnnotatedSequence]) -> float:
    """Share of the scored updates, 0 to 1, in which the box misses the target although the status is "tracked".

    NaN if the tracker reports no status.
    """
    wrong = updates = with_status = 0
    for sequence in sequences:
        for one_pass in records[sequence.name].passes:
            truth = one_pass.truth(sequence)
            missed = (scored(truth) & (overlaps(one_pass.boxes, truth) < MISSED))[1:]
            statuses = np.array(one_pass.statuses[1:], dtype=object)
            wrong += int((missed & (statuses == "tracked")).sum())
            updates += int(scored(truth)[1:].sum())
            with_status += sum(bool(status) for status in statuses)
    return wrong / updates if with_status and updates else float("nan")


def _badness(moment: Moment) -> tuple[int, float]:
    return (moment.frames if moment.missed else 0, -moment.overlap)


def _worst(one_pass: Pass, sequence: AnnotatedSequence, pass_index: int) -> Moment:
    truth = one_pass.truth(sequence)
    counted = np.flatnonzero(scored(truth))
    overlap = overlaps(one_pass.boxes, truth)[counted]
    start, stop = _longest_run(overlap < MISSED) or _single_frame(int(overlap.argmin()))
    frames = counted[start:stop]
    return Moment(
        sequence=sequence.name,
        pass_index=pass_index,
        frame=one_pass.start + int(frames[0]),
        last=one_pass.start + int(frames[-1]),
        last_hit=one_pass.start + int(counted[max(start - 1, 0)]),
        frames=len(frames),
        overlap=float(overlap[start]),
        lowest=float(overlap.min()),
        statuses=Counter(one_pass.statuses[i] for i in frames),
    )


def _longest_run(flags: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Start and end (exclusive) of the longest run of True; the first of equal runs; None if there is no True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    runs = edges.reshape(-1, 2)
    if not len(runs):
        return None
    start, stop = runs[int((runs[:, 1] - runs[:, 0]).argmax())]
    return int(start), int(stop)


def _single_frame(index: int) -> tuple[int, int]:
    return index, index + 1
