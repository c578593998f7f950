"""Bags as sources: containers, encodings, times, damage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet.errors import MissingDependencyError, SourceError
from dcfnet.io.sources import open_source

from tests.runtime.bags.recordings import START, STEP, Stamped, compressed, image, in_order, record

CONTAINERS = ["drive", "drive.mcap", "drive.db3", "drive.bag"]


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    """A picture without edges, uint8 (H, W, 3) BGR: interpolation between pixels changes little."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + 2 * x, 60 + 3 * y, 200 - x - y], -1).astype(np.uint8)


def plain(value: int) -> np.ndarray:
    return np.full((8, 12, 3), value, np.uint8)


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_images_of_a_bag_are_its_frames(tmp_path: Path, name: str) -> None:
    bag = record(tmp_path / name, in_order(image(plain(10 * n), "bgr8") for n in range(5)))
    source = open_source(bag)
    frames = list(source)
    assert [int(frame.pixels[0, 0, 0]) for frame in frames if frame.pixels is not None] == [0, 10, 20, 30, 40]
    assert [frame.time for frame in frames] == pytest.approx([n * STEP / 1e9 for n in range(5)], abs=1e-6)
    headers = [frame.header for frame in frames]
    assert headers == [(START, n * STEP, "camera", START * 10**9 + n * STEP) for n in range(5)]
    assert source.length == 5
    assert source.fps == pytest.approx(30, abs=0.01)
    assert source.report.problems == []


def mosaic(bgr: np.ndarray, pattern: str) -> np.ndarray:
    """What a sensor with these colours in its first two rows sees, (H, W)."""
    plane = np.empty(bgr.shape[:2], bgr.dtype)
    for place, colour in enumerate(pattern):
        rows, columns = slice(place // 2, None, 2), slice(place % 2, None, 2)
        plane[rows, columns] = bgr[rows, columns, "bgr".index(colour)]
    return plane


def interleaved(bgr: np.ndarray, first_is_luma: bool) -> np.ndarray:
    """4:2:2 with two bytes for each pixel, (H, W, 2): luma, and in turn U and V."""
    blue, green, red = np.moveaxis(bgr / 255, -1, 0)  # ITU-R BT.601, limited range
    luma = 16 + 65.481 * red + 128.553 * green + 24.966 * blue
    u = 128 - 37.797 * red - 74.203 * green + 112 * blue
    v = 128 + 112 * red - 93.786 * green - 18.214 * blue
    colour = np.empty(luma.shape)
    colour[:, ::2], colour[:, 1::2] = u[:, ::2], v[:, ::2]
    planes = [luma, colour] if first_is_luma else [colour, luma]
    return np.rint(np.stack(planes, -1)).clip(0, 255).astype(np.uint8)


PICTURE = smooth()
GREY = PICTURE[..., 0].copy()
ENCODED: dict[str, tuple[np.ndarray, np.ndarray]] = {  # encoding -> pixels in the message, expected BGR
    "bgr8": (PICTURE, PICTURE),
    "8UC3": (PICTURE, PICTURE),
    "rgb8": (PICTURE[..., ::-1], PICTURE),
    "bgra8": (np.dstack([PICTURE, GREY]), PICTURE),
    "rgba8": (np.dstack([PICTURE[..., ::-1], GREY]), PICTURE),
    "mono8": (GREY, np.dstack([GREY] * 3)),
    "8UC1": (GREY, np.dstack([GREY] * 3)),
    "yuv422": (interleaved(PICTURE, False), PICTURE),
    "uyvy": (interleaved(PICTURE, False), PICTURE),
    "yuv422_yuy2": (interleaved(PICTURE, True), PICTURE),
    "yuyv": (interleaved(PICTURE, True), PICTURE),
    **{f"bayer_{pattern}8": (mosaic(PICTURE, pattern), PICTURE) for pattern in ("rggb", "bggr", "gbrg", "grbg")},
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("fill", [0, 5])
def test_encodings_of_8_bits(tmp_path: Path, encoding: str, fill: int) -> None:
    stored, expected = ENCODED[encoding]
    (frame,) = open_source(record(tmp_path / "b.mcap", in_order([image(stored, encoding, fill)])))
    assert frame.pixels is not None
    inner = (slice(2, -2), slice(2, -2))  # interpolation has no neighbours at the border
    exact = encoding[:3] in ("bgr", "rgb", "mon", "8UC")
    assert np.abs(frame.pixels[inner].astype(int) - expected[inner]).max() <= (0 if exact else 8)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(
    ("encoding", "stored"),
    [
        ("mono16", GREY.astype(np.uint16) * 200),
        ("16UC1", GREY.astype(np.uint16) * 200),
        ("bayer_rggb16", mosaic(PICTURE.astype(np.uint16) * 200, "rggb")),
        ("rgb16", PICTURE[..., ::-1].astype(np.uint16) * 200),
        ("32FC1", GREY.astype(np.float32) / 9),
    ],
)
def test_more_bits_are_mapped_to_8(tmp_path: Path, encoding: str, stored: np.ndarray, big_endian: bool) -> None:
    """The darkest pixel becomes dark and the brightest one bright, by the rule for images of more than 8 bits."""
    bag = record(tmp_path / "b.mcap", in_order([image(stored, encoding, 3, big_endian)]))
    (frame,) = open_source(bag)
    assert frame.pixels is not None
    grey = encoding in ("mono16", "16UC1", "32FC1")
    reference = np.dstack([GREY] * 3) if grey else PICTURE
    inner = (slice(2, -2), slice(2, -2))
    assert np.corrcoef(frame.pixels[inner].ravel(), reference[inner].ravel())[0, 1] > 0.99
    assert np.ptp(frame.pixels) > 150


@pytest.mark.parametrize(
    ("body", "exact"),
    [
        (compressed(PICTURE), True),
        (compressed(PICTURE, ".jpg", "jpeg"), False),
        (compressed(PICTURE, ".jpg", "rgb8; jpeg compressed bgr8"), False),
    ],
)
def test_compressed_images(tmp_path: Path, body: dict[str, Any], exact: bool) -> None:
    (frame,) = open_source(record(tmp_path / "b.bag", in_order([body])))
    assert frame.pixels is not None
    assert np.abs(frame.pixels.astype(int) - PICTURE).max() <= (0 if exact else 12)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (image(GREY, "nv21"), r"b\.mcap: /camera/image_raw: the encoding 'nv21' is not supported; supported are bgr8"),
        (compressed(PICTURE, ".png", "16UC1; compressedDepth png"), "the format '16UC1; compressedDepth png' is not"),
        ({"format": "jpeg", "data": np.arange(99, dtype=np.uint8)}, "not a readable image"),
        (image(PICTURE, "bgr8") | {"width": 900}, r"900 x 48 bgr8 with 192 bytes a row has 9216 bytes; must have rows"),
        (image(PICTURE, "bgr8") | {"height": 49}, "must have rows of at least 192 bytes, and all of them"),
        (image(PICTURE, "bgr8") | {"height": 0}, "must have rows of"),
        (image(np.zeros((4, 5, 2), np.uint8), "yuv422"), "5 x 4 yuv422 cannot be decoded"),
    ],
)
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, body: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        next(iter(open_source(record(tmp_path / "b.mcap", in_order([body])))))
    later = record(tmp_path / "later.mcap", in_order([image(plain(1), "bgr8"), body, image(plain(2), "bgr8")]))
    if "encoding" in body:
        source = open_source(later)
        assert [frame.pixels is None for frame in source] == [False, True, False]
        assert source.report.problems[0].startswith("1 of 3 images cannot be read: ")


