"""What --boxes writes: lines of text, a COCO file, or messages in a bag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from dcfnet.cli.options import RunOptions
from dcfnet.cli.outputs import is_bag_file
from dcfnet.io.bags.detections import DetectionWriter
from dcfnet.io.sinks.boxes import BoxWriter
from dcfnet.io.sinks.coco import COCO, CocoWriter
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import Header, SourceFrame


class BoxOutput(Protocol):
    """Takes the targets of each frame, in order. index: of the frame, from 0."""

    def add(self, index: int, frame: SourceFrame, rows: Sequence[TargetRow]) -> None: ...


class BoxLines:
    """One line per target and frame. ids: the lines have the ids of the targets."""

    def __init__(self, writer: BoxWriter, ids: bool) -> None:
        self._writer, self._ids = writer, ids

    def add(self, index: int, frame: SourceFrame, rows: Sequence[TargetRow]) -> None:
        """See `BoxOutput`."""
        for row in rows:
            target = row.id if self._ids else None
            self._writer.write(index, row.box, row.result, frame.time, frame.delay, target)


class BoxMessages:
    """One message per frame. Frames that are not of a bag have headers with the seconds after the first frame."""

    def __init__(self, writer: DetectionWriter) -> None:
        self._writer = writer

    def add(self, index: int, frame: SourceFrame, rows: Sequence[TargetRow]) -> None:
        """See `BoxOutput`."""
        self._writer.write(frame.header or header_of(frame.time), rows)


@contextmanager
def open_boxes(options: RunOptions, live: bool) -> Iterator[BoxOutput]:
    """The output of --boxes. live: the source is live. Raises SinkError, and MissingDependencyError for a bag."""
    assert options.boxes is not None
    if is_bag_file(options.boxes):
        with DetectionWriter(options.boxes) as messages:
            yield BoxMessages(messages)
    elif options.layout == COCO:
        with CocoWriter(options.boxes) as images:
            yield images
    else:
        with BoxWriter(options.boxes, options.layout or "csv", live, options.ids) as lines:
            yield BoxLines(lines, options.ids)


def header_of(time: float) -> Header:
    """The header of a frame that is not of a bag. time: seconds after the first frame."""
    sec, nanosec = divmod(round(time * 1e9), 10**9)
    return Header(sec, nanosec, "", sec * 10**9 + nanosec)
