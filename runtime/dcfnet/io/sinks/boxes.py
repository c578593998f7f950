"""Box files: one line per target and frame, in one of four formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from dcfnet.errors import SinkError
from dcfnet.io.sinks.line_file import LineFile
from dcfnet.io.source_frame import Delay
from dcfnet.result import Box, Result, Status


class BoxLine(NamedTuple):
    """The content of a line. frame: its number, from 0. box: frame pixels, 0-based. result: None in the first frame.

    time: seconds after the first frame. delay: of a live source. id: of the target, from 1; None in a file without ids.
    """

    frame: int
    box: Box
    result: Result | None = None
    time: float | None = None
    delay: Delay | None = None
    id: int | None = None


Format = Callable[[BoxLine], str | None]  # None: no line

MOT_CONFIDENCE = {Status.TRACKED: 1.0, Status.UNCERTAIN: 0.5}  # ranks, for results without a confidence
# name -> digits; 0: text
JSON_FIELDS = {"peak": 5, "psr": 3, "apce": 3, "likeness": 5, "status": 0, "reason": 0, "confidence": 4}


def _csv(line: BoxLine) -> str:
    index, box, result, time, delay, target = line
    number = "" if target is None else f"{target},"
    measures = f"{result.peak:.4f},{result.psr:.2f},{result.status.value},{result.reason.value}" if result else ",,,"
    confidence = "" if result is None or result.confidence is None else f"{result.confidence:.4f}"
    seconds = "" if time is None else f"{time:.4f}"
    late = "" if delay is None else f",{delay.age:.4f},{delay.skipped},{delay.gap:.3f}"
    place = f"{box.x:.2f},{box.y:.2f},{box.w:.2f},{box.h:.2f}"
    return f"{index},{number}{place},{measures},{confidence},{seconds}{late}"


def json_row(line: BoxLine) -> dict[str, object]:
    """The object of a line of `jsonl`: frame and box; id, values of the result, and time if they exist."""
    index, box, result, time, delay, target = line
    row: dict[str, object] = {"frame": index}
    if target is not None:
        row["id"] = target
    row["box"] = [round(value, 3) for value in box]
    if result:
        found = result.to_dict()
        shown = {name: found[name] for name in JSON_FIELDS if found[name] is not None}
        row |= {name: round(value, JSON_FIELDS[name]) if JSON_FIELDS[name] else value for name, value in shown.items()}
    if time is not None:
        row["time"] = round(time, 4)
    if delay is not None:
        row |= {"age": round(delay.age, 4), "skipped": delay.skipped, "gap": round(delay.gap, 3)}
    return row


def _jsonl(line: BoxLine) -> str:
    return json.dumps(json_row(line))


def _otb(line: BoxLine) -> str:
    box = line.box
    return f"{box.x + 1:.2f},{box.y + 1:.2f},{box.w:.2f},{box.h:.2f}"  # 1-based


def score(result: Result | None) -> float:
    """How sure the box of a target is that is not lost, in [0, 1]: its confidence, or a rank if the model has none."""
    if result is not None and result.confidence is not None:
        return result.confidence
    return MOT_CONFIDENCE[result.status if result else Status.TRACKED]


def _mot(line: BoxLine) -> str | None:
    """Columns of MOTChallenge's ground truth: frame, identity, box, confidence, class, visibility; all 1-based.

    A row says that the target is there, so a lost target has none. Class and visibility are 1: annotation tools ignore
    rows of class -1.
    """
    index, box, result, _, _, target = line
    status = result.status if result else Status.TRACKED
    if status is Status.LOST:
        return None
    place = f"{box.x + 1:.2f},{box.y + 1:.2f},{box.w:.2f},{box.h:.2f}"
    return f"{index + 1},{target or 1},{place},{round(score(result), 4):g},1,1"


FORMATS: dict[str, Format] = {"csv": _csv, "jsonl": _jsonl, "otb": _otb, "mot": _mot}
HEADERS = {"csv": "frame,x,y,w,h,peak,psr,status,reason,confidence,time"}
LIVE_COLUMNS = ",age,skipped,gap"  # of csv, for a live source
WITH_IDS = ("csv", "jsonl", "mot")  # formats of several targets


class BoxWriter:
    """Writes one line per target and frame, unbuffered, so that an interrupted run keeps every line.

    csv and jsonl: 0-based frames and boxes, with peak, PSR, status, reason, confidence and time; jsonl also with APCE
    and likeness; for a live source also age (s), skipped (frames) and gap (s), see `Delay`. otb: x,y,w,h, 1-based.
    mot: the nine columns of MOTChallenge's ground truth, 1-based, without lines for frames in which the target is lost.
    With ids: csv has the column `id` after `frame`, jsonl the field `id`; in mot it is the identity, which is 1
    otherwise. otb has no ids.
    """

    def __init__(self, file: Path, layout: str = "csv", live: bool = False, ids: bool = False) -> None:
        """Opens the file; - is standard output. live: the source is live; every frame must then have a delay.

        ids: the file is of several targets; every line must then have the id of its target.
        Raises SinkError for an unknown format, for ids in otb, or if it cannot be written.
        """
        if layout not in FORMATS:
            raise SinkError(f"format {layout!r}: must be one of {', '.join(FORMATS)}")
        if ids and layout not in WITH_IDS:
            raise SinkError(f"format {layout!r} has no ids of targets; for several targets use {', '.join(WITH_IDS)}")
        self._format = FORMATS[layout]
        self._file = LineFile(file)
        if layout in HEADERS:
            header = HEADERS[layout] + LIVE_COLUMNS * live
            self._file.write(header.replace("frame,", "frame,id,", 1) if ids else header)

    def write(
        self,
        index: int,
        box: Box,
        result: Result | None = None,
        time: float | None = None,
        delay: Delay | None = None,
        target: int | None = None,
    ) -> None:
        """Writes the line of frame `index`, 0-based. The first frame has no result. time: seconds after it.

        target: the id, only for a file with ids.
        Raises SinkError on a full disk, and BrokenPipeError if the reader of standard output has ended.
        """
        text = self._format(BoxLine(index, box, result, time, delay, target))
        if text is not None:
            self._file.write(text)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> BoxWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
