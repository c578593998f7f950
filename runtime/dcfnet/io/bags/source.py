"""A topic with images of a bag as a source of frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from dcfnet.errors import SourceError
from dcfnet.io.bags.header_clock import HeaderClock
from dcfnet.io.bags.images import decode_message, encoding_of
from dcfnet.io.bags.library import COMPRESSED, IMAGE, BagReader, BagTopic
from dcfnet.io.decoding.levels import Levels
from dcfnet.io.decoding.videos import DEFAULT_FPS
from dcfnet.io.source_frame import FrameSource, Header, SourceFrame, SourceReport

CUT = "the end of the bag is missing"
SHOWN = 10  # topics that a message names


def open_bag(path: Path, topic: str | None, levels: Levels) -> FrameSource:
    """The images of a topic. topic: None if the bag has only one with images. Raises SourceError."""
    reader = BagReader(path)
    try:
        chosen = _choose(reader.topics, topic, f"{path}: {CUT}" if reader.cut else str(path))
    except SourceError:
        reader.close()
        raise
    report = SourceReport(stored="bag")
    if reader.cut:
        report.problems.append(f"{CUT}: its recording or a copy of it was not finished")
    fps = (chosen.messages - 1) / reader.seconds if chosen.messages > 1 and reader.seconds > 0 else DEFAULT_FPS
    frames = _BagFrames(reader, f"{path}: {chosen.name}", levels, report).read(chosen.name)
    return FrameSource(f"{path} {chosen.name}", fps, chosen.messages, frames, report)


def _choose(topics: list[BagTopic], topic: str | None, name: str) -> BagTopic:
    """The topic with images. Raises SourceError that lists those that are there."""
    images = [found for found in topics if found.type in (IMAGE, COMPRESSED) and found.messages]
    listed = ", ".join(f"{found.name} ({found.messages})" for found in images[:SHOWN])
    listed += f" and {len(images) - SHOWN} more" * (len(images) > SHOWN)
    if not images:
        others = ", ".join(f"{found.name} ({found.type})" for found in topics[:SHOWN]) or "none"
        raise SourceError(f"{name}: no topic with images; topics: {others}")
    if topic is None:
        if len(images) > 1:
            raise SourceError(f"{name}: several topics with images; give one of them with --topic: {listed}")
        return images[0]
    for found in images:
        if found.name.strip("/") == topic.strip("/"):
            return found
    other = next((f"has the type {found.type}" for found in topics if found.name.strip("/") == topic.strip("/")), "")
    raise SourceError(f"{name}: --topic {topic} {other or 'is not in the bag'}; topics with images: {listed}")


class _BagFrames:
    """Reads the frames in the order in which they were recorded. At the end, the report says what is missing."""

    def __init__(self, reader: BagReader, name: str, levels: Levels, report: SourceReport) -> None:
        """name: of the bag and its topic, for messages."""
        self._reader, self._name, self._levels, self._report = reader, name, levels, report
        self._clock, self._count = HeaderClock(), 0
        self._unreadable: list[str] = []

    def read(self, topic: str) -> Iterator[SourceFrame]:
        """The frames of a topic. Raises SourceError if the first one cannot be read."""
        damage = ""
        with closing(self._reader):
            messages = self._reader.messages(topic)
            while True:
                try:
                    recorded, message = next(messages)
                except StopIteration:
                    break
                except Exception as error:  # rosbags raises errors of many types for a damaged file
                    damage = self._reader.describe(error)
                    break
                frame = self._frame(recorded, message)
                self._count += 1
                yield frame
        if not self._count:
            raise SourceError(f"{self._name}: no image could be read; {damage or 'the topic is empty'}")
        self._report.problems += self._losses(damage)

    def _frame(self, recorded: int, message: Any) -> SourceFrame:
        """One frame. The pixels of the first one must be readable."""
        self._report.stored = f"bag, {encoding_of(message)}"
        stamp = message.header.stamp
        header = Header(stamp.sec, stamp.nanosec, message.header.frame_id, recorded)
        time = self._clock.time(header.seconds)
        try:
            return SourceFrame(decode_message(message, self._name, self._levels), time, header=header)
        except SourceError as error:
            if not self._count:
                raise
            self._unreadable.append(str(error).removeprefix(f"{self._name}: "))
            return SourceFrame(None, time, "cannot be decoded", header=header)

    def _losses(self, damage: str) -> Iterator[str]:
        """One line for each kind of loss."""
        if damage:
            yield f"ends after {self._count} images: {damage}"
        if self._unreadable:
            yield f"{len(self._unreadable)} of {self._count} images cannot be read: {self._unreadable[0]}"
        if self._clock.late:
            yield (
                f"{self._clock.late} of {self._count} images are out of order: the time in their header is before that "
                "of an earlier image; they were not tracked"
            )
