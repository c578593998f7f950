"""Frame sources, box files, annotated videos and atomic writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from dcfnet.errors import SinkError, SourceError
from dcfnet.io.files import write_atomically, write_files_atomically
from dcfnet.io.sinks.boxes import BoxWriter
from dcfnet.io.sinks.video import CODECS, VideoSink, annotate
from dcfnet.io.sources import open_source
from dcfnet.result import Box, Reason, Result, Status


def grey_frame(value: int) -> np.ndarray:
    return np.full((48, 64, 3), value, np.uint8)


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "ein Ordner mit Übung"
    folder.mkdir()
    for number in (10, 9, 1, 100):
        (folder / f"f{number}.png").write_bytes(cv2.imencode(".png", grey_frame(number))[1].tobytes())
    (folder / "notes.txt").write_text("no image")
    source = open_source(folder)
    assert source.length == 4
    assert [int(frame.pixels[0, 0, 0]) for frame in source] == [1, 9, 10, 100]


@pytest.mark.parametrize("suffix", CODECS)
def test_a_written_video_can_be_read(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"clip{suffix}"
    with VideoSink(file, 30.0, (64, 48)) as video:
        for value in (40, 80, 120):
            video.write(grey_frame(value))
        video.write(np.full((96, 128, 3), 160, np.uint8))  # a frame of another size is scaled, not skipped
    source = open_source(file)
    assert source.fps == pytest.approx(30)
    assert [round(float(frame.pixels.mean())) for frame in source] == pytest.approx([40, 80, 120, 160], abs=4)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "no such file"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"this is not a video" * 50, "cannot be opened"),
        ("single.jpg", b"x", "a single image"),
    ],
)
def test_the_error_names_a_source_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"{name}.*{message}"):
        next(iter(open_source(tmp_path / name)))


def test_the_error_names_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images"):
        open_source(tmp_path)


def test_hidden_files_and_folders_with_image_names_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(cv2.imencode(".png", grey_frame(1))[1].tobytes())
    (tmp_path / "._1.png").write_bytes(b"resource fork")
    (tmp_path / "2.png").mkdir()
    assert len(list(open_source(tmp_path))) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("layout", ["csv", "otb"])
def test_a_full_disk_raises_sink_error(layout: str) -> None:
    def write() -> None:
        with BoxWriter(Path("/dev/full"), layout) as writer:
            writer.write(0, BOX)

    with pytest.raises(SinkError, match="No space left"):
        write()


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_video_that_does_not_fit_on_the_disk_raises_sink_error(tmp_path: Path) -> None:
    code = f"""
import resource, numpy as np
from pathlib import Path
from dcfnet.io.sinks.video import VideoSink
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # simulates a full disk
rng = np.random.default_rng(0)
with VideoSink(Path({str(tmp_path / "v.avi")!r}), 30, (320, 240)) as video:
    for _ in range(40):
        video.write(rng.integers(0, 256, size=(240, 320, 3), dtype=np.uint8))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "frames were written; is the disk full?" in done.stderr


