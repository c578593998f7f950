"""When one of two targets that follow the same object ends, and which one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from dcfnet.cli.targets.births import DUPLICATE, SAME
from dcfnet.result import Reason, Result, Status

SHARED_FRAMES = 5  # as the interval of NvDCF, targetDuplicateRunInterval
APART_FRAMES = 5  # a target that follows the background is sometimes tracked for a few frames


class Pair(NamedTuple):
    """Two targets, the older one first.

    apart: frames in a row in which both were tracked at different places; APART_FRAMES if they are two objects.
    shared: frames in a row in which both followed one object. In them, frames of the younger one minus those of the
    older one: tracked: with this status; boxes: with a detector box.
    """

    apart: int = 0
    shared: int = 0
    tracked: int = 0
    boxes: int = 0

    def after(self, older: Result, younger: Result) -> Pair:
        """The pair after another frame with these results."""
        overlap = older.box.iou(younger.box)
        tracked = [result.status is Status.TRACKED for result in (older, younger)]
        took = [result.reason is Reason.CORRECTED for result in (older, younger)]
        if all(took) or (self.two_objects and overlap < DUPLICATE):
            return Pair(APART_FRAMES)
        if overlap < DUPLICATE:
            return Pair(self.apart + 1 if all(tracked) and overlap < SAME else 0)
        if not any(tracked) or Status.LOST in (older.status, younger.status):  # nothing is known about the object
            return self
        ahead = self.tracked + tracked[1] - tracked[0], self.boxes + took[1] - took[0]
        return Pair(self.apart if self.two_objects else 0, self.shared + 1, *ahead)

    @property
    def two_objects(self) -> bool:
        """Whether they were tracked apart for long enough, or took different detector boxes in one frame."""
        return self.apart >= APART_FRAMES

    @property
    def younger_stays(self) -> bool:
        """Whether the younger target follows the object rather than the older one."""
        return self.tracked > self.shared / 2 or (self.two_objects and self.boxes > 0)


class DuplicateRule:
    """Which targets end because another target follows their object.

    A target that started while the older one was not found is the same object: after SHARED_FRAMES shared frames one of
    them ends. Targets that were two objects may only cross, so one ends after `frames` shared frames.
    NvDCF (minIou4TargetDuplicate) and ByteTrack (remove_duplicate_stracks) end the younger one. So does this rule, with
    two exceptions. The older one ends if it was uncertain in most of these frames, and the younger one tracked. Of two
    objects, it ends if it took fewer detector boxes: it has lost its own object.
    """

    def __init__(self, frames: int) -> None:
        """frames: 0 ends no target."""
        self._frames = frames
        self._pairs: dict[tuple[int, int], Pair] = {}

    def add(self, results: Mapping[int, Result]) -> list[int]:
        """Adds the results of a searched frame, by id; a lower id is older. Returns the ids that end now."""
        if not self._frames:
            return []
        self._pairs = {
            (older, younger): self._pairs.get((older, younger), Pair()).after(results[older], results[younger])
            for older, younger in combinations(sorted(results), 2)
        }
        ended: dict[int, None] = {}
        for targets, pair in self._pairs.items():
            if pair.shared >= self._limit(pair) and not ended.keys() & targets:
                ended[targets[0 if pair.younger_stays else 1]] = None
        return list(ended)

    def _limit(self, pair: Pair) -> int:
        return self._frames if pair.two_objects else min(SHARED_FRAMES, self._frames)
