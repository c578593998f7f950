"""The report: its values against an independent count, its pictures and its texts."""

from __future__ import annotations

import base64
import io
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet_evaluation.passes.published import PublishedScores
from dcfnet_evaluation.passes.records import Evaluation
from dcfnet_evaluation.sequences import AnnotatedSequence

from tests.evaluation.reported import (
    BOLD,
    BROKEN,
    LENGTH,
    MISSING,
    Page,
    make_evaluation,
    make_record,
    render_sequences,
)

pytest.importorskip("matplotlib", reason="needs the extra 'evaluation'")
pytest.importorskip("jinja2", reason="needs the extra 'evaluation'")
pytest.importorskip("PIL", reason="needs the extra 'evaluation'")
from dcfnet_evaluation.report import page as report
from dcfnet_evaluation.report.moments import unaware_share, worst_moments
from dcfnet_evaluation.report.palette import TRUTH, TRUTH_COLOUR
from dcfnet_evaluation.report.pictures import MarkedFrame, draw
from PIL import Image


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedSequence]:
    return render_sequences(tmp_path_factory.mktemp("footage"))


@pytest.fixture(scope="module")
def evaluation(sequences: list[AnnotatedSequence]) -> Evaluation:
    return make_evaluation(sequences)


def write_and_parse(evaluation: Evaluation, sequences: list[AnnotatedSequence], folder: Path, **options: Any) -> Page:
    return Page(report.write_report(evaluation, sequences, folder, **options).read_text())


