"""Bags that the tests record with rosbags: images of every encoding, in every container."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

TOPIC = "/camera/image_raw"
START = 1_700_000_000  # s
STEP = 33_333_333  # ns


class Stamped(NamedTuple):
    """A message to record: its body without header, and its time, ns. recorded: its time in the bag; None: the same."""

    body: dict[str, Any]
    time: int
    recorded: int | None = None
    topic: str = TOPIC


def image(pixels: np.ndarray, encoding: str, fill: int = 0, big_endian: bool = False) -> dict[str, Any]:
    """The body of an Image. pixels: (H, W) or (H, W, C), of its type. fill: bytes at the end of each row."""
    height, width = pixels.shape[:2]
    stored = pixels.astype(pixels.dtype.newbyteorder(">")) if big_endian else pixels
    rows = np.frombuffer(stored.tobytes(), np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, fill)), constant_values=77)
    return {
        "height": height,
        "width": width,
        "encoding": encoding,
        "is_bigendian": int(big_endian),
        "step": rows.shape[1],
        "data": rows.reshape(-1),
    }


def compressed(pixels: np.ndarray, suffix: str = ".png", words: str = "png") -> dict[str, Any]:
    """The body of a CompressedImage. pixels: as for `cv2.imencode`."""
    return {"format": words, "data": cv2.imencode(suffix, pixels)[1].reshape(-1)}


def in_order(bodies: Iterable[dict[str, Any]], topic: str = TOPIC) -> list[Stamped]:
    """Messages at a constant rate from START on."""
    return [Stamped(body, START * 10**9 + index * STEP, None, topic) for index, body in enumerate(bodies)]


def record(path: Path, messages: Sequence[Stamped]) -> Path:
    """Records messages. path: with the suffix .bag, .mcap or .db3 one file; without a suffix the folder of a bag."""
    if path.suffix == ".bag":
        with Writer1(path) as writer:
            _write(writer, messages, Stores.ROS1_NOETIC, "serialize_ros1", lambda header: {"seq": 7, **header})
        return path
    folder = path.with_name(f"{path.stem}_folder") if path.suffix else path
    plugin = StoragePlugin.SQLITE3 if path.suffix == ".db3" else StoragePlugin.MCAP
    with Writer2(folder, version=9, storage_plugin=plugin) as writer2:
        _write(writer2, messages, Stores.ROS2_JAZZY, "serialize_cdr", lambda header: header)
    return next(folder.glob(f"*{path.suffix}")).replace(path) if path.suffix else folder


def _write(
    writer: Any,
    messages: Sequence[Stamped],
    store: Stores,
    serialize: str,
    complete: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    types = get_typestore(store)
    topics: dict[str, Any] = {}
    for body, time, recorded, topic in messages:
        name = f"sensor_msgs/msg/{'Image' if 'encoding' in body else 'CompressedImage'}"
        if topic not in topics:
            topics[topic] = writer.add_connection(topic, name, typestore=types)
        stamp = types.types["builtin_interfaces/msg/Time"](sec=time // 10**9, nanosec=time % 10**9)
        header = types.types["std_msgs/msg/Header"](**complete({"stamp": stamp, "frame_id": "camera"}))
        message = types.types[name](header=header, **body)
        writer.write(topics[topic], time if recorded is None else recorded, getattr(types, serialize)(message, name))