def test_topics_are_chosen_and_listed(tmp_path: Path) -> None:
    front, rear = (in_order([image(plain(n), "bgr8")] * 2, topic) for n, topic in [(1, "/front"), (2, "/rear")])
    bag = record(tmp_path / "b.mcap", [*front, *rear])
    with pytest.raises(SourceError, match=r"several topics with images; give one .*--topic: /front \(2\), /rear \(2\)"):
        open_source(bag)
    with pytest.raises(SourceError, match=r"--topic /left is not in the bag; topics with images: /front \(2\), /rear"):
        open_source(bag, topic="/left")
    assert [int(frame.pixels[0, 0, 0]) for frame in open_source(bag, topic="/rear") if frame.pixels is not None] == [
        2,
        2,
    ]
    assert len(list(open_source(bag, topic="front"))) == 2


def test_a_topic_is_refused_without_a_bag(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"v\.mp4: --topic is for bags only \(\.mcap, \.db3, \.bag, or the folder"):
        open_source(tmp_path / "v.mp4", topic="/front")
    with pytest.raises(SourceError, match="no such file"):
        open_source(tmp_path / "none.mcap", topic="/front")


def test_late_and_repeated_images_are_told(tmp_path: Path) -> None:
    """Header times; the messages are recorded in this order."""
    times = [0, 40, 80, 60, 120, 120, 160]  # ms
    messages = [
        Stamped(image(plain(n), "bgr8"), START * 10**9 + time * 10**6, START * 10**9 + n * 10**7)
        for n, time in enumerate(times)
    ]
    source = open_source(record(tmp_path / "b.mcap", messages))
    frames = list(source)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.08, 0.12, 0.12, 0.16], abs=1e-6)
    assert [frame.stamp for frame in frames] == pytest.approx([START + time / 1000 for time in times], abs=1e-6)
    assert source.report.problems[0].startswith("1 of 7 images are out of order: ")


def test_a_clock_that_starts_again_goes_on(tmp_path: Path) -> None:
    """As in a simulation that was started twice."""
    messages = [
        Stamped(image(plain(n), "bgr8"), time * 10**9, START * 10**9 + n) for n, time in enumerate([50, 51, 10, 11])
    ]
    source = open_source(record(tmp_path / "b.mcap", messages))
    assert [frame.time for frame in source] == [0, 1, 1, 2]
    assert source.report.problems == []


