"""Passes: a tracker starts in one frame of a sequence and tracks to the end.

`protocols` has the starts, `single_pass` runs trackers on the same decoded frames, and `latency` runs one tracker in
real time. `records` are the files of an evaluation, and `published` reads the boxes of other authors. Of the package,
this room imports `sequences` only.
"""

from dcfnet_evaluation.passes.single_pass import (
    Failure,
    Pass,
    PassRecorder,
    SingleTracker,
    failures,
    run_pass,
    run_passes,
)

__all__ = ["Failure", "Pass", "PassRecorder", "SingleTracker", "failures", "run_pass", "run_passes"]
