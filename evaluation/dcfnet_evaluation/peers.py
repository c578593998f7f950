"""OpenCV's own trackers behind the contract of an evaluation, with OpenCV's default parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from dcfnet.backend import Frame
from dcfnet.errors import DcfnetError
from dcfnet.geometry import Box

from dcfnet_evaluation.passes import SingleTracker

Rect = tuple[int, int, int, int]  # x, y, w, h, whole 0-based frame pixels

CONTRIB = (
    "opencv-contrib-python has it: install that wheel in place of opencv-python, in an environment of its own; "
    "both own the module cv2"
)
MIL_SIDE = 5  # px; in 4 x 4 or 40 x 1 TrackerMIL's search for Haar features never ends


class PeerError(DcfnetError):
    """A tracker of OpenCV that is not there, or that cannot start; the message names the remedy."""


@dataclass(frozen=True)
class _Kind:
    """Where OpenCV has a tracker. files: field of its parameters -> name of the model file that it needs."""

    maker: str
    files: Mapping[str, str] = field(default_factory=dict)
    side: int = 1  # of the smallest box it can start from, px


# Names of the files: OpenCV's samples/python/tracker.py and opencv_zoo/models/object_tracking_vittrack.
_KINDS = {
    "KCF": _Kind("TrackerKCF"),
    "CSRT": _Kind("TrackerCSRT"),
    "MIL": _Kind("TrackerMIL", side=MIL_SIDE),
    "MOSSE": _Kind("legacy.TrackerMOSSE"),
    "MedianFlow": _Kind("legacy.TrackerMedianFlow"),
    "Nano": _Kind("TrackerNano", {"backbone": "nanotrack_backbone_sim.onnx", "neckhead": "nanotrack_head_sim.onnx"}),
    "Vit": _Kind("TrackerVit", {"net": "object_tracking_vittrack_2023sep.onnx"}),
    "DaSiamRPN": _Kind(
        "TrackerDaSiamRPN",
        {
            "model": "dasiamrpn_model.onnx",
            "kernel_cls1": "dasiamrpn_kernel_cls1.onnx",
            "kernel_r1": "dasiamrpn_kernel_r1.onnx",
        },
    ),
}
PEERS: tuple[str, ...] = tuple(_KINDS)


@dataclass(frozen=True)
class PeerAnswer:
    """What a peer says of a frame. box: 0-based frame pixels. status: "tracked" or "lost"."""

    box: Box
    status: str


class PeerTracker:
    """One of OpenCV's trackers as a `SingleTracker`; a new object of OpenCV's for every `init`.

    TrackerMIL draws its features at random from a seed that cannot be set: its boxes differ from run to run.
    """

    def __init__(self, make: Callable[[], Any], side: int = 1) -> None:
        """make: opens OpenCV's tracker. side: the shortest of a box that it can start from, px."""
        self._make, self._side = make, side
        self._tracker: Any = None
        self._box = Box(0, 0, 0, 0)

    def init(self, frame: Frame, box: Box) -> None:
        """frame: uint8 (H, W, 3) BGR. box: 0-based frame pixels, rounded as `whole_rect` says.

        Raises PeerError for a box that cannot be started from, and cv2.error as OpenCV does.
        """
        self._tracker = None  # asked for a frame after a failed init, TrackerMIL ends the process
        rect = whole_rect(box, frame)
        if min(rect[2:]) < self._side:
            raise PeerError(f"box of {rect[2]} x {rect[3]} px: both sides must be at least {self._side} px here")
        tracker = self._make()
        if tracker.init(frame, rect) is False:  # the older interface tells, the newer raises
            raise PeerError(f"OpenCV's tracker does not start from the box {rect}")
        self._tracker, self._box = tracker, Box(*map(float, rect))

    def update(self, frame: Frame) -> PeerAnswer:
        """The target's box in the next frame; where OpenCV has none, the last one, "lost".

        Raises PeerError before an `init` that succeeded, and cv2.error as OpenCV does.
        """
        if self._tracker is None:
            raise PeerError("update before init: call init with the first frame and its box")
        found, rect = self._tracker.update(frame)
        if found:
            self._box = Box(*map(float, rect))
        return PeerAnswer(self._box, "tracked" if found else "lost")


