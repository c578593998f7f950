"""dcfnet-run with several targets: ids, files of targets, the boxes of a detector, births and deaths."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dcfnet.cli.exit_codes import ExitCode
from dcfnet.cli.run import app
from dcfnet.cli.targets.births import BirthRule, DeathRule
from dcfnet.cli.targets.detections import Detection, read_detections
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.sinks.video import annotate_targets
from dcfnet.io.sources import open_source
from dcfnet.result import Box, Reason, Result, Status
from dcfnet.tracker import MultiTracker
from dcfnet_evaluation.rendered import noise_texture
from typer.testing import CliRunner

from tests.conftest import make_raw_pipeline
from tests.runtime.inputs import write_images

COUNT = 24
HIDDEN_FROM = 12  # the third target is gone from this frame on
Rows = list[dict[str, str]]


def true_box(target: int, t: int) -> Box:
    """The targets 0, 1 and 2 move along a row each."""
    return Box(40 + 3 * t if target != 1 else 220 - 3 * t, 30 + 70 * target, 32, 32)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with three textured targets."""
    rng = np.random.default_rng(3)
    scene, textures = noise_texture(rng, 240, 320, contrast=20), [noise_texture(rng, 32, 32, 90) for _ in range(3)]
    frames = []
    for t in range(COUNT):
        frame = scene.copy()
        for target in range(3 if t < HIDDEN_FROM else 2):
            x, y, w, h = true_box(target, t).rounded()
            frame[y : y + h, x : x + w] = textures[target]
        frames.append(frame)
    return write_images(tmp_path_factory.mktemp("three"), frames, [f"{t:04d}.png" for t in range(COUNT)])


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """dcfnet-run tracks raw pixels, without a network."""
    pipeline = make_raw_pipeline(scales=1, colour_share=0.0, background_penalty=0.0)
    monkeypatch.setattr("dcfnet.cli.session.open_tracker", lambda options: MultiTracker.of(pipeline))


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def shown(box: Box) -> str:
    return ",".join(f"{value:g}" for value in box)


def rows_of(file: Path) -> Rows:
    return list(csv.DictReader(file.read_text().splitlines()))


def of_target(rows: Rows, target: int) -> Rows:
    return [row for row in rows if row["id"] == str(target)]


def overlap(row: dict[str, str], target: int) -> float:
    return Box(*(float(row[side]) for side in "xywh")).iou(true_box(target, int(row["frame"])))


def write_detections(file: Path, targets: Sequence[int], frames: Sequence[int], score: float = 0.9) -> Path:
    """True boxes as a detector of MOTChallenge's format writes them: frames, x and y from 1."""
    lines = []
    for t in frames:
        for target in targets:
            x, y, w, h = true_box(target, t)
            lines.append(f"{t + 1},-1,{x + 1:g},{y + 1:g},{w:g},{h:g},{score},-1,-1,-1\n")
    file.write_text("".join(lines))
    return file


def test_each_init_is_a_target_with_an_id_and_the_boxes_of_a_run_alone(footage: Path, tmp_path: Path) -> None:
    starts = [shown(true_box(target, 0)) for target in (0, 1)]
    code, text = run(footage, "--init", starts[0], "--init", starts[1], "--boxes", tmp_path / "both.csv")
    assert code == 0, text
    assert f"{COUNT} frames, 2 targets, 0 of {2 * COUNT} boxes lost" in text
    both = rows_of(tmp_path / "both.csv")
    assert [(row["frame"], row["id"]) for row in both[:4]] == [("0", "1"), ("0", "2"), ("1", "1"), ("1", "2")]
    for target, start in enumerate(starts):
        run(footage, "--init", start, "--boxes", tmp_path / "alone.csv")
        alone = rows_of(tmp_path / "alone.csv")
        assert "id" not in alone[0]
        assert [{name: row[name] for name in row if name != "id"} for row in of_target(both, target + 1)] == alone
        assert min(overlap(row, target) for row in of_target(both, target + 1)) > 0.8


