"""dcfnet-run on the inputs of docs/faults.md: exit codes, rows, messages and videos."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.cli.exit_codes import ExitCode
from dcfnet.cli.outputs import locked
from dcfnet.cli.run import app
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Clip
from typer.testing import CliRunner

from tests.runtime.inputs import COUNT, RATE, damage, encode, interlaced, rendered, start, truncate, write_images

PROGRAM = [sys.executable, "-c", "from dcfnet.cli.run import app; app(prog_name='dcfnet-run')"]


@pytest.fixture(scope="module")
def frames(request: pytest.FixtureRequest) -> list[np.ndarray]:
    return rendered(request.getfixturevalue("clip"))


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def track(
    source: Path, clip: Clip, tmp_path: Path, *args: object, index: int = 0
) -> tuple[int, str, list[dict[str, str]]]:
    """Exit code, output and rows of a run that starts with frame `index` of the clip."""
    boxes = tmp_path / "rows.csv"
    code, text = run(source, "--init", start(clip, index), "--boxes", boxes, *args)
    rows = list(csv.DictReader(boxes.read_text().splitlines())) if boxes.exists() else []
    return code, text, rows


def overlap(row: dict[str, str], box: Box) -> float:
    return Box(*(float(row[side]) for side in "xywh")).iou(box)


def test_a_variable_rate_is_tracked_whole_and_written_at_its_speed(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray]
) -> None:
    times = [33 * t for t in range(15)] + [33 * 15 + 100 * t for t in range(15)]
    source, output = encode(tmp_path / "v.mkv", frames, times=times), tmp_path / "out.mp4"
    code, text, rows = track(source, clip, tmp_path, "--output", output)
    assert (code, len(rows)) == (0, COUNT), text
    assert [float(row["time"]) for row in rows] == pytest.approx([t / 1000 for t in times], abs=0.002)
    video = cv2.VideoCapture(str(output))
    seconds = video.get(cv2.CAP_PROP_FRAME_COUNT) / video.get(cv2.CAP_PROP_FPS)
    assert seconds == pytest.approx(times[-1] / 1000 + 1 / RATE, abs=0.05)


def test_a_hole_gives_lost_rows_and_a_partial_run(tmp_path: Path, clip: Clip, frames: list[np.ndarray]) -> None:
    source = damage(encode(tmp_path / "v.ts", frames), 0.5, 0.6)
    code, text, rows = track(source, clip, tmp_path)
    assert code == ExitCode.PARTIAL
    assert "v.ts: " in text
    assert "frames could not be decoded; the file is damaged there" in text
    assert len(rows) == COUNT
    bad = [row for row in rows if row["reason"] == "bad_frame"]
    assert 0 < len(bad) < COUNT
    assert {row["status"] for row in bad} == {"lost"}
    assert f"({len(bad)} of them not decoded)" in text


def test_a_truncated_video_is_a_partial_run(tmp_path: Path, clip: Clip, frames: list[np.ndarray]) -> None:
    code, text, rows = track(truncate(encode(tmp_path / "v.mkv", frames), 0.6), clip, tmp_path)
    assert code == ExitCode.PARTIAL
    assert "the file may be truncated or damaged" in text
    assert 5 < len(rows) < COUNT


def test_a_broken_image_is_a_lost_row(tmp_path: Path, clip: Clip, frames: list[np.ndarray]) -> None:
    folder = write_images(tmp_path / "frames", frames[:8], [f"{t:04d}.jpg" for t in range(8)])
    (folder / "0003.jpg").write_bytes(b"")
    code, text, rows = track(folder, clip, tmp_path, "--output", tmp_path / "out.mp4")
    assert code == ExitCode.PARTIAL
    assert "1 of 8 images: " in text
    assert "0003.jpg: not a readable image (the file is empty)" in text
    assert [row["reason"] for row in rows[1:]] == ["found", "found", "bad_frame", "found", "found", "found", "found"]
    assert overlap(rows[7], clip.box(7)) > 0.7


def test_a_frozen_frame_is_told_and_not_learnt(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = [*frames[:4], frames[3], frames[3], *frames[4:8]]
    folder = write_images(tmp_path / "frames", stuck, [f"{t:04d}.png" for t in range(len(stuck))])
    code, text, rows = track(folder, clip, tmp_path)
    assert code == 0
    assert "2 frozen frames (equal to the frame before; not learnt)" in text
    frozen = [index for index, row in enumerate(rows) if row["reason"] == "frozen_frame"]
    assert frozen == [4, 5]
    assert {rows[index]["status"] for index in frozen} == {"uncertain"}
    assert {rows[index]["x"] for index in (3, 4, 5)} == {rows[3]["x"]}
    whole = write_images(tmp_path / "whole", frames[:8], [f"{t:04d}.png" for t in range(8)])
    _, _, others = track(whole, clip, tmp_path)
    # Without the frozen frames the rows are the same, so the filter did not see them.
    boxes = [[row[side] for side in "xywh"] for row in rows if row["reason"] != "frozen_frame"]
    assert boxes == [[row[side] for side in "xywh"] for row in others]


def test_interlaced_video_is_tracked_or_named(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = interlaced(tmp_path / "v.mp4", frames)
    code, text, rows = track(source, clip, tmp_path)
    assert (code, len(rows)) == (0, COUNT), text
    assert overlap(rows[-1], clip.box(COUNT - 1)) > 0.6
    monkeypatch.setattr("dcfnet.io.decoding.videos.has_pyav", lambda: False)
    code, text, _ = track(source, clip, tmp_path)
    if code == 0 and "frozen" not in text:
        pytest.skip("this OpenCV decodes interlaced video")
    assert code == 1
    assert "interlaced" in text
    assert "pip install av" in text


def test_thermal_images_are_tracked_and_a_flat_range_is_named(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray]
) -> None:
    thermal = [frame[..., 0].astype(np.uint16) + 7300 for frame in frames[:6]]
    folder = write_images(tmp_path / "frames", thermal, [f"{t}.png" for t in range(6)])
    code, text, rows = track(folder, clip, tmp_path)
    assert (code, len(rows)) == (0, 6), text
    assert overlap(rows[5], clip.box(5)) > 0.7
    code, text, _ = track(folder, clip, tmp_path, "--range", "full")
    assert code == 1
    assert "uint16 pixels, levels 73" in text
    assert "of which 0 to 65535 become 0 to 255); select other levels with --range LOW,HIGH" in text


def test_a_cover_is_told(tmp_path: Path, clip: Clip, frames: list[np.ndarray]) -> None:
    names = [*(f"{t:04d}.jpg" for t in range(5)), "cover.jpg"]
    code, text, rows = track(write_images(tmp_path / "frames", frames[:6], names), clip, tmp_path)
    assert (code, len(rows)) == (0, 5)
    assert "left out cover.jpg" in text


def test_mot_has_rows_only_while_there_is_a_target(tmp_path: Path, clip: Clip, frames: list[np.ndarray]) -> None:
    covered = [*frames[:6], *(np.full_like(frames[0], 90 + t) for t in range(6))]
    folder = write_images(tmp_path / "frames", covered, [f"{t:04d}.png" for t in range(12)])
    code, text = run(folder, "--init", start(clip), "--boxes", tmp_path / "mot.txt", "--format", "mot")
    assert code == 0, text
    rows = np.loadtxt(tmp_path / "mot.txt", delimiter=",")
    assert rows[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert rows.shape[1] == 9
    assert (rows[:, [1, 7, 8]] == 1).all()  # identity, class, visibility


def test_the_version_and_the_help_are_printed() -> None:
    from dcfnet import __version__

    assert run("--version") == (0, f"dcfnet-run {__version__}\n")
    code, text = run("--help")
    assert code == 0
    assert "Exit codes" in text


def test_help_works_without_any_extra() -> None:
    code = "import sys\nfor name in ('av', 'onnxruntime', 'torch', 'PIL'): sys.modules[name] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "from dcfnet.cli.run import app; app()", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_folders_are_named_as_folders(tmp_path: Path, clip: Clip, frames: list[np.ndarray]) -> None:
    folder = write_images(tmp_path / "frames", frames[:2], ["0.png", "1.png"])
    for option in ("--boxes", "--output", "--engine"):
        code, text = run(folder, "--init", start(clip), option, tmp_path)
        assert code == 1
        assert f"{tmp_path}: is a folder; give " in text.replace("\n", "")


@pytest.mark.parametrize(("option", "name"), [("--boxes", "b.csv"), ("--record", "r.mcap"), ("--output", "v.mp4")])
def test_a_file_that_another_run_writes_is_refused_and_does_not_change(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray], option: str, name: str
) -> None:
    pytest.importorskip("fcntl", reason="needs locks of files")
    folder, file = write_images(tmp_path / "frames", frames[:2], ["0.png", "1.png"]), tmp_path / name
    file.write_text("of the other run")
    with locked([file]):
        code, text = run(folder, "--init", start(clip), option, file)
    assert (code, text.count("\n")) == (1, 1)
    assert f"{file}: another run writes this file" in text
    assert file.read_text() == "of the other run"
    assert run(folder, "--init", start(clip), option, file)[0] == 0
    assert file.read_bytes() != b"of the other run"


@pytest.mark.parametrize(
    "output", ["--boxes b.csv", "--boxes b.mcap", "--boxes b.json --format coco", "--record r.mcap", "--output v.mp4"]
)
def test_an_output_in_a_file_is_no_folder(tmp_path: Path, clip: Clip, frames: list[np.ndarray], output: str) -> None:
    folder, file = write_images(tmp_path / "frames", frames[:2], ["0.png", "1.png"]), tmp_path / "file"
    file.write_text("")
    option, name, *others = output.split()
    code, text = run(folder, "--init", start(clip), option, file / name, *others)
    assert (code, text.count("\n")) == (1, 1)
    assert f"{file / name}: cannot be written (Not a directory)" in text


LONG = "x" * 300  # the methods of Path raise an error, as for a file in a folder that may not be read


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--boxes", f"{LONG}.csv"], f"{LONG}.csv: cannot be written (File name too long)"),
        (["--boxes", f"{LONG}.mcap"], f"{LONG}.mcap: cannot be written (File name too long)"),
        (["--record", f"{LONG}.mcap"], f"--record {LONG}.mcap: cannot be written (File name too long)"),
        (["--output", f"{LONG}.mp4"], f"{LONG}.mp4: cannot be written (File name too long)"),
        (["--engine", f"{LONG}.onnx"], f"{LONG}.onnx: cannot be read (File name too long)"),
    ],
)
def test_a_name_that_the_file_system_refuses_is_one_line(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray], options: list[str], message: str
) -> None:
    folder = write_images(tmp_path / "frames", frames[:2], ["0.png", "1.png"])
    result = CliRunner().invoke(app, [str(folder), "--init", start(clip), *options])
    assert result.exit_code == 1
    assert result.output.startswith(f"dcfnet-run: {message}")
    assert result.output.count("\n") == 1


def test_an_error_before_the_first_frame_leaves_no_empty_file(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray]
) -> None:
    folder, file = write_images(tmp_path / "frames", frames[:2], ["0.png", "1.png"]), tmp_path / "new" / "b.csv"
    assert run(folder, "--init", "900,900,20,20", "--boxes", file, "--output", tmp_path / "v.mp4")[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(("option", "name"), [("--boxes", "b.mcap"), ("--record", "r.mcap"), ("--output", "v.mp4")])
def test_a_pipe_is_refused_and_stays_where_the_format_is_not_written_in_order(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray], option: str, name: str
) -> None:
    folder, pipe = write_images(tmp_path / "frames", frames[:2], ["0.png", "1.png"]), tmp_path / name
    os.mkfifo(pipe)
    code, text = run(folder, "--init", start(clip), option, pipe)
    assert (code, text.count("\n")) == (1, 1)
    assert f"{pipe}: is a pipe or a device" in text
    assert pipe.is_fifo()


@pytest.mark.skipif(os.name != "posix", reason="needs a shell of POSIX")
@pytest.mark.parametrize(
    ("output", "code", "message"),
    [("FILE", 0, ""), ("-", 1, "-: cannot be written (standard output is closed)")],
)
def test_standard_output_may_be_closed(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray], output: str, code: int, message: str
) -> None:
    folder = write_images(tmp_path / "f", frames[:2], ["0.png", "1.png"])
    boxes = output.replace("FILE", str(tmp_path / "b.csv"))
    command = [*PROGRAM, str(folder), "--init", start(clip), "--boxes", boxes]
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_gets_lines_of_progress(
    tmp_path: Path, clip: Clip, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcfnet.cli.progress.LOG_INTERVAL", 0.0)
    code, text, _ = track(write_images(tmp_path / "f", frames[:3], ["0.png", "1.png", "2.png"]), clip, tmp_path)
    assert code == 0
    assert "dcfnet-run: 2 of about 3 frames\n" in text
    assert "\x1b" not in text  # no control codes in a log


def test_boxes_go_to_standard_output_alone(tmp_path: Path, clip: Clip, frames: list[np.ndarray]) -> None:
    folder = write_images(tmp_path / "f", frames[:3], ["0.png", "1.png", "2.png"])
    command = [*PROGRAM, str(folder), "--init", start(clip), "--boxes", "-", "--format", "jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == [0, 1, 2]
    assert "3 frames, lost in 0" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_closed_pipe_ends_the_run_quietly(tmp_path: Path, clip: Clip, frames: list[np.ndarray]) -> None:
    folder = write_images(tmp_path / "f", frames, [f"{t}.png" for t in range(COUNT)])
    command = [*PROGRAM, str(folder), "--init", start(clip), "--boxes", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("frame,")
        process.stdout.close()
        assert process.stderr
        errors = process.stderr.read()
    assert process.returncode == 141
    assert errors == ""


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="POSIX")
@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_a_source(tmp_path: Path, clip: Clip, frames: list[np.ndarray], name: str) -> None:
    content = encode(tmp_path / "v.ts", frames[:5]).read_bytes()
    command = [*PROGRAM, name, "--init", start(clip)]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"5 frames, lost in 0" in done.stdout
