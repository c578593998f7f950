"""Fits the confidence of a model on tracked sequences, and measures it on sequences that it was not fitted on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dcfnet.errors import ConfigError
from dcfnet.io.files import write_atomically
from dcfnet.io.frame import Frame
from dcfnet.model.confidence import TERMS, Confidence, terms_of
from dcfnet.model.file import CONFIDENCE_KEY, Model
from dcfnet.result import Box, Result
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.steps import init_target, step
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.scores.metrics import SUCCESS_OVERLAP, overlaps, scored
from dcfnet_evaluation.scores.trust import FAILED_OVERLAP, auroc, calibration_error
from dcfnet_evaluation.sequences import AnnotatedSequence
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from dcfnet_calibration.metadata import with_metadata
from dcfnet_calibration.scoring import starts_of

USED = ("log_likeness", "log_typical")  # other terms gain little or nothing on held-out sequences (docs/confidence.md)
PENALTY = 0.3  # C of scikit-learn's LogisticRegression


class Recorder:
    """A tracker of one target that keeps the terms of its confidence: (frames, len(TERMS)) since `init`."""

    def __init__(self, pipeline: Pipeline) -> None:
        """pipeline: with or without a confidence."""
        self._pipeline = pipeline
        self._state: TrackState | None = None
        self._terms: list[NDArray[np.float64]] = []

    def init(self, frame: Frame, box: Box) -> None:
        """See `Tracker.init`."""
        self._state, self._terms = init_target(self._pipeline, frame, box), []

    def update(self, frame: Frame) -> Result:
        """See `Tracker.update`."""
        assert self._state is not None, "update before init"
        typical = self._state.typical.copy()  # before this frame, as `confidence_of` uses it
        self._state, (result,) = step(self._pipeline, self._state, {0: frame})
        likeness, peak, psr = np.array([[result.likeness], [result.peak], [result.psr]])
        self._terms.append(terms_of(likeness, peak, psr, typical)[0])
        return result

    @property
    def terms(self) -> NDArray[np.float64]:
        """See `terms_of`."""
        return np.array(self._terms).reshape(-1, len(TERMS))


@dataclass(frozen=True)
class Observations:
    """M tracked frames with a visible target. terms: float64 (M, len(TERMS)). overlap: float64 (M,), with the truth.

    sequence: (M,), index of the sequence.
    """

    terms: NDArray[np.float64]
    overlap: NDArray[np.float64]
    sequence: NDArray[np.intp]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Frames in which the box is on the target: the overlap exceeds 0.5."""
        return np.asarray(self.overlap > SUCCESS_OVERLAP)

    def of(self, rows: NDArray[np.bool_]) -> Observations:
        """Some of the observations."""
        return Observations(self.terms[rows], self.overlap[rows], self.sequence[rows])


@dataclass(frozen=True)
class Quality:
    """How good probabilities of M frames are.

    auroc: area under the ROC curve of "overlap above 0.5". error: expected calibration error, 10 bins of equal width.
    brier: mean squared error. missed: share of the failures (overlap under 0.1) with a probability of at least 0.5.
    false_alarms: share of the good frames with a probability under 0.5. NaN without such frames.
    """

    auroc: float
    error: float
    brier: float
    missed: float
    false_alarms: float

    @classmethod
    def of(cls, probability: NDArray[np.float64], observed: Observations) -> Quality:
        """The quality of the probabilities, float64 (M,), of these observations."""
        good, failed, doubtful = observed.good, observed.overlap < FAILED_OVERLAP, probability < 0.5
        return cls(
            auroc(probability, good),
            calibration_error(probability, good),
            float(brier_score_loss(good, probability, labels=[False, True])),
            _share(~doubtful, failed),
            _share(doubtful, good),
        )


def observe(pipeline: Pipeline, sequences: Sequence[AnnotatedSequence], starts: int) -> Observations:
    """Tracks every sequence from `starts` frames. Raises SequenceError for an unreadable frame."""
    recorder, terms, found, index = Recorder(pipeline), [], [], []
    for number, sequence in enumerate(sequences):
        for start in starts_of(sequence, starts):
            run = run_pass(recorder, sequence, start)
            overlap = overlaps(run.boxes, run.truth(sequence))[1:]  # the first box is given
            seen = scored(run.truth(sequence))[1:]
            terms.append(recorder.terms[seen])
            found.append(overlap[seen])
            index.append(np.full(seen.sum(), number))
    return Observations(np.concatenate(terms), np.concatenate(found), np.concatenate(index))


def fit(observed: Observations, used: Sequence[str] = USED) -> Confidence:
    """The logistic model with the least weighted log loss. Every sequence has the same weight.

    Raises ConfigError if no frame, or every frame, is good.
    """
    if not 0 < observed.good.sum() < len(observed.good):
        share = observed.good.mean() if len(observed.good) else float("nan")
        raise ConfigError(
            f"the box is on the target in a share of {share:.2f} of the frames: a fit needs frames of both kinds; "
            "use more or harder sequences"
        )
    columns = [TERMS.index(name) for name in used]
    mean, deviation = observed.terms[:, columns].mean(axis=0), observed.terms[:, columns].std(axis=0) + 1e-9
    _, inverse, count = np.unique(observed.sequence, return_inverse=True, return_counts=True)
    weights = 1 / count[inverse]
    model = LogisticRegression(C=PENALTY, max_iter=1000)
    scaled = (observed.terms[:, columns] - mean) / deviation
    model.fit(scaled, observed.good, sample_weight=weights * len(weights) / weights.sum())
    slopes = model.coef_[0] / deviation
    return Confidence(float(model.intercept_[0] - slopes @ mean), dict(zip(used, map(float, slopes), strict=True)))


def probabilities(confidence: Confidence, observed: Observations) -> NDArray[np.float64]:
    """The probabilities of the observations, float64 (M,)."""
    return confidence.of_terms(observed.terms)


def held_out(observed: Observations, folds: int, used: Sequence[str] = USED) -> NDArray[np.float64]:
    """Probabilities of all observations, each from a fit without its sequence, float64 (M,).

    Raises ConfigError for fewer sequences than folds.
    """
    names = np.unique(observed.sequence)
    if len(names) < folds:
        raise ConfigError(
            f"{len(names)} sequences: must be at least as many as folds, {folds}; add sequences, or use --folds"
        )
    found = np.empty(len(observed.overlap))
    for part in np.array_split(np.random.default_rng(0).permutation(names), folds):
        tested = np.isin(observed.sequence, part)
        found[tested] = probabilities(fit(observed.of(~tested), used), observed.of(tested))
    return found


def write_confidence(model: Model, confidence: Confidence, file: Path) -> Model:
    """Writes a copy of the model that contains the fit; returns the copy, parsed again."""
    written = with_metadata(model, CONFIDENCE_KEY, json.dumps(confidence.to_mapping()), str(file))
    write_atomically(written.onnx, file)
    return written


def write_fit(confidence: Confidence, quality: Quality, model: Model, observed: Observations, file: Path) -> None:
    """Writes the fit and its held-out quality as JSON, for `dcfnet-export --confidence`."""
    content: dict[str, Any] = {"weights_sha256": model.weights_sha256, **confidence.to_mapping()}
    content |= {"held_out": vars(quality), "frames": len(observed.overlap)}
    write_atomically((json.dumps(content, indent=2) + "\n").encode(), file)


def _share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(of[among].mean()) if among.any() else float("nan")
