"""Verifies an export: compares it with its network, on the same patches and the same sequences.

Tracking is chaotic: if two peaks are almost equal, another order of float32 sums may lose or keep a target. Therefore
every sequence is tracked from several starts, and a control runs too: the network in float32 in another engine. The
export is not responsible for differences that the control also has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dcfnet.config import TrackerConfig
from dcfnet.devices.cpu import CpuBackend
from dcfnet.filter.response import RESPONSE_SIDE, find_peaks
from dcfnet.io.frame import Frame
from dcfnet.model.backbone import Backbone
from dcfnet.model.file import Model
from dcfnet.result import Box
from dcfnet.tracker import Tracker
from dcfnet.tracking import steps
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.passes import Pass, run_passes
from dcfnet_evaluation.passes.protocols import few_starts
from dcfnet_evaluation.scores import Comparison, Score, compare, mean_score
from dcfnet_evaluation.scores.metrics import overlaps, scored
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from numpy.typing import NDArray

PATCHES = 500  # smallest number of search patches for the comparison of features and peaks
AHEAD = 5  # frames from the template patch to the search patch
SHARE_OF_PATCHES = 0.2  # approximate share of the time for the patches; the rest is tracking
DIVERGED = 0.5  # below this overlap of their boxes, two trackers follow different targets
MAX_FP32_SHIFT = 0.05  # cells: shift of a peak from the order of float32 sums, with a margin
# Largest loss of mean success AUC of an export. fp32 may differ because sums are rounded differently.
MARGINS = {"fp32": 0.002, "fp16": 0.002, "int8": 0.01, "mixed": 0.01}

Progress = Callable[[float], object]


@dataclass(frozen=True)
class Divergence:
    """The place at which an export and its network start to follow different targets.

    start, frame: 0-based frames of the start of the pass and of the divergence. overlap: of the boxes in that frame.
    """

    sequence: str
    start: int
    frame: int
    overlap: float


@dataclass(frozen=True)
class Verification:
    """Comparison of an export with its network.

    patches: number of compared patches. feature_error: largest difference of the windowed and transformed features /
    largest value.
    peak_shift: largest distance between the peaks of two response maps, cells; the search region has 64 cells.
    reference, control, auc: mean success AUC of the network, of the network in another engine, and of the export.
    comparison: of network and export, paired by sequence. worst_starts: AUC of the export minus that of the network,
    for each start of the sequence that loses most. divergences: the first one of each sequence.
    """

    patches: int
    feature_error: float
    peak_shift: float
    reference: float
    control: float
    auc: float
    comparison: Comparison
    worst_starts: tuple[float, ...]
    divergences: tuple[Divergence, ...]

    def objections(self, precision: str, margin: float) -> list[str]:
        """The reasons against the deployment of an export in this precision; [] if there are none.

        margin: allowed loss of mean success AUC below the network and the control. Two equal peaks in one sequence may
        cause a loss by chance. So a larger loss is not an objection if the interval of the difference reaches 0, or
        with `in_one_sequence`.
        """
        objections = []
        if self.loses(margin) and not self.comparison.high >= 0 and not self.in_one_sequence(margin):
            objections.append(
                f"success AUC {self.auc:.4f} is more than {margin:g} below float32 "
                f"({min(self.reference, self.control):.4f})"
            )
        if precision == "fp32" and not self.peak_shift <= MAX_FP32_SHIFT:
            objections.append(f"peaks move by {self.peak_shift:.3f} cells, fp32 allows {MAX_FP32_SHIFT:g}")
        return objections

    def loses(self, margin: float) -> bool:
        """Whether mean success AUC is more than `margin` below the network and the control, or NaN."""
        return not self.auc - min(self.reference, self.control) >= -margin

    def in_one_sequence(self, margin: float) -> bool:
        """Whether one sequence alone carries the loss, and not from every start: chance, not a worse network."""
        return self.comparison.without_worst >= -margin and max(self.worst_starts) >= 0

    def to_mapping(self) -> dict[str, Any]:
        """Values for a passport, ready for JSON."""
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


def check_number(sequences: Sequence[AnnotatedSequence]) -> None:
    """Raises SequenceError if there are too few sequences to verify an export."""
    if (number := len(sequences)) < 2:
        raise SequenceError(f"sequences for verification: {number}, an interval needs at least 2; add sequences")


def verify(
    model: Model,
    network: Backbone,
    control: Backbone,
    backbones: Mapping[str, Backbone],
    sequences: Sequence[AnnotatedSequence],
    config: TrackerConfig,
    patches: int = PATCHES,
    progress: Progress = lambda share: None,
) -> dict[str, Verification]:
    """Compares each of the exported backbones with the network; returns the results by name.

    model: describes the input of the backbones. network: source of the exports. control: the network in another
    engine. config: of the trackers. patches: see PATCHES. progress: called with the completed share.
    Raises SequenceError for fewer than two sequences, and for unreadable frames.
    """
    check_number(sequences)

    def opened(backbone: Backbone, folded: Sequence[str] = ()) -> Pipeline:
        features = (model.mean, model.stride, folded, model.levels, model.confidence)
        return Pipeline.build(config, CpuBackend(), backbone, *features)

    reference, other = opened(network), opened(control)
    exports = {name: opened(backbone, model.folded) for name, backbone in backbones.items()}
    places = _search_frames(sequences, -(-patches // len(reference.scales)))
    differences = _differences(reference, exports, places, progress)
    tracked = _track([reference, other, *exports.values()], sequences, progress)
    return {
        name: _verification(differences[name], tracked[0], tracked[1], export)
        for name, export in zip(exports, tracked[2:], strict=True)
    }


Place = tuple[AnnotatedSequence, int]  # a frame of a sequence, counted from 0
# compared patches, largest relative difference of features, largest shift of a peak in cells
Differences = tuple[int, float, float]


def _search_frames(sequences: Sequence[AnnotatedSequence], count: int) -> list[Place]:
    """Frames with a target that is also present AHEAD frames later, evenly over all sequences.

    Raises SequenceError if there is none.
    """
    places: list[Place] = []
    for sequence in sequences:
        visible = scored(sequence.boxes)
        places += [(sequence, int(index)) for index in np.flatnonzero(visible[:-AHEAD] & visible[AHEAD:])]
    if not places:
        raise SequenceError(f"no sequence has its target in two frames {AHEAD} apart; use longer sequences")
    indices = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
    return [places[index] for index in indices]


def _differences(
    reference: Pipeline, exports: Mapping[str, Pipeline], places: Sequence[Place], progress: Progress
) -> dict[str, Differences]:
    """Differences of features and peaks between each export and the reference."""
    largest = dict.fromkeys(exports, (0, 0.0, 0.0))
    for done, (sequence, index) in enumerate(places):
        progress(done / len(places) * SHARE_OF_PATCHES)
        first, box, second = sequence.read(index), Box(*sequence.boxes[index]), sequence.read(index + AHEAD)
        features, peaks = _features(reference, first, box), _peaks(reference, first, box, second)
        for name, export in exports.items():
            count, error, shift = largest[name]
            offset = _peaks(export, first, box, second) - peaks
            offset -= np.round(offset / RESPONSE_SIDE) * RESPONSE_SIDE  # the map wraps around
            change = np.abs(_features(export, first, box) - features).max() / np.abs(features).max()
            largest[name] = count + len(peaks), max(error, float(change)), max(shift, float(np.hypot(*offset.T).max()))
    return largest


def _features(pipe: Pipeline, frame: Frame, box: Box) -> NDArray[np.float32]:
    """Spectrum of the windowed features around a box, the input of the filter."""
    centre, size = np.array([box.centre]), np.array([box.size])
    places = pipe.patch_places({0: frame}, np.zeros(1, dtype=np.intp), centre, pipe.search_regions(size))
    return pipe.backend.to_host(pipe.spectrum(places))


def _peaks(pipe: Pipeline, first: Frame, box: Box, second: Frame) -> NDArray[np.float64]:
    """Shifts of the peaks in `second` at all scales, cells (S, 2), with the filter from `first`."""
    state = steps.init(pipe, {0: first}, [box], [0])
    return find_peaks(pipe.backend.to_host(steps.detect(pipe, state, {0: second}))[0]).shift


@dataclass(frozen=True)
class _Tracked:
    """One tracker on all sequences: a score, the AUC from each start and the passes for each sequence."""

    scores: list[Score]
    of_starts: list[list[float]]
    passes: list[list[Pass]]


def _track(pipes: Sequence[Pipeline], sequences: Sequence[AnnotatedSequence], progress: Progress) -> list[_Tracked]:
    """Runs all trackers on each sequence from several starts, together on the same frames."""
    tracked = [_Tracked([], [], []) for _ in pipes]
    for done, sequence in enumerate(sequences):
        progress(SHARE_OF_PATCHES + (1 - SHARE_OF_PATCHES) * done / len(sequences))
        trackers = {str(number): Tracker.of(pipe) for number, pipe in enumerate(pipes)}
        runs = [run_passes(trackers, sequence, start) for start in few_starts(sequence)]
        for number, result in enumerate(tracked):
            result.passes.append([run[str(number)] for run in runs])
            result.scores.append(Score.of(result.passes[-1], sequence))
            result.of_starts.append([Score.of([one_pass], sequence).auc for one_pass in result.passes[-1]])
    return tracked


def _verification(differences: Differences, reference: _Tracked, control: _Tracked, export: _Tracked) -> Verification:
    reference_auc, control_auc, auc = (mean_score(tracked.scores).auc for tracked in (reference, control, export))
    divergences = []
    for score, ones, others in zip(reference.scores, reference.passes, export.passes, strict=True):
        pairs = zip(ones, others, strict=True)
        in_sequence = filter(None, (_divergence(score.sequence, *pair) for pair in pairs))
        divergences += list(in_sequence)[:1]
    comparison = compare(reference.scores, export.scores)
    worst = int(comparison.differences.argmin())
    starts = tuple(b - a for a, b in zip(reference.of_starts[worst], export.of_starts[worst], strict=True))
    return Verification(*differences, reference_auc, control_auc, auc, comparison, starts, tuple(divergences))


def _divergence(sequence: str, one: Pass, other: Pass) -> Divergence | None:
    """The first divergence of two passes from the same start, or None."""
    shared = overlaps(one.boxes, other.boxes)
    diverged = np.flatnonzero(~(shared >= DIVERGED))
    if not len(diverged):
        return None
    return Divergence(sequence, one.start, one.start + int(diverged[0]), float(shared[diverged[0]]))
