"""Scores sets of constants: success AUC on sequences, from a few starts in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from dcfnet.config import TrackerConfig
from dcfnet.devices.selection import open_backend
from dcfnet.model.backbone import Backbone
from dcfnet.model.file import Model
from dcfnet.tracker import Tracker
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.passes.protocols import Start, ope, tre
from dcfnet_evaluation.scores import Score
from dcfnet_evaluation.sequences import AnnotatedSequence


@dataclass
class Scorer:
    """Scores constants on sequences. It caches the score of each pair of constants and sequence.

    config: of the model; the constants replace its values. backbone: runs the model. starts: per sequence; 1 is OPE,
    more are spread over it as in TRE. limit: frames of each pass; None tracks to the end of the sequence.
    """

    model: Model
    config: TrackerConfig
    backbone: Backbone
    starts: int
    limit: int | None = None
    _cache: dict[tuple[object, ...], Score] = field(default_factory=dict)

    def scores(self, constants: Mapping[str, float], sequences: Sequence[AnnotatedSequence]) -> list[Score]:
        """The score on each sequence. Raises SequenceError for an unreadable frame."""
        return [self._score(constants, sequence) for sequence in sequences]

    def _score(self, constants: Mapping[str, float], sequence: AnnotatedSequence) -> Score:
        key = (sequence.name, *sorted(constants.items()))
        if key not in self._cache:
            config = self.config.replace(**constants)
            model, backend = self.model, open_backend("cpu")
            pipeline = Pipeline.build(
                config, backend, self.backbone, model.mean, model.stride, model.folded, model.levels
            )
            tracker, starts = Tracker.of(pipeline), starts_of(sequence, self.starts)
            passes = [run_pass(tracker, sequence, start, self.limit) for start in starts]
            self._cache[key] = Score.of(passes, sequence)
        return self._cache[key]


def starts_of(sequence: AnnotatedSequence, count: int) -> list[Start]:
    """`count` starts from those of TRE, spread over the sequence; the first start is the first frame."""
    if count == 1:
        return ope(sequence)
    starts = tre(sequence)
    return [starts[i] for i in np.unique(np.linspace(0, len(starts), count, endpoint=False).astype(int))]
