"""The gate: what is exported against the network it was made from, on the same patches and on the same sequences.

Tracking is chaotic: where two peaks are nearly as high, float32 sums in another order lose a target that was held, or
hold one that was lost. So every sequence is tracked from several starts, and beside network and export runs a control,
the network in float32 by another engine: what that alone changes is no fault of the export.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dcfnet import steps
from dcfnet.backbones import Backbone
from dcfnet.backend import Frame
from dcfnet.config import TrackerConfig
from dcfnet.cpu import CpuBackend
from dcfnet.geometry import Box
from dcfnet.model import Model
from dcfnet.pipeline import Pipeline
from dcfnet.response import RESPONSE_SIDE, find_peaks
from dcfnet.tracker import Tracker
from dcfnet_evaluation.metrics import overlaps, scored
from dcfnet_evaluation.passes import Pass, run_passes
from dcfnet_evaluation.protocols import few_starts
from dcfnet_evaluation.scores import Comparison, Score, compare, mean_score
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from numpy.typing import NDArray

PATCHES = 500  # search patches whose features and response peaks are compared, at least
AHEAD = 5  # frames from the one in which a target is learnt to the one in which it is looked for
SHARE_OF_PATCHES = 0.2  # of the time, about: what is left is tracking
APART = 0.5  # overlap of both trackers' boxes under which they follow different things
STILL = 0.05  # cells: by what the order of float32 sums moves a peak, with room
# Success AUC, a mean over sequences, that an export may lose; fp32 may differ by where sums are rounded.
MARGINS = {"fp32": 0.002, "fp16": 0.002, "int8": 0.01, "mixed": 0.01}

Progress = Callable[[float], object]


@dataclass(frozen=True)
class Parting:
    """Where an export and its network begin to follow different things: the frame in which both were started and the
    one in which they part, counted from 0, and the overlap of their boxes there.
    """

    sequence: str
    start: int
    frame: int
    overlap: float


@dataclass(frozen=True)
class Verdict:
    """An export against its network.

    patches: how many were compared. feature_error: largest difference, over the largest value, of the features as the
    filter sees them, windowed and transformed.
    peak_shift: largest distance between the two peaks of a response, cells of 64 across the search region.
    reference, control, auc: mean success AUC of the network, of the network by another engine, and of the export.
    comparison: of the first and the last, paired by sequence. partings: the first one of each sequence that has any.
    """

    patches: int
    feature_error: float
    peak_shift: float
    reference: float
    control: float
    auc: float
    comparison: Comparison
    partings: tuple[Parting, ...]

    def objections(self, precision: str, margin: float) -> list[str]:
        """Why an export of a precision must not be deployed.

        margin: of mean success AUC, that it may lose beyond what float32 loses by another engine. A loss that luck may
        have made, of one sequence in which two peaks are level, is none: its interval reaches above 0.
        """
        found = []
        if not self.auc - min(self.reference, self.control) >= -margin and not self.comparison.high >= 0:
            found.append(f"it loses more than {margin:g} of success AUC")
        if precision == "fp32" and not self.peak_shift <= STILL:
            found.append(f"it moves peaks by {self.peak_shift:.3f} cells, float32 must not by more than {STILL:g}")
        return found

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, for a passport."""
        return {
            "patches": self.patches,
            "feature_error": self.feature_error,
            "peak_shift": self.peak_shift,
            "auc": self.auc,
            "auc_control": self.control,
            "auc_difference": self.comparison.difference,
            "interval": [self.comparison.low, self.comparison.high],
            "sequences": list(self.comparison.sequences),
        }


