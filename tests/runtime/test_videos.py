"""Videos as users have them: containers that claim too much, damage, interlacing, joined and cut streams."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from dcfnet.errors import SourceError
from dcfnet.io.decoding.complete_file import is_truncated
from dcfnet.io.sinks.video import VideoSink
from dcfnet.io.source_frame import FrameSource, SourceFrame
from dcfnet.io.sources import open_source
from dcfnet_evaluation.rendered import Clip
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.inputs import COUNT, RATE, copied_from, damage, encode, interlaced, rendered, truncate

VARIABLE = [33 * t for t in range(15)] + [33 * 15 + 100 * t for t in range(15)]  # ms


@pytest.fixture(params=["PyAV", "OpenCV"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test runs with both decoders."""
    monkeypatch.setattr("dcfnet.io.decoding.videos.has_pyav", lambda: request.param == "PyAV")
    return str(request.param)


@pytest.fixture(scope="module")
def frames(request: pytest.FixtureRequest) -> list[np.ndarray]:
    return rendered(request.getfixturevalue("clip"))


def read(file: Path) -> tuple[FrameSource, list[SourceFrame]]:
    source = open_source(file)
    return source, list(source)


def usable(frames: list[SourceFrame]) -> int:
    return sum(frame.pixels is not None and not frame.problem for frame in frames)


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4", "v.mov", "v.ts", "v.flv"])
def test_a_variable_rate_is_no_damage_and_each_frame_has_its_time(
    tmp_path: Path, frames: list[np.ndarray], decoder: str, name: str
) -> None:
    source, found = read(encode(tmp_path / name, frames, times=VARIABLE))
    assert len(found) == COUNT
    assert source.report.problems == []
    np.testing.assert_allclose([frame.time for frame in found], np.array(VARIABLE) / 1000, atol=0.002)


def test_a_copied_part_of_a_video_is_complete(tmp_path: Path, frames: list[np.ndarray], decoder: str) -> None:
    whole = encode(tmp_path / "whole.mp4", frames)
    source, found = read(copied_from(whole, tmp_path / "part.mp4", 10))
    assert source.report.problems == []
    assert usable(found) == len(found) == COUNT - 10


@pytest.mark.parametrize(("name", "codec"), [("v.ts", "libx264"), ("v.mpg", "mpeg2video")])
def test_joined_streams_are_read_to_the_end(
    tmp_path: Path, frames: list[np.ndarray], decoder: str, name: str, codec: str
) -> None:
    file = encode(tmp_path / name, frames, codec)
    file.write_bytes(file.read_bytes() * 2)
    source, found = read(file)
    assert len(found) == 2 * COUNT
    assert source.report.problems == []
    steps = np.diff([frame.time for frame in found])
    np.testing.assert_allclose(steps, 1 / RATE, atol=0.002)


def test_a_wrong_count_in_a_header_is_no_evidence(tmp_path: Path, frames: list[np.ndarray], decoder: str) -> None:
    file = encode(tmp_path / "v.avi", frames, "mjpeg", pixels="yuvj420p")
    content = file.read_bytes()
    true, wrong = COUNT.to_bytes(4, "little"), (5 * COUNT).to_bytes(4, "little")
    head = content[:400].replace(true, wrong)  # the counts of the file and of the stream
    assert head != content[:400]
    file.write_bytes(head + content[400:])
    source, found = read(file)
    assert (len(found), source.report.problems) == (COUNT, [])


@pytest.mark.parametrize("order", [("late", "early"), ("early", "late")])
def test_joined_streams_with_other_clocks_are_complete(
    tmp_path: Path, frames: list[np.ndarray], decoder: str, order: tuple[str, str]
) -> None:
    encode(tmp_path / "early.ts", frames)
    encode(tmp_path / "late.ts", frames, times=[500_000 + 33 * t for t in range(COUNT)])
    file = tmp_path / "v.ts"
    file.write_bytes(b"".join((tmp_path / f"{name}.ts").read_bytes() for name in order))
    source, found = read(file)
    assert (usable(found), source.report.problems) == (2 * COUNT, [])


