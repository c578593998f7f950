"""Scores of an evaluation, written to and read from one JSON file, for comparisons and for git."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dcfnet.io.files import read_json, write_atomically

from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.passes.records import Evaluation, Record
from dcfnet_evaluation.scores.metrics import scored
from dcfnet_evaluation.scores.sequence_scores import Score
from dcfnet_evaluation.scores.timing import Timing, timing
from dcfnet_evaluation.scores.trust import Trust, all_trust
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError

SHEET = "scores.json"
RUN_KEYS = ("layout", "dataset", "protocol", "limit")


@dataclass(frozen=True)
class Sheet:
    """Scores of every tracker on every sequence, under one set of conditions.

    run: layout, dataset, protocol and limit. scores: tracker -> one score per sequence. against_clock: camera rate in
    Hz -> tracker -> real-time scores. timings: tracker -> times. With several workers, against_clock and timings are
    empty. memory: tracker -> bytes. trust: tracker -> measures, for trackers with a status or a number.
    """

    run: Mapping[str, Any]
    trackers: Mapping[str, Mapping[str, Any]]
    machine: Mapping[str, Any]
    scores: Mapping[str, Sequence[Score]]
    against_clock: Mapping[int, Mapping[str, Sequence[Score]]]
    timings: Mapping[str, Timing]
    memory: Mapping[str, int]
    trust: Mapping[str, Trust] = field(default_factory=dict)

    @classmethod
    def of(cls, evaluation: Evaluation, sequences: Sequence[AnnotatedSequence]) -> Sheet:
        """The scores of an evaluation. sequences: its sequences; those without true boxes get no score."""
        conditions = evaluation.conditions
        by_name = {sequence.name: sequence for sequence in sequences if has_truth(sequence)}

        def scores(records: Mapping[str, Mapping[str, Record]]) -> dict[str, list[Score]]:
            return {
                tracker: [_score_of(record, by_name[name]) for name, record in by_sequence.items() if name in by_name]
                for tracker, by_sequence in records.items()
            }

        run = {key: getattr(conditions, key) for key in RUN_KEYS}
        timed, streaming = (evaluation.passes, evaluation.streaming) if evaluation.serial else ({}, {})
        timings = {name: timing(all_passes(by_sequence)) for name, by_sequence in timed.items()}
        return cls(
            run=run,
            trackers=conditions.trackers,
            machine=evaluation.machine,
            scores=scores(evaluation.passes),
            against_clock={rate: scores(records) for rate, records in streaming.items()},
            timings=timings,
            memory=evaluation.memory,
            trust=all_trust(evaluation.passes, list(by_name.values())),
        )

    def tracker(self, name: str | None = None) -> Sequence[Score]:
        """Scores of a tracker; None is the first one. Raises SequenceError if the name is unknown."""
        chosen = next(iter(self.scores)) if name is None else name
        if chosen not in self.scores:
            raise SequenceError(f"tracker {name!r}: is not in the scores; choose one of {', '.join(self.scores)}")
        return self.scores[chosen]


def has_truth(sequence: AnnotatedSequence) -> bool:
    """Whether there are true boxes after the first one. Benchmarks do not publish those of their test sets."""
    return len(sequence) == 1 or bool(scored(sequence.boxes)[1:].any())


def _score_of(record: Record, sequence: AnnotatedSequence) -> Score:
    """The score of a record, without FPS if several workers ran."""
    score = Score.of(record.passes, sequence)
    return score if record.serial else replace(score, fps=0.0)


def all_passes(records: Mapping[str, Record]) -> list[Pass]:
    """All passes of a tracker, in the order of the sequences."""
    return [one_pass for record in records.values() for one_pass in record.passes]


def write_sheet(sheet: Sheet, file: Path) -> None:
    """Writes the scores as JSON; NaN and infinity become null. An interrupted write leaves no partial file."""
    text = json.dumps(_without_nan(asdict(sheet)), separators=(",", ":"), allow_nan=False)
    write_atomically((text + "\n").encode(), file)


def read_sheet(place: Path) -> Sheet:
    """Reads the scores from a file or from the folder of an evaluation. Raises SequenceError if the file is invalid."""
    file = place / SHEET if place.is_dir() else place
    try:
        data = read_json(file)
        sheet = Sheet(
            run={key: data["run"][key] for key in RUN_KEYS},
            trackers=dict(data["trackers"]),
            machine=dict(data["machine"]),
            scores=_read_scores(data["scores"]),
            against_clock={int(rate): _read_scores(rows) for rate, rows in data["against_clock"].items()},
            timings={name: _read_timing(values) for name, values in data["timings"].items()},
            memory=dict(data["memory"]),
            trust={name: _read_trust(values) for name, values in data.get("trust", {}).items()},  # not in older files
        )
        # NaN would pass every comparison
        unusable = [s.sequence for rows in sheet.scores.values() for s in rows if not 0 <= s.auc <= 1]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SequenceError(f"{file}: not a valid score file ({reason}); write one with dcfnet-eval") from error
    if not sheet.scores:
        raise SequenceError(f"{file}: contains no scores; write them with dcfnet-eval")
    if unusable:
        raise SequenceError(f"{file}: success AUC of {', '.join(unusable)} is not in 0 to 1; run dcfnet-eval again")
    return sheet


def _read_scores(data: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Score]]:
    return {name: [Score(**_read_score(row)) for row in rows] for name, rows in data.items()}


def _read_score(row: Mapping[str, Any]) -> dict[str, Any]:
    error = row["centre_error"]
    curves = {key: tuple(row[key]) for key in ("success", "precisions")}
    return {**row, **curves, "centre_error": math.nan if error is None else error}


def _read_timing(values: Mapping[str, Any]) -> Timing:
    return Timing(**{**values, "quantiles": {float(key): ms for key, ms in values["quantiles"].items()}})


def _read_trust(values: Mapping[str, Any]) -> Trust:
    read: dict[str, Any] = {key: math.nan if value is None else value for key, value in values.items()}
    return Trust(**{**read, "bins": tuple(tuple(row) for row in values["bins"])})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
