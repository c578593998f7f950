"""What counts as a source, which files are the sequence, and how a source is named."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.errors import SourceError
from dcfnet.io.addresses import without_secrets
from dcfnet.io.image_series import image_files, image_series, in_order
from dcfnet.io.sources import open_source
from dcfnet_evaluation.rendered import Clip

from tests.runtime.inputs import COUNT, encode, rendered, write_images

DOT = np.zeros((4, 4, 3), np.uint8)


def touch(folder: Path, *names: str) -> Path:
    return write_images(folder, [DOT] * len(names), names)


def numbers(low: int, high: int, form: str) -> list[str]:
    return [form.format(t) for t in range(low, high)]


@pytest.mark.parametrize(
    "names",
    [
        ["9.png", "10.png", "100.png"],
        ["1403636579.0.png", "1403636579.05.png", "1403636579.1.png", "1403636580.0.png"],
        ["frame_0.5.png", "frame_1.25.png", "frame_1.3.png"],
        ["1.8.png", "1.9.png", "1.10.png", "1.11.png"],  # two counters, not decimals
        ["9.5e+08.png", "1.0e+09.png", "1.1e+09.png"],
        ["-2.0.png", "-0.5.png", "0.0.png", "1.5.png"],
        ["cam 1 (9).png", "cam 1 (10).png"],
        ["2024-01-31_10.00.09.png", "2024-01-31_10.00.10.png", "2024-02-01_00.00.00.png"],
        ["0001.JPG", "0002.jpg", "0003.jpeg"],
        ["0001.jpg", "0002.jpg", "0003.png"],  # the format changes, the numbers go on
    ],
)
def test_one_series_is_read_in_the_order_of_its_numbers(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *reversed(names))
    assert [file.name for file in image_series(tmp_path).files] == names


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (numbers(0, 5, "rgb_{:03d}.png") + numbers(0, 5, "depth_{:03d}.png"), ["rgb_000.png", "depth_000.png"]),
        (numbers(0, 5, "{:03d}.jpg") + numbers(0, 5, "{:03d}.png"), ["000.jpg", "000.png"]),
        (numbers(0, 5, "{:03d}.jpg") + numbers(0, 5, "{:03d}_mask.png"), ["000.jpg", "000_mask.png"]),
        ([*numbers(0, 9, "{:03d}.jpg"), "a.png", "b.png", "c.png", "d.png"], ["000.jpg", "a.png"]),
        (["cover.jpg", "poster.jpg"], ["cover.jpg", "poster.jpg"]),
    ],
)
def test_several_series_are_refused_and_named(tmp_path: Path, names: list[str], named: list[str]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(SourceError, match="a sequence needs one kind") as refused:
        open_source(tmp_path)
    assert all(name in str(refused.value) for name in named)


def test_a_cover_is_left_out_and_told(tmp_path: Path) -> None:
    touch(tmp_path, *numbers(0, 8, "{:04d}.jpg"), "cover.jpg", "folder.png")
    source = open_source(tmp_path)
    assert source.length == 8
    assert source.report.notes == ["left out cover.jpg, folder.png: not of the series 0000.jpg ... 0007.jpg"]


def test_two_files_with_the_same_number_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "01.png", "2.png")
    with pytest.raises(SourceError, match=r"01\.png and 1\.png have the same number"):
        open_source(tmp_path)


def test_a_dataset_folder_is_ordered_too(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.png", "10.png", "9.png")
    assert [file.name for file in image_files(tmp_path)] == ["9.png", "10.png", "a.png", "b.png"]
    assert in_order([]) == ()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("rgb_%03d.png", numbers(0, 5, "rgb_{:03d}.png")),
        ("rgb_%d.png", numbers(0, 5, "rgb_{:03d}.png")),
        ("rgb_*.png", numbers(0, 5, "rgb_{:03d}.png")),
        ("depth_00?.png", numbers(0, 5, "depth_{:03d}.png")),
    ],
)
def test_a_pattern_selects_one_series(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    for number, name in enumerate(expected):
        write_images(tmp_path, [DOT + number], [name])
    touch(tmp_path, *{"rgb_000.txt.png", "depth_9.png", "other_000.png"})
    source = open_source(tmp_path / pattern)
    assert [int(frame.pixels[0, 0, 0]) for frame in source if frame.pixels is not None] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("x_%04d.png", r"no file matches; the folder contains rgb_000\.png"),
        ("none/x_%04d.png", "the folder .*none does not exist"),
        ("rgb_%03d.txt", "is not an image"),
        ("*.png", "a sequence needs one kind"),
    ],
)
def test_a_pattern_without_files_is_named(tmp_path: Path, pattern: str, message: str) -> None:
    touch(tmp_path, *numbers(0, 3, "rgb_{:03d}.png"), *numbers(0, 3, "sky_{:03d}.png"))
    (tmp_path / "rgb_000.txt").write_text("text")
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / pattern)


def test_a_folder_without_images_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(SourceError, match=r"no images in this folder \(it contains notes\.txt\)"):
        open_source(tmp_path)
    (tmp_path / "drive.mp4").write_bytes(b"video")
    with pytest.raises(SourceError, match=r"a folder with 1 videos; give one of them, for example .*drive\.mp4"):
        open_source(tmp_path)
    (tmp_path / "drive.mp4").unlink()
    touch(tmp_path / "img", "1.png")
    with pytest.raises(SourceError, match="its subfolder img has images"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("names", "times", "fps"),
    [
        (["1305031102.175304.png", "1305031102.211214.png", "1305031102.275326.png"], [0, 0.03591, 0.100022], 15.6),
        (["0.5.png", "0.55.png", "0.6.png"], [0, 0.05, 0.1], 20),
        (["1403636579763555584.png", "1403636579813555456.png"], [0, 0.049999872], 20.00005),
        (["cam_1403636579763.png", "cam_1403636579863.png"], [0, 0.1], 10),
        (["1403636579763555.jpg", "1403636579763655.jpg"], [0, 0.0001], 240),
        (["-0.5.png", "0.25.png"], [0, 0.75], 4 / 3),
        (["0001.png", "0003.png", "0009.png"], [0, 0.04, 0.08], 25),  # counters
        (["1.8.png", "1.9.png", "1.10.png"], [0, 0.04, 0.08], 25),  # two counters
        (["a1_1403636579763.png", "a1_1403636579863.png"], [0, 0.04], 25),  # two numbers
        (["1.0.png", "2.0.png"], [0, 0.04], 25),
        (["1403636579763.png"], [0], 25),
    ],
)
def test_time_stamps_in_names_are_the_times(tmp_path: Path, names: list[str], times: list[float], fps: float) -> None:
    touch(tmp_path, *names)
    source = open_source(tmp_path)
    assert [frame.time for frame in source] == pytest.approx(times, abs=1e-9)
    assert source.fps == pytest.approx(fps, rel=0.005)


@pytest.mark.parametrize(("name", "message"), [("", "name of the source is empty"), ("x" * 3000, "cannot be read")])
def test_an_impossible_name_is_an_error(name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(name)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="device files of Linux")
@pytest.mark.parametrize("name", ["97", "/dev/video97", "/dev/v4l/by-id/usb-none"])
def test_a_camera_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(SourceError, match=rf"camera {name}: .* does not exist .*connect the camera"):
        open_source(name)


def test_a_camera_that_cannot_be_opened_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcfnet.io.sources.sys.platform", "darwin")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    with pytest.raises(SourceError, match="camera 97: cannot be opened; check that it is a camera"):
        open_source("97")


def test_a_gstreamer_pipeline_is_recognised() -> None:
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(
        SourceError, match="password=\\*\\*\\* ! appsink: a GStreamer pipeline, but this OpenCV is built"
    ):
        open_source("rtspsrc location=rtsp://host user=me password=secret ! appsink")


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
@pytest.mark.parametrize("pyav", [True, False])
def test_a_pipe_is_read(tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch, pyav: bool) -> None:
    content = encode(tmp_path / "v.ts", rendered(clip)).read_bytes()
    monkeypatch.setattr("dcfnet.io.decoding.videos.has_pyav", lambda: pyav)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert len(list(open_source(pipe))) == COUNT
    writer.join(10)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("rtsp://me:secret@10.0.0.1:554/s", "rtsp://me:***@10.0.0.1:554/s"),
        ("rtsp://me:se:cr@et@10.0.0.1/s", "rtsp://me:***@10.0.0.1/s"),
        ("rtsp://me:sec/ret@10.0.0.1/s", "rtsp://me:***@10.0.0.1/s"),
        ("rtsp://:secret@10.0.0.1/s", "rtsp://:***@10.0.0.1/s"),
        ("http://host/v.mp4?user=me&password=secret&x=1", "http://host/v.mp4?user=me&password=***&x=1"),
        ("http://host/v.mp4?access_token=secret", "http://host/v.mp4?access_token=***"),
        ("srt://host:9000?passphrase=secret&mode=caller", "srt://host:9000?passphrase=***&mode=caller"),
        ("cannot open 'rtsp://me:secret@host/s'", "cannot open 'rtsp://me:***@host/s'"),
        ("rtsp://10.0.0.1:554/stream@2", "rtsp://10.0.0.1:554/stream@2"),
        ("http://host/v.mp4", "http://host/v.mp4"),
        ("frames/0001.jpg", "frames/0001.jpg"),
    ],
)
def test_secrets_are_masked(text: str, masked: str) -> None:
    assert without_secrets(text) == masked


@pytest.mark.parametrize("pyav", [True, False])
@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_no_message_of_a_stream_contains_its_password(scheme: str, pyav: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if pyav:
        pytest.importorskip("av")
    monkeypatch.setattr("dcfnet.io.decoding.videos.has_pyav", lambda: pyav)
    with pytest.raises(SourceError, match=rf"{scheme}://me:\*\*\*@127\.0\.0\.1:9/x\?token=\*\*\*: ") as refused:
        open_source(f"{scheme}://me:hidden@127.0.0.1:9/x?token=hidden")
    assert "hidden" not in str(refused.value)