def verify(
    model: Model,
    network: Backbone,
    control: Backbone,
    backbones: Mapping[str, Backbone],
    sequences: Sequence[AnnotatedSequence],
    config: TrackerConfig,
    patches: int = PATCHES,
    progress: Progress = lambda share: None,
) -> dict[str, Verdict]:
    """A verdict of each backbone that was made from the network, by its name.

    model: says how the backbones are fed. network: what they were made from. control: the same by another engine.
    config: of the trackers. progress: called with the share that is done.
    Raises SequenceError for fewer than two sequences, and for frames that cannot be read.
    """
    if len(sequences) < 2:
        raise SequenceError(f"{len(sequences)} sequence to verify on; an interval needs at least two")
    reference, other = (Pipeline.build(config, CpuBackend(), b, model.mean, model.stride) for b in (network, control))
    exports = {
        name: Pipeline.build(config, CpuBackend(), backbone, model.mean, model.stride, model.folded)
        for name, backbone in backbones.items()
    }
    places = _places(sequences, -(-patches // len(reference.scales)))
    closeness = _closeness(reference, exports, places, progress)
    tracked = _track([reference, other, *exports.values()], sequences, progress)
    return {
        name: _verdict(closeness[name], tracked[0], tracked[1], found)
        for name, found in zip(exports, tracked[2:], strict=True)
    }


Place = tuple[AnnotatedSequence, int]  # a frame of a sequence, counted from 0
Closeness = tuple[
    int, float, float
]  # patches compared, largest relative difference of features, shift of a peak in cells


def _places(sequences: Sequence[AnnotatedSequence], count: int) -> list[Place]:
    """Frames in which a target is there, and again AHEAD frames later, spread evenly over all of the sequences.

    Raises SequenceError where there is none.
    """
    places: list[Place] = []
    for sequence in sequences:
        there = scored(sequence.boxes)
        places += [(sequence, int(index)) for index in np.flatnonzero(there[:-AHEAD] & there[AHEAD:])]
    if not places:
        raise SequenceError(f"no sequence shows its target in two frames {AHEAD} apart")
    chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    return [places[index] for index in chosen]


def _closeness(
    reference: Pipeline, exports: Mapping[str, Pipeline], places: Sequence[Place], progress: Progress
) -> dict[str, Closeness]:
    """How close each export is."""
    found = dict.fromkeys(exports, (0, 0.0, 0.0))
    for done, (sequence, index) in enumerate(places):
        progress(done / len(places) * SHARE_OF_PATCHES)
        first, box, second = sequence.read(index), Box(*sequence.boxes[index]), sequence.read(index + AHEAD)
        features, peaks = _features(reference, first, box), _peaks(reference, first, box, second)
        for name, export in exports.items():
            count, error, shift = found[name]
            apart = _peaks(export, first, box, second) - peaks
            apart -= np.round(apart / RESPONSE_SIDE) * RESPONSE_SIDE  # the map wraps around
            off = np.abs(_features(export, first, box) - features).max() / np.abs(features).max()
            found[name] = count + len(peaks), max(error, float(off)), max(shift, float(np.hypot(*apart.T).max()))
    return found


def _features(pipe: Pipeline, frame: Frame, box: Box) -> NDArray[np.float32]:
    """Spectrum of the windowed features around a box: what the filter sees of them."""
    centre, size = np.array([box.centre]), np.array([box.size])
    where = pipe.places([frame], np.zeros(1, dtype=np.intp), centre, pipe.regions(size))
    return pipe.backend.to_host(pipe.spectrum(where))


def _peaks(pipe: Pipeline, first: Frame, box: Box, second: Frame) -> NDArray[np.float64]:
    """Shifts of the peaks, at every scale, of a target learnt in one frame and looked for in another, cells (S, 2)."""
    state = steps.init(pipe, [first], [box], [0])
    return find_peaks(pipe.backend.to_host(steps.detect(pipe, state, [second]))[0]).shift


@dataclass(frozen=True)
class _Tracked:
    """One tracker on all sequences: a score of each, and the passes over it."""

    scores: list[Score]
    passes: list[list[Pass]]


def _track(pipes: Sequence[Pipeline], sequences: Sequence[AnnotatedSequence], progress: Progress) -> list[_Tracked]:
    """Passes of each from several starts of each sequence, side by side over the same frames."""
    tracked = [_Tracked([], []) for _ in pipes]
    for done, sequence in enumerate(sequences):
        progress(SHARE_OF_PATCHES + (1 - SHARE_OF_PATCHES) * done / len(sequences))
        trackers = {str(number): Tracker.of(pipe) for number, pipe in enumerate(pipes)}
        runs = [run_passes(trackers, sequence, start) for start in few_starts(sequence)]
        for number, each in enumerate(tracked):
            each.passes.append([run[str(number)] for run in runs])
            each.scores.append(Score.of(each.passes[-1], sequence))
    return tracked


def _verdict(closeness: Closeness, reference: _Tracked, control: _Tracked, export: _Tracked) -> Verdict:
    network, by_another, auc = (mean_score(tracked.scores).auc for tracked in (reference, control, export))
    partings = []
    for score, ones, others in zip(reference.scores, reference.passes, export.passes, strict=True):
        found = filter(None, (_parting(score.sequence, *pair) for pair in zip(ones, others, strict=True)))
        partings += list(found)[:1]
    comparison = compare(reference.scores, export.scores)
    return Verdict(*closeness, network, by_another, auc, comparison, tuple(partings))


def _parting(sequence: str, one: Pass, other: Pass) -> Parting | None:
    """Where two passes from the same start begin to follow different things, if they do."""
    shared = overlaps(one.boxes, other.boxes)
    apart = np.flatnonzero(~(shared >= APART))
    return Parting(sequence, one.start, one.start + int(apart[0]), float(shared[apart[0]])) if len(apart) else None