@pytest.mark.parametrize("layout", ["csv", "jsonl", "mot"])
def test_a_file_of_targets_gives_ids_and_first_frames(footage: Path, tmp_path: Path, layout: str) -> None:
    file, out = tmp_path / "targets.csv", tmp_path / "out.txt"
    lines = ["frame,id,x,y,w,h,note", f"5,7,{shown(true_box(1, 5))},late", f"0,4,{shown(true_box(0, 0))},"]
    file.write_text("\r\n".join(lines) + "\n\n")
    code, text = run(footage, "--targets", file, "--boxes", out, "--format", layout, "--output", tmp_path / "o.mp4")
    assert code == 0, text
    read: dict[str, Callable[[str], tuple[int, int]]] = {
        "csv": lambda line: (int(line.split(",")[0]), int(line.split(",")[1])),
        "jsonl": lambda line: (json.loads(line)["frame"], json.loads(line)["id"]),
        "mot": lambda line: (int(line.split(",")[0]) - 1, int(line.split(",")[1])),
    }
    content = out.read_text().splitlines()[layout == "csv" :]
    expected = [(t, target) for t in range(COUNT) for target in (4, 7) if target == 4 or t >= 5]
    assert [read[layout](line) for line in content] == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no target; each line must be id,x,y,w,h"),
        ("1,2,3,4\n", "line 1: '1,2,3,4': must be id,x,y,w,h or id,x,y,w,h,frame"),
        ("1,10,10,30,30\n1,40,40,30,30\n", "line 2: the id 1 is there twice"),
        ("0,10,10,30,30\n", "line 1: '0,10,10,30,30': must be"),
        ("1,10,10,30,30,-2\n", "must be id,x,y,w,h"),
        ("id,x,y,w\n1,2,3,4\n", "line 1: the header lacks the column h"),
        ("1,ten,10,30,30\n", "line 1: '1,ten,10,30,30': must be"),
        (b"\xff\xfe\x00", "is not a text file"),
        (None, "cannot be read (No such file or directory)"),
        ("1,900,900,30,30\n", "less than one pixel of it is in the frame of 320 x 240"),
    ],
)
def test_an_unusable_file_of_targets_is_one_line(
    footage: Path, tmp_path: Path, content: str | bytes | None, message: str
) -> None:
    file = tmp_path / "targets.csv"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, text = run(footage, "--targets", file)
    assert (code, text.count("\n")) == (1, 1)
    assert message in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--init", "40,30,32,32", "--init", "220,100,32,32", "--boxes", "OUT/b", "--format", "otb"], "has no ids"),
        (["--init", "40,30,32,32", "--init", "220,100,32,32", "--record-failures", "OUT/f"], "records one target"),
        (["--init", "40,30,32,32", "--targets", "OUT/t.csv"], "--init and --targets: give one of them"),
        (["--init", "40,30,32,32", "--births", "2"], "--births 2: needs the boxes of a detector"),
        (["--init", "40,30,32,32", "--min-score", "0.3"], "--min-score 0.3: needs the boxes of a detector"),
        (["--init", "40,30,32,32", "--without-box", "5"], "--without-box 5: needs the boxes of a detector"),
        (["--init", "40,30,32,32", "--birth-score", "0.7"], "--birth-score 0.7: needs the boxes of a detector"),
        (
            ["--init", "40,30,32,32", "--detections", "OUT/t.csv", "--birth-score", "0.7"],
            "--birth-score 0.7: no detector box starts a target here; give --births 3",
        ),
        (
            ["--detections", "OUT/t.csv", "--births", "0", "--birth-score", "0.7"],
            "--birth-score 0.7: no detector box starts a target here",
        ),
        (["--init", "40,30,32,32", "--detections", "OUT/d.txt", "--boxes", "OUT/d.txt"], "would overwrite an input"),
        (["--detections", "OUT/d.txt"], "d.txt: line 2: '1,2': must be frame,id,x,y,w,h,score"),
    ],
)
def test_options_that_do_not_fit_are_one_line(footage: Path, tmp_path: Path, args: list[str], message: str) -> None:
    (tmp_path / "t.csv").write_text("1,40,30,32,32\n")
    (tmp_path / "d.txt").write_text("1,-1,41,31,32,32,1\n1,2\n")
    code, text = run(footage, *(arg.replace("OUT", str(tmp_path)) for arg in args))
    assert (code, text.count("\n")) == (1, 1), text
    assert message in text


@pytest.mark.parametrize(
    "row", ["1,-1,41,31,32,32,nan", "1,-1,inf,31,32,32,0.9", "1,-1,41,31,32,nan", "nan,-1,1,1,9,9"]
)
def test_a_detection_that_is_not_finite_is_one_line(footage: Path, tmp_path: Path, row: str) -> None:
    (tmp_path / "det.txt").write_text(f"1,-1,41,31,32,32,1\n{row}\n")
    code, text = run(footage, "--detections", tmp_path / "det.txt")
    assert (code, text.count("\n")) == (1, 1)
    assert f"det.txt: line 2: '{row}': must be frame,id,x,y,w,h,score" in text


