"""Every code block of the documents runs, or says why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import dcfnet
import pytest
from dcfnet.io.sinks.video import VideoSink
from dcfnet.result import Box
from dcfnet_evaluation.rendered import render_clip

from tests import code_blocks
from tests.code_blocks import EXECUTED, blocks, reason_of
from tests.runtime.bags.recordings import TOPIC, image, in_order, record

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
# Languages that are not programs of this project. `text` is for output and drawings.
SHOWN = {"text", "mermaid", "json", "yaml", "xml", "cpp", "cmake", "ini", "dockerfile", "csv"}
LENGTH = 8  # frames of the footage


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_block_runs_or_has_a_reason(page: Path) -> None:
    for block in blocks(page):
        place = f"{name(page)}:{block.line}"
        if block.language in SHOWN or block.reason:
            continue
        assert block.language in EXECUTED, f"{place}: the language {block.language!r} is neither executed nor shown"
        for command in block.commands() if block.language == "" else ():
            assert reason_of(command) != "", (
                f"{place}: {command!r} is not executed. Write <!-- not executed: REASON --> above the block, or the "
                "language `text` if it is no program"
            )


def has_work(page: Path) -> bool:
    """Whether the page has a block that is executed."""
    for block in blocks(page):
        if block.reason is None and block.language == "python":
            return True
        if block.reason is None and block.language == "" and any(reason_of(c) is None for c in block.commands()):
            return True
    return False


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the examples: a video, a folder of images, targets, and the boxes of a detector; bags."""
    folder = tmp_path_factory.mktemp("footage")
    clip = render_clip(LENGTH, occluder=False)
    (folder / "frames").mkdir()
    with VideoSink(folder / "drive.mp4", 30, (640, 360)) as video:
        for t, (frame, box) in enumerate(clip):
            video.write(frame)
            cv2.imwrite(str(folder / "frames" / f"{t:04d}.jpg"), frame)
            with (folder / "det.txt").open("a") as file:
                file.write(f"{t + 1},-1,{box.x + 1:.2f},{box.y + 1:.2f},{box.w:.2f},{box.h:.2f},0.9\n")
    (folder / "targets.csv").write_text("1,410,190,64,48\n2,80,120,30,60,3\n")
    frames = [image(frame, "bgr8") for frame, _ in clip]
    for bag, topic in (("drive", TOPIC), ("drive.mcap", TOPIC), ("drive.bag", "/front")):
        record(folder / bag, in_order(frames, topic))
    (folder / "SOURCE").symlink_to(folder / "frames")
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if has_work(page)], ids=name)
def test_the_blocks_of_a_page_run(page: Path, footage: Path, tmp_path: Path) -> None:
    for file in footage.iterdir():
        (tmp_path / file.name).symlink_to(file)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", code_blocks.__file__, str(page)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{name(page)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


SYSTEM_PYTHON = "/usr/bin/python3"  # PyGObject belongs to the Python of the system


def has_gstreamer() -> bool:
    """Whether the Python of the system has GStreamer with a decoder, and can load the libraries of this environment."""
    elements = ("decodebin", "videoconvert", "appsink", "qtdemux", "avdec_mpeg4")
    code = (
        f"ELEMENTS = {elements}\n"
        "import sys, gi; gi.require_version('Gst', '1.0'); gi.require_version('GstVideo', '1.0')\n"
        "from gi.repository import Gst, GstVideo; Gst.init(None)\n"
        "print(*sys.version_info[:2], all(map(Gst.ElementFactory.find, ELEMENTS)))"
    )
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, text=True)
    except OSError:
        return False
    return done.stdout.split() == [*map(str, sys.version_info[:2]), "True"]


def test_the_block_for_gstreamer_gives_the_boxes_of_bgr_frames(tmp_path: Path) -> None:
    """Rows have a pitch: 322 px are 324 bytes. Pixels differ by a grey level, so scale steps may differ."""
    if not has_gstreamer():
        pytest.skip(f"needs GStreamer and PyGObject for {SYSTEM_PYTHON}, of the version of this Python")
    clip = render_clip(LENGTH, width=322, height=242, occluder=False)
    with VideoSink(tmp_path / "drive.mp4", 30, (322, 242)) as video:
        for frame, _ in clip:
            video.write(frame)
    code = [block.code for block in blocks(ROOT / "docs/embedding.md") if block.language == "python"]
    program = next(block for block in code if "def nv12" in block) + next(
        block for block in code if "import gi" in block
    )
    program = "import dcfnet\n" + program.replace("(410, 190, 64, 48)", str(tuple(clip.box(0))))
    program = program.replace("drop=true sync=true", "drop=false sync=false")  # every frame, whatever the load is
    program += 'print(*result.box, file=open("last.txt", "w"))\n'
    libraries = [folder for folder in sys.path if "site-packages" in folder]
    path = os.pathsep.join([*os.environ.get("PYTHONPATH", "").split(os.pathsep), str(ROOT / "runtime"), *libraries])
    command, environment = [SYSTEM_PYTHON, "-c", program], {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    capture, tracker = cv2.VideoCapture(str(tmp_path / "drive.mp4")), dcfnet.Tracker()
    tracker.init(capture.read()[1], clip.box(0))
    boxes = [tracker.update(frame).box for _, frame in iter(capture.read, (False, None))]
    last = Box(*map(float, (tmp_path / "last.txt").read_text().split()))
    assert len(boxes) == LENGTH - 1
    assert last.iou(boxes[-1]) > 0.9
    assert last.iou(clip.box(LENGTH - 1)) > 0.85


def test_a_page_that_is_wrong_is_found(tmp_path: Path) -> None:
    """The test of the tests: an error in a block, an unknown command, a hidden block, a reason."""
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- python\nx = 2\n-->\n```python\nassert x == 2\n```\n<!-- not executed: no GPU -->\n```python\n1 / 0\n```\n"
        "```\nmake install\ndcfnet-run drive.mp4 --init 1,2,3,4\n```\n```python\nraise ValueError(x)\n```\n"
    )
    found = list(blocks(page))
    assert [(block.language, block.line, block.reason) for block in found] == [
        *[("python", 2, None), ("python", 5, None), ("python", 9, "no GPU"), ("", 12, None), ("python", 16, None)]
    ]
    assert [reason_of(command) for command in found[3].commands()] == ["", None]
    assert has_work(page)
    page.write_text("```python\nraise ValueError(7)\n```\n")
    with pytest.raises(ValueError, match="7"):
        code_blocks.execute(page)
