"""Cameras and streams: the newest frame, outages, and what is told about them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from dcfnet.errors import ConfigError, SourceError
from dcfnet.io.decoding.decoder import Decoded
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.live.clock import StreamClock
from dcfnet.io.live.connection import Connection, connect_camera
from dcfnet.io.live.frame_buffer import CAPACITY, FrameBuffer
from dcfnet.io.live.options import LiveOptions
from dcfnet.io.live.source import live_source
from dcfnet.io.source_frame import Delay, FrameSource, SourceFrame
from dcfnet.io.sources import open_source
from dcfnet_evaluation.rendered import Clip

from tests.runtime.inputs import RATE, encode, rendered
from tests.runtime.live.mjpeg_server import MjpegServer, number_in, serving

SHORT = {"open_timeout": 0.5, "read_timeout": 0.3}


@pytest.fixture
def told() -> list[str]:
    return []


def opened(server: MjpegServer, told: list[str], every_frame: bool = False, reconnect: float = 10.0) -> FrameSource:
    return open_source(server.url, live=LiveOptions(every_frame, reconnect, **SHORT, tell=told.append))


def take(frames: Iterator[SourceFrame], count: int, work: float = 0.0) -> list[SourceFrame]:
    """The next frames, as a tracker that needs `work` seconds for each gets them."""
    taken = []
    for _ in range(count):
        taken.append(next(frames).answered())
        time.sleep(work)
    return taken


def after_the_gap(frames: Iterator[SourceFrame], count: int) -> list[SourceFrame]:
    """The next frames, without those that had arrived before an outage."""
    first = next(frame for frame in frames if frame.delay is not None and frame.delay.gap)
    return [first, *take(frames, count - 1)]


def numbers(frames: list[SourceFrame]) -> list[int]:
    return [number_in(frame.pixels) for frame in frames]


def delays(frames: list[SourceFrame]) -> list[Delay]:
    assert all(frame.delay is not None for frame in frames)
    return [frame.delay for frame in frames if frame.delay is not None]


def test_a_slow_tracker_gets_the_newest_frame(told: list[str]) -> None:
    with serving(rate=50) as server, closing(opened(server, told)) as source:
        frames = take(iter(source), 8, work=0.1)
        seen, late = numbers(frames), delays(frames)
    assert source.live
    assert np.mean(np.diff(seen)) >= 2, "frames that arrived during the work are left out"
    assert [delay.skipped for delay in late[1:]] == list(np.diff(seen) - 1)
    assert np.median([delay.age for delay in late]) < 0.1, "the age does not grow"
    assert [frame.time for frame in frames] == sorted({frame.time for frame in frames})
    assert frames[-1].time == pytest.approx(late[-1].arrival - late[0].arrival, abs=0.05)
    assert told == []


def test_every_frame_can_be_asked_for(told: list[str]) -> None:
    with serving(rate=50) as server, closing(opened(server, told, every_frame=True)) as source:
        frames = take(iter(source), 20, work=0.04)
    assert set(np.diff(numbers(frames))) == {1}
    assert {delay.skipped for delay in delays(frames)} == {0}


def test_a_tracker_that_pauses_makes_no_gap(told: list[str]) -> None:
    """With every frame the reading waits for it; the source was not silent."""
    with serving(rate=50) as server, closing(opened(server, told, every_frame=True)) as source:
        frames = iter(source)
        before = take(frames, 2)
        time.sleep(1.3)
        after = take(frames, 20)
    assert set(np.diff(numbers([*before, *after]))) == {1}
    assert {delay.gap for delay in delays(after)} == {0}
    assert told == []


def test_the_buffer_never_grows() -> None:
    buffer = FrameBuffer(every_frame=True)
    writer = threading.Thread(target=lambda: [buffer.put(SourceFrame(None, float(n))) for n in range(3 * CAPACITY)])
    writer.start()
    time.sleep(0.1)
    assert len(buffer._frames) == CAPACITY
    assert [buffer.take(1).time for _ in range(3 * CAPACITY)] == list(range(3 * CAPACITY))  # type: ignore[union-attr]
    writer.join(1)
    with pytest.raises(TimeoutError):
        buffer.take(0.01)
    newest = FrameBuffer(every_frame=False)
    for number in range(5):
        newest.put(SourceFrame(None, float(number), delay=Delay(float(number), gap=0.5 * (number == 2))))
    assert newest.take(1) == SourceFrame(None, 4.0, delay=Delay(4.0, skipped=4, gap=0.5))


def test_a_server_that_is_started_again_is_found_again(told: list[str]) -> None:
    with serving() as server:
        source = opened(server, told)
        frames = iter(source)
        (before,) = take(frames, 1)
    time.sleep(0.6)
    with serving(port=server.port) as server, closing(source):
        after = after_the_gap(frames, 3)
    outage, *later = delays(after)
    passed = outage.arrival - delays([before])[0].arrival
    assert 0.5 < outage.gap < passed + 0.001
    assert [delay.gap for delay in later] == [0, 0]
    assert after[0].time - before.time == pytest.approx(passed, abs=0.1), "the time goes on"
    assert [line.split(": ")[1].split(" s")[0][:12] for line in told] == ["no frame for", "frames again"]


def test_a_silent_server_is_left_after_the_time_out(told: list[str]) -> None:
    with serving() as server, closing(opened(server, told)) as source:
        frames = iter(source)
        take(frames, 3)
        server.mute = True
        threading.Timer(1.0, setattr, (server, "mute", False)).start()
        after = after_the_gap(frames, 1)
    assert server.requests >= 2, "a connection without frames is replaced"
    assert 0.8 < delays(after)[0].gap < 5
    assert "connecting again" in told[0]


def test_a_short_stall_is_a_gap_although_the_connection_holds(told: list[str]) -> None:
    options = LiveOptions(open_timeout=3, read_timeout=3, tell=told.append)
    with serving() as server, closing(open_source(server.url, live=options)) as source:
        frames = iter(source)
        take(frames, 3)
        server.mute = True
        threading.Timer(1.2, setattr, (server, "mute", False)).start()
        after = after_the_gap(frames, 1)
    assert server.requests == 1
    assert delays(after)[0].gap == pytest.approx(1.2, abs=0.4)
    assert told == []


def test_a_stream_that_does_not_come_back_is_given_up(told: list[str]) -> None:
    with serving() as server:
        source = opened(server, told, reconnect=1.0)
        frames = iter(source)
        take(frames, 3)
    started = time.monotonic()
    with closing(source):
        assert all(frame.pixels is not None for frame in frames), "frames that had arrived are kept"
    assert 0.9 < time.monotonic() - started < 8
    assert source.report.died.startswith("the stream ended after ")
    assert "cannot be opened" in source.report.died


def test_connections_without_a_frame_do_not_keep_a_source_alive(told: list[str]) -> None:
    first, opens = Connection(FakeCamera(2), True), 0  # type: ignore[arg-type]

    def opens_and_ends() -> Connection:
        nonlocal opens
        opens += 1
        return Connection(FakeCamera(0), True)  # type: ignore[arg-type]

    started = time.monotonic()
    source = live_source(first, opens_and_ends, "camera 0", LiveOptions(reconnect=1.5, tell=told.append))
    assert len(list(source)) <= 2
    assert 1.4 < time.monotonic() - started < 8
    assert 2 <= opens < 6, "the waits between the attempts grow"
    assert len(told) == 1
    assert source.report.died.endswith(f"; there were {opens + 1} connections")


def test_without_time_to_connect_again_the_first_loss_ends_the_source(told: list[str]) -> None:
    with serving() as server, closing(opened(server, told, reconnect=0)) as source:
        server.frames_per_connection = 3
        assert 1 <= len(list(opened(server, told, reconnect=0))) <= 3
        assert next(iter(source)).pixels is not None
    assert told == []


def test_a_mute_server_is_an_error_at_the_start(told: list[str]) -> None:
    with serving() as server:
        server.mute = True
        started = time.monotonic()
        with pytest.raises(SourceError, match=r"stream: cannot be opened within 0\.5 s; check the address, user"):
            opened(server, told)
    assert time.monotonic() - started < 8


class FakeCamera:
    """A camera that is unplugged after some frames."""

    library, fps, count, duration, stored = "OpenCV", 30.0, 0, 0.0, "YUYV video"

    def __init__(self, frames: int) -> None:
        self.frames, self.threads = frames, set[str]()

    def decode(self) -> Iterator[Decoded]:
        try:
            for number in range(self.frames):
                time.sleep(0.01)
                yield Decoded(np.full((8, 8, 3), number, np.uint8), number / 30)
        finally:
            self.threads.add(threading.current_thread().name)


def unplugged() -> Connection:
    raise SourceError("camera 0: cannot be opened")


def test_an_unplugged_camera_is_given_up(told: list[str]) -> None:
    camera = FakeCamera(5)
    first = Connection(camera, True)  # type: ignore[arg-type]
    source = live_source(first, unplugged, "camera 0", LiveOptions(True, 0.4, tell=told.append))
    assert len(list(source)) == 5
    assert source.report.died.startswith("the stream ended after 5 frames: no frame for 0.")
    assert source.report.died.endswith("s (cannot be opened)")
    assert told == ["camera 0: no frame for 0.0 s; connecting again"]


def test_the_thread_that_reads_releases_the_camera(told: list[str]) -> None:
    """Another thread that releases a capture during a read ends the process with a segmentation fault."""
    camera = FakeCamera(10_000)
    source = live_source(Connection(camera, True), unplugged, "camera 0", LiveOptions())  # type: ignore[arg-type]
    next(iter(source))
    source.close()
    assert camera.threads == {"dcfnet live source"}
    assert not [thread for thread in threading.enumerate() if thread.name == "dcfnet live source"]


def test_opencv_opens_a_camera(tmp_path: Path, clip: Clip) -> None:
    connection = connect_camera(str(encode(tmp_path / "v.mp4", rendered(clip, 5))), "camera", Levels())  # as a device
    source = live_source(connection, unplugged, "camera", LiveOptions(every_frame=True, reconnect=0))
    times = [frame.time for frame in source]
    assert times == pytest.approx([n / RATE for n in range(5)], abs=0.002)
    assert source.live


def test_a_camera_without_frames_is_an_error() -> None:
    first = Connection(FakeCamera(0), True)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="camera 0: no frame arrived; check"):
        list(live_source(first, unplugged, "camera 0", LiveOptions()))


def test_an_error_of_the_reading_thread_reaches_the_program() -> None:
    def broken() -> Connection:
        raise MemoryError("no memory")

    first = Connection(FakeCamera(2), True)  # type: ignore[arg-type]
    with pytest.raises(MemoryError, match="no memory"):
        list(live_source(first, broken, "camera 0", LiveOptions()))


def test_the_steps_of_time_are_those_of_the_stream() -> None:
    clock = StreamClock()
    clock.connected(True)
    assert [clock.time(7 + stamp, 100 + late) for stamp, late in [(0, 0), (0.04, 0.07), (0.08, 0.09)]] == [
        0,
        pytest.approx(0.04),
        pytest.approx(0.08),
    ]
    clock.connected(True)  # the stamps start again, after 5 s
    assert [clock.time(stamp, 105 + stamp) for stamp in (0, 0.04)] == [5, pytest.approx(5.04)]


def test_a_wrong_clock_of_a_stream_is_not_used() -> None:
    clock = StreamClock()
    clock.connected(True)
    times = [clock.time(n / 25, n / 5) for n in range(30)]  # it counts 25 frames per second, and 5 arrive
    assert times[10:] == pytest.approx([n / 5 for n in range(10, 30)])
    assert all(np.diff(times) > 0)
    clock = StreamClock()
    clock.connected(False)
    assert [clock.time(0.0, n / 5) for n in range(3)] == pytest.approx([0, 0.2, 0.4])
    assert clock.time(None, 0.4) == pytest.approx(0.401), "times increase"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_the_time_to_connect_again_is_checked(seconds: float) -> None:
    with pytest.raises(ConfigError, match=r"--reconnect .*must be a number of seconds, 0 or more"):
        LiveOptions(reconnect=seconds)
