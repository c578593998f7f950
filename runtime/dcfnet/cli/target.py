"""The first box of the target: from an option, or drawn with the mouse."""

from __future__ import annotations

import os
import re
import sys

import cv2

from dcfnet.errors import InvalidBoxError
from dcfnet.io.frame import Frame
from dcfnet.result import Box

WINDOW = "dcfnet - press q or Esc to stop"


def parse_box(text: str, option: str = "--init") -> Box:
    """The box from "X,Y,W,H". option: its name, for the message. Raises InvalidBoxError."""
    try:
        x, y, w, h = (float(value) for value in text.split(","))
    except ValueError:
        raise InvalidBoxError(f"{option} {text}: must be four numbers X,Y,W,H, for example 410,190,64,48") from None
    return Box(x, y, w, h)


def draw_box(frame: Frame) -> Box:
    """The box that the user draws on the frame. Raises InvalidBoxError without a display or a box."""
    fault = display_fault()
    if fault:
        raise InvalidBoxError(f"there is no --init, and no box can be drawn: {fault}; give --init X,Y,W,H")
    x, y, w, h = cv2.selectROI(WINDOW, frame, showCrosshair=False)
    cv2.destroyWindow(WINDOW)
    if w == 0 or h == 0:
        raise InvalidBoxError("no box was drawn; draw one with the mouse and press Enter, or give --init X,Y,W,H")
    return Box(x, y, w, h)


def display_fault() -> str | None:
    """Why no window can be opened; None if one can.

    OpenCV cannot be used to find out: without a display it aborts the process.
    """
    if sys.platform.startswith("linux") and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        return "there is no display"
    if re.search(r"^\s*GUI:\s+NONE\s*$", cv2.getBuildInformation(), re.MULTILINE):
        return "this OpenCV cannot open windows (opencv-python-headless)"
    return None
