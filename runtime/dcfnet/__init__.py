"""Visual object tracking with a learnt correlation filter.

Tracks one target in a video, from its first box to the end:

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
        print(result.box, result.status, result.confidence)
"""

from __future__ import annotations

from dcfnet.config import TrackerConfig
from dcfnet.config.version import __version__
from dcfnet.errors import (
    CapacityError,
    ConfigError,
    DcfnetError,
    DeviceError,
    FrameTypeError,
    InvalidBoxError,
    InvalidFrameError,
    MissingDependencyError,
    ModelError,
    NotInitialisedError,
    SinkError,
    SourceError,
    StateError,
    TimestampError,
    UnknownTargetError,
)
from dcfnet.io.pixel_formats import Nv12, Rgb
from dcfnet.result import Box, Correction, Corrections, Reason, Result, Status
from dcfnet.tracker import MultiTracker, Tracker

__all__ = [
    "Box",
    "CapacityError",
    "ConfigError",
    "Correction",
    "Corrections",
    "DcfnetError",
    "DeviceError",
    "FrameTypeError",
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
    "StateError",
    "Status",
    "TimestampError",
    "Tracker",
    "TrackerConfig",
    "UnknownTargetError",
    "__version__",
]
