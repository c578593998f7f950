"""The rules of the page of dcfnet-run --web: who may use it, uploads, requests and answers, results."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet.cli.web.uploads import Uploads, shown_name
from dcfnet.cli.web.view import LONG_SIDE, View
from dcfnet.cli.web.viewer import Viewer
from dcfnet.io.sinks.boxes import HEADERS, LIVE_COLUMNS, BoxLine
from dcfnet.io.sinks.video import VideoSink
from dcfnet.result import Box
from dcfnet.tracker import MultiTracker, Tracker
from dcfnet_evaluation.rendered import Clip
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_raw_pipeline
from tests.runtime.inputs import write_images
from tests.runtime.live.mjpeg_server import serving

pytest.importorskip("starlette", reason="needs the extra 'web'")
pytest.importorskip("httpx2", reason="needs httpx2 for the client of the tests")

from dcfnet.cli.web.application import PAGE, REPLACED, application
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

ADDRESS = "http://127.0.0.1:8000"
VIEWER = "ws://127.0.0.1:8000/viewer"
LIMIT = 300_000  # bytes
LENGTH = 12  # frames


@pytest.fixture(scope="module")
def tracker() -> MultiTracker:
    return MultiTracker.of(make_raw_pipeline())


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    file = tmp_path_factory.mktemp("video") / "small clip.avi"
    with VideoSink(file, 30, (320, 240)) as sink:
        for t, (frame, _) in enumerate(clip):
            if t < LENGTH:
                sink.write(frame)
    assert file.stat().st_size < LIMIT
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


@pytest.fixture
def client(tracker: MultiTracker, folder: Path) -> Iterator[TestClient]:
    uploads = Uploads(folder, LIMIT)
    with TestClient(application(lambda: Viewer(tracker, uploads), uploads), base_url=ADDRESS) as client:
        yield client


class Window:
    """A window of a browser: sends requests, and reads their answers."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    def ask(self, request: str, **fields: object) -> dict[str, Any]:
        """The answer: a JSON object, or the header of a frame with `picture`, `response` as pixels."""
        self.socket.send_text(json.dumps({"request": request, **fields}))
        return self.read()

    def read(self) -> dict[str, Any]:
        message = self.socket.receive()
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message["code"])
        return json.loads(message["text"]) if "text" in message else parsed(message["bytes"])


def parsed(message: bytes) -> dict[str, Any]:
    end = 4 + int.from_bytes(message[:4], "big")
    start = end + 4
    picture = start + int.from_bytes(message[end:start], "big")
    images = {"response": message[start:picture], "picture": message[picture:]}
    return json.loads(message[4:end]) | {name: decoded(content) for name, content in images.items()}


def decoded(content: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None


@pytest.fixture
def window(client: TestClient) -> Iterator[Window]:
    with client.websocket_connect(VIEWER) as socket:
        yield Window(socket)


def csv_boxes(client: TestClient) -> list[list[float]]:
    header, *lines = client.get("/results.csv").text.splitlines()
    assert header == HEADERS["csv"]
    return [[float(value) for value in line.split(",")[:5]] for line in lines]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.5:8000", ""])
def test_a_foreign_host_is_refused(client: TestClient, host: str) -> None:
    headers = {"host": host}
    assert client.get("/", headers=headers).status_code == 400
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(VIEWER, headers=headers):
        pass
    assert refused.value.status_code == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8000", "http://127.0.0.1:9000"])
def test_a_page_of_another_server_cannot_use_the_program(client: TestClient, origin: str) -> None:
    headers = {"origin": origin}
    assert client.get("/results.csv", headers=headers).status_code == 403
    assert client.put("/upload?name=x.mp4", content=b"x", headers=headers).status_code == 403
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(VIEWER, headers=headers):
        pass
    assert refused.value.status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:9000"])
def test_the_own_page_is_answered_also_through_a_forwarded_port(client: TestClient, host: str) -> None:
    headers = {"host": host, "origin": f"http://{host}"}
    assert client.get("/", headers=headers).status_code == 200
    with client.websocket_connect(VIEWER, headers=headers) as socket:
        assert "hello" in Window(socket).ask("hello")


def test_the_page_is_complete_and_uses_no_other_server(client: TestClient) -> None:
    named = set()
    for path in PAGE:
        answer = client.get(path)
        assert answer.status_code == 200
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r"(https?:)?//[a-z0-9]", answer.text.replace("`ws://${location.host}", "")), path
        named |= set(re.findall(r'(?:src|href)="(/[a-z.]+)"', answer.text)) - {"/results.csv", "/results.jsonl"}
        named |= {f"/{name}" for name in re.findall(r'from "\./([a-z]+\.js)"', answer.text)}
    assert named == set(PAGE) - {"/"}


