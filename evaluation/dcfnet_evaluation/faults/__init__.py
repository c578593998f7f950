"""Faults of cameras, codecs and transports, injected into the frames of any data set: dcfnet-eval --faults.

    pixels     what each fault does to the pixels of a frame
    catalogue  the faults by name: which frames they hit, and how
    sequences  a sequence with a fault: its frames and its true boxes
    run        an evaluation with each fault, and its table

Every fault is deterministic: its random numbers depend on the name of the sequence and on the frame alone. The first
frames of a sequence are as they were, because a tracker starts there.
"""

from __future__ import annotations

from dcfnet_evaluation.faults.catalogue import FAULTS, Fault
from dcfnet_evaluation.faults.run import evaluate_with_faults, faults_table
from dcfnet_evaluation.faults.sequences import with_fault

__all__ = ["FAULTS", "Fault", "evaluate_with_faults", "faults_table", "with_fault"]