def test_detections_behind_the_end_of_the_source_are_told(footage: Path, tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text(f"{COUNT + 1},-1,41,31,32,32,1\n{COUNT + 7},-1,41,31,32,32,1\n")
    code, text = run(footage, "--detections", tmp_path / "det.txt")
    assert code == ExitCode.PARTIAL
    assert f"no box of the detector was used: the first one is of frame {COUNT + 1}, of {COUNT} frames" in text
    (tmp_path / "det.txt").write_text(f"{COUNT},-1,41,31,32,32,1\n")
    assert run(footage, "--detections", tmp_path / "det.txt")[0] == 0


def test_detections_need_a_source_with_frame_numbers(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcfnet.cli.session.open_source", lambda *args: replace(open_source(args[0]), live=True))
    code, text = run(footage, "--detections", write_detections(tmp_path / "det.txt", [0], [0]))
    assert (code, text.count("\n")) == (1, 1)
    assert "is live, so its frames have no fixed numbers; record it first" in text


def test_a_run_without_any_target_says_so(footage: Path, tmp_path: Path) -> None:
    detections = write_detections(tmp_path / "det.txt", [0], [0])
    code, text = run(footage, "--detections", detections, "--birth-score", "2")
    assert (code, text.splitlines()[-1]) == (0, f"{COUNT} frames, no target started")


def test_targets_that_cannot_start_later_make_the_run_partial(footage: Path, tmp_path: Path) -> None:
    file = tmp_path / "targets.csv"
    file.write_text(f"1,{shown(true_box(0, 0))}\n2,900,10,30,30,3\n3,10,10,30,30,500\n")
    code, text = run(footage, "--targets", file, "--boxes", tmp_path / "b.csv")
    assert code == ExitCode.PARTIAL
    assert "target 2 could not start in frame 3: box x=900" in text
    assert f"target 3 did not start: its frame is 500, of {COUNT} frames" in text
    assert len(rows_of(tmp_path / "b.csv")) == COUNT


def test_a_detection_corrects_its_target_and_starts_none_by_default(footage: Path, tmp_path: Path) -> None:
    detections = write_detections(tmp_path / "det.txt", (0, 1), range(4, COUNT, 4))
    x, y, w, h = true_box(0, 0)
    code, text = run(
        *(footage, "--init", f"{x + 4:g},{y + 4:g},{w:g},{h:g}"),
        *("--detections", detections, "--boxes", tmp_path / "b.csv"),
    )
    assert code == 0, text
    rows = rows_of(tmp_path / "b.csv")
    assert {row["id"] for row in rows} == {"1"}
    assert [int(row["frame"]) for row in rows if row["reason"] == "corrected"] == list(range(4, COUNT, 4))
    assert max(overlap(row, 0) for row in rows[:4]) < 0.65
    assert min(overlap(row, 0) for row in rows[4::4]) > 0.95


def test_detections_start_targets_and_lost_targets_end(footage: Path, tmp_path: Path) -> None:
    """Without --init: a target starts in the third frame with detections, here every second frame."""
    detections = write_detections(tmp_path / "det.txt", (0, 2), range(0, HIDDEN_FROM, 2))
    with detections.open("a") as file:
        file.write("1,-1,200,180,30,30,0.1\n3,-1,200,180,30,30,0.1\n5,-1,200,180,30,30,0.1\n")  # a low score
        file.write("1,-1,900,900,30,30,0.9\n2,-1,5,5,1,1,0.9\n")  # outside the frame, too small
    args = ("--detections", detections, "--boxes", tmp_path / "b.csv", "--deaths", 5, "--output", tmp_path / "v.mp4")
    code, text = run(footage, *args)
    assert code == 0, text
    assert f"{COUNT} frames, 2 targets (1 ended), 5 of" in text
    rows = rows_of(tmp_path / "b.csv")
    stays, ends = of_target(rows, 1), of_target(rows, 2)
    assert {row["id"] for row in rows} == {"1", "2"}
    assert [int(row["frame"]) for row in stays] == list(range(4, COUNT))
    assert [int(row["frame"]) for row in ends] == list(range(4, HIDDEN_FROM + 5))
    assert [row["status"] for row in ends[-6:]] == ["tracked", *["lost"] * 5]
    assert min(overlap(row, 0) for row in stays) > 0.8


def test_a_target_on_the_background_ends_without_boxes(footage: Path, tmp_path: Path) -> None:
    """It started at wrong boxes, and is tracked there for ever. The target with a box in every second frame stays."""
    detections = write_detections(tmp_path / "det.txt", [0], range(0, COUNT, 2))
    with detections.open("a") as file:
        file.writelines(f"{t + 1},-1,251,151,40,40,0.9\n" for t in (0, 2, 4))
    args = (footage, "--detections", detections, "--boxes", tmp_path / "b.csv")
    code, text = run(*args)
    assert code == 0, text
    other = of_target(rows_of(tmp_path / "b.csv"), 2)
    assert {row["status"] for row in other[1:]} == {"tracked"}
    assert len(other) == COUNT - 4
    code, text = run(*args, "--without-box", 6)
    assert "2 targets (1 ended)" in text
    rows = rows_of(tmp_path / "b.csv")
    assert [int(row["frame"]) for row in of_target(rows, 2)] == list(range(4, 4 + 6 + 1))
    assert len(of_target(rows, 1)) == COUNT - 4


def test_the_first_detections_can_start_targets_at_once(footage: Path, tmp_path: Path) -> None:
    detections = write_detections(tmp_path / "det.txt", (0, 1), [0])
    start = shown(true_box(0, 0))
    args = ("--detections", detections, "--births", 1, "--init", start, "--boxes", tmp_path / "b.csv")
    code, text = run(footage, *args)
    assert code == 0, text
    rows = rows_of(tmp_path / "b.csv")
    assert [row["id"] for row in rows if row["frame"] == "0"] == ["1", "2"]  # the box of --init is not doubled


def found(*boxes: Box, score: float = 1.0) -> list[Detection]:
    return [Detection(box, score) for box in boxes]


def test_a_birth_needs_frames_in_a_row_and_a_free_place() -> None:
    near, moved, far = Box(10, 10, 20, 20), Box(14, 10, 20, 20), Box(200, 10, 20, 20)
    rule = BirthRule(3, 0.5)
    assert [rule.add(found(box), []) for box in (near, moved, near)] == [[], [], [near]]
    assert [rule.add(found(box), []) for box in (near, far, near, near)] == [[], [], [], []]
    assert rule.add(found(near), []) == [near]
    low, taken = BirthRule(2, 0.5), BirthRule(1, 0.5)
    assert [low.add(found(near, score=score), []) for score in (0.9, 0.4, 0.9)] == [[], [], []]
    assert taken.add(found(near, far), [moved]) == [far]
    assert BirthRule(0, 0.0).add(found(near), []) == []


def test_two_candidates_do_not_continue_as_one() -> None:
    left, right = Box(10, 10, 20, 20), Box(18, 10, 20, 20)  # IoU 0.43
    rule = BirthRule(2, 0.0)
    rule.add(found(left), [])
    assert rule.add(found(right, left), []) == [left]


def test_a_death_needs_frames_in_a_row_without_the_target() -> None:
    rule = DeathRule(2)
    results = {status: Result(Box(1, 2, 3, 4), 0.1, 1.0, 1.0, status, Reason.LOW_PSR) for status in Status}
    lost, tracked, uncertain = (results[status] for status in (Status.LOST, Status.TRACKED, Status.UNCERTAIN))
    frames = [{3: lost, 8: uncertain}, {3: tracked, 8: lost}, {3: lost}, {3: uncertain}]
    assert [rule.add(frame.items()) for frame in frames] == [[], [8], [], [3]]
    assert all(DeathRule(0).add({1: lost}.items()) == [] for _ in range(3))
    corrected = replace(uncertain, reason=Reason.CORRECTED)  # there is an object in the box
    again = DeathRule(2)
    assert [again.add({3: result}.items()) for result in (uncertain, corrected, uncertain, lost)] == [[], [], [], [3]]


def test_detections_are_read_from_0_and_low_scores_left_out(tmp_path: Path) -> None:
    file = tmp_path / "det.txt"
    file.write_text("3,-1,11,21,30,40,0.75\n\n3,-1,1,1,5,5,0.2,-1,-1,-1\n4,-1,1,1,5,5\n")
    assert read_detections(file, 0.5) == {
        2: [Detection(Box(10, 20, 30, 40), 0.75)],
        3: [Detection(Box(0, 0, 5, 5), 1.0)],
    }


def test_the_picture_shows_all_boxes_and_the_ids() -> None:
    frame = np.full((240, 320, 3), 100, np.uint8)
    rows = [TargetRow(3, Box(20, 60, 40, 40)), TargetRow(12, Box(200, 60, 40, 40))]
    plain, with_ids = annotate_targets(frame, rows), annotate_targets(frame, rows, ids=True)
    assert (plain[60, 20:220:180] != 100).any(axis=1).all()
    changed = np.nonzero((plain != with_ids).any(axis=(0, 2)))[0]
    assert ((changed < 60).any(), (changed >= 195).any()) == (True, True)
    assert np.array_equal(annotate_targets(frame, []), frame)