def test_an_upload_is_tracked_and_replaces_the_one_before(
    client: TestClient, window: Window, video: Path, clip: Clip, folder: Path
) -> None:
    for _ in range(2):
        answer = client.put("/upload", params={"name": "C:\\videos\\small clip.avi"}, content=video.read_bytes())
        assert (answer.status_code, answer.json()) == (200, {"name": "small clip.avi"})
    assert len(list(folder.iterdir())) == 1
    first = window.ask("open", upload=True)
    assert first["size"] == [320, 240]
    assert first["box"] is None
    assert np.abs(first["picture"].astype(int) - clip.frame(0)).mean() < 6
    answer = window.ask("start", box=list(clip.box(0)))
    assert answer["box"] == pytest.approx(clip.box(0), abs=1e-3)


@pytest.mark.parametrize("announced", [True, False])
def test_an_upload_above_the_limit_is_refused_and_leaves_no_file(
    client: TestClient, folder: Path, announced: bool
) -> None:
    content = bytes(LIMIT + 1)
    body: Any = content if announced else iter([content[:1000], content[1000:]])
    answer = client.put("/upload?name=long.mp4", content=body)
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("long.mp4: is larger than 0.3 MB;")
    assert list(folder.iterdir()) == []


def test_an_empty_upload_is_refused(client: TestClient, folder: Path) -> None:
    answer = client.put("/upload?name=empty.mp4", content=b"")
    assert (answer.status_code, answer.json()) == (422, {"error": "empty.mp4: the file is empty; choose a video"})
    assert list(folder.iterdir()) == []


def test_an_upload_that_cannot_be_stored_is_one_clear_line(client: TestClient, folder: Path) -> None:
    folder.rmdir()
    answer = client.put("/upload?name=drive.mp4", content=b"x")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("drive.mp4: cannot be stored (")


