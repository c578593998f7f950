"""dcfnet-run --record-failures: when a failure starts, its files, its page, and what stops the recorder."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.cli.failures import recorder as recorders
from dcfnet.cli.failures.page import MEANING
from dcfnet.cli.failures.recorder import FailureRecorder
from dcfnet.cli.failures.rule import FOUND_FRAMES, UNCERTAIN_FRAMES, Cause, FailureRule
from dcfnet.cli.run import app
from dcfnet.config import TrackerConfig
from dcfnet.errors import DcfnetError, SinkError
from dcfnet.io.source_frame import SourceFrame
from dcfnet.result import Box, Reason, Result, Status
from dcfnet.tracker import MultiTracker, Tracker
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.rendered import Clip, noise_texture
from typer.testing import CliRunner

from tests.conftest import make_raw_pipeline
from tests.runtime.inputs import start, write_images

BOX = Box(100, 80, 30, 40)
FOUND = Result(BOX, 0.6, 20.0, 50.0, Status.TRACKED, Reason.FOUND, 0.7, 0.9)
LOST = Result(BOX, 0.2, 4.0, 9.0, Status.LOST, Reason.LOW_PSR, 0.1, 0.05)
UNSURE = replace(FOUND, status=Status.UNCERTAIN, reason=Reason.LOW_CONFIDENCE, confidence=0.3)
BAD = Result(BOX, 0, 0, 0, Status.LOST, Reason.BAD_FRAME, 0, 0.0)
CONFIG = TrackerConfig()
LENGTH = 24
HIDDEN = range(8, 14)  # frames of the clip in which the target is hidden


def starts(results: Sequence[Result]) -> list[tuple[int, Cause]]:
    """The frames in which failures start, with their causes."""
    rule = FailureRule()
    causes = [(index, rule.add(index, result)) for index, result in enumerate(results)]
    return [(index, cause) for index, cause in causes if cause]


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([FOUND] * 5 + [LOST] * 50, [(5, Cause.LOST)]),
        ([FOUND, LOST, FOUND, LOST, FOUND, FOUND, LOST], [(1, Cause.LOST)]),  # it flickers: one failure
        ([LOST] * 3 + [FOUND] * FOUND_FRAMES + [LOST], [(0, Cause.LOST), (3 + FOUND_FRAMES, Cause.LOST)]),
        ([UNSURE] * (UNCERTAIN_FRAMES - 1) + [FOUND] * 3 + [UNSURE] * 5, []),
        ([FOUND] * 4 + [UNSURE] * 40, [(3 + UNCERTAIN_FRAMES, Cause.UNCERTAIN)]),
        # A long uncertain time must not hide that the target is then lost, and then lost again.
        (
            [UNSURE] * 40 + [LOST] * 3 + [UNSURE] * 30 + [LOST],
            [(UNCERTAIN_FRAMES - 1, Cause.UNCERTAIN), (40, Cause.LOST), (73, Cause.LOST)],
        ),
        ([LOST] * 3 + [UNSURE] * 60, [(0, Cause.LOST)]),  # uncertain after a loss belongs to it
        # The status alone counts: another model has another number behind it, and a user another threshold.
        ([replace(UNSURE, confidence=None, reason=Reason.LOW_PSR)] * 60, [(UNCERTAIN_FRAMES - 1, Cause.UNCERTAIN)]),
        ([replace(FOUND, confidence=0.1)] * 60, []),
        ([UNSURE] * 5 + [replace(UNSURE, status=Status.LOST)] * 50, [(5, Cause.LOST)]),  # as the tracker's rule gives
        ([replace(UNSURE, reason=Reason.FROZEN_FRAME)] * 60, []),
    ],
)
def test_a_failure_starts_once(results: list[Result], expected: list[tuple[int, Cause]]) -> None:
    assert starts(results) == expected


def test_the_page_has_a_meaning_for_all_reasons_of_a_failure() -> None:
    """Of the table in `tracking/status.py`, and of rejected frames."""
    good = {Reason.FOUND, Reason.REDETECTED, Reason.SCALE_LIMIT, Reason.RESOLUTION_CHANGED, Reason.CORRECTED}
    unused = {Reason.FROZEN_FRAME, Reason.OUT_OF_ORDER}  # the frame was not used
    assert set(MEANING) == set(Reason) - good - unused


def picture(index: int, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """A smooth frame whose grey level is the index, (width, height)."""
    return np.full((size[1], size[0], 3), index % 256, np.uint8)


def record(
    folder: Path,
    results: Sequence[Result],
    rate: float = 30,
    missing: Sequence[int] = (),
    source: str = "clip.mp4",
    size: tuple[int, int] = (320, 240),
) -> FailureRecorder:
    """A recorder after these results; it is not closed. missing: frames without pixels."""
    recorder = FailureRecorder(folder, source, {"preset": "balanced"}, CONFIG)
    recorder.add(0, SourceFrame(picture(0, size), 0.0), BOX, None)
    for index, result in enumerate(results, start=1):
        pixels = None if index in missing else picture(index, size)
        recorder.add(index, SourceFrame(pixels, index / rate), result.box, result)
    return recorder


def rows_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_failure_has_the_seconds_around_it(tmp_path: Path) -> None:
    """At 30 frames per second, 90 frames before it and 30 after it, without the end of the run."""
    recorder = record(tmp_path, [*[FOUND] * 149, *[LOST] * 31])
    deadline = time.monotonic() + 20
    while "1 failure recorded" not in (tmp_path / "index.html").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    recorder.close()
    rows = rows_of(tmp_path / "0001")
    assert [row["frame"] for row in rows] == list(range(60, 181))
    assert set(rows[-1]) == {
        *("frame", "box", "peak", "psr", "apce", "likeness", "status", "reason", "confidence", "time"),
        *("picture", "crop"),
    }
    assert rows[-1]["likeness"] == LOST.likeness
    for row in rows:
        level = cv2.imread(str(tmp_path / "0001" / str(row["picture"])))[120, 160]
        assert np.abs(level.astype(int) - int(str(row["frame"]))).max() <= 2


@pytest.mark.parametrize(("rate", "before", "after"), [(1000, 120, 40), (1, 10, 5)])
def test_memory_is_limited_for_fast_sources_and_slow_ones_have_enough_frames(
    tmp_path: Path, rate: float, before: int, after: int
) -> None:
    record(tmp_path, [*[FOUND] * 199, *[LOST] * 60], rate).close()
    assert [row["frame"] for row in rows_of(tmp_path / "0001")] == list(range(200 - before, 200 + after + 1))


def test_a_picture_shows_the_surroundings_of_a_small_target_at_full_resolution(tmp_path: Path) -> None:
    record(tmp_path, [replace(LOST, box=Box(1800, 40, 20, 20))] * 6, rate=1, size=(1920, 1080)).close()
    row = rows_of(tmp_path / "0001")[-1]
    assert row["crop"] == [1280, 0, 640, 640]  # moved into the frame
    record(tmp_path / "large", [replace(LOST, box=Box(500, 300, 200, 400))] * 6, rate=1, size=(1920, 1080)).close()
    row = rows_of(tmp_path / "large/0001")[-1]
    assert row["crop"] == [0, 0, 1920, 1080]
    assert cv2.imread(str(tmp_path / "large/0001" / str(row["picture"]))).shape == (360, 640, 3)


def test_a_run_that_ends_writes_the_failure_that_has_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also after Ctrl-C, which closes the recorder."""
    with record(tmp_path, [FOUND, LOST, BAD], missing=[3]):
        assert not (tmp_path / "0001").exists()
        assert "0 failures" in (tmp_path / "index.html").read_text()
    rows = rows_of(tmp_path / "0001")
    assert [row["frame"] for row in rows] == [0, 1, 2, 3]
    assert "picture" not in rows[3]
    page = (tmp_path / "index.html").read_text()
    assert "1 failure recorded in 4 frames." in page
    assert "not before the end of the run" in page
    assert "no picture" in page
    assert f"1 failure recorded in {tmp_path / 'index.html'}" in capsys.readouterr().err


