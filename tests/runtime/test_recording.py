"""dcfnet-run --record: the file is read back by another library."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dcfnet.cli.run import app
from dcfnet.errors import SinkError
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import Header, SourceFrame
from dcfnet.result import Box
from dcfnet_evaluation.rendered import Clip
from typer.testing import CliRunner

from tests.runtime.inputs import write_images

pytest.importorskip("foxglove", reason="needs the extra 'foxglove'")
reader = pytest.importorskip("mcap.reader", reason="needs mcap, another reader of the file")
pytest.importorskip("foxglove_schemas_protobuf", reason="needs the definitions of Foxglove's messages")

from dcfnet.cli.telemetry.recording import Recording  # noqa: E402
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage  # noqa: E402
from foxglove_schemas_protobuf.ImageAnnotations_pb2 import ImageAnnotations  # noqa: E402

LENGTH = 6
TYPES = {"foxglove.CompressedImage": CompressedImage, "foxglove.ImageAnnotations": ImageAnnotations}


def read(file: Path) -> dict[str, list[tuple[int, Any]]]:
    """The messages of each topic with their times in the file, ns."""
    found: dict[str, list[tuple[int, Any]]] = {}
    with file.open("rb") as stream:
        for schema, channel, message in reader.make_reader(stream).iter_messages():
            if channel.message_encoding == "json":
                content = json.loads(message.data)
            else:
                content = TYPES[schema.name]()
                content.ParseFromString(message.data)
            found.setdefault(channel.topic, []).append((message.log_time, content))
    return found


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--engine", "dcfnet"])
    return result.exit_code, result.output


def init(clip: Clip) -> str:
    return ",".join(f"{value:.2f}" for value in clip.box(0))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    """Images, of which the fourth one is broken."""
    folder = tmp_path_factory.mktemp("series")
    write_images(folder, [clip.frame(t) for t in range(LENGTH)], [f"{t}.png" for t in range(LENGTH)])
    (folder / "3.png").write_bytes(b"broken")
    return folder


def test_pictures_boxes_measures_and_maps_are_recorded_with_the_times_of_their_frames(
    series: Path, clip: Clip, tmp_path: Path
) -> None:
    file, boxes = tmp_path / "new" / "tracks.mcap", tmp_path / "boxes.jsonl"
    code, text = run(series, "--init", init(clip), "--record", file, "--boxes", boxes, "--format", "jsonl")
    assert code == 3, text
    found = read(file)
    rows = [json.loads(line) for line in boxes.read_text().splitlines()]
    times = [round(row["time"] * 1e9) for row in rows]
    decoded = [t for t in range(LENGTH) if t != 3]

    assert [time for time, _ in found["/dcfnet/image"]] == [times[t] for t in decoded]
    for t, (time, image) in zip(decoded, found["/dcfnet/image"], strict=True):
        assert image.timestamp.ToNanoseconds() == time
        picture = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(picture.astype(int) - clip.frame(t)).mean() < 6

    assert [time for time, _ in found["/dcfnet/targets"]] == times
    for row, (_, message) in zip(rows, found["/dcfnet/targets"], strict=True):
        assert message == {"frame": row["frame"], "targets": [{"id": 1} | row]}

    for row, (_, drawn) in zip(rows, found["/dcfnet/boxes"], strict=True):
        x, y, w, h = row["box"]
        corners = [(point.x, point.y) for point in drawn.points[0].points]
        assert np.allclose(corners, [(x, y), (x + w, y), (x + w, y + h), (x, y + h)], atol=1e-3)
        colour = drawn.points[0].outline_color
        assert (colour.r > colour.g) == (row.get("status") == "lost")
        assert drawn.texts[0].text.startswith("1")

    maps = found["/dcfnet/response"]
    assert [time for time, _ in maps] == [times[t] for t in decoded[1:]], "not before the first result"
    assert all(cv2.imdecode(np.frombuffer(m.data, np.uint8), cv2.IMREAD_COLOR).shape == (192, 192, 3) for _, m in maps)


def test_several_targets_have_their_ids_and_no_response_map(series: Path, clip: Clip, tmp_path: Path) -> None:
    file = tmp_path / "tracks.mcap"
    code, text = run(series, "--init", init(clip), "--init", "20,20,40,40", "--record", file)
    assert code == 3, text
    found = read(file)
    assert "/dcfnet/response" not in found
    assert all([row["id"] for row in message["targets"]] == [1, 2] for _, message in found["/dcfnet/targets"])
    assert all(len(drawn.points) == 2 for _, drawn in found["/dcfnet/boxes"])


def test_the_header_of_a_message_of_a_bag_is_kept_and_a_large_frame_is_recorded_smaller(tmp_path: Path) -> None:
    file = tmp_path / "tracks.mcap"
    frame = SourceFrame(
        np.zeros((720, 2560, 3), np.uint8), 0.5, header=Header(1_700_000_000, 25, "front", 1_700_000_001 * 10**9)
    )
    with Recording(file, lambda frame: np.zeros((1, 64, 64), np.float32)) as recording:
        recording.frame(0, frame, [TargetRow(1, Box(1000, 100, 400, 200))], None)
    found = read(file)
    ((time, image),), ((_, drawn),) = found["/dcfnet/image"], found["/dcfnet/boxes"]
    assert image.frame_id == "front"
    assert image.timestamp.ToNanoseconds() == 1_700_000_000 * 10**9 + 25
    assert time == 1_700_000_001 * 10**9, "the time of the image in its bag"
    assert cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR).shape == (360, 1280, 3)
    assert (drawn.points[0].points[2].x, drawn.points[0].points[2].y) == (700, 150)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("tracks.bag", "--record .*tracks.bag: the name must end in .mcap"),
        ("file/tracks.mcap", "--record .*: cannot be written"),
        ("same.mcap", "is given for two of --output, --boxes and --record"),
    ],
)
def test_a_file_that_cannot_be_recorded_is_one_clear_line(
    series: Path, clip: Clip, tmp_path: Path, name: str, rule: str
) -> None:
    (tmp_path / "file").write_text("")
    code, text = run(series, "--init", init(clip), "--record", tmp_path / name, "--boxes", tmp_path / "same.mcap")
    assert code == 1
    assert text.count("\n") == 1
    assert re.search(rule, text), text


@pytest.mark.parametrize("limit", [1, 300_000, 1_200_000])
def test_a_disk_that_fills_during_the_run_ends_it_with_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], limit: int
) -> None:
    """The library goes back in the file to write the size of a chunk, and checks its place there."""
    resource = pytest.importorskip("resource", reason="needs a limit for the size of files")
    rng = np.random.default_rng(0)  # the library compresses equal pictures
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def record() -> None:
        with Recording(tmp_path / "tracks.mcap", lambda frame: np.zeros((1, 64, 64), np.float32)) as recording:
            for t in range(60):
                noise = rng.integers(0, 256, (240, 320, 3), np.uint8)
                recording.frame(t, SourceFrame(noise, t / 30), [], None)

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(SinkError, match=r"--record .*tracks.mcap: cannot be written \(File too large\)"):
            record()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert capfd.readouterr().err == "", "the library prints nothing"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_while_the_library_writes_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    """It waits for the end of the frame, and the file is complete."""
    from dcfnet.cli.telemetry import recording as module

    class Interrupted(module._File):
        def write(self, content: bytes) -> int:  # type: ignore[override]
            written = super().write(content)
            if self.tell() > 200_000 and not came:
                came.append(number)
                signal.raise_signal(number)
            return written

    came, frames, rng = list[int](), list[int](), np.random.default_rng(0)
    monkeypatch.setattr(module, "_File", Interrupted)

    def record() -> None:
        with Recording(tmp_path / "tracks.mcap", lambda frame: np.zeros((1, 64, 64), np.float32)) as recording:
            for t in range(60):
                frames.append(t)
                recording.frame(t, SourceFrame(rng.integers(0, 256, (240, 320, 3), np.uint8), t / 30), [], None)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as dcfnet-run does
    try:
        with pytest.raises(KeyboardInterrupt):
            record()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capfd.readouterr().err == "", "the library prints nothing"
    assert len(read(tmp_path / "tracks.mcap")["/dcfnet/targets"]) == len(frames) < 60


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_run_with_one_clear_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "full.mcap"
    file.symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)

    def record() -> None:
        with Recording(file, lambda frame: np.zeros((1, 64, 64), np.float32)) as recording:
            for t in range(30):
                recording.frame(t, SourceFrame(noise, t / 30), [], None)

    with pytest.raises(SinkError, match=r"--record .*full.mcap: cannot be written \(No space left on device\)"):
        record()
    assert capfd.readouterr().err == "", "the library prints nothing"