@pytest.mark.parametrize("name", ["letter.mp4", "letter.txt", "../../letter"])
def test_an_upload_that_is_no_video_is_one_clear_line_with_its_own_name(
    client: TestClient, window: Window, folder: Path, name: str
) -> None:
    assert client.put("/upload", params={"name": name}, content=b"Dear reader, " * 100).status_code == 200
    error = window.ask("open", upload=True)["error"]
    assert error.startswith(name.rpartition("/")[2] + ": ")
    assert str(folder) not in error
    assert "\n" not in error
    assert list(folder.iterdir()) == []
    assert window.ask("open", upload=True) == {"error": "there is no uploaded video; choose a file first"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", "upload"), ("a/b\\c.mp4", "c.mp4"), ("\n\x1b[2Jx.mp4", "[2Jx.mp4"), ("x" * 300 + ".mp4", "x" * 76 + ".mp4")],
)
def test_names_of_uploads(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_the_boxes_of_the_page_are_those_of_the_library(
    client: TestClient, window: Window, video: Path, clip: Clip
) -> None:
    window.ask("open", source=str(video))
    window.ask("start", box=list(clip.box(0)))
    answers = [window.ask("next") for _ in range(LENGTH - 1)]
    assert [answer["frame"] for answer in answers] == list(range(1, LENGTH))
    expected = library_boxes(video, clip.box(0), range(LENGTH))
    assert np.allclose([answer["box"] for answer in answers], expected[1:], atol=1e-3)
    ended = window.ask("next")["ended"]
    assert ended == {"summary": f"{LENGTH} frames, lost in 0", "problems": []}
    assert window.ask("next")["ended"] == ended
    assert np.allclose(csv_boxes(client), [[t, *box] for t, box in enumerate(expected)], atol=0.0051)
    lines = [json.loads(line) for line in client.get("/results.jsonl").text.splitlines()]
    assert [line.get("status") for line in lines] == [None, *["tracked"] * (LENGTH - 1)]
    assert client.get("/results.csv").headers["content-disposition"] == 'attachment; filename="small_clip.csv"'


def library_boxes(video: Path, box: Box, frames: range) -> list[list[float]]:
    """The boxes of a tracker of its own on the same pixels."""
    tracker, capture = Tracker.of(make_raw_pipeline()), cv2.VideoCapture(str(video))
    pixels = [capture.read()[1] for _ in range(LENGTH)]
    capture.release()
    tracker.init(pixels[frames[0]], box)
    return [list(box), *(list(tracker.update(pixels[t]).box) for t in frames[1:])]


def test_a_box_that_is_drawn_again_replaces_the_row_and_starts_the_target_again(
    client: TestClient, window: Window, video: Path, clip: Clip
) -> None:
    window.ask("open", source=str(video))
    window.ask("start", box=[5, 5, 40, 40])
    for _ in range(4):
        window.ask("next")
    for _ in range(2):  # the second correction of a frame replaces the first one
        answer = window.ask("start", box=list(clip.box(4)))
        assert (answer["frame"], answer.get("status")) == (4, None)
    answers = [window.ask("next") for _ in range(3)]
    expected = library_boxes(video, clip.box(4), range(4, 8))
    assert np.allclose([answer["box"] for answer in answers], expected[1:], atol=1e-3)
    rows = csv_boxes(client)
    assert [row[0] for row in rows] == list(range(8))
    assert np.allclose([row[1:] for row in rows[4:]], expected, atol=0.0051)


def test_the_response_map_comes_with_its_frame_if_it_is_asked_for(window: Window, video: Path, clip: Clip) -> None:
    window.ask("open", source=str(video))
    window.ask("start", box=list(clip.box(0)))
    assert window.ask("next")["response"] is None
    response = window.ask("next", response=True)["response"].sum(axis=2)
    height, width = response.shape
    peak = np.unravel_index(response.argmax(), response.shape)
    assert np.abs(np.array(peak) - [height / 2, width / 2]).max() <= 0.1 * height, "the peak is at the box"


@pytest.mark.parametrize(
    ("request_text", "rule"),
    [
        ("{", "must be a JSON object"),
        ("[" * 100_000, "must be a JSON object"),
        ("[]", "must be one of hello, open, preview, start, next"),
        ('{"request": "format"}', "must be one of hello, open, preview, start, next"),
        ('{"request": "next"}', "no video is open"),
        ('{"request": "start", "box": [1, 2, 3, 4]}', "no video is open"),
        ('{"request": "open"}', "the name of the source is empty"),
        ('{"request": "open", "source": "missing.mp4"}', "no such file or folder"),
        ('{"request": "open", "source": "videotestsrc ! filesink location=x"}', "cannot open a pipeline"),
        ('{"request": "open", "source": "-"}', "cannot open a pipeline or standard input"),
    ],
)
def test_a_wrong_request_is_one_clear_line(window: Window, request_text: str, rule: str) -> None:
    window.socket.send_text(request_text)
    error = window.read()["error"]
    assert rule in error
    assert "\n" not in error
    assert len(error) < 300
    assert "hello" in window.ask("hello"), "the viewer can go on"


@pytest.mark.parametrize(
    "box", [None, [1, 2, 3], ["1", 2, 3, 4], [1, 2, float("nan"), 4], [10, 10, 0, 5], [9e9, 0, 9, 9]]
)
def test_a_wrong_box_is_one_clear_line_and_the_run_goes_on(
    window: Window, video: Path, clip: Clip, box: object
) -> None:
    window.ask("open", source=str(video))
    assert "next frame before the start" in window.ask("next")["error"]
    window.ask("start", box=list(clip.box(0)))
    window.ask("next")
    assert "box" in window.ask("start", box=box)["error"]
    assert window.ask("next")["frame"] == 2


def test_a_stream_is_shown_as_it_is_now_until_the_target_starts(client: TestClient, window: Window, clip: Clip) -> None:
    with serving(lambda number: clip.frame(min(number // 5, clip.length - 1))) as camera:
        assert window.ask("open", source=camera.url)["preview"]
        shown = [window.ask("preview") for _ in range(12)]
        assert [answer["frame"] for answer in shown] == [0] * 12
        assert np.diff([answer["time"] for answer in shown]).min() > 0
        started = window.ask("start", box=list(clip.box(2)))
        assert np.array_equal(started["picture"], shown[-1]["picture"]), "the box is for the frame that was shown"
        assert (started["preview"], started["time"]) == (False, pytest.approx(shown[-1]["time"], abs=1e-4))
        assert window.ask("next")["frame"] == 1
        assert "before the start" in window.ask("preview")["error"]
        assert len(client.get("/results.csv").text.splitlines()) == 3
        window.ask("open", source="missing.mp4")  # ends the reading of the stream


def test_a_stream_is_left_when_the_window_closes(client: TestClient, clip: Clip) -> None:
    with serving(lambda number: clip.frame(0)) as camera:
        with client.websocket_connect(VIEWER) as socket:
            Window(socket).ask("open", source=camera.url)
        end = time.monotonic() + 10
        sent = -1
        while sent != camera.number:
            assert time.monotonic() < end, "the stream is still read"
            sent = camera.number
            time.sleep(0.2)


def test_a_video_file_has_no_newer_frames(window: Window, video: Path) -> None:
    assert not window.ask("open", source=str(video))["preview"]
    assert "needs a live source" in window.ask("preview")["error"]
    assert window.ask("start", box=[50, 50, 40, 40])["frame"] == 0


def test_a_slow_viewer_of_a_stream_gets_the_newest_frames(client: TestClient, window: Window, clip: Clip) -> None:
    order = [*range(clip.length), *range(clip.length - 2, 0, -1)]
    with serving(lambda number: clip.frame(order[number % len(order)])) as camera:
        secret = camera.url.replace("://", "://me:hidden@")
        window.ask("open", source=secret)
        window.ask("start", box=list(clip.box(0)))
        window.ask("next")
        time.sleep(0.5)
        answer = window.ask("next")
        assert answer["skipped"] >= 5
        assert answer["age"] >= 0
        rows = client.get("/results.csv")
        assert rows.text.splitlines()[0] == HEADERS["csv"] + LIVE_COLUMNS
        assert "hidden" not in rows.text + str(rows.headers)
        window.ask("open", source="missing.mp4")  # ends the reading of the stream


def test_a_broken_image_is_shown_as_a_frame_and_told_at_the_end(
    client: TestClient, window: Window, clip: Clip, tmp_path: Path
) -> None:
    write_images(tmp_path / "series", [clip.frame(t) for t in range(4)], [f"{t}.png" for t in range(4)])
    sorted((tmp_path / "series").iterdir())[2].write_bytes(b"broken")
    window.ask("open", source=str(tmp_path / "series"))
    window.ask("start", box=list(clip.box(0)))
    answers = [window.ask("next", response=True) for _ in range(2)]
    drawn = window.ask("start", box=list(clip.box(1)))
    assert (drawn["frame"], drawn["box"]) == (2, pytest.approx(clip.box(1), abs=1e-3)), "on the frame that is shown"
    window.ask("start", box=answers[1]["box"])
    answers.append(window.ask("next", response=True))
    assert [answer["reason"] for answer in answers] == ["found", "bad_frame", "found"]
    assert answers[1]["response"] is None
    assert np.array_equal(answers[1]["picture"], answers[0]["picture"]), "a hole shows the frame before it"
    ended = window.ask("next")["ended"]
    assert ended["summary"] == "4 frames, lost in 0", "the row of the hole has the drawn box"
    assert "1 of 4 images" in ended["problems"][0]
    assert len(csv_boxes(client)) == 4


def test_a_new_window_replaces_the_one_before(client: TestClient, window: Window, video: Path, clip: Clip) -> None:
    window.ask("open", source=str(video))
    window.ask("start", box=list(clip.box(0)))
    with client.websocket_connect(VIEWER) as socket:
        assert "hello" in Window(socket).ask("hello")
        with pytest.raises(WebSocketDisconnect) as closed:
            window.read()
    assert closed.value.code == REPLACED


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.sampled_from(["box", "response", "upload", "given"]), VALUES, max_size=4)


def test_any_request_gets_one_answer(tracker: MultiTracker, video: Path, folder: Path, clip: Clip) -> None:
    viewer = Viewer(tracker, Uploads(folder, LIMIT))

    @settings(max_examples=80, deadline=None)
    @given(FIELDS, st.sampled_from(["hello", "start", "next", "other"]))
    def check(fields: dict[str, object], request: str) -> None:
        answer = viewer.answer(json.dumps(fields | {"request": request}))
        assert isinstance(answer, bytes) or json.loads(answer).keys() & {"error", "hello", "ended"}

    viewer.answer(json.dumps({"request": "open", "source": str(video)}))
    viewer.answer(json.dumps({"request": "start", "box": list(clip.box(0))}))
    check()


def test_there_are_no_results_before_a_run(client: TestClient) -> None:
    answer = client.get("/results.csv")
    assert answer.status_code == 404
    assert "no results yet" in answer.text


def test_a_large_frame_is_sent_smaller_with_its_box_in_frame_pixels() -> None:
    pixels = np.zeros((1080, 3840, 3), np.uint8)
    answer = parsed(View(3, 0.1, pixels, BoxLine(3, Box(3000, 5, 400, 300))).message())
    assert answer["picture"].shape[:2] == (LONG_SIDE * 1080 // 3840, LONG_SIDE)
    assert answer["size"] == [3840, 1080]
    assert answer["box"] == [3000, 5, 400, 300]
