"""Boxes as COCO JSON: one image per frame, one annotation per target and frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from dcfnet.errors import SinkError
from dcfnet.io.sinks.boxes import score
from dcfnet.io.sinks.line_file import LineFile
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import SourceFrame
from dcfnet.result import Status

COCO = "coco"
CATEGORY = 1  # the tracker knows no classes
HEAD = '{"categories": [{"id": 1, "name": "target"}], "annotations": ['
SEPARATOR = '], "images": ['
FILE_NAME = "{:06d}.jpg"  # as `ffmpeg -i VIDEO -start_number 0 %06d.jpg` writes the frames


class CocoWriter:
    """Writes a COCO file, line by line: `annotations` during the run, `images` at its end.

    An annotation has the box x, y, w, h in frame pixels, 0-based, its area, the score (the confidence, or a rank if the
    model has none), the id of the target as `track_id`, and the status. A lost target has no annotation. An image has
    an id from 1, the 0-based number of the frame as `frame_index`, and the time in seconds. An interrupted run is
    closed too, so its file is complete; after a kill, `images` is missing.
    """

    def __init__(self, file: Path) -> None:
        """Opens the file; - is standard output. Raises SinkError if it cannot be written."""
        self._file = LineFile(file)
        self._file.write(HEAD)
        self._images: list[tuple[float, int, int]] = []  # of each frame: time, width, height
        self._count = 0  # annotations

    def add(self, index: int, frame: SourceFrame, rows: Sequence[TargetRow]) -> None:
        """Writes the targets of the next frame. index: its number, from 0. Raises SinkError and BrokenPipeError."""
        shape = frame.pixels.shape if frame.pixels is not None else None
        width, height = (shape[1], shape[0]) if shape else self._images[-1][1:] if self._images else (0, 0)
        self._images.append((frame.time, width, height))
        for row in rows:
            if row.result is None or row.result.status is not Status.LOST:
                self._count += 1
                self._file.write(("," if self._count > 1 else "") + json.dumps(self._annotation(index, row)))

    def _annotation(self, index: int, row: TargetRow) -> dict[str, object]:
        box = [round(value, 2) for value in row.box]
        return {
            "id": self._count,
            "image_id": index + 1,
            "category_id": CATEGORY,
            "bbox": box,
            "area": round(box[2] * box[3], 2),
            "iscrowd": 0,
            "score": round(score(row.result), 4),
            "track_id": row.id,
            "status": row.result.status.value if row.result else Status.TRACKED.value,
        }

    def close(self) -> None:
        """Writes the images and closes the file. Raises SinkError and BrokenPipeError."""
        if self._file.closed:
            return
        self._file.write(SEPARATOR)
        for index, (time, width, height) in enumerate(self._images):
            image = {"id": index + 1, "file_name": FILE_NAME.format(index), "width": width, "height": height}
            image |= {"frame_index": index, "time": round(time, 4)}
            self._file.write(("," if index else "") + json.dumps(image))
        self._file.write("]}")
        self._file.close()

    def __enter__(self) -> CocoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (SinkError, BrokenPipeError)):
            self._file.close()
        else:
            self.close()
