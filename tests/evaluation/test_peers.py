"""Trackers of OpenCV: those in this wheel run on rendered clips; for the others the errors are tested."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.result import Box
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.passes import run_pass
from dcfnet_evaluation.rendered import Clip
from dcfnet_evaluation.trackers.peers import (
    PEERS,
    PeerError,
    PeerTracker,
    available_peers,
    describe_peer,
    open_peer,
    whole_rect,
)

CLASSIC = ("KCF", "CSRT", "MIL", "MOSSE", "MedianFlow")
CONTRIB = hasattr(cv2, "TrackerCSRT_create")
FRAME = np.zeros((240, 320, 3), np.uint8)


@pytest.fixture(params=CLASSIC)
def peer(request: pytest.FixtureRequest) -> PeerTracker:
    if request.param != "MIL" and not CONTRIB:
        pytest.skip(f"{request.param} needs opencv-contrib-python in place of opencv-python")
    opened = open_peer(request.param)
    assert isinstance(opened, PeerTracker)
    return opened


class FakeOpenCvTracker:
    """The interface of an OpenCV tracker, with fixed results."""

    def __init__(self, answers: list[tuple[bool, tuple[float, ...]]], starts: bool | None = None) -> None:
        self.answers, self.starts = answers, starts

    def init(self, frame: np.ndarray, rect: tuple[int, ...]) -> bool | None:
        return self.starts

    def update(self, frame: np.ndarray) -> tuple[bool, tuple[float, ...]]:
        return self.answers.pop(0)


def test_a_peer_tracks_a_textured_target(peer: PeerTracker, clip: Clip) -> None:
    """The target of the clip grows little in 20 frames, so all peers can track it, in 0-based pixels."""
    overlaps = []
    for t in range(20):
        if t == 0:
            peer.init(clip.frame(0), clip.box(0))
            continue
        answer = peer.update(clip.frame(t))
        assert answer.status == "tracked"
        assert answer.confidence is None  # OpenCV 5 gives -1 for trackers without a score
        overlaps.append(answer.box.iou(clip.box(t)))
    assert np.mean(overlaps) > 0.6
    assert clip.box(0).iou(clip.box(19)) < 0.5  # a box that never moves would fail


def test_a_second_init_starts_afresh(peer: PeerTracker, clip: Clip) -> None:
    def track() -> list[tuple[float, ...]]:
        peer.init(clip.frame(0), clip.box(0))
        return [tuple(peer.update(clip.frame(t)).box) for t in range(1, 15)]

    first, second = track(), track()
    np.testing.assert_allclose(first[:3], second[:3], atol=5)  # TrackerMIL has random features
    assert (
        np.abs(np.subtract(first[-1], second[0])).max() > 10
    )  # a tracker without a restart would start from the last box


def test_update_without_a_successful_init_raises(peer: PeerTracker) -> None:
    with pytest.raises(PeerError, match="call init"):
        peer.update(FRAME)
    with pytest.raises(PeerError, match="is outside the frame of 320 x 240 px; give"):
        peer.init(FRAME, Box(400, 10, 20, 20))
    with pytest.raises(PeerError, match="call init"):
        peer.update(FRAME)


def test_a_lost_target_keeps_its_last_box() -> None:
    """If OpenCV returns (False, (0, 0, 0, 0)), the result must not be a box of zeros: it would count as a failure."""
    answers = [(False, (0, 0, 0, 0)), (True, (5, 6, 20, 30)), (False, (0, 0, 0, 0)), (True, (7.5, 6.0, 20.0, 30.0))]
    tracker = PeerTracker(lambda: FakeOpenCvTracker(list(answers)))
    tracker.init(FRAME, Box(1.4, 2.6, 19.5, 30.2))
    results = [tracker.update(FRAME) for _ in answers]
    assert [answer.status for answer in results] == ["lost", "tracked", "lost", "tracked"]
    assert [tuple(answer.box) for answer in results] == [
        (1, 3, 20, 30),
        (5, 6, 20, 30),
        (5, 6, 20, 30),
        (7.5, 6, 20, 30),
    ]


def test_an_init_that_returns_false_is_an_error() -> None:
    tracker = PeerTracker(lambda: FakeOpenCvTracker([], starts=False))
    with pytest.raises(PeerError, match=r"box \(1, 2, 3, 4\): the OpenCV tracker cannot start from it; give"):
        tracker.init(FRAME, Box(1, 2, 3, 4))


@pytest.mark.parametrize(
    ("box", "rect"),
    [
        (Box(10.4, 20.6, 30.3, 40.7), (10, 21, 30, 41)),
        (Box(-5, -6, 40, 30), (0, 0, 35, 24)),
        (Box(300, 220, 60, 60), (300, 220, 20, 20)),
        (Box(0, 0, 320, 240), (0, 0, 320, 240)),
    ],
)
def test_every_peer_starts_from_the_same_whole_pixels(box: Box, rect: tuple[int, ...]) -> None:
    assert whole_rect(box, FRAME) == rect


def test_a_box_that_hangs_opencv_is_an_error() -> None:
    with pytest.raises(PeerError, match=r"4 x 4 px: both sides must be at least 5"):
        open_peer("MIL").init(FRAME, Box(100, 100, 4, 4))


def test_an_unknown_name_lists_those_known() -> None:
    for function in (open_peer, describe_peer):
        with pytest.raises(PeerError, match=r"tracker 'TLD': must be one of KCF, CSRT, MIL, .*DaSiamRPN"):
            function("TLD")


def test_a_missing_wheel_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "TrackerCSRT_create", raising=False)
    monkeypatch.delattr(cv2, "legacy", raising=False)
    for name in ("CSRT", "MOSSE"):
        with pytest.raises(
            PeerError, match=rf"{name}: is missing in this build of OpenCV .* opencv-contrib-python in place of"
        ):
            open_peer(name)


def test_missing_and_invalid_model_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(
        PeerError, match=r"Nano: needs the model files nanotrack_backbone_sim\.onnx, nanotrack_head.*--peer-models"
    ):
        open_peer("Nano")
    (tmp_path / "nanotrack_backbone_sim.onnx").write_bytes(b"no model")
    with pytest.raises(PeerError, match=r"has no nanotrack_head_sim\.onnx; it needs"):
        open_peer("Nano", tmp_path)
    (tmp_path / "object_tracking_vittrack_2023sep.onnx").write_bytes(b"no model")
    with pytest.raises(PeerError, match=r"Vit: OpenCV cannot load .*vittrack_2023sep\.onnx"):
        open_peer("Vit", tmp_path)
    for file in ("dasiamrpn_model.onnx", "dasiamrpn_kernel_cls1.onnx", "dasiamrpn_kernel_r1.onnx"):
        (tmp_path / file).write_bytes(b"no model")
    with pytest.raises(PeerError, match=r"DaSiamRPN: OpenCV cannot load"):
        open_peer("DaSiamRPN", tmp_path)


def test_usable_peers_open_and_others_have_a_reason() -> None:
    usable, unusable = available_peers()
    assert sorted([*usable, *unusable]) == sorted(PEERS)
    assert usable == (list(CLASSIC) if CONTRIB else ["MIL"])
    assert all(unusable.values())


def test_a_description_changes_with_the_model_files(tmp_path: Path) -> None:
    assert describe_peer("MIL")["version"] == cv2.__version__
    file = tmp_path / "object_tracking_vittrack_2023sep.onnx"
    descriptions = []
    for content in (b"a", b"b"):
        file.write_bytes(content)
        descriptions.append(describe_peer("Vit", tmp_path))
    assert descriptions[0] != descriptions[1]


def test_a_peer_runs_in_an_evaluation(dataset: Path) -> None:
    (sequence,) = open_dataset("otb", dataset, ["Alpha"])
    one_pass = run_pass(open_peer("MIL"), sequence)
    assert one_pass.boxes.shape == (12, 4)
    assert one_pass.statuses == ("", *["tracked"] * 11)
    assert not one_pass.failures
