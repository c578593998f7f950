"""Every code block of the documents runs, or says why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from dcfnet.io.video import VideoSink
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
