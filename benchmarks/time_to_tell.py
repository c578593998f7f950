"""How soon a loss is told: python benchmarks/time_to_tell.py FOLDER... [--starts 5] [--leave-out NAME] [--output FILE].

Folders in OTB's layout. Each sequence is tracked from several starts (`starts_of`). A loss is 5 or more scored frames
in a row with an overlap under 0.1 (`trust.LASTING`). Its delays: frames from its first frame to the first one with the
status `uncertain` or `lost`, and with the status `lost`; infinite if the loss ends before. The quartiles of each are
printed: of the first loss of each pass, of all losses, and of the median loss of each sequence, because passes of one
sequence often fail at the same place.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from dcfnet.tracker import Tracker
from dcfnet_calibration.scoring import starts_of
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.passes import Pass, run_pass
from dcfnet_evaluation.scores.metrics import overlaps, scored
from dcfnet_evaluation.scores.trust import FAILED_OVERLAP, LASTING, STATUS_ORDER
from dcfnet_evaluation.sequences import AnnotatedSequence
from numpy.typing import NDArray


@dataclass(frozen=True)
class Loss:
    """One loss. start, first: frames of the sequence in which the pass and the loss start. frames: its length.

    doubted, lost: frames until the status is not `tracked`, and until it is `lost`; None if the loss ends before.
    """

    sequence: str
    start: int
    first: int
    frames: int
    doubted: int | None
    lost: int | None


def losses(sequence: AnnotatedSequence, run: Pass) -> Iterator[Loss]:
    """The losses of a pass. Frames without a true box are left out."""
    truth = run.truth(sequence)
    seen = scored(truth)
    seen[0] = False  # the tracker was given this box
    index = np.flatnonzero(seen)
    failed = overlaps(run.boxes, truth)[index] < FAILED_OVERLAP
    status = np.array([STATUS_ORDER[name] if name else np.nan for name in run.statuses])[index]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], failed, [0]])))
    for begin, end in edges.reshape(-1, 2):
        if end - begin >= LASTING:
            during = status[begin:end]
            first = run.start + int(index[begin])
            doubted, lost = (_first(during < STATUS_ORDER["tracked"]), _first(during == STATUS_ORDER["lost"]))
            yield Loss(sequence.name, run.start, first, int(end - begin), doubted, lost)


def _first(values: NDArray[np.bool_]) -> int | None:
    found = np.flatnonzero(values)
    return int(found[0]) if len(found) else None


def quartiles(delays: Sequence[int | None]) -> str:
    """The quartiles of delays; None is infinite."""
    known = np.array([np.inf if delay is None else delay for delay in delays])
    # Each quartile is one of the delays, because a mean with an infinite one says nothing.
    return ", ".join(f"{value:g}" for value in np.percentile(known, (25, 50, 75), method="inverted_cdf"))


def report(found: Sequence[Loss]) -> Iterator[str]:
    """The lines of the summary."""
    firsts = {(loss.sequence, loss.start): loss for loss in reversed(found)}.values()
    names = sorted({loss.sequence for loss in found})
    groups = {"all losses": found, "first loss of each pass": list(firsts)}
    for title, losses_of_group in groups.items():
        for measure in ("doubted", "lost"):
            delays = [getattr(loss, measure) for loss in losses_of_group]
            never = sum(delay is None for delay in delays)
            yield f"{title}: {measure} after {quartiles(delays)} frames (quartiles of {len(delays)}; never {never})"
    for name in names:
        own = [loss for loss in found if loss.sequence == name]
        shown = ", ".join("never" if loss.doubted is None else str(loss.doubted) for loss in own)
        yield f"  {name}: {len(own)} losses, doubted after {shown}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--leave-out", action="append", default=[], metavar="NAME")
    parser.add_argument("--model")
    parser.add_argument("--preset")
    parser.add_argument("--output", type=Path, help="JSON file for the losses")
    chosen = parser.parse_args()
    sequences = [each for folder in chosen.folders for each in open_dataset("otb", folder)]
    tracker, found, passes, frames = Tracker(chosen.model, "cpu", preset=chosen.preset), list[Loss](), 0, 0
    for sequence in sequences:
        if sequence.name in chosen.leave_out:
            continue
        for start in starts_of(sequence, chosen.starts):
            run = run_pass(tracker, sequence, start)
            passes, frames = passes + 1, frames + len(run.boxes)
            found += losses(sequence, run)
    print(f"{passes} passes, {frames} frames, {len(found)} losses")
    print("\n".join(report(found)))
    if chosen.output:
        content = {"passes": passes, "frames": frames, "losses": [asdict(loss) for loss in found]}
        chosen.output.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
