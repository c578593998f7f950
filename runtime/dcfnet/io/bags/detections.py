"""Boxes of targets as vision_msgs/Detection2DArray in a bag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from dcfnet.io.bags.library import BagWriter
from dcfnet.io.sinks.boxes import score
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.source_frame import Header
from dcfnet.result import Status

TOPIC = "/dcfnet/detections"
ARRAY = "vision_msgs/msg/Detection2DArray"
CLASS_ID = "target"  # the tracker knows no classes
# vision_msgs 4 (ROS 2 Humble and later), in the order in which they use each other
DEFINITIONS = {
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y\n",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta\n",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n"
    ),
    "vision_msgs/msg/Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id\n"
    ),
    ARRAY: "std_msgs/Header header\nvision_msgs/Detection2D[] detections\n",
}


class DetectionWriter:
    """Writes one Detection2DArray per image to an MCAP file, with the header of the image.

    Each detection is a target that is not lost. Its id is that of the target, and the score is the confidence. The
    centre is (x + (w - 1) / 2, y + (h - 1) / 2): frame pixels, 0-based, pixel centres at integers.
    """

    def __init__(self, file: Path) -> None:
        """Opens the file. Raises SinkError if it cannot be written, and MissingDependencyError."""
        self._bag = BagWriter(file, TOPIC, ARRAY, DEFINITIONS)
        self._types = self._bag.types()

    def write(self, header: Header, rows: Sequence[TargetRow]) -> None:
        """Appends the message of an image. Raises SinkError on a full disk."""
        own = self._new("std_msgs/msg/Header", stamp=self._time(header), frame_id=header.frame_id)
        found = [self._detection(own, row) for row in rows if row.result is None or row.result.status != Status.LOST]
        self._bag.write(self._new(ARRAY, header=own, detections=found), header.recorded)

    def _detection(self, header: Any, row: TargetRow) -> Any:
        x, y = row.box.centre
        hypothesis = self._new("vision_msgs/msg/ObjectHypothesis", class_id=CLASS_ID, score=score(row.result))
        place = self._new("vision_msgs/msg/Point2D", x=x, y=y)
        pose = self._new("vision_msgs/msg/Pose2D", position=place, theta=0.0)
        box = self._new("vision_msgs/msg/BoundingBox2D", center=pose, size_x=row.box.w, size_y=row.box.h)
        results = [
            self._new("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=self._unknown_pose())
        ]
        return self._new("vision_msgs/msg/Detection2D", header=header, results=results, bbox=box, id=str(row.id))

    def _unknown_pose(self) -> Any:
        """A pose with zeros: the tracker measures in the image only."""
        point = self._new("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0)
        turn = self._new("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
        pose = self._new("geometry_msgs/msg/Pose", position=point, orientation=turn)
        return self._new("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))

    def _time(self, header: Header) -> Any:
        return self._new("builtin_interfaces/msg/Time", sec=header.sec, nanosec=header.nanosec)

    def _new(self, name: str, **values: Any) -> Any:
        return self._types[name](**values)

    def close(self) -> None:
        """Completes the file. Raises SinkError on a full disk."""
        self._bag.close()

    def __enter__(self) -> DetectionWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()  # after an error too: it keeps what was tracked until then