def whole_rect(box: Box, frame: Frame) -> Rect:
    """The box that all peers start from: each number rounded to a whole pixel, then cut to the frame.

    Some of OpenCV's trackers take whole numbers only, some fail on a box that leaves the frame, some cut it themselves.
    Raises PeerError where nothing of the box lies in the frame.
    """
    x, y, w, h = (round(value) for value in box)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + w, frame.shape[1]), min(y + h, frame.shape[0])
    if right <= left or bottom <= top:
        raise PeerError(f"{box}: no pixel of it lies in the frame of {frame.shape[1]} x {frame.shape[0]}")
    return left, top, right - left, bottom - top


def open_peer(name: str, models: Path | None = None) -> SingleTracker:
    """The tracker of this name, one of PEERS. models: folder with the model files, for those that need some.

    Raises PeerError for an unknown name, a wheel of OpenCV without the tracker, and files that are not there or that
    OpenCV cannot load.
    """
    kind = _kind(name)
    make = partial(_make, name, kind, _files(name, kind, models))
    make()  # a wheel without the tracker, or a file that is no model, is told now
    return PeerTracker(make, kind.side)


def available_peers(models: Path | None = None) -> tuple[list[str], dict[str, str]]:
    """Names of the trackers that can be opened here, and of the others the reason why not."""
    usable, unusable = [], {}
    for name in PEERS:
        try:
            open_peer(name, models)
            usable.append(name)
        except PeerError as error:
            unusable[name] = str(error)
    return usable, unusable


def describe_peer(name: str, models: Path | None = None) -> dict[str, Any]:
    """What the tracker is: OpenCV's class and version, and the SHA-256, cut to 12 digits, of its model files.

    Raises PeerError as `open_peer` does.
    """
    kind = _kind(name)
    told: dict[str, Any] = {"class": kind.maker, "version": cv2.__version__}
    if kind.files and models is not None:
        files = _files(name, kind, models)
        told["files"] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in files.values()}
    return told


def _kind(name: str) -> _Kind:
    if name not in _KINDS:
        raise PeerError(f"no tracker {name!r} of OpenCV; there are {', '.join(PEERS)}")
    return _KINDS[name]


def _files(name: str, kind: _Kind, models: Path | None) -> dict[str, Path]:
    """The model files of a tracker, by the field of its parameters."""
    wanted = ", ".join(kind.files.values())
    if kind.files and models is None:
        raise PeerError(f"{name}: needs its model files {wanted}; name the folder that holds them")
    files = {key: (models or Path()) / file for key, file in kind.files.items()}
    if missing := [file.name for file in files.values() if not file.is_file()]:
        raise PeerError(f"{name}: {models} has no {', '.join(missing)}; it needs {wanted}, as OpenCV names them")
    return files


def _make(name: str, kind: _Kind, files: Mapping[str, Path]) -> Any:
    owner = cv2.legacy if kind.maker.startswith("legacy.") and hasattr(cv2, "legacy") else cv2
    maker = kind.maker.removeprefix("legacy.")
    create = getattr(owner, f"{maker}_create", None)
    if create is None:
        raise PeerError(f"{name}: this OpenCV {cv2.__version__} is built without it; {CONTRIB}")
    if not files:
        return create()
    parameters = getattr(owner, f"{maker}_Params")()
    for key, file in files.items():
        setattr(parameters, key, str(file))
    try:
        return create(parameters)
    except cv2.error as error:
        told = ", ".join(str(file) for file in files.values())
        raise PeerError(f"{name}: OpenCV cannot load {told} ({str(error).strip():.200})") from error
