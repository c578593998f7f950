"""How well a tracker knows whether its box is on the target: from its confidence, its status and the true boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcfnet_evaluation.passes.records import Record
from dcfnet_evaluation.scores.metrics import SUCCESS_OVERLAP, overlaps, scored
from dcfnet_evaluation.sequences import AnnotatedSequence

FAILED_OVERLAP = 0.1  # below it the box is not on the target at all
BINS = 10  # of the calibration error and of the reliability plot
LASTING = 5  # scored frames in a row with a failed box that count as a loss
STATUS_ORDER = {"lost": 0.0, "uncertain": 0.5, "tracked": 1.0}


@dataclass(frozen=True)
class Trust:
    """Measures over all scored frames of a tracker, without the first frame of each pass. NaN where nothing counts.

    A good frame has an overlap above 0.5, a failed one an overlap below 0.1.
    measure: "confidence", "psr" or "status", the number that auroc ranks: the first that the tracker has.
    auroc: the probability that a good frame has a higher number than another frame; 0.5 is chance.
    error: expected calibration error of the confidence, 10 bins of equal width; NaN if it is not in [0, 1].
    failed: share of the frames that failed. told, lost: shares of the failed frames with the status uncertain or lost,
    and lost. false_alarms, false_lost: the same shares of the good frames.
    delay: median number of frames from the first failed frame of a loss (at least 5 in a row) to the first one that is
    not "tracked"; infinite if most losses are never told. losses: their number.
    recovered: share of good frames among the frames after the first failed frame of a pass.
    bins: for each tenth of the confidence, mean confidence, share of good frames, number of frames; empty bins left
    out.
    """

    measure: str
    auroc: float
    error: float
    failed: float
    told: float
    lost: float
    false_alarms: float
    false_lost: float
    delay: float
    losses: int
    bins: tuple[tuple[float, float, int], ...]
    recovered: float = np.nan

    @classmethod
    def of(cls, records: Mapping[str, Record], sequences: Sequence[AnnotatedSequence]) -> Trust | None:
        """The measures of one tracker; None if it has neither a status nor a number. records: sequence -> record."""
        frames = [frame for sequence in sequences for frame in _scored_frames(records[sequence.name], sequence)]
        if not frames:
            return None
        overlap, confidence, psr, status = (np.concatenate(column) for column in zip(*frames, strict=True))
        usable = {"confidence": confidence, "psr": psr, "status": status}
        measure = next((name for name, values in usable.items() if np.isfinite(values).any()), None)
        if measure is None:
            return None
        numbers = usable[measure]
        known = np.isfinite(numbers)
        good, failed = overlap > SUCCESS_OVERLAP, overlap < FAILED_OVERLAP
        is_probability = measure == "confidence" and bool(((numbers[known] >= 0) & (numbers[known] <= 1)).all())
        told, lost, has_status = status < 1, status == 0, np.isfinite(status)
        delays = [delay for frame in frames for delay in _delays(frame[0], frame[3])]
        return cls(
            measure,
            auroc(numbers[known], good[known]),
            calibration_error(numbers[known], good[known]) if is_probability else np.nan,
            float(failed.mean()) if len(failed) else np.nan,
            _share(told, failed & has_status),
            _share(lost, failed & has_status),
            _share(told, good & has_status),
            _share(lost, good & has_status),
            float(np.median(delays)) if delays else np.nan,
            len(delays),
            reliability(numbers[known], good[known]) if is_probability else (),
            _recovered([frame[0] for frame in frames]),
        )


def auroc(numbers: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the probability that a good frame has a higher number than another; ties count half.

    numbers, good: (M,). NaN if all frames are of one kind.
    """
    positive, negative = int(good.sum()), int((~good).sum())
    if not positive or not negative:
        return np.nan
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # equal numbers have their mean rank
    return float((ranks[good].sum() - positive * (positive + 1) / 2) / (positive * negative))


def reliability(probability: NDArray[np.float64], good: NDArray[np.bool_]) -> tuple[tuple[float, float, int], ...]:
    """For each tenth of the probability: its mean, the share of good frames, the number of frames. Arguments: (M,)."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    return tuple(
        (float(probability[bins == k].mean()), float(good[bins == k].mean()), int((bins == k).sum()))
        for k in np.unique(bins)
    )


def calibration_error(probability: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean of |share of good frames - mean probability| over bins, weighted by frames."""
    bins = reliability(probability, good)
    return sum(abs(share - mean) * count for mean, share, count in bins) / max(len(good), 1)


def _scored_frames(record: Record, sequence: AnnotatedSequence) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Overlap, confidence, PSR and status (see STATUS_ORDER; NaN without one) of the scored frames of each pass."""
    for one_pass in record.passes:
        truth = one_pass.truth(sequence)
        counted = scored(truth)
        counted[0] = False  # the tracker was given this box
        confidence = one_pass.confidence if one_pass.confidence is not None else np.full(len(truth), np.nan)
        status = np.array([STATUS_ORDER.get(name, np.nan) for name in one_pass.statuses])
        yield tuple(values[counted] for values in (overlaps(one_pass.boxes, truth), confidence, one_pass.psr, status))


def _delays(overlap: NDArray[np.float64], status: NDArray[np.float64]) -> Iterator[float]:
    """For each loss of a pass: number of frames until the status is not "tracked"; infinite if that never happens.

    Nothing for a tracker without a status.
    """
    if not np.isfinite(status).any():
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[0], overlap < FAILED_OVERLAP, [0]])))
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= LASTING:
            told = np.flatnonzero(status[start:stop] < 1)
            yield float(told[0]) if len(told) else np.inf


def _recovered(overlaps_of_passes: Sequence[NDArray[np.float64]]) -> float:
    """Share of good frames among all frames after the first failed frame of each pass; NaN without a failed frame."""
    after = [overlap[np.argmax(overlap < FAILED_OVERLAP) + 1 :] for overlap in overlaps_of_passes if _fails(overlap)]
    rest = np.concatenate(after) if after else np.empty(0)
    return float((rest > SUCCESS_OVERLAP).mean()) if len(rest) else np.nan


def _fails(overlap: NDArray[np.float64]) -> bool:
    return bool((overlap < FAILED_OVERLAP).any())


def _share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(of[among].mean()) if among.any() else np.nan


def all_trust(passes: Mapping[str, Mapping[str, Record]], sequences: Sequence[AnnotatedSequence]) -> dict[str, Trust]:
    """The measures of every tracker that has any. passes: tracker -> sequence -> record."""
    found = {name: Trust.of(records, sequences) for name, records in passes.items()}
    return {name: trust for name, trust in found.items() if trust is not None}
