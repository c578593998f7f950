"""How well a set of constants tracks: mean success AUC over sequences, each from a few starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from dcfnet.backbones import Backbone
from dcfnet.backend import select
from dcfnet.config import TrackerConfig
from dcfnet.model import Model
from dcfnet.pipeline import Pipeline
from dcfnet.tracker import Tracker
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.protocols import Start, ope, tre
from dcfnet_evaluation.scores import Score
from dcfnet_evaluation.sequences import AnnotatedSequence


@dataclass
class Scorer:
    """Scores constants on sequences, each pair of them once.

    config: the model's, in which constants are changed. backbone: what runs the model. starts: in each sequence, 1 is
    OPE and more are spread over it as TRE's are. limit: frames of each pass; None is to the sequence's end.
    """

    model: Model
    config: TrackerConfig
    backbone: Backbone
    starts: int
    limit: int | None = None
    _known: dict[tuple[object, ...], Score] = field(default_factory=dict)

    def scores(self, constants: Mapping[str, float], sequences: Sequence[AnnotatedSequence]) -> list[Score]:
        """Scores on each of the sequences. Raises SequenceError for a frame that cannot be read."""
        return [self._score(constants, sequence) for sequence in sequences]

    def _score(self, constants: Mapping[str, float], sequence: AnnotatedSequence) -> Score:
        key = (sequence.name, *sorted(constants.items()))
        if key not in self._known:
            config = self.config.replace(**constants)
            pipeline = Pipeline.build(config, select("cpu"), self.backbone, self.model.mean, self.model.stride)
            tracker, starts = Tracker.of(pipeline), starts_of(sequence, self.starts)
            passes = [run_pass(tracker, sequence, start, self.limit) for start in starts]
            self._known[key] = Score.of(passes, sequence)
        return self._known[key]


def starts_of(sequence: AnnotatedSequence, count: int) -> list[Start]:
    """`count` starts spread over the sequence, the first of them its first frame: of TRE's, every so many."""
    if count == 1:
        return ope(sequence)
    starts = tre(sequence)
    return [starts[i] for i in np.unique(np.linspace(0, len(starts), count, endpoint=False).astype(int))]
