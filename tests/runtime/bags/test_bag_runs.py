"""dcfnet-run from a bag to a bag, read back by another library."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet.cli.run import app
from dcfnet.result import Box, Status
from dcfnet.tracker import Tracker
from dcfnet_evaluation.rendered import Clip
from mcap.exceptions import EndOfFile
from mcap.reader import DecodedMessageTuple, NonSeekingReader, make_reader
from mcap_ros2.decoder import DecoderFactory
from typer.testing import CliRunner

from tests.runtime.bags.recordings import START, STEP, TOPIC, Stamped, image, in_order, record
from tests.runtime.inputs import encode, rendered, start


def run(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, args), "--engine", "dcfnet"])
    return done.exit_code, done.output


def messages(file: Path, topic: str) -> list[DecodedMessageTuple]:
    """The messages of a topic with their times in the bag, by the reader of mcap-ros2-support."""
    with file.open("rb") as opened:
        reader = make_reader(opened, decoder_factories=[DecoderFactory()])
        return list(reader.iter_decoded_messages(topics=[topic]))


def detections(file: Path) -> list[Any]:
    found = messages(file, "/dcfnet/detections")
    assert {message.schema.name for message in found if message.schema} == {"vision_msgs/msg/Detection2DArray"}
    return found


def header(message: Any) -> tuple[int, int, str]:
    return message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id


def box_of(detection: Any) -> Box:
    centre = detection.bbox.center.position
    return Box.of((centre.x, centre.y), (detection.bbox.size_x, detection.bbox.size_y))


def test_a_link_to_a_bag_stays_a_link(tmp_path: Path, clip: Clip) -> None:
    link, file = tmp_path / "latest.mcap", tmp_path / "day" / "1.mcap"
    bag = record(tmp_path / "drive.mcap", in_order(image(clip.frame(t), "bgr8") for t in range(2)))
    file.parent.mkdir()
    file.write_text("old")
    link.symlink_to(file)
    code, text = run(bag, "--init", start(clip), "--boxes", link)
    assert code == 0, text
    assert link.is_symlink()
    assert len(detections(file)) == 2
    assert sorted(path.name for path in file.parent.iterdir()) == ["1.mcap"]


def forth_and_back(clip: Clip, count: int) -> list[np.ndarray]:
    """Frames of the clip, 320 x 240, without a jump."""
    order = [*range(clip.length), *range(clip.length - 2, 0, -1)]
    return [clip.frame(order[index % len(order)]) for index in range(count)]


def test_300_images_become_300_messages_with_their_headers(clip: Clip, tmp_path: Path) -> None:
    frames = [cv2.resize(frame, (160, 120)) for frame in forth_and_back(clip, 300)]
    first = Box(*(value / 2 for value in clip.box(0)))
    bag = record(tmp_path / "drive.mcap", in_order(image(frame, "bgr8") for frame in frames))
    init = ",".join(map(str, first))
    code, text = run(bag, "--topic", TOPIC, "--init", init, "--boxes", tmp_path / "tracks.mcap")
    assert code == 0, text
    given, found = messages(bag, TOPIC), detections(tmp_path / "tracks.mcap")
    assert len(given) == len(found) == 300
    assert [header(message.decoded_message) for message in found] == [
        header(message.decoded_message) for message in given
    ]
    assert [message.message.log_time for message in found] == [message.message.log_time for message in given]

    tracker = Tracker("dcfnet")
    tracker.init(frames[0], first)
    for frame, message in zip(frames[1:80], found[1:80], strict=True):
        result = tracker.update(frame)
        assert len(message.decoded_message.detections) == (result.status is not Status.LOST)
        for detection in message.decoded_message.detections:
            assert box_of(detection) == pytest.approx(result.box, abs=1e-6)
            assert detection.id == "1"
            assert header(detection) == header(message.decoded_message)
            (hypothesis,) = detection.results
            assert hypothesis.hypothesis.score == pytest.approx(
                result.confidence or {"tracked": 1.0}.get(result.status, 0.5)
            )
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_lost_target_has_no_detection_but_the_image_has_a_message(clip: Clip, tmp_path: Path) -> None:
    frames = [*forth_and_back(clip, 5), *[np.zeros((240, 320, 3), np.uint8)] * 3]
    bag = record(
        tmp_path / "drive.bag", in_order(image(frame + np.uint8(n % 2), "bgr8") for n, frame in enumerate(frames))
    )
    code, text = run(bag, "--init", start(clip), "--boxes", tmp_path / "t.mcap")
    assert code == 0, text
    assert [len(found.decoded_message.detections) for found in detections(tmp_path / "t.mcap")] == [1] * 5 + [0] * 3


def test_several_targets_have_ids_in_one_message(clip: Clip, tmp_path: Path) -> None:
    bag = record(tmp_path / "drive", in_order(image(frame, "bgr8") for frame in forth_and_back(clip, 4)))
    other = ("--init", "20,20,40,40")
    code, text = run(bag, "--init", start(clip), *other, "--boxes", tmp_path / "new" / "t.mcap")
    assert code == 0, text
    ids = [
        [found.id for found in message.decoded_message.detections]
        for message in detections(tmp_path / "new" / "t.mcap")
    ]
    assert ids[0] == ["1", "2"]
    assert len(ids) == 4


def test_boxes_of_a_video_can_be_written_to_a_bag(clip: Clip, tmp_path: Path) -> None:
    video = encode(tmp_path / "v.mp4", rendered(clip, 4))
    code, text = run(video, "--init", start(clip), "--boxes", tmp_path / "t.mcap")
    assert code == 0, text
    stamps = [header(message.decoded_message) for message in detections(tmp_path / "t.mcap")]
    assert [sec + nanosec / 1e9 for sec, nanosec, _ in stamps] == pytest.approx([n / 30 for n in range(4)], abs=1e-3)


def test_late_images_are_told_and_not_tracked(clip: Clip, tmp_path: Path) -> None:
    """Exit code 3: their results are missing."""
    frames, times = forth_and_back(clip, 6), [0, 1, 2, 1, 3, 4]
    stamped = [
        Stamped(image(frame, "bgr8"), START * 10**9 + place * STEP, START * 10**9 + n * STEP)
        for n, (frame, place) in enumerate(zip(frames, times, strict=True))
    ]
    bag = record(tmp_path / "drive.mcap", stamped)
    code, text = run(bag, "--init", start(clip), "--boxes", tmp_path / "b.csv")
    assert code == 3, text
    assert "drive.mcap: 1 of 6 images are out of order: " in text
    with (tmp_path / "b.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows].count("out_of_order") == 1
    assert rows[3]["reason"] == "out_of_order"


def test_a_bag_that_is_cut_short_keeps_what_was_tracked(clip: Clip, tmp_path: Path) -> None:
    bag = record(tmp_path / "drive.mcap", in_order(image(frame, "bgr8") for frame in forth_and_back(clip, 30)))
    content = bag.read_bytes()
    bag.write_bytes(content[: len(content) * 3 // 4])
    code, text = run(bag, "--init", start(clip), "--boxes", tmp_path / "t.mcap")
    assert code == 3, text
    assert "the end of the bag is missing: its recording or a copy of it was not finished" in text
    assert 10 < len(detections(tmp_path / "t.mcap")) < 30


@pytest.mark.parametrize(
    ("encoding", "options", "message"),
    [
        ("bgr8", ["--topic", "/left"], "--topic /left is not in the bag; topics with images: /camera/image_raw (2)"),
        ("nv21", [], "the encoding 'nv21' is not supported; supported are bgr8, rgb8"),
        ("bgr8", ["--boxes", "/proc/none/t.mcap"], "/proc/none/t.mcap: cannot be written"),
        ("bgr8", ["--boxes", "BAG"], "would overwrite an input of the run"),
    ],
)
def test_an_error_is_one_line(clip: Clip, tmp_path: Path, encoding: str, options: list[str], message: str) -> None:
    bag = record(tmp_path / "drive.mcap", in_order([image(clip.frame(0), encoding)] * 2))
    code, text = run(bag, "--init", start(clip), *(option.replace("BAG", str(bag)) for option in options))
    assert code == 1
    assert message in text
    assert text.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_keeps_its_messages(clip: Clip, tmp_path: Path, stop: signal.Signals) -> None:
    """After SIGTERM all of them, in the file; after SIGKILL those until the last full second, in the other folder."""
    frames = [image(frame, "bgr8") for frame in forth_and_back(clip, 78)]
    bag = record(tmp_path / "drive.mcap", in_order(frames * 8))
    tracks = tmp_path / "t.mcap"
    code = "import dcfnet.io.bags.library as library; library.CHUNK = 4; from dcfnet.cli.run import app; app()"
    options = ["--init", start(clip), "--boxes", str(tracks), "--engine", "dcfnet"]
    command = [sys.executable, "-c", code, str(bag), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size > 10_000 for part in tmp_path.glob("t.mcap.*.partial/*.mcap")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    if stop is signal.SIGTERM:
        assert process.returncode == 130, errors
        assert 8 < len(detections(tracks)) < 8 * 78
        return
    assert not tracks.exists()
    (left,) = tmp_path.glob("t.mcap.*.partial/*.mcap")
    found = []
    with left.open("rb") as opened, contextlib.suppress(EndOfFile):
        reader = NonSeekingReader(opened, decoder_factories=[DecoderFactory()])
        for message in reader.iter_decoded_messages(log_time_order=False):
            found.append(header(message.decoded_message))
    assert len(found) >= 8
    assert found == [(START + n * STEP // 10**9, n * STEP % 10**9, "camera") for n in range(len(found))]
