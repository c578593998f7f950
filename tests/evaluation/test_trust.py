"""The measures of trust, against known frames and scikit-learn."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from dcfnet_evaluation.passes import PassRecorder
from dcfnet_evaluation.passes.protocols import Start
from dcfnet_evaluation.passes.records import Record, Store
from dcfnet_evaluation.scores.sheet import Sheet, read_sheet, write_sheet
from dcfnet_evaluation.scores.tables import trust_table
from dcfnet_evaluation.scores.trust import Trust, auroc, calibration_error, reliability
from dcfnet_evaluation.sequences import AnnotatedSequence
from rich.console import Console

from tests.evaluation.reported import LENGTH, MISSING, make_evaluation, make_record, render_sequences


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedSequence]:
    return render_sequences(tmp_path_factory.mktemp("footage"))


def drifting(sequence: AnnotatedSequence, told_after: int, confidence: np.ndarray | None = None) -> Record:
    """The box misses the target in the frames MISSING; the status is lost from `told_after` frames later to its end."""
    boxes = np.where(np.isnan(sequence.boxes), 1.0, sequence.boxes)
    boxes[MISSING, 0] += 3 * boxes[MISSING, 2]
    statuses = ["tracked"] * LENGTH
    for frame in range(MISSING.start + told_after, MISSING.stop):
        statuses[frame] = "lost"
    (one_pass,) = make_record(boxes).passes
    return Record((replace(one_pass, statuses=tuple(statuses), confidence=confidence),), serial=True)


@pytest.mark.parametrize("seed", range(3))
def test_auroc_equals_that_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    numbers, good = rng.integers(0, 20, 300).astype(float), rng.random(300) < 0.3  # many ties
    assert auroc(numbers, good) == pytest.approx(metrics.roc_auc_score(good, numbers), abs=1e-12)


def test_auroc_needs_both_kinds_of_frames() -> None:
    assert math.isnan(auroc(np.ones(3), np.ones(3, bool)))
    assert math.isnan(auroc(np.ones(0), np.ones(0, bool)))


def test_the_calibration_error_of_a_constant() -> None:
    good = np.arange(100) < 30
    assert calibration_error(np.full(100, 0.3), good) == pytest.approx(0)
    assert calibration_error(np.full(100, 0.9), good) == pytest.approx(0.6)
    assert reliability(np.ones(4), np.ones(4, bool)) == ((1.0, 1.0, 4),)  # a probability of 1 is in the last bin


def test_a_loss_that_is_told_late(sequences: list[AnnotatedSequence]) -> None:
    first = sequences[1:2]
    trust = Trust.of({first[0].name: drifting(first[0], told_after=4)}, first)
    assert trust is not None
    missing = MISSING.stop - MISSING.start
    assert trust.measure == "status"
    assert trust.failed == pytest.approx(missing / (LENGTH - 1))  # the given box of the first frame does not count
    assert trust.told == trust.lost == pytest.approx((missing - 4) / missing)
    assert (trust.false_alarms, trust.false_lost) == (0, 0)
    assert (trust.delay, trust.losses) == (4, 1)
    assert trust.bins == ()
    assert math.isnan(trust.error)
    after = LENGTH - MISSING.start - 1
    assert trust.recovered == pytest.approx((LENGTH - MISSING.stop) / after)  # the first failed frame does not count


def test_a_tracker_that_never_fails_has_nothing_to_recover_from(sequences: list[AnnotatedSequence]) -> None:
    first = sequences[1:2]
    record = drifting(first[0], told_after=0)
    boxes = np.where(np.isnan(first[0].boxes), 1.0, first[0].boxes)
    trust = Trust.of({first[0].name: Record((replace(record.passes[0], boxes=boxes),), serial=True)}, first)
    assert trust is not None
    assert math.isnan(trust.recovered)


def test_a_loss_that_is_never_told(sequences: list[AnnotatedSequence]) -> None:
    first = sequences[1:2]
    trust = Trust.of({first[0].name: drifting(first[0], told_after=LENGTH)}, first)
    assert trust is not None
    assert trust.delay == math.inf
    assert trust.told == 0


def test_the_confidence_comes_before_the_status(sequences: list[AnnotatedSequence]) -> None:
    first = sequences[1:2]
    confidence = np.full(LENGTH, 0.9)
    confidence[MISSING] = 0.1
    trust = Trust.of({first[0].name: drifting(first[0], LENGTH, confidence)}, first)
    assert trust is not None
    assert (trust.measure, trust.auroc) == ("confidence", 1)
    assert trust.error == pytest.approx(0.1)
    assert [row[1] for row in trust.bins] == [0, 1]


def test_a_score_outside_0_to_1_is_no_probability(sequences: list[AnnotatedSequence]) -> None:
    first = sequences[1:2]
    trust = Trust.of({first[0].name: drifting(first[0], LENGTH, np.linspace(0, 7, LENGTH))}, first)
    assert trust is not None
    assert math.isnan(trust.error)
    assert not trust.bins


def test_a_tracker_that_tells_nothing_has_no_measures(sequences: list[AnnotatedSequence]) -> None:
    record = make_record(sequences[0].boxes)
    assert Trust.of({sequences[0].name: record}, sequences[:1]) is None


def test_a_pass_records_the_confidence_and_a_file_keeps_it(tmp_path: Path) -> None:
    class Answer:
        box, confidence = (1.0, 2.0, 3.0, 4.0), 0.25

    class Sure:
        def init(self, frame: object, box: object) -> None:
            pass

        def update(self, frame: object) -> Answer:
            return Answer()

    recorder = PassRecorder("", Sure(), Start(0, Answer.box))
    for index in range(3):
        recorder.feed(index, np.zeros((8, 8, 3), np.uint8))
    one_pass = recorder.done()
    store = Store(tmp_path)
    store.save("ope", "sure", "sequence", Record((one_pass,), serial=True))
    (read,) = store.load("ope", "sure", "sequence").passes
    for kept in (one_pass, read):
        assert kept.confidence is not None
        np.testing.assert_array_equal(kept.confidence, [np.nan, 0.25, 0.25])


def test_a_file_without_confidence_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save("ope", "old", "sequence", make_record(np.ones((LENGTH, 4))))
    file = store.file("ope", "old", "sequence")
    data = json.loads(file.read_text())
    del data["passes"][0]["confidence"]
    file.write_text(json.dumps(data))
    assert store.load("ope", "old", "sequence").passes[0].confidence is None


def test_the_score_file_keeps_the_measures(sequences: list[AnnotatedSequence], tmp_path: Path) -> None:
    sheet = Sheet.of(make_evaluation(sequences), sequences)
    write_sheet(sheet, tmp_path / "scores.json")
    read = read_sheet(tmp_path / "scores.json").trust
    assert list(read) == list(sheet.trust) == ["drifting"]  # the others have neither status nor numbers
    assert read["drifting"].told == sheet.trust["drifting"].told == 0
    table = trust_table(sheet)
    assert [column.header for column in table.columns] == ["trust", "drifting"]
    with StringIO() as text:
        Console(file=text, width=40).print(table)
        assert "calibration error" in text.getvalue()  # also in a narrow terminal