def test_a_full_disk_ends_a_video_at_the_frame_where_it_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VideoWriter reports no error, so a run of hours would end without a video."""
    free, written = [2**30, 2**30, 0, 0], 0

    def write() -> None:
        nonlocal written
        with VideoSink(tmp_path / "v.mp4", 30, (64, 48)) as video:
            for value in range(10):
                video.write(np.full((48, 64, 3), value, np.uint8))
                written += 1

    monkeypatch.setattr("dcfnet.io.sinks.video.shutil.disk_usage", lambda folder: SimpleNamespace(free=free.pop(0)))
    monkeypatch.setattr(Path, "write_bytes", lambda file, content: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(SinkError, match=r"v\.mp4: cannot be written after frame 3 \(No space left"):
        write()
    assert written == 2
    assert [file.name for file in tmp_path.iterdir()] == ["v.mp4"]


BOX = Box(10.25, 20.5, 30, 40)
TRACKED = Result(BOX, 0.51234, 12.345, 20.0, Status.TRACKED, Reason.FOUND, 0.4, 0.87654)
UNCERTAIN = Result(BOX, 0.1, 6.0, 3.0, Status.UNCERTAIN, Reason.LOW_PSR)
LOST = Result(BOX, 0.1, 2.0, 3.0, Status.LOST, Reason.LOW_PSR)


@pytest.mark.parametrize(
    ("layout", "lines"),
    [
        (
            "csv",
            [
                "frame,x,y,w,h,peak,psr,status,reason,confidence,time",
                "0,10.25,20.50,30.00,40.00,,,,,,0.0000",
                "1,10.25,20.50,30.00,40.00,0.5123,12.35,tracked,found,0.8765,0.0400",
                "2,10.25,20.50,30.00,40.00,0.1000,2.00,lost,low_psr,,0.0800",
            ],
        ),
        ("otb", ["11.25,21.50,30.00,40.00"] * 3),
        (
            "mot",
            [
                "1,1,11.25,21.50,30.00,40.00,1,1,1",
                "2,1,11.25,21.50,30.00,40.00,0.8765,1,1",
            ],
        ),
    ],
)
def test_each_format_of_boxes(tmp_path: Path, layout: str, lines: list[str]) -> None:
    file = tmp_path / "deep" / "boxes.txt"
    writer = BoxWriter(file, layout)
    for index, result in enumerate([None, TRACKED, LOST]):
        writer.write(index, BOX, result, index / 25)
        absent = layout == "mot" and result is LOST  # MOT has no row for a target that is not there
        # Unbuffered: an interrupted run keeps each line.
        assert len(file.read_text().splitlines()) == index + 1 + (layout == "csv") - absent
    writer.close()
    assert file.read_text().splitlines() == lines


def test_jsonl_has_one_object_per_frame(tmp_path: Path) -> None:
    file = tmp_path / "boxes.jsonl"
    with BoxWriter(file, "jsonl") as writer:
        writer.write(0, BOX)
        writer.write(1, BOX, LOST)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert rows[0] == {"frame": 0, "box": [10.25, 20.5, 30, 40]}
    assert rows[1]["status"] == "lost"
    assert rows[1]["psr"] == 2.0
    assert "confidence" not in rows[1]


def test_files_that_cannot_be_written_raise_sink_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be written"):
        BoxWriter(tmp_path / "file" / "boxes.csv")
    with pytest.raises(SinkError, match="cannot be written"):
        VideoSink(tmp_path / "file" / "video.mp4", 25, (64, 48))
    with pytest.raises(SinkError, match=r"must end in \.mp4"):
        VideoSink(tmp_path / "video.gif", 25, (64, 48))
    with pytest.raises(SinkError, match="csv, jsonl, otb, mot"):
        BoxWriter(tmp_path / "boxes", "xml")


@pytest.mark.parametrize("shape", [(240, 320, 3), (240, 320), (240, 320, 1), (240, 320, 4)])
def test_the_annotation_is_on_a_copy_and_its_colour_shows_the_status(shape: tuple[int, ...]) -> None:
    frame = np.full(shape, 100, np.uint8)
    tracked, uncertain, lost = (annotate(frame, BOX, result) for result in (TRACKED, UNCERTAIN, LOST))
    assert tracked.shape == lost.shape == (240, 320, 3)
    assert not np.array_equal(tracked, uncertain)
    assert not np.array_equal(lost, uncertain)
    assert (frame == 100).all()
    green, red = (picture[20:61, 10].astype(int) for picture in (tracked, lost))
    assert (green[:, 1] - green[:, 2]).max() > 100
    assert (red[:, 2] - red[:, 1]).max() > 100
    annotate(frame, Box(-500, -500, 3000, 3000), LOST)  # a box far outside the frame does not crash


def test_a_failed_atomic_write_names_the_file_and_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SinkError, match=r"scores\.json: cannot be written"):
        write_atomically(b"new", tmp_path / "file" / "scores.json")
    (tmp_path / "kept.json").write_text("old")

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dcfnet.io.files.os.replace", full)
    with pytest.raises(SinkError, match=r"kept\.json: cannot be written \(No space left"):
        write_atomically(b"new", tmp_path / "kept.json")
    assert (tmp_path / "kept.json").read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "kept.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_link_and_a_pipe_stay(tmp_path: Path) -> None:
    """A rename over them would put a file in their place. The folder of the link need not be writable."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.json").write_bytes(b"old")
    link, pipe = tmp_path / "latest.json", tmp_path / "pipe"
    link.symlink_to(Path("data") / "1.json")
    os.mkfifo(pipe)
    opened = os.open(pipe, os.O_RDWR)
    write_files_atomically({link: b"new", pipe: b"in order"})
    assert os.read(opened, 100) == b"in order"
    os.close(opened)
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert (tmp_path / "data" / "1.json").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1.json", "data", "latest.json", "pipe"]


def test_a_folder_in_the_place_of_one_file_leaves_the_others_unwritten(tmp_path: Path) -> None:
    (tmp_path / "model.engine").mkdir()
    with pytest.raises(SinkError, match=r"model\.engine: cannot be written \(Is a directory\)"):
        write_files_atomically({tmp_path / "model.onnx": b"graph", tmp_path / "model.engine": b"plan"})
    assert [file.name for file in tmp_path.iterdir()] == ["model.engine"]
