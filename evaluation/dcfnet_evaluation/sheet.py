"""The scores of an evaluation as one JSON file, and back: what comparisons read and what is worth keeping in git."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dcfnet.sinks import write_whole

from dcfnet_evaluation.metrics import scored
from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.records import Evaluation, Record
from dcfnet_evaluation.scores import Score
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from dcfnet_evaluation.timing import Timing, timing

SHEET = "scores.json"
RUN_KEYS = ("layout", "dataset", "protocol", "limit")


@dataclass(frozen=True)
class Sheet:
    """Scores of every tracker on every sequence, under one set of conditions.

    run: layout, dataset, protocol and limit. scores: tracker -> a score a sequence. against_clock: the same by rate,
    Hz. timings: tracker -> times; both are empty where workers ran beside each other. memory: tracker -> bytes.
    """

    run: Mapping[str, Any]
    trackers: Mapping[str, Mapping[str, Any]]
    machine: Mapping[str, Any]
    scores: Mapping[str, Sequence[Score]]
    against_clock: Mapping[int, Mapping[str, Sequence[Score]]]
    timings: Mapping[str, Timing]
    memory: Mapping[str, int]

    @classmethod
    def of(cls, evaluation: Evaluation, sequences: Sequence[AnnotatedSequence]) -> Sheet:
        """The scores of an evaluation; sequences: those it was run on, of which those without truth have no score."""
        conditions = evaluation.conditions
        by_name = {sequence.name: sequence for sequence in sequences if has_truth(sequence)}

        def scores(records: Mapping[str, Mapping[str, Record]]) -> dict[str, list[Score]]:
            return {
                tracker: [_score_of(record, by_name[name]) for name, record in found.items() if name in by_name]
                for tracker, found in records.items()
            }

        run = {key: getattr(conditions, key) for key in RUN_KEYS}
        timed, streaming = (evaluation.passes, evaluation.streaming) if evaluation.serial else ({}, {})
        timings = {name: timing(passes_of(found)) for name, found in timed.items()}
        return cls(
            run=run,
            trackers=conditions.trackers,
            machine=evaluation.machine,
            scores=scores(evaluation.passes),
            against_clock={rate: scores(records) for rate, records in streaming.items()},
            timings=timings,
            memory=evaluation.memory,
        )

    def tracker(self, name: str | None = None) -> Sequence[Score]:
        """Scores of a tracker, the first one by default. Raises SequenceError for a name that is not there."""
        chosen = next(iter(self.scores)) if name is None else name
        if chosen not in self.scores:
            raise SequenceError(f"no tracker {name!r} in the scores; there are {', '.join(self.scores)}")
        return self.scores[chosen]


def has_truth(sequence: AnnotatedSequence) -> bool:
    """Whether there is more to score than the first box; benchmarks keep the truth of their test sets."""
    return len(sequence) == 1 or bool(scored(sequence.boxes)[1:].any())


def _score_of(record: Record, sequence: AnnotatedSequence) -> Score:
    """The score of a record; without FPS where workers ran beside each other."""
    score = Score.of(record.passes, sequence)
    return score if record.serial else replace(score, fps=0.0)


def passes_of(records: Mapping[str, Record]) -> list[Pass]:
    """All passes of a tracker, sequence after sequence."""
    return [done for record in records.values() for done in record.passes]


def write_sheet(sheet: Sheet, file: Path) -> None:
    """Writes the scores as JSON, whole or not at all; what is not a number becomes null."""
    text = json.dumps(_clean(asdict(sheet)), separators=(",", ":"), allow_nan=False)
    write_whole((text + "\n").encode(), file)


def read_sheet(place: Path) -> Sheet:
    """The scores in a file, or in the folder of an evaluation. Raises SequenceError naming a file that is none."""
    file = place / SHEET if place.is_dir() else place
    try:
        data = json.loads(file.read_text())
        sheet = Sheet(
            run={key: data["run"][key] for key in RUN_KEYS},
            trackers=dict(data["trackers"]),
            machine=dict(data["machine"]),
            scores=_scores(data["scores"]),
            against_clock={int(rate): _scores(found) for rate, found in data["against_clock"].items()},
            timings={name: _timing(values) for name, values in data["timings"].items()},
            memory=dict(data["memory"]),
        )
        # NaN would pass every gate, so it is no score
        unusable = [s.sequence for found in sheet.scores.values() for s in found if not 0 <= s.auc <= 1]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SequenceError(f"{file}: not scores that dcfnet-eval wrote ({type(error).__name__}: {error})") from error
    if not sheet.scores:
        raise SequenceError(f"{file}: holds no scores")
    if unusable:
        raise SequenceError(f"{file}: success AUC of {', '.join(unusable)} is not in 0 to 1")
    return sheet


def _scores(data: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Score]]:
    return {name: [Score(**_score(row)) for row in rows] for name, rows in data.items()}


def _score(row: Mapping[str, Any]) -> dict[str, Any]:
    error = row["centre_error"]
    curves = {key: tuple(row[key]) for key in ("success", "precisions")}
    return {**row, **curves, "centre_error": math.nan if error is None else error}


def _timing(values: Mapping[str, Any]) -> Timing:
    return Timing(**{**values, "quantiles": {float(key): ms for key, ms in values["quantiles"].items()}})


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _clean(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