def test_without_a_time_in_the_header_the_time_of_the_recording_is_used(tmp_path: Path) -> None:
    messages = [Stamped(image(plain(n), "bgr8"), 0, START * 10**9 + n * STEP) for n in range(3)]
    frames = list(open_source(record(tmp_path / "b.bag", messages)))
    assert [frame.time for frame in frames] == pytest.approx([n * STEP / 1e9 for n in range(3)], abs=1e-6)


def noisy(count: int) -> list[Stamped]:
    """Images of 60 KB; a bag of them has several chunks."""
    rng = np.random.default_rng(0)
    return in_order(image(rng.integers(0, 255, (100, 200, 3), dtype=np.uint8), "bgr8") for _ in range(count))


def test_an_mcap_file_without_its_end_is_read_up_to_there(tmp_path: Path) -> None:
    bag = record(tmp_path / "b.mcap", noisy(60))
    whole = [frame.pixels for frame in open_source(bag)]
    content = bag.read_bytes()
    bag.write_bytes(content[: round(0.7 * len(content))])
    source = open_source(bag)
    read = [frame.pixels for frame in source]
    assert 30 <= len(read) < 45
    assert all(np.array_equal(a, b) for a, b in zip(read, whole, strict=False) if a is not None and b is not None)
    assert source.report.problems[0].startswith("the end of the bag is missing")


@pytest.mark.parametrize("name", ["b.mcap", "b.db3", "b.bag"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_a_bag_that_is_cut_short_is_one_line(tmp_path: Path, name: str, share: float) -> None:
    """Whatever is read before the cut is kept; otherwise the message names a repair."""
    bag = record(tmp_path / name, noisy(40))
    content = bag.read_bytes()
    bag.write_bytes(content[: round(share * len(content))])
    problem = ""
    try:
        source = open_source(bag)
        assert 0 < len(list(source)) <= 40
        problem = source.report.problems[0]
    except SourceError as error:
        problem = str(error)
    assert "\n" not in problem
    assert re.search("repair it with: .* BAG|the end of the bag is missing", problem)


def test_damage_in_the_middle_keeps_what_was_read(tmp_path: Path) -> None:
    bag = record(tmp_path / "b.mcap", noisy(60))
    content = bytearray(bag.read_bytes())
    middle = len(content) // 2
    start = content.index(b"camera", middle) - 40  # within a message
    content[start : start + 40] = b"\xff" * 40
    bag.write_bytes(content)
    source = open_source(bag)
    count = sum(frame.pixels is not None for frame in source)
    assert 15 <= count < 60
    assert source.report.problems


def test_the_first_line_of_a_bag_is_checked_before_rosbags_reads_it(tmp_path: Path) -> None:
    """rosbags needs minutes for such a line."""
    (tmp_path / "a.bag").write_bytes(b"#ROSBAG V" + b"7" * 200_000)
    with pytest.raises(SourceError, match=r"a\.bag: the bag is damaged or .*its first line is not #ROSBAG V2\.0"):
        open_source(str(tmp_path / "a.bag"))


def test_a_folder_of_bags_without_metadata_names_one(tmp_path: Path) -> None:
    record(tmp_path / "b.mcap", in_order([image(plain(1), "bgr8")]))
    (tmp_path / "b_folder" / "metadata.yaml").unlink()
    with pytest.raises(
        SourceError, match=r"a folder with bags and without metadata\.yaml; give one of them, as .*b\.mcap"
    ):
        open_source(tmp_path)


def test_a_bag_without_images_lists_its_topics(tmp_path: Path) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_HUMBLE)
    with Writer(tmp_path / "b", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection("/words", "std_msgs/msg/String", typestore=types)
        text = types.types["std_msgs/msg/String"](data="no picture")
        writer.write(topic, 5, types.serialize_cdr(text, "std_msgs/msg/String"))
    with pytest.raises(SourceError, match=r"b: no topic with images; topics: /words \(std_msgs/msg/String\)"):
        open_source(tmp_path / "b")


def test_without_rosbags_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = record(tmp_path / "b.mcap", in_order([image(plain(1), "bgr8")]))
    monkeypatch.setitem(__import__("sys").modules, "rosbags", None)
    with pytest.raises(MissingDependencyError, match=r"install it with: pip install 'dcfnet\[bags\]'"):
        open_source(bag)


def test_an_mcap_file_of_another_program_is_not_called_damaged(tmp_path: Path) -> None:
    bag = record(tmp_path / "drive.mcap", in_order(image(plain(n), "bgr8") for n in range(3)))
    content = bag.read_bytes()
    assert content[17:25] == b"\x04\0\0\0ros2"
    bag.write_bytes(content[:21] + b"them" + content[25:])
    with pytest.raises(SourceError, match=r"not of ROS 2 \(profile 'them'\); give a bag"):
        open_source(bag)
