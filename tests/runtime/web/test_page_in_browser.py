"""The page of dcfnet-run --web in a real browser: a video is uploaded, a box is drawn, and the target is tracked."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet.io.sinks.video import VideoSink
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Clip

from tests.runtime.live.mjpeg_server import serving

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("selenium", reason="needs selenium to drive a browser")

LONGEST_WAIT = 60.0  # s, for a busy computer
PROGRAM = "from dcfnet.cli.run import app; app()"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    file = tmp_path_factory.mktemp("video") / "clip.avi"
    with VideoSink(file, 30, (320, 240)) as sink:
        for frame, _ in clip:
            sink.write(frame)
    return file


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that the program prints. At the end nothing is left of the uploads."""
    folder = tmp_path_factory.mktemp("temporary")
    command = [sys.executable, "-c", PROGRAM, "--web", "--web-port", "0"]
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as program:
        assert program.stderr is not None
        line = program.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        yield found[0]
        assert len(list(folder.glob("dcfnet-*"))) == 1, "the folder of the uploads"
        program.terminate()
        assert program.stderr.read() == ""
        assert program.wait(timeout=20) == 0
    assert list(folder.glob("dcfnet-*")) == []


class Page:
    """The page, as a person uses it."""

    def __init__(self, browser: Any, address: str, width: int, scheme: str = "light", touch: bool = False) -> None:
        self.browser, self.touch = browser, touch
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": touch}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.command("Emulation.setTouchEmulationEnabled", enabled=touch)
        for kind in ("browser", "performance"):
            browser.get_log(kind)  # drops entries of earlier pages
        browser.get(address)
        self.wait_for("choose")

    def command(self, name: str, **values: Any) -> Any:
        return self.browser.execute_cdp_cmd(name, values)

    def value(self, script: str) -> Any:
        return self.browser.execute_script(f"return {script}")

    def text(self, element: str) -> str:
        return str(self.value(f"document.getElementById('{element}').innerText"))

    def wait_for(self, state: str) -> None:
        self.wait_until(f"document.body.dataset.state === '{state}'")

    def wait_until(self, condition: str) -> None:
        end = time.monotonic() + LONGEST_WAIT
        while not self.value(condition):
            assert time.monotonic() < end, f"not {condition}: {self.text('state')} {self.text('error')}"
            time.sleep(0.02)

    def upload(self, file: Path) -> None:
        self.browser.find_element("id", "file").send_keys(str(file))

    def click(self, element: str) -> None:
        self.browser.find_element("id", element).click()

    def press(self, key: str, code: int, shift: bool = False) -> None:
        for kind in ("keyDown", "keyUp"):
            values = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
            self.command("Input.dispatchKeyEvent", type=kind, **values)

    def on_screen(self, place: tuple[float, float]) -> tuple[float, float]:
        """A place in the frame, on the screen. The frame of the clip has 320 px."""
        self.browser.execute_script("document.getElementById('view').scrollIntoView({block: 'nearest'})")
        left, top, width, height = self.value(
            "(r => [r.left, r.top, r.width, r.height])(document.getElementById('view').getBoundingClientRect())"
        )
        scale = min(width / 320, height / 240)
        return left + (width - 320 * scale) / 2 + place[0] * scale, top + (height - 240 * scale) / 2 + place[1] * scale

    def draw(self, box: Box) -> None:
        start, end = self.on_screen((box.x, box.y)), self.on_screen((box.x + box.w, box.y + box.h))
        self._point("start", start)
        for share in (0.5, 1.0):
            self._point("move", (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
        self._point("end", end)

    def _point(self, phase: str, place: tuple[float, float]) -> None:
        at = {"x": place[0], "y": place[1]}
        if self.touch:
            kind = {"start": "touchStart", "move": "touchMove", "end": "touchEnd"}[phase]
            self.command("Input.dispatchTouchEvent", type=kind, touchPoints=[] if phase == "end" else [at])
        else:
            kind = {"start": "mousePressed", "move": "mouseMoved", "end": "mouseReleased"}[phase]
            self.command("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **at)

    def shown_box(self) -> Box:
        return Box(*(float(value) for value in self.text("box").split(",")))

    def results(self) -> list[dict[str, str]]:
        """The rows of the csv that the link gives."""
        script = "const done = arguments[0]; fetch(document.getElementById('csv').href).then(r => r.text()).then(done)"
        return list(csv.DictReader(self.browser.execute_async_script(script).splitlines()))


@pytest.mark.parametrize(("width", "scheme", "touch"), [(1280, "light", False), (390, "dark", True)])
def test_a_clip_is_uploaded_and_tracked_to_its_end(
    browser: Any, address: str, video: Path, clip: Clip, width: int, scheme: str, touch: bool
) -> None:
    page = Page(browser, address, width, scheme, touch)
    page.upload(video)
    page.wait_for("draw")
    page.draw(clip.box(0))
    assert np.allclose(page.shown_box(), clip.box(0), atol=1.5)
    page.click("start")
    page.wait_for("running")
    check_layout(page, width, scheme)
    page.wait_for("ended")
    assert page.text("state") == "The video has ended. 40 frames, lost in 0."
    assert page.text("status") == "tracked"
    assert page.text("frame") == "39"
    assert re.fullmatch(r"\d+ %", page.text("confidence"))
    assert page.shown_box().iou(clip.box(39)) > 0.6
    assert page.value("document.getElementById('response').naturalWidth") == 192
    drawn = page.value(
        "(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter(v => v).length)"
        "(document.getElementById('chart'))"
    )
    assert drawn > 200, "the chart is empty"
    check_painted_box(page)
    rows = page.results()
    assert [int(row["frame"]) for row in rows] == list(range(40))
    overlaps = [Box(*(float(row[key]) for key in "xywh")).iou(clip.box(t)) for t, row in enumerate(rows)]
    assert np.mean(overlaps) > 0.7
    check_requests(page, address)


def check_layout(page: Page, width: int, scheme: str) -> None:
    content_width = page.value("document.scrollingElement.scrollWidth")
    assert content_width <= width, "the page is wider than the screen"
    heights = page.value(
        "[...document.querySelectorAll('.button, .check')].filter(e => e.checkVisibility()).map(e => e.offsetHeight)"
    )
    assert heights
    assert min(heights) >= 44, "too small for a finger"
    background = page.value("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def check_painted_box(page: Page) -> None:
    """The box is painted on the picture of its frame: the middle of its left side has the colour of `tracked`.

    A line between two pixels is painted paler, on both.
    """
    x, y, _, h = page.shown_box()
    pixels = page.value(
        "(c => [...c.getContext('2d').getImageData("
        f"{x} * c.width / 320 - 2, {y + h / 2} * c.height / 240, 5, 1).data])(document.getElementById('view'))"
    )
    assert max(pixels[at + 1] - max(pixels[at], pixels[at + 2]) for at in range(0, len(pixels), 4)) > 60


def check_requests(page: Page, address: str) -> None:
    assert page.browser.get_log("browser") == [], "errors on the console"
    events = [json.loads(entry["message"])["message"] for entry in page.browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert urls, "the request log is empty"
    assert [url for url in urls if not url.startswith((address, "data:", "blob:"))] == []


def test_a_box_is_corrected_with_the_keyboard_while_the_video_is_paused(
    browser: Any, address: str, video: Path, clip: Clip
) -> None:
    page = Page(browser, address, 1280)
    page.upload(video)
    page.wait_for("draw")
    page.press("ArrowRight", 39)
    first = page.shown_box()
    page.press("ArrowRight", 39)
    page.press("ArrowDown", 40, shift=True)
    assert page.shown_box().x > first.x
    assert page.shown_box().h > first.h
    page.press("Enter", 13)
    page.wait_for("running")
    page.press(" ", 32)
    page.wait_for("paused")
    frame = page.text("frame")
    time.sleep(0.2)
    assert page.text("frame") == frame, "a paused video goes on"
    page.click("redraw")
    page.draw(clip.box(int(frame)))
    page.click("start")
    page.wait_for("ended")
    rows = page.results()
    assert len(rows) == 40
    assert [int(row["frame"]) for row in rows if not row["status"]] == [0, int(frame)]
    assert Box(*(float(rows[-1][key]) for key in "xywh")).iou(clip.box(39)) > 0.6


def test_a_stream_is_shown_live_until_a_box_is_drawn(browser: Any, address: str, clip: Clip) -> None:
    with serving(lambda number: clip.frame(number % 10), rate=20) as camera:
        page = Page(browser, address, 1280)
        browser.find_element("id", "path").send_keys(camera.url + "\n")
        page.wait_for("draw")
        page.wait_until("parseFloat(document.getElementById('time').innerText) > 0.3")
        page.draw(clip.box(5))
        page.wait_until("!document.getElementById('newer').hidden")
        time.sleep(0.3)  # a request for a newer frame may have been on its way
        shown = page.text("time")
        time.sleep(0.3)
        assert page.text("time") == shown, "the box must fit the frame"
        page.click("newer")
        page.wait_until(f"document.getElementById('time').innerText !== {shown!r}")
        page.draw(clip.box(5))
        page.click("start")
        page.wait_until("parseInt(document.getElementById('frame').innerText) > 5")
        assert re.fullmatch(r"\d+ ms, \d+", page.text("age"))
        page.click("pause")
        page.wait_for("paused")
        page.click("another")


def test_an_upload_that_is_no_video_is_told_and_another_one_can_be_chosen(
    browser: Any, address: str, video: Path, tmp_path: Path
) -> None:
    page = Page(browser, address, 390, touch=True)
    (tmp_path / "letter.txt").write_text("Dear reader, " * 100)
    page.upload(tmp_path / "letter.txt")
    page.wait_until("document.getElementById('error').innerText.startsWith('letter.txt: ')")
    page.wait_for("choose")
    page.upload(video)
    page.wait_for("draw")
    assert page.text("error") == ""


def test_a_second_window_says_why_the_first_one_stopped(browser: Any, address: str) -> None:
    page = Page(browser, address, 1280)
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    try:
        Page(browser, address, 1280)
    finally:
        browser.close()
        browser.switch_to.window(first)
    page.wait_for("closed")
    assert "opened in another window" in page.text("error")