@pytest.mark.parametrize(
    ("name", "options"),
    [("v.mp4", {"movflags": "faststart"}), ("v.mkv", {}), ("v.avi", {})],
)
def test_a_truncated_file_is_told(
    tmp_path: Path, frames: list[np.ndarray], decoder: str, name: str, options: dict[str, str]
) -> None:
    codec = "mpeg4" if name == "v.avi" else "libx264"
    file = truncate(encode(tmp_path / name, frames, codec, layout=options), 0.6)
    assert is_truncated(file)
    source, found = read(file)
    assert 5 < len(found) < COUNT
    assert "the file may be truncated or damaged" in source.report.problems[-1]


@settings(deadline=None)  # the first call loads a decoder
@given(st.sampled_from([b"RIFF", b"\x1a\x45\xdf\xa3", b"\0\0\0\x08moov", b""]), st.binary(max_size=120))
def test_any_bytes_can_be_asked_for_their_length(start: bytes, rest: bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "v"
        file.write_bytes(start + rest)
        assert is_truncated(file) in (True, False)


def test_a_recording_without_its_index_is_named(tmp_path: Path, frames: list[np.ndarray], decoder: str) -> None:
    file = truncate(encode(tmp_path / "v.mp4", frames), 0.6)  # the index is at the end
    with pytest.raises(SourceError, match=r"v\.mp4: cannot be opened.*a recording or a copy of it was not finished"):
        next(iter(open_source(file)))


@pytest.mark.parametrize("name", ["v.mp4", "v.ts", "v.mkv"])
def test_reading_goes_on_after_a_hole(tmp_path: Path, frames: list[np.ndarray], name: str) -> None:
    pytest.importorskip("av", reason="OpenCV alone does not tell all errors")
    source, found = read(damage(encode(tmp_path / name, frames), 0.45, 0.6))
    assert len(found) == COUNT  # frame numbers stay those of the recording
    assert 10 < usable(found) < COUNT
    assert found[-1].pixels is not None
    assert "could not be decoded" in source.report.problems[0]
    np.testing.assert_allclose([frame.time for frame in found], np.arange(COUNT) / RATE, atol=0.002)


def test_opencv_goes_on_after_a_hole(tmp_path: Path, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    file = damage(encode(tmp_path / "v.mp4", frames), 0.45, 0.6)
    monkeypatch.setattr("dcfnet.io.decoding.videos.has_pyav", lambda: False)
    source, found = read(file)
    assert usable(found) > 12
    assert found[-1].pixels is not None
    assert source.report.problems


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
def test_interlaced_video_is_decoded_with_pyav(tmp_path: Path, frames: list[np.ndarray], name: str) -> None:
    file = interlaced(tmp_path / name, frames)
    source, found = read(file)
    assert len(found) == COUNT
    assert source.report.decoder == "PyAV"
    assert not any(frame.frozen for frame in found)
    first = found[0].pixels
    assert first is not None
    assert np.abs(first.astype(int) - frames[0]).mean() < 8


def test_a_frozen_frame_is_marked(tmp_path: Path, frames: list[np.ndarray], decoder: str) -> None:
    stuck = [*frames[:5], *[frames[5]] * 4, frames[9]]
    file = encode(tmp_path / "v.mkv", stuck, "ffv1", pixels="bgr0")
    _, found = read(file)
    assert [frame.frozen for frame in found] == [False] * 6 + [True] * 3 + [False]


def test_grey_of_16_bits_keeps_its_range(tmp_path: Path, frames: list[np.ndarray]) -> None:
    thermal = [frame[..., 0].astype(np.uint16) + 29000 for frame in frames[:3]]
    source, found = read(encode(tmp_path / "v.mkv", thermal, "ffv1", pixels="gray16le"))
    assert found[0].pixels is not None
    assert np.ptp(found[0].pixels) > 180
    assert "uint16 pixels, levels 29000 to" in source.report.stored


def test_video_of_10_bits_is_read(tmp_path: Path, frames: list[np.ndarray], decoder: str) -> None:
    _, found = read(encode(tmp_path / "v.mkv", frames[:3], "ffv1", pixels="yuv420p10le"))
    assert found[0].pixels is not None
    assert np.abs(found[0].pixels.astype(int) - frames[0]).mean() < 8


def test_a_turned_video_is_shown_upright(tmp_path: Path, frames: list[np.ndarray], decoder: str) -> None:
    """Telephones store the turn in the header of the track, as a matrix of 16.16 numbers."""
    file = encode(tmp_path / "v.mp4", frames[:3])
    content = file.read_bytes()
    place = content.index(b"tkhd") + 44
    turn = np.array([0, 1 << 16, 0, -1 << 16, 0, 0, 240 << 16, 0, 1 << 30], ">i4").tobytes()
    file.write_bytes(content[:place] + turn + content[place + 36 :])
    _, found = read(file)
    assert found[0].pixels is not None
    expected = cv2.rotate(frames[0], cv2.ROTATE_90_CLOCKWISE)
    assert np.abs(found[0].pixels.astype(int) - expected).mean() < 8


def test_a_text_file_is_not_a_video(decoder: str, tmp_path: Path) -> None:
    """FFmpeg would draw its letters, and the letters would be tracked."""
    (tmp_path / "boxes.txt").write_text("10,20,30,40\n" * 200)
    with pytest.raises(SourceError, match=r"boxes\.txt: (is a text file, not a video|cannot be opened)"):
        open_source(tmp_path / "boxes.txt")


def test_a_file_with_sound_only_is_named(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "sound.mka"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        output.mux(stream.encode(sound))
        output.mux(stream.encode())
    with pytest.raises(SourceError, match=r"sound\.mka: no video in this file; it contains audio"):
        open_source(tmp_path / "sound.mka")


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "libx264"), ("v.avi", "mpeg4"), ("v.mpg", "mpeg2video")])
def test_both_decoders_give_the_same_pixels(
    tmp_path: Path, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, name: str, codec: str
) -> None:
    file = encode(tmp_path / name, frames[:12], codec)
    _, with_pyav = read(file)
    monkeypatch.setattr("dcfnet.io.decoding.videos.has_pyav", lambda: False)
    _, with_opencv = read(file)
    for first, second in zip(with_pyav, with_opencv, strict=True):
        np.testing.assert_array_equal(first.pixels, second.pixels)


