"""Visual object tracking with a learnt correlation filter.

In a video, from the target's first box to the end:

    import cv2
    import dcfnet

    video = cv2.VideoCapture("drive.mp4")
    ok, frame = video.read()
    tracker = dcfnet.Tracker()
    tracker.init(frame, (410, 190, 64, 48))  # x, y, w, h of the target in this frame
    while True:
        ok, frame = video.read()
        if not ok:
            break
        result = tracker.update(frame)
        print(result.box, result.status, result.reason)
"""

from __future__ import annotations

from dcfnet.config import TrackerConfig
from dcfnet.errors import (
    CapacityError,
    ConfigError,
    DcfnetError,
    DeviceError,
    InvalidBoxError,
    InvalidFrameError,
    MissingDependencyError,
    ModelError,
    NotInitialisedError,
    SinkError,
    SourceError,
    UnknownTargetError,
)
from dcfnet.formats import Nv12, Rgb
from dcfnet.geometry import Box
from dcfnet.result import Reason, Result, Status
from dcfnet.tracker import MultiTracker, Tracker

__version__ = "0.1.0"

__all__ = [
    "Box",
    "CapacityError",
    "ConfigError",
    "DcfnetError",
    "DeviceError",
    "InvalidBoxError",
    "InvalidFrameError",
    "MissingDependencyError",
    "ModelError",
    "MultiTracker",
    "NotInitialisedError",
    "Nv12",
    "Reason",
    "Result",
    "Rgb",
    "SinkError",
    "SourceError",
    "Status",
    "Tracker",
    "TrackerConfig",
    "UnknownTargetError",
]
