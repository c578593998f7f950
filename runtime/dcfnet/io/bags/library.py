"""Reads and writes bags with rosbags. Only this module imports it.

Messages are decoded with the standard definitions of their types, never with those in the bag: rosbags makes Python
code of a definition.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from dcfnet.errors import MissingDependencyError, SinkError, SourceError
from dcfnet.io.bags.cut_mcap import completed, profile_of

BAG_SUFFIXES = (".mcap", ".db3", ".bag")
MAGIC = b"#ROSBAG V2.0\n"  # the start of a ROS 1 bag
ROS2 = "ros2"  # the profile of an MCAP file
CHUNK = 30  # messages that are written at once: those of about a second
METADATA = "metadata.yaml"  # in the folder of a ROS 2 bag
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
REPAIR = {
    ".mcap": "repair it with: mcap recover BAG -o NEW.mcap",
    ".db3": "repair it with: sqlite3 BAG .recover | sqlite3 NEW.db3",
    ".bag": "repair it with: rosbag reindex BAG",
}


class BagTopic(NamedTuple):
    """A topic of a bag. type: of its messages, as "sensor_msgs/msg/Image". messages: number of them."""

    name: str
    type: str
    messages: int


def is_bag(path: Path) -> bool:
    """Whether the path is a bag, by its name or by the metadata in a folder."""
    return (path / METADATA).is_file() if path.is_dir() else path.suffix.lower() in BAG_SUFFIXES


def _check_magic(bag: Path) -> None:
    """Raises ValueError if a ROS 1 bag has another first line. rosbags needs minutes for a line of many digits."""
    with bag.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"its first line is not {MAGIC.decode().strip()}")


class BagReader:
    """An opened bag. topics: all of them. cut: whether its end is missing; then what is there is read."""

    def __init__(self, path: Path) -> None:
        """path: a file, or the folder of a ROS 2 bag. Raises SourceError, and MissingDependencyError."""
        try:
            from rosbags import rosbag1, rosbag2
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise MissingDependencyError("rosbags", "bags") from error
        first = path.suffix.lower() == ".bag"
        self._path, self.cut = path, False
        self._types = get_typestore(Stores.ROS1_NOETIC if first else Stores.ROS2_HUMBLE)
        self._decode = self._types.deserialize_ros1 if first else self._types.deserialize_cdr
        source: Any = path
        if path.suffix.lower() == ".mcap" and (profile := profile_of(path)) not in (ROS2, None):
            raise SourceError(
                f"{path}: its messages are not of ROS 2 (profile {profile!r}); give a bag that `ros2 bag` recorded"
            )
        if path.suffix.lower() == ".mcap" and (shorter := completed(path)) is not None:
            source, self.cut = shorter, True
        try:
            if first:
                _check_magic(path)
            self._reader: Any = rosbag1.Reader(source) if first else rosbag2.Reader(source)
            self._reader.open()
            self._reader.topics  # noqa: B018  (rosbags checks the names of a bag only here)
        except Exception as error:  # rosbags raises errors of many types for a damaged file
            raise SourceError(f"{path}: {self.describe(error)}") from error

    @property
    def topics(self) -> list[BagTopic]:
        """The topics by name. A topic with several types has the type ""."""
        found = self._reader.topics.items()
        return [BagTopic(name, info.msgtype or "", info.msgcount) for name, info in sorted(found)]

    @property
    def seconds(self) -> float:
        """From the first message of the bag to the last one."""
        return float(self._reader.duration) / 1e9

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """The messages of a topic: the time at which each was recorded, ns, and the decoded message.

        Raises errors of any type where the bag is damaged; see `describe`.
        """
        connections = [connection for connection in self._reader.connections if connection.topic == topic]
        for connection, recorded, content in self._reader.messages(connections=connections):
            yield recorded, self._decode(content, connection.msgtype)

    def describe(self, error: Exception) -> str:
        """What is wrong with the bag, and what helps."""
        cause = " ".join(str(error).split()) or type(error).__name__
        suffix = self._path.suffix.lower()
        remedy = f"; {REPAIR[suffix]}" if suffix in REPAIR else ""
        return f"the bag is damaged or was not finished ({cause:.150}){remedy}"

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()


class BagWriter:
    """Writes messages of one topic to an MCAP file. The file is there, complete, after `close`.

    rosbags writes a folder. It is beside the file, has its name with the suffix .partial, and is removed at the end.
    """

    def __init__(self, file: Path, topic: str, msgtype: str, definitions: Mapping[str, str]) -> None:
        """definitions: of types that are not in ROS 2 itself: {name: text of the .msg file}.

        Raises SinkError if it cannot be written, and MissingDependencyError.
        """
        try:
            from rosbags import rosbag2
            from rosbags.typesys import Stores, get_types_from_msg, get_typestore
        except ImportError as error:
            raise MissingDependencyError("rosbags", "bags") from error
        store = get_typestore(Stores.ROS2_HUMBLE)
        for name, text in definitions.items():
            store.register(get_types_from_msg(text, name))
        self._file, self._store, self._type, self._count = file, store, msgtype, 0
        self._real = Path(os.path.realpath(file))  # a link stays a link
        self._folder = self._real.with_name(f"{self._real.name}.{uuid4().hex}.partial")
        try:
            self._writer = rosbag2.Writer(self._folder, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP)
            self._writer.open()  # it also creates the folders above
            self._topic = self._writer.add_connection(topic, msgtype, typestore=store)
        except OSError as error:
            raise SinkError(f"{file}: cannot be written ({error.strerror})") from error

    def types(self) -> Mapping[str, Any]:
        """The classes of messages by type."""
        return self._store.types

    def write(self, message: Any, recorded: int) -> None:
        """Appends a message. recorded: its time in the bag, ns. Raises SinkError on a full disk."""
        try:
            self._writer.write(self._topic, recorded, self._store.serialize_cdr(message, self._type))
            self._count += 1
            if self._count % CHUNK == 0:
                self._flush()
        except OSError as error:
            raise SinkError(f"{self._file}: cannot be written ({error.strerror})") from error

    def _flush(self) -> None:
        """Hands all messages to the operating system, so that a killed process leaves them. rosbags waits for 1 MB."""
        storage: Any = self._writer.storage
        if hasattr(storage, "close_chunk"):  # of its class for MCAP, but not documented
            storage.close_chunk()
            storage.bio.flush()

    def close(self) -> None:
        """Completes the file. Raises SinkError on a full disk; then the incomplete folder stays."""
        try:
            self._writer.close()
            (self._folder / f"{self._folder.name}.mcap").replace(self._real)
        except OSError as error:
            raise SinkError(f"{self._file}: cannot be written ({error.strerror}); see {self._folder}") from error
        shutil.rmtree(self._folder, ignore_errors=True)
