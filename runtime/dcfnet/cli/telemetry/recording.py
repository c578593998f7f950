"""The recording of --record: pictures, boxes and measures in one MCAP file for Foxglove.

Only this module imports foxglove.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType

from dcfnet.cli.box_outputs import header_of
from dcfnet.cli.failures.pictures import encoded, response_picture, shrunk
from dcfnet.cli.interrupts import interrupts_wait
from dcfnet.errors import InvalidFrameError, MissingDependencyError, SinkError
from dcfnet.io.files import make_folder_of
from dcfnet.io.frame import Array, Frame
from dcfnet.io.sinks.boxes import BoxLine, json_row
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.sinks.video import COLOURS
from dcfnet.io.source_frame import Header, SourceFrame
from dcfnet.result import Status

try:
    from foxglove import Channel, Context, open_mcap
    from foxglove.channels import CompressedImageChannel, ImageAnnotationsChannel
    from foxglove.messages import (
        Color,
        CompressedImage,
        ImageAnnotations,
        Point2,
        PointsAnnotation,
        PointsAnnotationType,
        TextAnnotation,
        Timestamp,
    )
except ModuleNotFoundError as error:
    raise MissingDependencyError("foxglove-sdk", "foxglove") from error

LONG_SIDE, QUALITY = 1280, 80  # px and quality of the pictures: about 100 kB for 1280 x 720 px
THICKNESS, FONT_SIZE = 3.0, 18.0  # px
SCHEMA = {
    "title": "dcfnet.Targets",
    "type": "object",
    "properties": {"frame": {"type": "integer"}, "targets": {"type": "array", "items": {"type": "object"}}},
}


class Recording:
    """Writes each frame when it is tracked. An `Observer` of a run.

    Topics: /dcfnet/image (picture), /dcfnet/boxes (annotations of the picture), /dcfnet/targets (JSON with the values
    of jsonl), and /dcfnet/response (response map) while there is one target. All messages of a frame have its time.
    """

    def __init__(self, file: Path, response_maps: Callable[[Frame], Array]) -> None:
        """file: is replaced. response_maps: see `TrackerLifecycle.response_maps`. Raises SinkError."""
        self._file, self._response_maps = _File(file), response_maps
        self._context = context = Context()  # without a reference its channels close
        self._writer = open_mcap(self._file, context=context)
        self._image = CompressedImageChannel("/dcfnet/image", context=context)
        self._response = CompressedImageChannel("/dcfnet/response", context=context)
        self._boxes = ImageAnnotationsChannel("/dcfnet/boxes", context=context)
        self._targets = Channel("/dcfnet/targets", schema=SCHEMA, context=context)

    @interrupts_wait()
    def frame(self, index: int, frame: SourceFrame, rows: Sequence[TargetRow], seconds: float | None) -> None:
        """See `Observer`. Raises SinkError if the disk is full."""
        header = frame.header or header_of(frame.time)
        stamp, time = Timestamp(header.sec, header.nanosec), header.recorded
        scale = 1.0
        if frame.pixels is not None:
            picture, scale = shrunk(frame.pixels, LONG_SIDE)
            self._image.log(_image(picture_bytes(picture), "jpeg", stamp, header), log_time=time)
            if len(rows) == 1 and rows[0].result is not None:
                self._add_response(frame.pixels, stamp, header, time)
        self._boxes.log(drawn_boxes(rows, scale, stamp), log_time=time)
        lines = [json_row(BoxLine(index, row.box, row.result, frame.time, frame.delay, row.id)) for row in rows]
        self._targets.log({"frame": index, "targets": lines}, log_time=time)
        self._file.check()

    def _add_response(self, pixels: Frame, stamp: Timestamp, header: Header, time: int) -> None:
        try:
            picture = response_picture(self._response_maps(pixels)[0])
        except InvalidFrameError:
            return
        if picture is not None:
            self._response.log(_image(picture, "png", stamp, header), log_time=time)

    @interrupts_wait()
    def close(self) -> None:
        """Writes the index. Raises SinkError if the disk is full."""
        with suppress(RuntimeError):  # the library repeats the first error of the file
            self._writer.close()
        self._file.close()
        self._file.check()

    def __enter__(self) -> Recording:
        return self

    @interrupts_wait()
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:  # the frames until now; a check would hide the error
            with suppress(RuntimeError):
                self._writer.close()
            self._file.close()


class _File(FileIO):
    """A file that remembers its first error, and then only counts positions.

    The library would print a line for each message after an error. It compares positions, and a wrong one ends the
    program.
    """

    def __init__(self, file: Path) -> None:
        self._path = file
        self._place = self._end = 0  # where the file would be without the error
        self._error: OSError | None = None
        try:
            make_folder_of(file)
            super().__init__(file, "wb")
        except OSError as error:
            raise SinkError(f"--record {file}: cannot be written ({error.strerror})") from error

    def write(self, content: bytes) -> int:  # type: ignore[override]
        """Writes everything, or remembers why not."""
        rest = memoryview(content)
        try:
            while rest and self._error is None:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            self._error = error
        self._place += len(content)
        self._end = max(self._end, self._place)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new position, as if everything had been written."""
        if self._error is None:
            self._place = super().seek(offset, whence)
        else:
            self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        return self._place

    def tell(self) -> int:
        """The position, as if everything had been written."""
        return self._place

    def check(self) -> None:
        """Raises SinkError if an earlier call of `write` failed."""
        if self._error is not None:
            raise SinkError(f"--record {self._path}: cannot be written ({self._error.strerror})") from self._error


def picture_bytes(picture: Frame) -> bytes:
    """The picture as JPEG."""
    return encoded(picture, ".jpg", QUALITY) or b""


def drawn_boxes(rows: Sequence[TargetRow], scale: float, stamp: Timestamp) -> ImageAnnotations:
    """The boxes with their labels, for a picture of `scale` x the frame size. Lost targets are drawn too, in red."""
    points, texts = [], []
    for row in rows:
        x, y, w, h = (value * scale for value in row.box)
        colour = _colour(row.result.status if row.result else Status.TRACKED)
        corners = [Point2(x=x, y=y), Point2(x=x + w, y=y), Point2(x=x + w, y=y + h), Point2(x=x, y=y + h)]
        kind = PointsAnnotationType.LineLoop
        points.append(
            PointsAnnotation(timestamp=stamp, type=kind, points=corners, outline_color=colour, thickness=THICKNESS)
        )
        place = Point2(x=x, y=max(y - FONT_SIZE / 2, FONT_SIZE))
        texts.append(
            TextAnnotation(timestamp=stamp, position=place, text=_label(row), font_size=FONT_SIZE, text_color=colour)
        )
    return ImageAnnotations(points=points, texts=texts)


def _label(row: TargetRow) -> str:
    if row.result is None:
        return str(row.id)
    confidence = "" if row.result.confidence is None else f" {row.result.confidence:.2f}"
    reason = "" if row.result.status is Status.TRACKED else f" {row.result.reason.value}"
    return f"{row.id}{confidence}{reason}"


def _colour(status: Status) -> Color:
    blue, green, red = (value / 255 for value in COLOURS[status])
    return Color(r=red, g=green, b=blue, a=1.0)


def _image(content: bytes, layout: str, stamp: Timestamp, header: Header) -> CompressedImage:
    return CompressedImage(timestamp=stamp, frame_id=header.frame_id, data=content, format=layout)
