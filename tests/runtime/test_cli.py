"""The command dcfnet-run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.cli.run import app
from dcfnet.config import TrackerConfig
from dcfnet.io.sinks.video import VideoSink
from dcfnet.result import Box
from dcfnet.tracker import MultiTracker, Tracker
from dcfnet_evaluation.rendered import Clip
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    clip: Clip = request.getfixturevalue("clip")
    file = tmp_path_factory.mktemp("video") / "clip.avi"
    with VideoSink(file, 30, (320, 240)) as sink:
        for frame, _ in clip:
            sink.write(frame)
    return file


def test_a_run_that_fails_does_not_change_existing_results(video: Path, clip: Clip, tmp_path: Path) -> None:
    existing = tmp_path / "existing.csv"
    existing.write_text("earlier")
    assert run(video, "--init", init(clip), "--boxes", existing, "--output", tmp_path / "x.webm")[0] == 1
    assert existing.read_text() == "earlier"


def test_a_box_beyond_the_border_is_written_after_the_cut(video: Path, tmp_path: Path) -> None:
    args = ["--init", "-20,1,1e10,1e10", "--boxes", tmp_path / "b.csv", "--output", tmp_path / "b.mp4"]
    code, text = run(video, *args)
    assert code == 0, text
    assert (tmp_path / "b.csv").read_text().splitlines()[1].startswith("0,0.00,1.00,320.00,239.00")


def test_the_levels_of_the_frame_are_told_only_if_it_has_no_texture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.full((60, 80, 3), 9, np.uint8))
    code, text = run(tmp_path, "--init", "10,10,20,20")
    assert code == 1
    assert "one flat colour; choose a box with texture. The whole frame has the levels 9 to 9" in text
    code, text = run(tmp_path, "--init", "10,10,2,20")
    assert code == 1
    assert text.rstrip().endswith("width and height must be at least 3 px")


def init(clip: Clip) -> str:
    return ",".join(f"{value:.2f}" for value in clip.box(0))


def run(*args: object, env: dict[str, str] | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args], env=env)
    return result.exit_code, result.output


def test_a_run_writes_boxes_and_an_annotated_video(video: Path, clip: Clip, tmp_path: Path) -> None:
    boxes, output = tmp_path / "boxes.txt", tmp_path / "annotated.mp4"
    code, text = run(video, "--init", init(clip), "--boxes", boxes, "--format", "otb", "--output", output)
    assert code == 0, text
    assert re.search(r"40 frames, lost in 0, \d+\.\d frames per second", text)
    rows = np.loadtxt(boxes, delimiter=",") - [1, 1, 0, 0]
    assert len(rows) == clip.length
    assert np.mean([Box(*row).iou(clip.box(t)) for t, row in enumerate(rows)]) > 0.75
    assert output.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["missing.mp4", "--init", "1,2,30,40"], "missing.mp4: no such file"),
        (["VIDEO", "--init", "1,2,30"], "must be four numbers X,Y,W,H, for example"),
        (["VIDEO", "--init", "a,b,c,d"], "must be four numbers X,Y,W,H, for example"),
        (["VIDEO", "--init", "900,900,30,40"], "in the frame of 320 x 240"),
        (["VIDEO", "--init", "nan,2,30,40"], "must be finite"),
        (["VIDEO", "--init", "1,2,30,40", "--engine", "none.onnx"], "none.onnx: no such file"),
        (["VIDEO", "--init", "1,2,30,40", "--engine", "VIDEO"], "not an ONNX file"),
        (
            ["VIDEO", "--init", "1,2,30,40", "--format", "xml", "--boxes", "OUT/b"],
            "format xml: must be one of csv, jsonl",
        ),
        (["VIDEO", "--init", "1,2,30,40", "--boxes", "VIDEO/b.csv"], "cannot be written"),
        (["VIDEO", "--init", "1,2,30,40", "--output", "OUT/v.gif"], "must end in .mp4"),
        (
            ["VIDEO", "--init", "1,2,30,40", "--output", "VIDEO"],
            "would overwrite an input of the run or an image; choose another file",
        ),
        (
            ["VIDEO", "--init", "1,2,30,40", "--boxes", "VIDEO"],
            "would overwrite an input of the run or an image; choose another file",
        ),
        (
            ["VIDEO", "--init", "1,2,30,40", "--boxes", "OUT/a.mp4", "--output", "OUT/a.mp4"],
            "is given for two of --output, --boxes and --record; choose two files",
        ),
        (["VIDEO", "--init", "1,2,30,40", "--format", "xml"], "format xml: must be one of csv, jsonl"),
        (["VIDEO", "--init", "1,2,30,40", "--threads", "0"], "--threads 0: must be at least 1; leave it out"),
        (
            ["VIDEO", "--init", "1,2,30,40", "--preset", "fast", "--config", "paper"],
            "--preset fast and --config paper: give one of them",
        ),
        (["VIDEO", "--init", "1,2,30,40", "--preset", "slow"], "--preset slow: "),
        (["VIDEO", "--init", "1,2,30,40", "--rebuild"], "--rebuild: is for engine files; give --engine FILE.engine"),
        (["VIDEO", "--init", "1,2,30,40", "--rebuild", "--engine", "deep"], "--rebuild: is for engine files"),
        (["VIDEO", "--init", "1,2,30,40", "--web-port", "9000"], "--web-port 9000 and --upload-limit 500: are options"),
        (["VIDEO", "--init", "1,2,30,40", "--upload-limit", "1"], "of the page; give --web, or leave them out"),
        (["VIDEO", "--init", "1,2,30,40", "--format", "mot"], "--format mot: is the format of --boxes; give --boxes"),
        (
            ["VIDEO", "--init", "1,2,30,40", "--boxes", "OUT/b.mcap", "--format", "csv"],
            "b.mcap: give one of them; a bag has its own format",
        ),
        (["VIDEO", "--init", "1,2,30,40", "--config", "paper"], "use it with the model 'dcfnet'"),
        (["VIDEO", "--init", "1,2,30,40", "--device", "tpu"], "--device tpu: must be one of auto, cpu, cuda"),
        (
            ["VIDEO", "--init", "1,2,30,40", "--config", "best"],
            "--config best: must be one of paper",
        ),
        (
            ["VIDEO", "--init", "1,2,30,40", "--set", "camera_motion=maybe"],
            "camera_motion=maybe: must be true or false",
        ),
        (["VIDEO", "--init", "1,2,30,40", "--set", "=2"], "'=2': a setting must be given as NAME=VALUE"),
        (
            ["VIDEO", "--init", "1,2,30,40", "--config", "paper", "--set", "scales=3"],
            "patch_size=126: must be a multiple of the model's stride, 4, for example 124",
        ),
        (["VIDEO", "--init", "1,2,30,40", "--set", "wings=2"], "unknown setting wings: must be one of patch_size"),
        (["VIDEO", "--init", "1,2,30,40", "--set", "scales=4"], "scales=4: must be an odd number from 1 to 15"),
    ],
)
def test_an_error_of_the_user_prints_one_line_and_exits_with_code_1(
    video: Path, tmp_path: Path, args: list[str], message: str
) -> None:
    before = video.read_bytes()
    code, text = run(*(arg.replace("VIDEO", str(video)).replace("OUT", str(tmp_path)) for arg in args))
    assert code == 1
    assert video.read_bytes() == before
    assert text.startswith("dcfnet-run: ")
    assert message in text
    assert "Traceback" not in text


def test_options_for_streams_are_noted_as_unused_for_a_file(video: Path, clip: Clip) -> None:
    code, text = run(video, "--init", init(clip), "--engine", "dcfnet", "--every-frame", "--reconnect", "5")
    assert code == 0
    for option in ("--every-frame", "--reconnect 5"):
        assert f"{video}: {option} is not used; it is for cameras and streams" in text
    assert "is not used" not in run(video, "--init", init(clip), "--engine", "dcfnet")[1]


def test_the_model_and_the_threads_are_those_of_the_options(
    video: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with the name of a shipped model does not hide the model."""
    monkeypatch.chdir(tmp_path)
    Path("dcfnet").mkdir()
    opened: list[MultiTracker] = []

    def tracker(*args: Any, **options: Any) -> MultiTracker:
        opened.append(MultiTracker(*args, **options))
        return opened[-1]

    monkeypatch.setattr("dcfnet.cli.session.MultiTracker", tracker)
    changes = ["--set", "camera_motion=true", "--set", "scales=1"]
    for arguments in (
        ["--threads", 2],
        ["--engine", "dcfnet", "--config", "paper"],
        ["--preset", "fast", *changes],
        ["--engine", "dcfnet", "--config", "paper", *changes],
    ):
        code, text = run(video, "--init", init(clip), *arguments)
        assert code == 0, text
    backbones = [tracker._pipeline.backbone for tracker in opened]
    assert all(isinstance(backbone, OrtBackbone) for backbone in backbones)
    threads = [backbone._session.get_session_options().intra_op_num_threads for backbone in backbones]
    assert threads[:2] == [2, 0]
    bases = [Tracker("deep").config, TrackerConfig.named("paper"), Tracker("deep", preset="fast").config]
    changed = [config.replace(camera_motion=True, scales=1) for config in (bases[2], bases[1])]
    assert [tracker.config for tracker in opened] == [*bases[:2], *changed]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_an_error_names_the_options_to_use_without_a_display(video: Path) -> None:
    code, text = run(video, env={"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    assert code == 1
    assert "give --init X,Y,W,H" in text
    code, text = run(video, "--init", "100,100,30,40", "--show", env={"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    assert code == 1
    assert "no display" in text


def test_the_wheel_of_opencv_without_windows_is_an_error_of_one_line(video: Path, monkeypatch: Any) -> None:
    """Its functions raise cv2.error, which would be a traceback after the first frame."""
    lines = cv2.getBuildInformation().splitlines()
    headless = "\n".join("  GUI:                           NONE" if "GUI:" in line else line for line in lines)
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: headless)
    for arguments in ((), ("--init", "100,100,30,40", "--show")):
        code, text = run(video, *arguments, env={"DISPLAY": ":9"})
        assert code == 1
        assert "opencv-python-headless" in text


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_its_results(tmp_path: Path, clip: Clip, stop: signal.Signals) -> None:
    for t in range(300):  # a few seconds of tracking
        cv2.imwrite(str(tmp_path / f"{t}.jpg"), clip.frame(t % clip.length))
    boxes, video = tmp_path / "boxes.csv", tmp_path / "tracked.mp4"
    command = [sys.executable, "-c", "from dcfnet.cli.run import app; app()", str(tmp_path), "--init", init(clip)]
    process = subprocess.Popen(
        [*command, "--boxes", str(boxes), "--output", str(video)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (boxes.exists() and boxes.read_text().count("\n") > 5):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    rows = boxes.read_text().splitlines()[1:]
    assert 5 <= len(rows) < 300
    assert all(row.count(",") == 10 for row in rows)
    assert cv2.VideoCapture(str(video)).read()[0]  # the video is complete and can be read


def test_the_demo_writes_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dcfnet_evaluation import demo
    from dcfnet_evaluation.street import render_street

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "render_street", lambda: render_street(30))
    demo.demo()
    for name in ("demo.mp4", "demo.csv", "clip.mp4", "clip.csv"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    assert len((tmp_path / "out/demo.csv").read_text().splitlines()) == 31