class Page(HTMLParser):
    """The elements of a page; it fails for an end tag that does not fit."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text, self._open = "", list[str]()
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in {"meta", "img", "br"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_complete_in_itself_and_escapes_names(tmp_path: Path) -> None:
    with record(tmp_path, [*[FOUND] * 30, *[LOST] * 40, *[FOUND] * 20], source="<script>alert('a')</script>.mp4"):
        pass
    page = Page((tmp_path / "index.html").read_text())
    assert "Failures of the target in <script>alert('a')</script>.mp4" in page.text
    assert not {tag for tag, _ in page.found} & {"script", "link", "iframe", "object"}
    images = [attributes["src"] for tag, attributes in page.found if tag == "img"]
    assert len(images) == 15  # 14 small ones, and the start
    assert all(image.startswith("data:image/") for image in images)
    charts = [attributes["aria-label"] for tag, attributes in page.found if tag == "svg"]
    assert [chart.split(":")[0] for chart in charts] == ["peak", "psr", "likeness", "confidence"]
    for text in (
        "Failure 0001: frame 31, 1.03 s",
        "lost (low_psr)",
        "frame 71",
        "min_psr 5",
        "confident_psr 7",
        "lost_confidence",
    ):
        assert text in page.text
    assert "learning_rate" in page.text
    assert "balanced" in page.text
    links = [attributes["href"] for tag, attributes in page.found if tag == "a" and attributes["href"][0] != "#"]
    assert all((tmp_path / link).is_file() for link in links)


def test_a_chart_has_gaps_where_nothing_was_measured(tmp_path: Path) -> None:
    with record(tmp_path, [FOUND, FOUND, BAD, BAD, LOST, LOST], missing=[3, 4]):
        pass
    charts = re.findall(r"<svg.*?</svg>", (tmp_path / "index.html").read_text())
    assert [chart.count('class="line"') for chart in charts] == [2, 2, 2, 2]
    assert "nan" not in "".join(charts)


def repeated(count: int) -> list[Result]:
    """Results with `count` failures, one after the other."""
    return ([LOST] + [FOUND] * (FOUND_FRAMES + 1)) * count


def test_only_the_first_failures_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recorders, "MOST_FAILURES", 2)
    with record(tmp_path, repeated(5), rate=5):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001", "0002", "index.html"]
    assert capsys.readouterr().err.count("no more failures are written") == 1
    assert "3 more could not be written" in (tmp_path / "index.html").read_text()


def test_the_size_of_all_failures_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recorders, "MOST_BYTES", 160_000)
    with record(tmp_path, repeated(8), rate=5):
        pass
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert 50_000 < size < 180_000
    assert (tmp_path / "0001").exists()
    assert not (tmp_path / "0008").exists()
    assert capsys.readouterr().err.count("no more failures are written") == 1


def test_a_full_disk_is_told_once_and_leaves_no_part_of_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = record(tmp_path, [FOUND])
    written = Path.write_bytes

    def full(file: Path, content: bytes) -> int:
        if "results.jsonl" in file.name:  # the last file of a failure
            raise OSError(28, "No space left on device")
        return written(file, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    for index, result in enumerate(repeated(4), start=2):
        recorder.add(index, SourceFrame(picture(index), index / 5), BOX, result)
    recorder.close()
    errors = capsys.readouterr().err
    assert errors.count("No space left on device") == 1
    assert "no more failures are written, tracking continues" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert "4 more could not be written" in (tmp_path / "index.html").read_text()


def test_the_response_map_is_stored_and_its_errors_do_not_stop_the_run(tmp_path: Path) -> None:
    response = np.zeros((64, 64), np.float32)
    response[10, 50] = 0.3

    def broken(frame: np.ndarray) -> np.ndarray:
        raise DcfnetError("the GPU fails")

    for name, get in (("good", lambda frame: response), ("broken", broken)):
        with FailureRecorder(tmp_path / name, "clip", {}, CONFIG, get) as recorder:
            recorder.add(0, SourceFrame(picture(0), 0.0), BOX, None)
            recorder.add(1, SourceFrame(picture(1), 0.1), BOX, LOST)
    stored = cv2.imread(str(tmp_path / "good/0001/response.png"), cv2.IMREAD_GRAYSCALE)
    rows, columns = np.nonzero(stored == stored.max())
    assert (rows.mean() // 3, columns.mean() // 3) == (10, 50)
    assert sorted(path.name for path in (tmp_path / "broken/0001").iterdir()) == [
        "000000.jpg",
        "000001.jpg",
        "results.jsonl",
    ]


def test_the_response_map_is_that_of_the_search_and_changes_no_state(clip: Clip) -> None:
    pipeline: Pipeline = make_raw_pipeline(scales=1, colour_share=0.0, redetection_rings=0, second_pass_distance=100.0)
    tracker, twin = Tracker.of(pipeline), Tracker.of(pipeline)
    covered = noise_texture(np.random.default_rng(5), 240, 320)
    for each in (tracker, twin):
        each.init(clip.frame(0), clip.box(0))
        result = each.update(covered)
    assert result.status is Status.LOST
    (response,) = tracker.response_maps(covered)
    assert response.shape == (64, 64)
    low = response.min()
    assert (response.max() - low) ** 2 / ((response - low) ** 2).mean() == pytest.approx(result.apce, rel=1e-3)
    # The peak of a target that is in the box is in the middle.
    (response,) = tracker.response_maps(clip.frame(0))
    assert np.unravel_index(response.argmax(), response.shape) == (32, 32)
    assert tracker.update(clip.frame(1)) == twin.update(clip.frame(1))


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Images in which a wall hides the target for some frames."""
    clip: Clip = request.getfixturevalue("clip")
    frames = [clip.frame(t) for t in range(LENGTH)]
    left, top, w, h = clip.box(HIDDEN[3]).rounded()
    wall = noise_texture(np.random.default_rng(7), h + 60, w + 60)
    for t in HIDDEN:
        frames[t][top - 30 : top + h + 30, left - 30 : left + w + 30] = wall
        frames[t][0, 0] = t  # otherwise some frames are frozen
    folder = tmp_path_factory.mktemp("hidden")
    return write_images(folder, frames, [f"{t:04d}.png" for t in range(LENGTH)])


