"""GOT-10k's scores and its submission archive, as its toolkit computes and writes them (Huang et al., TPAMI 2019)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from dcfnet.sinks import write_whole
from numpy.typing import NDArray

from dcfnet_evaluation.metrics import overlaps, scored
from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError

REPETITIONS = 3  # passes a sequence, of trackers that are not deterministic
ONE_BASED = np.array([1.0, 1.0, 0.0, 0.0])  # from 0-based boxes to the data set's
WRITTEN = (1980, 1, 1, 0, 0, 0)  # equal results give equal archives: the oldest date that a zip can hold

Boxes = NDArray[np.float64]


def average_overlap(
    passes: Mapping[str, Sequence[Pass]], sequences: Sequence[AnnotatedSequence]
) -> tuple[float, float, float]:
    """AO, SR at 0.5 and SR at 0.75: mean overlap, and shares of the frames whose overlap is above 0.5 and 0.75.

    passes: sequence -> its passes from the first frame. Frames of all sequences and passes are pooled, so a long
    sequence counts more; the first frame, which was given, and frames without the target do not count. Boxes are
    bounded to the frame beforehand, in the data set's 1-based pixels. A frame without a box overlaps nothing.

    Raises SequenceError for a sequence without a whole pass, or where there is no frame to score.
    """
    found = [_overlaps(done, sequence) for sequence in sequences for done in _whole(passes, sequence)]
    pooled = np.concatenate(found) if found else np.empty(0)
    if not len(pooled):
        raise SequenceError("no frame after a first one holds its target; there is nothing to score")
    return float(pooled.mean()), float((pooled > 0.5).mean()), float((pooled > 0.75).mean())


def write_submission(passes: Mapping[str, Sequence[Pass]], file: Path) -> None:
    """Writes the zip that GOT-10k's evaluation server takes, whole or not at all.

    NAME/NAME_001.txt (002 and 003 for further passes): x,y,w,h a frame, three decimals, 1-based like the first box that
    the data set gives. NAME/NAME_time.txt: seconds a frame, eight decimals, a column a pass.

    Raises SequenceError where a pass has a frame without a box, which the format cannot say, and for too many passes.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as folder:
        for name, done in passes.items():
            for entry, text in _entries(name, done):
                folder.writestr(zipfile.ZipInfo(f"{name}/{entry}", WRITTEN), text, zipfile.ZIP_DEFLATED)
    write_whole(archive.getvalue(), file)


def _overlaps(done: Pass, sequence: AnnotatedSequence) -> NDArray[np.float64]:
    """Overlaps of the frames that count, (N,)."""
    here = scored(sequence.boxes)
    here[0] = False
    height, width = sequence.read(0).shape[:2]
    boxes, truth = (_bounded(found[here], width, height) for found in (done.boxes, sequence.boxes))
    return overlaps(boxes, truth)


def _bounded(boxes: Boxes, width: int, height: int) -> Boxes:
    """The parts of 0-based boxes that lie in 0 .. width and 0 .. height of 1-based pixels, in these.

    A box that sticks out at the left or top keeps its size and is moved, as in the toolkit's rect_iou.
    """
    bound = (width, height)
    corner = np.clip(boxes[:, :2] + 1, 0, bound)
    return np.hstack([corner, np.clip(boxes[:, 2:], 0, bound - corner)])


def _whole(passes: Mapping[str, Sequence[Pass]], sequence: AnnotatedSequence) -> Sequence[Pass]:
    found = passes.get(sequence.name, ())
    if not found:
        raise SequenceError(f"{sequence.name}: no pass over it; AO is defined over all sequences")
    for done in found:
        if done.start or len(done.boxes) != len(sequence):
            raise SequenceError(
                f"{sequence.name}: a pass of {len(done.boxes)} frames from frame {done.start}; "
                f"AO takes passes over all {len(sequence)}, from the first (one-pass evaluation without a limit)"
            )
    return found


def _entries(name: str, passes: Sequence[Pass]) -> Iterator[tuple[str, str]]:
    """Files of one sequence and what stands in them."""
    if not 1 <= len(passes) <= REPETITIONS:
        raise SequenceError(f"{name}: {len(passes)} passes; a submission has 1 to {REPETITIONS} of a sequence")
    for number, done in enumerate(passes, start=1):
        if len(without := np.flatnonzero(np.isnan(done.boxes).any(axis=1))):
            raise SequenceError(f"{name}: frame {without[0]} has no box; a submission needs one in every frame")
        yield f"{name}_{number:03d}.txt", _text(done.boxes + ONE_BASED, "%.3f")
    yield f"{name}_time.txt", _text(np.stack([done.seconds for done in passes], axis=1), "%.8f")


def _text(rows: NDArray[np.float64], form: str) -> str:
    lines = io.StringIO()
    np.savetxt(lines, rows, fmt=form, delimiter=",")
    return lines.getvalue()