@pytest.fixture(scope="module")
def folder(
    evaluation: Evaluation, sequences: list[AnnotatedSequence], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    place = tmp_path_factory.mktemp("report")
    report.write_report(evaluation, sequences, place)
    return place


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


def count_scores(boxes: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """AUC, DP@20 and OP@0.5, counted frame by frame from the definitions."""
    shares, near, half, frames = [0] * 21, 0, 0, 0
    for (x, y, w, h), (a, b, c, d) in zip(boxes.tolist(), truth.tolist(), strict=True):
        if math.isnan(a):
            continue
        frames += 1
        if math.isnan(x):
            continue
        across = max(0.0, min(x + w, a + c) - max(x, a))
        down = max(0.0, min(y + h, b + d) - max(y, b))
        overlap = min(across * down / (w * h + c * d - across * down), 1.0)  # rounding errors
        shares = [share + (overlap > i / 20) for i, share in enumerate(shares)]
        near += math.dist((x + w / 2, y + h / 2), (a + c / 2, b + d / 2)) <= 20
        half += overlap > 0.5
    return sum(shares) / 21 / frames, near / frames, half / frames


def test_values_match_an_independent_count(
    page: Page, evaluation: Evaluation, sequences: list[AnnotatedSequence]
) -> None:
    accuracy, per_sequence = page.table("Accuracy"), page.table("Success AUC of each sequence")
    for tracker, by_sequence in evaluation.passes.items():
        expected = {s.name: count_scores(by_sequence[s.name].passes[0].boxes, s.boxes) for s in sequences}
        auc, precision, half = np.mean(list(expected.values()), axis=0)
        row = accuracy[tracker]
        assert (row["AUC"], row["DP@20"], row["OP@0.5"]) == (f"{auc:.3f}", f"{precision:.3f}", f"{half:.3f}")
        assert [per_sequence[s.name][tracker] for s in sequences] == [f"{expected[s.name][0]:.3f}" for s in sequences]
    assert accuracy["failing"]["failed"] == str(3 * (LENGTH - BROKEN))
    assert accuracy["drifting"]["CLE px"] != accuracy["failing"]["CLE px"] == "0.0"
    times = page.table("Time of an update")["drifting"]
    assert (times["FPS"], times["p99.9 ms"], times["init ms"], times["MB"]) == ("100.0", "10.00", "10.00", "123")
    assert page.table("Mean milliseconds") == {"crop": {"drifting": "4.00"}, "rest": {"drifting": "6.00"}}


def test_attributes_are_means_over_their_sequences(page: Page) -> None:
    per_sequence, grouped = page.table("Success AUC of each sequence"), page.table("Success AUC over the sequences")
    assert list(grouped) == ["ALL 3", "OCC 1", "SV 2"]
    assert grouped["OCC 1"] == per_sequence[BOLD]
    mean = (float(per_sequence[BOLD]["shifted $x$"]) + float(per_sequence["Beta"]["shifted $x$"])) / 2
    assert float(grouped["SV 2"]["shifted $x$"]) == pytest.approx(mean, abs=1.1e-3)


def test_the_difference_to_the_first_tracker_has_an_interval(page: Page) -> None:
    rows = page.table("Accuracy")
    difference, low, high = map(float, re.findall(r"[+-]\d\.\d+", rows["shifted $x$"]["to first"]))
    assert difference == pytest.approx(float(rows["shifted $x$"]["AUC"]) - float(rows["drifting"]["AUC"]), abs=1.1e-3)
    assert low <= difference <= high
    assert rows["drifting"]["to first"] == "-"


def test_misses_with_status_tracked_are_reported(
    page: Page, evaluation: Evaluation, sequences: list[AnnotatedSequence]
) -> None:
    length = MISSING.stop - MISSING.start
    moments = worst_moments(evaluation.passes["drifting"], sequences)
    assert [(m.frame, m.last, m.last_hit, m.frames) for m in moments] == [(12, 29, 11, length)] * 3
    assert page.words.count(f"The status was “tracked” although the box missed the target, in {length} frames") == 3
    updates = 3 * (LENGTH - 1) - 5  # five frames have no target
    assert unaware_share(evaluation.passes["drifting"], sequences) == pytest.approx(3 * length / updates)
    assert page.table("Accuracy")["drifting"]["unaware"] == f"{3 * length / updates:.1%}"
    assert page.table("Accuracy")["failing"]["unaware"] == "-", "it reports no status"


def test_frames_without_the_target_are_not_counted_and_do_not_end_a_miss(sequences: list[AnnotatedSequence]) -> None:
    sequence = sequences[2]
    boxes = sequence.boxes.copy()
    boxes[30:40, 0] += 500
    (moment,) = worst_moments({sequence.name: make_record(boxes, "lost")}, [sequence])
    assert (moment.frame, moment.last, moment.frames, moment.unaware) == (30, 39, 5, 0)


def test_a_pass_without_a_miss_gives_its_worst_frame(sequences: list[AnnotatedSequence]) -> None:
    boxes = sequences[0].boxes.copy()
    boxes[20, 0] += boxes[20, 2] / 4
    (moment,) = worst_moments({BOLD: make_record(boxes)}, sequences[:1])
    assert (moment.frame, moment.missed) == (20, False)
    assert moment.lowest == pytest.approx(0.75 / 1.25)


def test_failures_are_first_and_names_are_escaped(page: Page, folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert page.words.index("RuntimeError: <camera> fell off") < page.words.index("Dataset")
    assert f"from frame {BROKEN} for {LENGTH - BROKEN} frames" in page.words
    assert "<b>bold" not in text
    assert "<camera>" not in text
    assert BOLD in page.table("Success AUC of each sequence")


def test_the_page_is_self_contained(page: Page, folder: Path) -> None:
    assert page.addresses()
    assert {address for address in page.addresses() if not address.startswith(("data:", "#"))} == set()
    text = (folder / "report.html").read_text()
    assert not re.search(r"url\(|@import|<script", text)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 5 + 3 * 4  # plots; three stills and a clip per sequence
    for attributes in images:
        kind, content = attributes["src"].removeprefix("data:").split(";base64,")
        data = base64.b64decode(content, validate=True)
        assert attributes["alt"]
        if kind == "image/svg+xml":
            assert ET.fromstring(data).tag.endswith("svg")
        else:
            picture = Image.open(io.BytesIO(data))
            picture.load()
            assert picture.width <= 320
            assert picture.size == (int(attributes["width"]), int(attributes["height"]))
            assert picture.n_frames == (
                1 if "animation" not in attributes["alt"] else 24
            )  # every second frame of 0 to 47


def test_plots_are_written_as_files_and_are_reproducible(
    folder: Path, evaluation: Evaluation, sequences: list[AnnotatedSequence], tmp_path: Path
) -> None:
    names = ["attributes.svg", "precision.svg", "speed.svg", "stages.svg", "success.svg"]
    assert sorted(file.name for file in folder.glob("*.svg")) == names
    report.write_report(evaluation, sequences[::-1], tmp_path)
    for name in (*names, "report.html"):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_page_over_the_size_limit_drops_clips(
    evaluation: Evaluation,
    sequences: list[AnnotatedSequence],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = (folder / "report.html").stat().st_size - 1
    monkeypatch.setattr(report, "REPORT_BYTES", limit)
    page = write_and_parse(evaluation, sequences, tmp_path)
    assert (tmp_path / "report.html").stat().st_size <= limit
    assert page.words.count("clip is left out") == 1
    assert [tag for tag, _ in page.tags].count("img") == 5 + 3 * 4 - 1


def test_published_scores_and_runs_with_several_workers_have_no_times(
    evaluation: Evaluation, sequences: list[AnnotatedSequence], tmp_path: Path
) -> None:
    def as_parallel(records: Any) -> Any:
        return {
            t: {s: replace(record, serial=False) for s, record in by_sequence.items()}
            for t, by_sequence in records.items()
        }

    names = [s.name.lower() for s in sequences]
    table = PublishedScores({"KCF": dict.fromkeys(names, (0.4, 0.6)), "Half": {names[0]: (0.5, 0.5)}})
    parallel = replace(evaluation, passes=as_parallel(evaluation.passes))
    page = write_and_parse(parallel, sequences, tmp_path, published=table)
    row = page.table("Accuracy")["KCF published"]
    assert (row["AUC"], row["DP@20"], row["CLE px"]) == ("0.400", "0.600", "-")
    assert "have no score for some of these sequences: Half" in page.words
    assert "several workers ran at the same time" in page.words
    assert not any(caption.startswith(("Time", "Success AUC offline", "Mean milliseconds")) for caption in page.tables)
    assert not (tmp_path / "speed.svg").exists()
    assert "FPS" not in page.words


def test_boxes_are_drawn_at_their_place() -> None:
    frame = np.full((360, 640, 3), 128, np.uint8)
    colours = {TRUTH: TRUTH_COLOUR, "one": (255, 0, 0), "none": (0, 255, 0)}
    boxes = {TRUTH: (400, 200, 100, 60), "one": (100, 60, 81, 41), "none": (np.nan,) * 4}
    image = np.asarray(draw(MarkedFrame(frame, boxes, colours, "frame 0")))
    rows, columns = np.nonzero((image[:180] == (255, 0, 0)).all(axis=2))  # rows 0 to 179 are the frame at half size
    assert (columns.min(), columns.max()) == pytest.approx((50, 90), abs=1)
    assert (rows.min(), rows.max()) == pytest.approx((30, 50), abs=11)  # its sign is above it
    assert rows.max() == pytest.approx(50, abs=1)
    assert not (image[:180] == (0, 255, 0)).all(axis=2).any()


def test_commands_start_without_the_report_libraries() -> None:
    code = "import sys, dcfnet_evaluation.cli; print([n for n in ('matplotlib', 'jinja2', 'PIL') if n in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