@pytest.fixture
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """dcfnet-run tracks raw pixels, without a network."""
    pipeline = make_raw_pipeline(scales=1, colour_share=0.0, background_penalty=0.0)
    monkeypatch.setattr("dcfnet.cli.session.open_tracker", lambda options: MultiTracker.of(pipeline))


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


@pytest.mark.usefixtures("_stand_in")
def test_a_hidden_target_is_recorded_and_the_boxes_are_the_same(hidden: Path, clip: Clip, tmp_path: Path) -> None:
    folder, with_option, without = tmp_path / "failures", tmp_path / "a.csv", tmp_path / "b.csv"
    code, text = run(hidden, "--init", start(clip), "--boxes", with_option, "--record-failures", folder)
    assert code == 0, text
    assert f"1 failure recorded in {folder / 'index.html'}" in text
    code, text = run(hidden, "--init", start(clip), "--boxes", without)
    assert code == 0, text
    assert "recorded" not in text
    assert with_option.read_bytes() == without.read_bytes()
    boxes = list(csv.DictReader(without.read_text().splitlines()))
    lost = [int(row["frame"]) for row in boxes if row["status"] == "lost"]
    assert lost[0] in HIDDEN
    page = (folder / "index.html").read_text()
    assert f"Failure 0001: frame {lost[0]}," in page
    assert f"<td>frame {lost[-1] + 1}</td>" in page
    assert '<b class="lost">lost</b>' in page
    rows = {row["frame"]: row for row in rows_of(folder / "0001")}
    assert rows[lost[0]]["status"] == "lost"
    assert (folder / "0001/response.png").stat().st_size > 1000


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FILE", "is not a folder"),
        ("FILE/folder", "cannot be written"),
        ("EARLIER", "has the failures of an earlier run; give another folder"),
        ("SOURCE", "is the source; choose another folder"),
        ("x" * 300, "cannot be written"),
    ],
)
def test_a_folder_that_cannot_be_used_is_an_error_before_the_run(
    hidden: Path, clip: Clip, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "FILE").write_text("earlier")
    (tmp_path / "EARLIER").mkdir()
    (tmp_path / "EARLIER/index.html").write_text("earlier")
    folder = hidden if name == "SOURCE" else tmp_path / name
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("earlier")
    code, text = run(hidden, "--init", start(clip), "--boxes", boxes, "--record-failures", folder)
    assert code == 1
    assert message in text.replace("\n", "")
    assert boxes.read_text() == "earlier"


@pytest.mark.usefixtures("_stand_in")
def test_a_disk_that_fills_during_the_run_does_not_stop_the_tracking(
    hidden: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(contents: object) -> None:
        raise SinkError("0001/results.jsonl: cannot be written (No space left on device)")

    monkeypatch.setattr(recorders, "write_files_atomically", full)
    boxes, folder = tmp_path / "boxes.csv", tmp_path / "failures"
    code, text = run(hidden, "--init", start(clip), "--boxes", boxes, "--record-failures", folder)
    assert code == 0, text
    assert text.count("No space left on device") == 1
    assert len(boxes.read_text().splitlines()) == 1 + LENGTH
