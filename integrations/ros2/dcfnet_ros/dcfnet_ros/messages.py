"""ROS messages to boxes and back. It works on any objects with the fields of the messages, so it imports no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dcfnet.cli.targets.detections import Detection
from dcfnet.io.sinks.boxes import score
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.result import Box, Status

CLASS_ID = "target"  # the tracker knows no classes
NANOSECONDS = 1_000_000_000


class Types(NamedTuple):
    """The message classes of vision_msgs that a result needs."""

    array: Any
    detection: Any
    hypothesis: Any


def nanoseconds(stamp: Any) -> int:
    """The time of a builtin_interfaces/Time, ns."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def detections_of(message: Any, min_score: float) -> list[Detection]:
    """The boxes of a Detection2DArray, frame pixels, without those below `min_score`.

    The score is the highest of the hypotheses; 1 without any. A box without a size or with NaN is left out.
    """
    found = []
    for detection in message.detections:
        score_ = max((float(result.hypothesis.score) for result in detection.results), default=1.0)
        centre = detection.bbox.center.position
        w, h = float(detection.bbox.size_x), float(detection.bbox.size_y)
        if w > 0 and h > 0 and score_ >= min_score:
            found.append(Detection(Box.of((centre.x, centre.y), (w, h)), score_))
    return found


def detection_array(types: Types, header: Any, rows: Sequence[TargetRow]) -> Any:
    """A Detection2DArray with the targets that are not lost. header: of the image; it is that of all detections too.

    id: number of the target. score: the confidence. centre: x + (w - 1) / 2, y + (h - 1) / 2; pixel centres are at
    integers.
    """
    array = types.array()
    array.header = header
    shown = [row for row in rows if row.result is None or row.result.status is not Status.LOST]
    array.detections = [_detection(types, header, row) for row in shown]
    return array


def _detection(types: Types, header: Any, row: TargetRow) -> Any:
    detection, hypothesis = types.detection(), types.hypothesis()
    detection.header, detection.id = header, str(row.id)
    detection.bbox.center.position.x, detection.bbox.center.position.y = map(float, row.box.centre)
    detection.bbox.size_x, detection.bbox.size_y = map(float, row.box.size)  # ROS writes other numbers as garbage
    hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = CLASS_ID, float(score(row.result))
    hypothesis.pose.pose.orientation.w = 1.0
    detection.results = [hypothesis]
    return detection