def test_an_unknown_codec_is_named(tmp_path: Path, frames: list[np.ndarray], decoder: str) -> None:
    file = encode(tmp_path / "v.mp4", frames[:3])
    file.write_bytes(file.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(SourceError, match=r"v\.mp4: (the codec of this video is unknown|cannot be opened)"):
        open_source(file)


def test_a_change_of_the_size_in_a_stream_is_read(tmp_path: Path, frames: list[np.ndarray]) -> None:
    large = encode(tmp_path / "large.ts", [cv2.resize(frame, (640, 480)) for frame in frames[:5]])
    file = encode(tmp_path / "v.ts", frames[:5])
    file.write_bytes(file.read_bytes() + large.read_bytes())
    _, found = read(file)
    sizes = [frame.pixels.shape[:2] for frame in found if frame.pixels is not None]
    assert sizes == [(240, 320)] * 5 + [(480, 640)] * 5


def test_a_written_video_lasts_as_long_as_its_source(tmp_path: Path, clip: Clip) -> None:
    with VideoSink(tmp_path / "v.mp4", RATE, (320, 240)) as video:
        for frame, time in zip(rendered(clip), VARIABLE, strict=True):
            video.write(frame, time / 1000)
    written = cv2.VideoCapture(str(tmp_path / "v.mp4"))
    seconds = written.get(cv2.CAP_PROP_FRAME_COUNT) / written.get(cv2.CAP_PROP_FPS)
    assert seconds == pytest.approx(VARIABLE[-1] / 1000 + 1 / RATE, abs=0.04)


def test_a_very_long_gap_is_shortened_in_a_written_video(tmp_path: Path, clip: Clip) -> None:
    with VideoSink(tmp_path / "v.mp4", 1.0, (320, 240)) as video:
        for time in (0, 1e6, 1e6 + 2):
            video.write(clip.frame(0), time)
    assert cv2.VideoCapture(str(tmp_path / "v.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) < 70
