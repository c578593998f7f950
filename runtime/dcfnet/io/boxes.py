"""Box files: one line per frame, in one of four formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from dcfnet.errors import SinkError
from dcfnet.result import Box, Result, Status

Line = Callable[[int, Box, Result | None], str]  # frame number from 0, box, result (None on the first frame)

MOT_CONFIDENCE = {Status.TRACKED: 1.0, Status.UNCERTAIN: 0.5, Status.LOST: 0.0}  # ranks, not probabilities


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
    # Frame and coordinates are 1-based. There is one identity; world coordinates are unknown (-1).
    confidence = MOT_CONFIDENCE[result.status if result else Status.TRACKED]
    return f"{index + 1},1,{box.x + 1:.2f},{box.y + 1:.2f},{box.w:.2f},{box.h:.2f},{confidence:g},-1,-1,-1"


FORMATS: dict[str, Line] = {"csv": _csv, "jsonl": _jsonl, "otb": _otb, "mot": _mot}
HEADERS = {"csv": "frame,x,y,w,h,peak,psr,status,reason"}


class BoxWriter:
    """Writes one line per frame, unbuffered, so that an interrupted run keeps every line.

    csv and jsonl: 0-based frames and boxes, with peak, PSR, status and reason. otb: x,y,w,h, 1-based. mot: the ten
    columns of MOTChallenge, 1-based.
    """

    def __init__(self, file: Path, layout: str = "csv") -> None:
        """Opens the file. Raises SinkError for an unknown format or if the file cannot be written."""
        if layout not in FORMATS:
            raise SinkError(f"format {layout!r}: must be one of {', '.join(FORMATS)}")
        self._line = FORMATS[layout]
        self._name = str(file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = file.open("wb", buffering=0)  # each line is in the file, or raises an error
        except OSError as error:
            raise SinkError(f"{file}: cannot be written ({error.strerror})") from error
        if layout in HEADERS:
            self._write_line(HEADERS[layout])

    def write(self, index: int, box: Box, result: Result | None = None) -> None:
        """Writes the line of frame `index`, 0-based. The first frame has no result. Raises SinkError on a full disk."""
        self._write_line(self._line(index, box, result))

    def _write_line(self, line: str) -> None:
        content = (line + "\n").encode()
        try:
            if self._file.write(content) == len(content):
                return
            reason = "No space left for a complete line"
        except OSError as error:
            reason = str(error.strerror)
        self._file.close()
        raise SinkError(f"{self._name}: cannot be written ({reason})")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> BoxWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
