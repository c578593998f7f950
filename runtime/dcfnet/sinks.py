"""Where results go: a file of boxes, flushed line by line, and an annotated video."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import cv2
import numpy as np

from dcfnet.backend import Frame
from dcfnet.errors import SinkError
from dcfnet.geometry import Box
from dcfnet.result import Result, Status

Line = Callable[[int, Box, Result | None], str]  # frame number from 0, box, result (None on the first frame)


MOT_CONFIDENCE = {Status.TRACKED: 1.0, Status.UNCERTAIN: 0.5, Status.LOST: 0.0}  # an order, not a probability


def _csv(index: int, box: Box, result: Result | None) -> str:
    measures = f"{result.peak:.4f},{result.psr:.2f},{result.status.value},{result.reason.value}" if result else ",,,"
    return f"{index},{box.x:.2f},{box.y:.2f},{box.w:.2f},{box.h:.2f},{measures}"


def _jsonl(index: int, box: Box, result: Result | None) -> str:
    row: dict[str, object] = {"frame": index, "box": [round(value, 3) for value in box]}
    if result:
        row |= {"peak": round(result.peak, 5), "psr": round(result.psr, 3)}
        row |= {"status": result.status.value, "reason": result.reason.value}
    return json.dumps(row)


def _otb(index: int, box: Box, result: Result | None) -> str:
    return f"{box.x + 1:.2f},{box.y + 1:.2f},{box.w:.2f},{box.h:.2f}"  # 1-based


def _mot(index: int, box: Box, result: Result | None) -> str:
    # frame and coordinates 1-based, one identity, MOTChallenge's "conf", no world coordinates
    confidence = MOT_CONFIDENCE[result.status if result else Status.TRACKED]
    return f"{index + 1},1,{box.x + 1:.2f},{box.y + 1:.2f},{box.w:.2f},{box.h:.2f},{confidence:g},-1,-1,-1"


FORMATS: dict[str, Line] = {"csv": _csv, "jsonl": _jsonl, "otb": _otb, "mot": _mot}
HEADERS = {"csv": "frame,x,y,w,h,peak,psr,status,reason"}


def write_whole(content: bytes, file: Path) -> None:
    """Writes the file, its folder too; a kill or a full disk leaves the one that was there before.

    Raises SinkError, an OSError, naming the file.
    """
    write_together({file: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Writes files that belong together, in their order: all of them lie on the disk before the first takes its place.

    A full disk leaves those that were there before. Raises SinkError naming the file that cannot be written.
    """
    mark = uuid4().hex  # others may be writing the same files
    partials = {file: file.with_name(f"{file.name}.{mark}.partial") for file in contents}
    for step in (_write_partial, lambda file, partial, content: os.replace(partial, file)):
        for file, content in contents.items():
            try:
                step(file, partials[file], content)
            except OSError as error:
                for partial in partials.values():
                    with suppress(OSError):
                        partial.unlink()
                raise SinkError(f"{file}: cannot be written ({error.strerror})") from error


def _write_partial(file: Path, partial: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)


class BoxWriter:
    """Writes a line per frame and flushes it, so that an interrupted run loses nothing.

    csv and jsonl: 0-based frames and boxes, with peak, PSR, status and reason. otb: x,y,w,h, 1-based. mot:
    MOTChallenge's ten columns, 1-based.
    """

    def __init__(self, file: Path, layout: str = "csv") -> None:
        """Opens the file. Raises SinkError for an unknown layout or a place that cannot be written."""
        if layout not in FORMATS:
            raise SinkError(f"no format {layout!r}; there are {', '.join(FORMATS)}")
        self._line = FORMATS[layout]
        self._name = str(file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = file.open("wb", buffering=0)  # no buffer: a line is in the file, or it is an error
        except OSError as error:
            raise SinkError(f"{file}: cannot be written ({error.strerror})") from error
        if layout in HEADERS:
            self._put(HEADERS[layout])

    def write(self, index: int, box: Box, result: Result | None = None) -> None:
        """Adds frame `index`, counted from 0; no result on the first frame. Raises SinkError on a full disk."""
        self._put(self._line(index, box, result))

    def _put(self, line: str) -> None:
        content = (line + "\n").encode()
        try:
            if self._file.write(content) == len(content):
                return
            reason = "No space left for a whole line"
        except OSError as error:
            reason = str(error.strerror)
        self._file.close()
        raise SinkError(f"{self._name}: cannot be written ({reason})")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> BoxWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v", ".mov": "mp4v"}


class VideoSink:
    """Writes annotated frames to a video; frames of another size are scaled to that of the first."""

    def __init__(self, file: Path, fps: float, size: tuple[int, int]) -> None:
        """Opens the video. size: (width, height). Raises SinkError for a suffix or place that OpenCV cannot write."""
        codec = CODECS.get(file.suffix.lower())
        if codec is None:
            raise SinkError(f"{file}: unknown kind of video; the name must end in {', '.join(CODECS)}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.open("wb").close()  # OpenCV would fail without saying why
        except OSError as error:
            raise SinkError(f"{file}: cannot be written ({error.strerror})") from error
        self._file, self._size, self._written = file, size, 0
        self._writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*codec), fps, size)
        if not self._writer.isOpened():
            raise SinkError(f"{file}: OpenCV cannot write {codec} video of {size[0]} x {size[1]}")

    def write(self, frame: Frame) -> None:
        """Adds one uint8 (H, W, 3) BGR frame."""
        self._written += 1
        fits = (frame.shape[1], frame.shape[0]) == self._size
        self._writer.write(frame if fits else cv2.resize(frame, self._size))

    def close(self) -> None:
        """Finishes the file; before, it may not play. Raises SinkError where it does not hold what was written."""
        self._writer.release()
        found = int(cv2.VideoCapture(str(self._file)).get(cv2.CAP_PROP_FRAME_COUNT))  # OpenCV's writer tells no errors
        if found < 0.9 * self._written:
            raise SinkError(f"{self._file}: only {found} of {self._written} frames were written; is the disk full?")

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


COLOURS = {Status.TRACKED: (80, 220, 60), Status.UNCERTAIN: (0, 190, 255), Status.LOST: (40, 40, 230)}  # BGR


def annotate(frame: Frame, box: Box, result: Result | None = None) -> Frame:
    """A BGR copy of the frame with the box on it: green where tracked, amber where uncertain, red where lost.

    Beside the box stands its PSR, after the reason where it is not tracked.
    """
    if frame.ndim == 2 or frame.shape[2] == 1:
        picture = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
    else:
        picture = np.ascontiguousarray(frame[..., :3]).copy()
    status = result.status if result else Status.TRACKED
    colour = COLOURS[status]
    scale = max(picture.shape[0] / 720, 0.75)
    low = (round(box.x), round(box.y))
    high = (round(box.x + box.w - 1), round(box.y + box.h - 1))
    cv2.rectangle(picture, low, high, colour, max(round(2 * scale), 1), cv2.LINE_AA)
    if result is not None:
        text = f"{result.reason.value} " * (status is not Status.TRACKED) + f"PSR {result.psr:.1f}"
        place = (max(low[0], 2), max(low[1] - 5, round(16 * scale)))
        for drawn, thickness in (((0, 0, 0), 4), (colour, 1)):  # a dark outline keeps it readable on any scene
            cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, drawn, thickness, cv2.LINE_AA)
    return picture.astype(np.uint8, copy=False)
