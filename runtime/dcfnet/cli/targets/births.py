"""When a target starts for a detection that no target took, and when a target that is gone ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from dcfnet.cli.targets.detections import Detection
from dcfnet.result import Box, Reason, Result, Status

SAME = 0.3  # IoU from which two detections in successive frames are of one candidate, as in `correct`
DUPLICATE = 0.5  # IoU from which a detection is a second box of a target; detectors remove duplicates at 0.3 to 0.7


class Candidate(NamedTuple):
    """A detection that no target took. box: the newest one. seen: frames with detections in a row."""

    box: Box
    seen: int


class BirthRule:
    """A target starts when a detection was left in `frames` frames with detections in a row.

    Frames without any detection do not count, so the detector may run in every tenth frame only.
    """

    def __init__(self, frames: int, score: float) -> None:
        """frames: 0 starts no target. score: detections below it are no candidates."""
        self._frames, self._score = frames, score
        self._candidates: list[Candidate] = []

    def add(self, left: Sequence[Detection], present: Sequence[Box]) -> list[Box]:
        """Adds a frame with detections. Returns the boxes in which a target starts now.

        left: the detections that no target took. present: boxes of the targets that are not lost; a detection over one
        of them is a second box of the same target.
        """
        if not self._frames:
            return []
        boxes = [found.box for found in left if found.score >= self._score]
        boxes = [box for box in boxes if all(box.iou(other) < DUPLICATE for other in present)]
        self._candidates = self._continued(boxes)
        born = [candidate.box for candidate in self._candidates if candidate.seen >= self._frames]
        self._candidates = [candidate for candidate in self._candidates if candidate.seen < self._frames]
        return born

    def reset(self) -> None:
        """Forgets the candidates."""
        self._candidates = []

    def _continued(self, boxes: Sequence[Box]) -> list[Candidate]:
        """The candidates after this frame: the best pairs of an old candidate and a box first, then new ones."""
        pairs = [(old.box.iou(box), i, j) for i, old in enumerate(self._candidates) for j, box in enumerate(boxes)]
        seen, used = dict.fromkeys(range(len(boxes)), 1), set[int]()
        for overlap, i, j in sorted(pairs, reverse=True):
            if overlap >= SAME and i not in used and seen[j] == 1:
                seen[j] = self._candidates[i].seen + 1
                used.add(i)
        return [Candidate(box, seen[j]) for j, box in enumerate(boxes)]


class DeathRule:
    """A target ends after `frames` searched frames in a row in which it was lost or uncertain, without a detector box.

    Uncertain counts: a target that left the view is often not lost, but followed in the background with low confidence.
    In a detector box there is an object. A target that started at a wrong box is tracked in the background for ever, so
    it also ends after `without_box` searched frames in a row without a detector box.
    """

    def __init__(self, frames: int, without_box: int = 0) -> None:
        """frames, without_box: 0 ends no target."""
        self._limits: dict[Callable[[Result], bool], int] = {_missed: frames, _without_box: without_box}
        self._counts: dict[tuple[Callable[[Result], bool], int], int] = {}  # frames in a row, by condition and id

    def add(self, results: Iterable[tuple[int, Result]]) -> list[int]:
        """Adds the results of the targets that were searched in a frame, by id. Returns the ids that end now."""
        held = [(holds, target) for target, result in results for holds in self._limits if holds(result)]
        self._counts = {key: self._counts.get(key, 0) + 1 for key in held}
        ended = [target for (holds, target), count in self._counts.items() if count == self._limits[holds]]
        return list(dict.fromkeys(ended))


def _missed(result: Result) -> bool:
    return result.status is not Status.TRACKED and not _has_box(result)


def _without_box(result: Result) -> bool:
    return not _has_box(result)


def _has_box(result: Result) -> bool:
    return result.reason is Reason.CORRECTED
