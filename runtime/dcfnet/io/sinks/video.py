"""Annotated videos."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from dcfnet.errors import SinkError
from dcfnet.io.decoding.opencv_decoder import container_count
from dcfnet.io.files import make_folder_of
from dcfnet.io.frame import Frame
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.result import Box, Result, Status

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v", ".mov": "mp4v"}


LEAST_FREE = 2**16  # bytes; FFmpeg writes blocks of 32 KB, and the index at the end needs space too
LONGEST_GAP = 60.0  # s that one frame is repeated at most; a longer gap in time is shortened


class VideoSink:
    """Writes a video of constant rate that lasts as long as the source. Frames of another size are scaled to `size`.

    A frame is repeated until the time of the next one. So a video of variable rate keeps its speed.
    """

    def __init__(self, file: Path, fps: float, size: tuple[int, int]) -> None:
        """Opens the video. size: (width, height). Raises SinkError for an unknown suffix or if it cannot be written."""
        codec = CODECS.get(file.suffix.lower())
        if codec is None:
            raise SinkError(f"{file}: unknown video format; the name must end in {', '.join(CODECS)}")
        try:
            make_folder_of(file)
            file.open("wb").close()  # OpenCV fails without a reason
        except OSError as error:
            raise SinkError(f"{file}: cannot be written ({error.strerror})") from error
        self._file, self._size, self._fps, self._written = file, size, fps, 0
        self._folder = file.resolve().parent  # once: the disk is checked after each frame
        self._newest: Frame | None = None  # the last written frame
        self._cut = 0.0  # s that were left out of long gaps
        self._writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*codec), fps, size)
        if not self._writer.isOpened():
            raise SinkError(f"{file}: OpenCV cannot write {codec} video of {size[0]} x {size[1]}")

    def write(self, frame: Frame, time: float | None = None) -> None:
        """Appends one frame, uint8 (H, W, 3) BGR. time: seconds after the first frame; None: one interval later."""
        if time is not None and self._newest is not None:
            gap = time - self._cut - self._written / self._fps
            self._cut += max(gap - LONGEST_GAP, 0.0)
            for _ in range(round(min(gap, LONGEST_GAP) * self._fps)):
                self._append(self._newest)
        fits = (frame.shape[1], frame.shape[0]) == self._size
        self._newest = frame if fits else cv2.resize(frame, self._size).astype(np.uint8, copy=False)
        self._append(self._newest)

    def _append(self, frame: Frame) -> None:
        self._writer.write(frame)
        self._written += 1
        self._check_disk()

    def _check_disk(self) -> None:
        """Raises SinkError if the disk is full. VideoWriter reports no errors, and would go on to the last frame."""
        if shutil.disk_usage(self._folder).free >= LEAST_FREE:
            return
        probe = self._folder / f"{self._file.name}.{uuid4().hex}.partial"
        try:
            probe.write_bytes(bytes(LEAST_FREE))  # some file systems report no free space and still have it
        except OSError as error:
            raise SinkError(
                f"{self._file}: cannot be written after frame {self._written} ({error.strerror})"
            ) from error
        finally:
            with suppress(OSError):
                probe.unlink()

    def close(self) -> None:
        """Completes the file, which may be unreadable before. Raises SinkError if frames are missing from it."""
        self._writer.release()
        found = container_count(self._file)  # VideoWriter reports no errors
        if found < 0.9 * self._written:
            raise SinkError(f"{self._file}: only {found} of {self._written} frames were written; is the disk full?")

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:  # the frames until now; a check would hide the error
            self._writer.release()


FONT = cv2.FONT_HERSHEY_SIMPLEX
COLOURS = {Status.TRACKED: (80, 220, 60), Status.UNCERTAIN: (0, 190, 255), Status.LOST: (40, 40, 230)}  # BGR


def annotate(frame: Frame, box: Box, result: Result | None = None) -> Frame:
    """A BGR copy of the frame with the box: green if tracked, amber if uncertain, red if lost.

    The label shows the PSR, and the reason if the target is not tracked.
    """
    return annotate_targets(frame, [TargetRow(1, box, result)])


def annotate_targets(frame: Frame, rows: Sequence[TargetRow], ids: bool = False) -> Frame:
    """As `annotate`, with the boxes of several targets. ids: the labels start with the ids."""
    if frame.ndim == 2 or frame.shape[2] == 1:
        picture = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
    else:
        picture = np.ascontiguousarray(frame[..., :3]).copy()
    for row in rows:
        _draw(picture, row, ids)
    return picture.astype(np.uint8, copy=False)


def _draw(picture: NDArray[Any], row: TargetRow, with_id: bool) -> None:
    """Draws the box and the label of one target, in place."""
    target, box, result = row
    status = result.status if result else Status.TRACKED
    colour = COLOURS[status]
    scale = max(picture.shape[0] / 720, 0.75)
    low = (round(box.x), round(box.y))
    high = (round(box.x + box.w - 1), round(box.y + box.h - 1))
    cv2.rectangle(picture, low, high, colour, max(round(2 * scale), 1), cv2.LINE_AA)
    words = [str(target)] if with_id else []
    if result is not None:
        words += [result.reason.value] * (status is not Status.TRACKED) + [f"PSR {result.psr:.1f}"]
    text = " ".join(words)
    left, base = max(low[0], 2), max(low[1] - 5, round(16 * scale))
    # A dark outline keeps the text readable on any background. It is the same text, moved by a pixel: thicker letters
    # are also wider.
    for dx, dy, ink in (*((x, y, (0, 0, 0)) for x in (-1, 0, 1) for y in (-1, 0, 1)), (0, 0, colour)):
        cv2.putText(picture, text, (left + dx, base + dy), FONT, 0.6 * scale, ink, 1, cv2.LINE_AA)
