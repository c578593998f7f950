"""Validation by tracking: runs the tracker with the current network on sequences outside the training footage.

The loss is not enough: weights with a lower loss have tracked worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from dcfnet.config import TrackerConfig
from dcfnet.devices.cpu import CpuBackend
from dcfnet.model.backbone import Backbone as RuntimeBackbone
from dcfnet.tracker import Tracker
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.passes.protocols import few_starts
from dcfnet_evaluation.scores import Score, mean_score
from dcfnet_evaluation.sequences import AnnotatedSequence
from numpy.typing import NDArray
from torch import nn

from dcfnet_train.backbone import MEAN_BGR
from dcfnet_train.checkpoint import Checkpoint


@dataclass(frozen=True)
class TorchBackbone(RuntimeBackbone):
    """The torch network as a backbone of the tracker, on NumPy arrays."""

    network: nn.Module

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Patches float32 (B, 3, S, S), BGR minus mean -> features float32 (B, C, H, W)."""
        with torch.inference_mode():
            features: NDArray[np.float32] = self.network(torch.from_numpy(patches)).numpy()
        return features


def open_tracker(checkpoint: Checkpoint, config: TrackerConfig) -> Tracker:
    """The tracker with the weights of a checkpoint. The stride of the features is that of the recipe."""
    stride = checkpoint.recipe.stride
    backbone = TorchBackbone(checkpoint.backbone(padding=True, stride=stride))
    mean = np.array(MEAN_BGR, dtype=np.float32)
    return Tracker.of(Pipeline.build(config, CpuBackend(), backbone, mean, stride))


@dataclass(frozen=True)
class Validation:
    """Sequences for validation, with five starts each, and the constants of the tracker."""

    sequences: Sequence[AnnotatedSequence]
    config: TrackerConfig

    def __call__(self, checkpoint: Checkpoint) -> Score:
        """Mean score over the sequences with the weights of the checkpoint."""
        return mean_score(self.scores(checkpoint))

    def scores(self, checkpoint: Checkpoint) -> list[Score]:
        """Score of each sequence."""
        tracker = open_tracker(checkpoint, self.config)
        return [self._score(tracker, sequence) for sequence in self.sequences]

    def _score(self, tracker: Tracker, sequence: AnnotatedSequence) -> Score:
        starts = few_starts(sequence)
        return Score.of([run_pass(tracker, sequence, start) for start in starts], sequence)
