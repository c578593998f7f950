"""Trackers of OpenCV as `SingleTracker`, with the default parameters of OpenCV."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from dcfnet.errors import DcfnetError
from dcfnet.io.frame import Frame
from dcfnet.result import Box

from dcfnet_evaluation.passes import SingleTracker

Rect = tuple[int, int, int, int]  # x, y, w, h, whole 0-based frame pixels

CONTRIB = (
    "install opencv-contrib-python in place of opencv-python, in a separate environment: "
    "both wheels contain the module cv2"
)
MIL_SIDE = 5  # px; in a box of 4 x 4 or 40 x 1 px TrackerMIL searches for Haar features forever


class PeerError(DcfnetError):
    """A tracker of OpenCV that is missing or cannot start; the message names the remedy."""


@dataclass(frozen=True)
class _PeerClass:
    """A tracker class of OpenCV. files: parameter field -> name of a model file. side: shortest box side, px."""

    maker: str
    files: Mapping[str, str] = field(default_factory=dict)
    side: int = 1


# Names of the files: OpenCV's samples/python/tracker.py and opencv_zoo/models/object_tracking_vittrack.
_PEER_CLASSES = {
    "KCF": _PeerClass("TrackerKCF"),
    "CSRT": _PeerClass("TrackerCSRT"),
    "MIL": _PeerClass("TrackerMIL", side=MIL_SIDE),
    "MOSSE": _PeerClass("legacy.TrackerMOSSE"),
    "MedianFlow": _PeerClass("legacy.TrackerMedianFlow"),
    "Nano": _PeerClass(
        "TrackerNano", {"backbone": "nanotrack_backbone_sim.onnx", "neckhead": "nanotrack_head_sim.onnx"}
    ),
    "Vit": _PeerClass("TrackerVit", {"net": "object_tracking_vittrack_2023sep.onnx"}),
    "DaSiamRPN": _PeerClass(
        "TrackerDaSiamRPN",
        {
            "model": "dasiamrpn_model.onnx",
            "kernel_cls1": "dasiamrpn_kernel_cls1.onnx",
            "kernel_r1": "dasiamrpn_kernel_r1.onnx",
        },
    ),
}
PEERS: tuple[str, ...] = tuple(_PEER_CLASSES)


@dataclass(frozen=True)
class PeerAnswer:
    """The result of a peer for one frame. box: 0-based frame pixels. status: "tracked" or "lost".

    confidence: OpenCV's tracking score, usually in [0, 1]; None for trackers without a score.
    """

    box: Box
    status: str
    confidence: float | None = None


class PeerTracker:
    """A tracker of OpenCV as a `SingleTracker`. Every `init` makes a new OpenCV object.

    TrackerMIL draws random features and its seed cannot be set, so its boxes differ between runs.
    """

    def __init__(self, make: Callable[[], Any], side: int = 1) -> None:
        """make: creates the OpenCV object. side: shortest side of a box that the tracker can start from, px."""
        self._make, self._side = make, side
        self._tracker: Any = None
        self._box = Box(0, 0, 0, 0)

    def init(self, frame: Frame, box: Box) -> None:
        """frame: uint8 (H, W, 3) BGR. box: 0-based frame pixels; `whole_rect` rounds it.

        Raises PeerError if the tracker cannot start from the box; passes on cv2.error of OpenCV.
        """
        self._tracker = None  # TrackerMIL ends the process on update after a failed init
        rect = whole_rect(box, frame)
        if min(rect[2:]) < self._side:
            raise PeerError(
                f"box of {rect[2]} x {rect[3]} px: both sides must be at least {self._side} px for this tracker; "
                "give a larger box"
            )
        tracker = self._make()
        if tracker.init(frame, rect) is False:  # the legacy interface returns False, the new one raises
            raise PeerError(f"box {rect}: the OpenCV tracker cannot start from it; give another box")
        self._tracker, self._box = tracker, Box(*map(float, rect))

    def update(self, frame: Frame) -> PeerAnswer:
        """The target box in the next frame. If OpenCV finds none: the last box with the status "lost".

        Raises PeerError if no `init` succeeded before; passes on cv2.error of OpenCV.
        """
        if self._tracker is None:
            raise PeerError("update before init: call init with the first frame and its box")
        is_tracked, rect = self._tracker.update(frame)
        if is_tracked:
            self._box = Box(*map(float, rect))
        read_score = getattr(self._tracker, "getTrackingScore", None)
        score = float(read_score()) if read_score else -1.0  # OpenCV 5 gives -1 for trackers without a score
        return PeerAnswer(self._box, "tracked" if is_tracked else "lost", score if score >= 0 else None)


def whole_rect(box: Box, frame: Frame) -> Rect:
    """The start box of all peers: rounded to whole pixels, then clipped to the frame.

    Some trackers of OpenCV accept only whole numbers, some fail if the box leaves the frame, and some clip it.
    Raises PeerError if the box is outside the frame.
    """
    x, y, w, h = (round(value) for value in box)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + w, frame.shape[1]), min(y + h, frame.shape[0])
    if right <= left or bottom <= top:
        raise PeerError(f"{box}: is outside the frame of {frame.shape[1]} x {frame.shape[0]} px; give a box inside it")
    return left, top, right - left, bottom - top


def open_peer(name: str, models: Path | None = None) -> SingleTracker:
    """Opens the tracker `name`, one of PEERS. models: folder with the model files of trackers that need them.

    Raises PeerError if the name is unknown, the wheel of OpenCV lacks the tracker, or a model file is missing or cannot
    be loaded.
    """
    peer_class = _peer_class(name)
    make = partial(_create, name, peer_class, _model_files(name, peer_class, models))
    make()  # raises now if the wheel lacks the tracker or a model file is invalid
    return PeerTracker(make, peer_class.side)


def available_peers(models: Path | None = None) -> tuple[list[str], dict[str, str]]:
    """Names of the trackers that can be opened, and name -> reason for the others."""
    usable, unusable = [], {}
    for name in PEERS:
        try:
            open_peer(name, models)
            usable.append(name)
        except PeerError as error:
            unusable[name] = str(error)
    return usable, unusable


def describe_peer(name: str, models: Path | None = None) -> dict[str, Any]:
    """Class and version of OpenCV, and the first 12 digits of the SHA-256 of each model file.

    Raises PeerError as `open_peer` does.
    """
    peer_class = _peer_class(name)
    description: dict[str, Any] = {"class": peer_class.maker, "version": cv2.__version__}
    if peer_class.files and models is not None:
        files = _model_files(name, peer_class, models)
        description["files"] = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in files.values()
        }
    return description


def _peer_class(name: str) -> _PeerClass:
    if name not in _PEER_CLASSES:
        raise PeerError(f"tracker {name!r}: must be one of {', '.join(PEERS)}")
    return _PEER_CLASSES[name]


def _model_files(name: str, peer_class: _PeerClass, models: Path | None) -> dict[str, Path]:
    """The model files of a tracker, by parameter field."""
    required = ", ".join(peer_class.files.values())
    if peer_class.files and models is None:
        raise PeerError(f"{name}: needs the model files {required}; give their folder with --peer-models")
    files = {key: (models or Path()) / file for key, file in peer_class.files.items()}
    if missing := [file.name for file in files.values() if not file.is_file()]:
        raise PeerError(
            f"{name}: {models} has no {', '.join(missing)}; it needs {required}; add them under these names"
        )
    return files


def _create(name: str, peer_class: _PeerClass, files: Mapping[str, Path]) -> Any:
    owner = cv2.legacy if peer_class.maker.startswith("legacy.") and hasattr(cv2, "legacy") else cv2
    maker = peer_class.maker.removeprefix("legacy.")
    create = getattr(owner, f"{maker}_create", None)
    if create is None:
        raise PeerError(f"{name}: is missing in this build of OpenCV {cv2.__version__}; {CONTRIB}")
    if not files:
        return create()
    parameters = getattr(owner, f"{maker}_Params")()
    for key, file in files.items():
        setattr(parameters, key, str(file))
    try:
        return create(parameters)
    except cv2.error as error:
        file_names = ", ".join(str(file) for file in files.values())
        raise PeerError(
            f"{name}: OpenCV cannot load {file_names} ({str(error).strip():.200}); download the files again"
        ) from error
