"""Scores and submission archive of GOT-10k, as its toolkit computes and writes them (Huang et al., TPAMI 2019)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from dcfnet.io.files import write_atomically
from numpy.typing import NDArray

from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.scores.metrics import overlaps, scored
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError

REPETITIONS = 3  # most passes per sequence, for trackers that are not deterministic
ONE_BASED = np.array([1.0, 1.0, 0.0, 0.0])  # offset from 0-based boxes to those of the dataset
WRITTEN = (1980, 1, 1, 0, 0, 0)  # fixed date, so that equal results give equal archives; the oldest date of a zip file

Boxes = NDArray[np.float64]


def average_overlap(
    passes: Mapping[str, Sequence[Pass]], sequences: Sequence[AnnotatedSequence]
) -> tuple[float, float, float]:
    """AO, SR at 0.5 and SR at 0.75: mean overlap, and shares of the frames with an overlap above 0.5 and 0.75.

    passes: sequence -> passes over all its frames. The frames of all sequences and passes are pooled, so a long
    sequence has more weight. The first frame and frames without the target are not scored. Boxes are first clipped to
    the frame, in the 1-based pixels of the dataset. The overlap of a frame without a box is 0.

    Raises SequenceError if a sequence has no complete pass, or if there is no frame to score.
    """
    by_sequence = [
        _scored_overlaps(one_pass, sequence)
        for sequence in sequences
        for one_pass in _complete_passes(passes, sequence)
    ]
    pooled = np.concatenate(by_sequence) if by_sequence else np.empty(0)
    if not len(pooled):
        raise SequenceError("0 frames to score: the target is absent after every first frame; use other sequences")
    return float(pooled.mean()), float((pooled > 0.5).mean()), float((pooled > 0.75).mean())


def write_submission(passes: Mapping[str, Sequence[Pass]], file: Path) -> None:
    """Writes the zip file for the evaluation server of GOT-10k. An interrupted write leaves no partial file.

    NAME/NAME_001.txt (002 and 003 for further passes): x,y,w,h per frame, 3 decimals, 1-based as in the dataset.
    NAME/NAME_time.txt: seconds per frame, 8 decimals, one column per pass.

    Raises SequenceError if a frame has no box, which the format requires, or if a sequence has more than 3 passes.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as folder:
        for name, one_pass in passes.items():
            for entry, text in _entries(name, one_pass):
                folder.writestr(zipfile.ZipInfo(f"{name}/{entry}", WRITTEN), text, zipfile.ZIP_DEFLATED)
    write_atomically(archive.getvalue(), file)


def _scored_overlaps(one_pass: Pass, sequence: AnnotatedSequence) -> NDArray[np.float64]:
    """Overlaps of the scored frames, float64 (N,)."""
    is_scored = scored(sequence.boxes)
    is_scored[0] = False
    height, width = sequence.read(0).shape[:2]
    boxes, truth = (_clip_to_frame(array[is_scored], width, height) for array in (one_pass.boxes, sequence.boxes))
    return overlaps(boxes, truth)


def _clip_to_frame(boxes: Boxes, width: int, height: int) -> Boxes:
    """Clips 0-based boxes to the frame and converts them to 1-based pixels, within 0 .. width and 0 .. height.

    A box that crosses the left or top edge moves and keeps its size, as in the toolkit's rect_iou.
    """
    bound = (width, height)
    corner = np.clip(boxes[:, :2] + 1, 0, bound)
    return np.hstack([corner, np.clip(boxes[:, 2:], 0, bound - corner)])


def _complete_passes(passes: Mapping[str, Sequence[Pass]], sequence: AnnotatedSequence) -> Sequence[Pass]:
    sequence_passes = passes.get(sequence.name, ())
    if not sequence_passes:
        raise SequenceError(f"{sequence.name}: has no pass; AO needs a pass over every sequence; evaluate this one too")
    for one_pass in sequence_passes:
        if one_pass.start or len(one_pass.boxes) != len(sequence):
            raise SequenceError(
                f"{sequence.name}: has a pass of {len(one_pass.boxes)} frames from frame {one_pass.start}; "
                f"AO needs passes over all {len(sequence)} frames; use --protocol ope without --limit"
            )
    return sequence_passes


def _entries(name: str, passes: Sequence[Pass]) -> Iterator[tuple[str, str]]:
    """Names and contents of the files of one sequence."""
    if not 1 <= len(passes) <= REPETITIONS:
        raise SequenceError(
            f"{name}: has {len(passes)} passes; a submission needs 1 to {REPETITIONS} per sequence; use OPE"
        )
    for number, one_pass in enumerate(passes, start=1):
        if len(missing := np.flatnonzero(np.isnan(one_pass.boxes).any(axis=1))):
            raise SequenceError(
                f"{name}: frame {missing[0]} has no box; a submission needs a box in every frame; fix the tracker"
            )
        yield f"{name}_{number:03d}.txt", _text(one_pass.boxes + ONE_BASED, "%.3f")
    yield f"{name}_time.txt", _text(np.stack([one_pass.seconds for one_pass in passes], axis=1), "%.8f")


def _text(rows: NDArray[np.float64], form: str) -> str:
    lines = io.StringIO()
    np.savetxt(lines, rows, fmt=form, delimiter=",")
    return lines.getvalue()
