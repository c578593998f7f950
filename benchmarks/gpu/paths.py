"""A GPU's path and the CPU's on the same footage: cameras and targets, and the comparison of three trackers.

`device`: the kernels decide. `host`: the same kernels up to the peaks, and `tracking/steps.py` decides. `cpu`:
device="cpu". The device is a GPU or the tests' stand-in.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from dcfnet.errors import InvalidBoxError
from dcfnet.io.frame import Frame
from dcfnet.result import Box, Reason, Result, Status
from dcfnet_evaluation.changed_frames import ChangedFrames
from dcfnet_evaluation.sequences import AnnotatedSequence

FORMS = ("device", "host", "cpu")
SKIPPED = 11
Results = dict[int, Result]


class Cameras:
    """Sequences as the cameras of several trackers, which get the same calls.

    Each camera has two targets: the annotated one, and its neighbour to the right. Halfway a third one is added at the
    annotated box. In every SKIPPED-th frame a camera has no frame. Its targets are removed at its end. trackers: by
    form. share: of the frames of each sequence, from its end.
    """

    def __init__(self, trackers: Mapping[str, Any], sequences: Sequence[AnnotatedSequence], share: float) -> None:
        self.trackers = trackers
        self.sequences = {3 * index + 2: sequence for index, sequence in enumerate(sequences)}  # any keys
        self.lengths = {key: int(len(sequence) * share) for key, sequence in self.sequences.items()}
        self.starts = {key: len(sequence) - self.lengths[key] for key, sequence in self.sequences.items()}
        self.targets: dict[int, int] = {}  # camera of each target

    def __iter__(self) -> Iterator[dict[int, Frame]]:
        """The frames of each turn. The caller gives them to the trackers."""
        for key in self.sequences:
            self._add(key, 0)
            self._add(key, 0, neighbour=True)
        for index in range(1, max(self.lengths.values())):
            for key, length in self.lengths.items():
                if index == length // 2:
                    self._add(key, index)
                if index == length:
                    self._end(key)
            yield {
                key: self._frame(key, index)
                for order, (key, length) in enumerate(self.lengths.items())
                if index < length and (index + order) % SKIPPED
            }

    def _frame(self, key: int, index: int) -> Frame:
        return self.sequences[key].read(self.starts[key] + index)

    def _add(self, key: int, index: int, neighbour: bool = False) -> None:
        """A target at the annotated box, or beside it. A box that cannot be tracked adds none."""
        x, y, w, h = self.sequences[key].boxes[self.starts[key] + index].tolist()
        for tracker in self.trackers.values():
            with suppress(InvalidBoxError):  # outside the frame, or not annotated
                self.targets[tracker.add(self._frame(key, index), Box(x + w * neighbour, y, w, h), key)] = key

    def _end(self, key: int) -> None:
        for target in [target for target, camera in self.targets.items() if camera == key]:
            del self.targets[target]
            for tracker in self.trackers.values():
                tracker.remove(target)


@dataclass(frozen=True)
class FramesWithCuts(ChangedFrames):
    """Frames with a camera cut every `every` frames: every second part shows the scene moved by half of its width."""

    every: int

    def read(self, index: int) -> Frame:
        """See `Frames`."""
        frame = self.frames.read(index)
        moved: Frame = np.roll(frame, frame.shape[1] // 2, axis=1) if index // self.every % 2 else frame
        return moved


@dataclass
class Comparison:
    """Counts of one setting.

    frames: of all cameras. turns: calls of `update`. decisions: boxes, statuses and reasons. decided: turns by what
    decided for `device`. seen: target-frames, by status and reason. largest: difference of a box to `cpu`, px. first:
    where the decision about each target first differs from `cpu`.
    """

    frames: int = 0
    turns: int = 0
    target_frames: int = 0
    decisions_unlike_host: int = 0
    results_unlike_host: int = 0
    states_unlike_host: int = 0
    decisions_unlike_cpu: int = 0
    largest: float = 0.0
    decided: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, found: Mapping[str, Results], records: Mapping[str, Any], group: str) -> None:
        """One turn. found, records: results and states of the three trackers. group: names of the sequences."""
        self.turns += 1
        self.states_unlike_host += not np.array_equal(records["device"], records["host"])
        assert found["device"].keys() == found["host"].keys() == found["cpu"].keys()
        for target, result in found["device"].items():
            host, cpu = found["host"][target], found["cpu"][target]
            self.target_frames += 1
            self.seen[f"{result.status} {result.reason}"] += 1
            self.decisions_unlike_host += decision(result) != decision(host)
            self.results_unlike_host += without_last_digits(result) != without_last_digits(host)
            self.largest = max(self.largest, float(np.abs(np.subtract(result.box, cpu.box)).max()))
            if decision(result) != decision(cpu):
                self.decisions_unlike_cpu += 1
                self.first.setdefault(f"{group} target {target}", f"turn {self.turns}: {result} not {cpu}")


def decision(result: Result) -> tuple[Box, Status, Reason]:
    """What a caller acts on."""
    return result.box, result.status, result.reason


def without_last_digits(result: Result) -> Result:
    """The result with 10 digits of its confidence."""
    confidence = result.confidence and float(f"{result.confidence:.10g}")
    return dataclasses.replace(result, confidence=confidence)


@contextmanager
def deciding(form: str, decided: Counter[str]) -> Iterator[None]:
    """A context in which the kernels decide for the form `device` only. Counts what decided."""
    from dcfnet.devices.cuda.slots import SlotFilters

    real = SlotFilters.decide

    def decide(*arguments: Any) -> Any:
        result = real(*arguments) if form == "device" else None
        if form == "device":
            decided["host" if result is None else "device and host" if result.for_host else "device"] += 1
        return result

    SlotFilters.decide = decide  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        SlotFilters.decide = real  # type: ignore[method-assign]


def compare(
    options: dict[str, Any], sequences: Sequence[AnnotatedSequence], share: float, comparison: Comparison
) -> None:
    """Tracks the sequences as cameras of one tracker of each form, and adds the counts."""
    import dcfnet  # with the stand-in in place

    devices = {form: "cpu" if form == "cpu" else "cuda" for form in FORMS}
    trackers = {form: dcfnet.MultiTracker(**options, device=device) for form, device in devices.items()}
    group = "+".join(sequence.name for sequence in sequences)
    for frames in Cameras(trackers, sequences, share):
        found, records = {}, {}
        for form, tracker in trackers.items():
            with deciding(form, comparison.decided):
                found[form] = tracker.update(frames)
            records[form] = tracker._state.targets.copy() if tracker._state else ()
        comparison.frames += len(frames)
        comparison.add(found, records, group)
