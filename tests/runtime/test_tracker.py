"""Tracker and MultiTracker with the shipped models: calls of a user, and difficult frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import cv2
import dcfnet
import numpy as np
import pytest
from dcfnet import Box, MultiTracker, Reason, Status, Tracker
from dcfnet.backbones.loading import load_model
from dcfnet.config import PRESETS
from dcfnet.model.file import SHIPPED
from dcfnet_evaluation.rendered import Clip, render_clip


@pytest.fixture
def started(clip: Clip) -> tuple[Tracker, Box]:
    tracker = Tracker()
    tracker.init(clip.frame(0), clip.box(0))
    return tracker, clip.box(0)


def finite(result: dcfnet.Result) -> bool:
    return all(map(math.isfinite, (*result.box, result.peak, result.psr, result.apce)))


@pytest.mark.parametrize("model", SHIPPED)
def test_the_shipped_models_track_a_rendered_target(model: str, clip: Clip) -> None:
    tracker = Tracker(model)
    tracker.init(clip.frame(0), clip.box(0))
    results = [(tracker.update(clip.frame(t)), clip.box(t)) for t in range(1, clip.length)]
    assert all(result.status is Status.TRACKED for result, _ in results)
    assert np.mean([result.box.iou(truth) for result, truth in results]) > 0.75


def test_opencv_and_onnxruntime_give_the_same_boxes(clip: Clip) -> None:
    trackers = [Tracker(engine="opencv"), Tracker(engine="onnxruntime")]
    for tracker in trackers:
        tracker.init(clip.frame(0), clip.box(0))
    for t in range(1, 10):
        opencv, onnxruntime = (tracker.update(clip.frame(t)) for tracker in trackers)
        assert tuple(opencv.box) == pytest.approx(tuple(onnxruntime.box), abs=0.05)


def test_rounding_errors_of_another_device_do_not_change_the_boxes(clip: Clip, rng: np.random.Generator) -> None:
    """With features that differ by the rounding of float32 sums, all boxes are equal bit for bit."""
    trackers = [Tracker(), Tracker()]
    pipeline = trackers[1]._pipeline
    exact = pipeline.backbone

    def with_rounding_errors(patches: np.ndarray) -> np.ndarray:
        features = exact(patches)
        return (features * (1 + rng.normal(0, 2e-7, features.shape))).astype(np.float32)

    object.__setattr__(pipeline, "backbone", with_rounding_errors)
    for tracker in trackers:
        tracker.init(clip.frame(0), clip.box(0))
    pairs = [[tracker.update(clip.frame(t)) for tracker in trackers] for t in range(1, clip.length)]
    assert [tuple(one.box) for one, _ in pairs] == [tuple(other.box) for _, other in pairs]
    assert any(one.peak != other.peak for one, other in pairs)


def test_a_black_frame_of_one_camera_does_not_change_the_state_of_any_target(clip: Clip) -> None:
    """Targets in other cameras have the same results as alone."""
    tracker, alone = MultiTracker(), Tracker()
    for source in (0, 1, 2):
        tracker.add(clip.frame(0), clip.box(0), source)
    alone.init(clip.frame(0), clip.box(0))
    for index in (1, 2, 3):
        before = tracker._state
        assert before is not None
        copies = {
            name: array.copy() for name, array in (before.host_arrays() | before.filters.arrays.by_name()).items()
        }
        black = np.zeros_like(clip.frame(index))
        results = tracker.update({0: black, 1: clip.frame(index), 2: black})
        assert results[1] == alone.update(clip.frame(index))
        assert {results[id_].reason for id_ in (0, 2)} == {Reason.NO_TEXTURE}
        after = tracker._state
        assert after is not None
        for name, array in (after.host_arrays() | after.filters.arrays.by_name()).items():
            np.testing.assert_array_equal(array[[0, 2]], copies[name][[0, 2]])


def test_presets_named_constants_and_mappings_select_the_config() -> None:
    expected = dcfnet.TrackerConfig.named("default").replace(**PRESETS["accurate"])
    assert Tracker("dcfnet", preset="accurate").config == expected
    assert Tracker("dcfnet", config="paper").config == dcfnet.TrackerConfig.named("paper")
    assert Tracker(config={"scales": 5}).config == Tracker(preset="balanced").config.replace(scales=5)


def test_the_default_model_is_deep() -> None:
    assert next(iter(SHIPPED)) == "deep"
    assert load_model().onnx == load_model("deep").onnx != load_model("dcfnet").onnx
    assert Tracker().config == Tracker("deep").config != Tracker("dcfnet").config


def test_named_constants_that_do_not_fit_the_model_raise() -> None:
    message = r"config='paper': its patch_size=126 must be a multiple of the stride of deep\.onnx, 4; .* model 'dcfnet'"
    with pytest.raises(dcfnet.ConfigError, match=message):
        Tracker(config="paper")


@pytest.mark.parametrize("kind", [Tracker, MultiTracker])
@pytest.mark.parametrize("shipped", [None, *SHIPPED])
def test_presets_come_from_the_model_file_and_accept_changes(
    kind: type[Tracker | MultiTracker], shipped: str | None
) -> None:
    model = load_model(shipped)
    assert list(model.presets) == list(PRESETS)
    for name in PRESETS:
        assert kind(shipped, preset=name).config == model.preset(name)
    assert kind(shipped).config == model.preset("balanced")
    changed = kind(shipped, preset="fast", config={"scales": 5}).config
    assert changed == model.preset("fast").replace(scales=5)


def test_an_unknown_preset_or_a_preset_with_a_config_raises() -> None:
    with pytest.raises(
        dcfnet.ConfigError, match=r"preset='turbo': deep\.onnx has the presets accurate, balanced, fast"
    ):
        Tracker(preset="turbo")
    with pytest.raises(dcfnet.ConfigError, match="give one"):
        Tracker(preset="fast", config="paper")
    with pytest.raises(dcfnet.ConfigError, match="config=5: must be"):
        Tracker(config=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "config"),
    [
        *[("dcfnet", config) for config in ("paper", "released", {"scales": 1}, {"scales": 5}, {"scales": 7})],
        *[(None, config) for config in ({"scales": 1}, {"scales": 5})],
        (None, {"scales": 7, "margin": 8, "patch_size": 128}),  # the largest scale needs a larger margin
    ],
)
def test_all_named_constants_and_pyramids_track(clip: Clip, model: str | None, config: Any) -> None:
    tracker = Tracker(model, config=config)
    tracker.init(clip.frame(0), clip.box(0))
    for t in range(1, 6):
        result = tracker.update(clip.frame(t))
    assert result.status is Status.TRACKED
    assert result.box.iou(clip.box(5)) > 0.75


@pytest.mark.parametrize("model", SHIPPED)
@pytest.mark.parametrize("side", [64, 96, 200])
def test_the_shipped_models_track_with_other_patch_sizes(clip: Clip, model: str, side: int) -> None:
    tracker = Tracker(model, config={"patch_size": side})
    tracker.init(clip.frame(0), clip.box(0))
    for t in range(1, 6):
        result = tracker.update(clip.frame(t))
    assert result.box.iou(clip.box(5)) > 0.7


def test_a_patch_size_that_is_not_a_multiple_of_the_stride_raises() -> None:
    with pytest.raises(dcfnet.ConfigError, match=r"patch_size=125.*multiple of.*2"):
        Tracker("dcfnet", config={"patch_size": 125})
    with pytest.raises(dcfnet.ConfigError, match=r"patch_size=126.*multiple of.*4"):
        Tracker(config={"patch_size": 126})


def test_an_unknown_device_or_engine_raises() -> None:
    with pytest.raises(dcfnet.ConfigError, match="tpu"):
        Tracker(device="tpu")
    with pytest.raises(dcfnet.ConfigError, match="caffe"):
        Tracker(engine="caffe")


def test_the_error_of_update_before_init_names_init() -> None:
    with pytest.raises(dcfnet.NotInitialisedError, match="init"):
        Tracker().update(np.zeros((10, 10, 3), np.uint8))


BAD_FRAMES: list[tuple[Any, str]] = [
    (None, "None"),
    (np.zeros((0, 0, 3), np.uint8), "empty"),
    (np.zeros((40, 40, 3), np.float32), "float32"),
    (np.zeros((40, 40, 3), bool), "bool"),
    (np.zeros((3, 40, 40), np.uint8), "channels must be the last axis"),
    (np.zeros((40, 40, 2), np.uint8), r"\(40, 40, 2\)"),
    (np.zeros((1, 40, 40, 3), np.uint8), r"\(1, 40, 40, 3\)"),
]


@pytest.mark.parametrize(("frame", "message"), BAD_FRAMES)
def test_init_raises_for_an_invalid_frame(frame: Any, message: str) -> None:
    with pytest.raises(dcfnet.InvalidFrameError, match=message):
        Tracker().init(frame, (5, 5, 20, 20))


@pytest.mark.parametrize(("frame", "message"), BAD_FRAMES)
def test_update_reports_an_invalid_frame_and_continues(
    started: tuple[Tracker, Box], clip: Clip, frame: Any, message: str
) -> None:
    tracker, box = started
    result = tracker.update(frame)
    assert result.status is Status.LOST
    assert result.reason in (Reason.NO_FRAME, Reason.BAD_FRAME)
    assert tuple(result.box) == pytest.approx(tuple(box))
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (17, 17, 17), (255, 0, 0), (0, 0, 0, 255), 0])
def test_a_frame_of_one_colour_does_not_move_the_box(started: tuple[Tracker, Box], clip: Clip, colour: Any) -> None:
    tracker, box = started
    flat = np.broadcast_to(np.array(colour), clip.frame(0).shape[:2] + np.shape(colour))
    noise = np.random.default_rng(0).integers(-2, 2, size=flat.shape)  # like that of a codec or of a covered sensor
    for _ in range(30):
        result = tracker.update(np.clip(flat + noise, 0, 255).astype(np.uint8))
        assert (result.status, result.reason) == (Status.LOST, Reason.NO_TEXTURE)
        assert tuple(result.box) == pytest.approx(tuple(box))
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_a_failed_init_keeps_the_previous_target(started: tuple[Tracker, Box], clip: Clip) -> None:
    tracker, _ = started
    with pytest.raises(dcfnet.InvalidBoxError):
        tracker.init(clip.frame(0), (math.nan, 0, 10, 10))
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_a_second_init_starts_with_another_target(started: tuple[Tracker, Box], clip: Clip) -> None:
    tracker, _ = started
    elsewhere = Box(20, 20, 40, 40)
    tracker.init(clip.frame(0), elsewhere)
    assert tracker.update(clip.frame(0)).box.iou(elsewhere) > 0.9


def test_a_cut_to_another_scene_is_reported(started: tuple[Tracker, Box], clip: Clip) -> None:
    """A tracker must not follow an absent target. docs/tuning.md gives the rates."""
    tracker, box = started
    statuses = []
    for seed in range(8):
        tracker.init(clip.frame(0), box)
        result = tracker.update(render_clip(1, 320, 240, seed=100 + seed).frame(0))
        statuses.append(result.status)
        # The result has the lowest PSR of two search passes. Lost is judged by that of the better pass alone.
        assert (result.reason is Reason.LOW_PSR) == (result.psr < tracker.config.confident_psr)
        assert result.status is not Status.LOST or result.psr < tracker.config.min_psr
        if result.status is Status.LOST:
            assert tuple(result.box) == pytest.approx(tuple(box))
            assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7
    assert statuses.count(Status.TRACKED) <= 2
    assert set(statuses) >= {Status.LOST, Status.UNCERTAIN}


def test_init_on_a_region_without_texture_raises(clip: Clip) -> None:
    black = np.zeros_like(clip.frame(0))
    with pytest.raises(dcfnet.InvalidBoxError, match="has one flat colour; choose a box with texture"):
        Tracker().init(black, clip.box(0))


def test_status_and_reason_print_as_their_values(started: tuple[Tracker, Box], clip: Clip) -> None:
    result = started[0].update(clip.frame(1))
    assert f"{result.status} {result.reason}" == "tracked found"
    assert str(result.status) == "tracked"


def test_a_tiny_frame_does_not_change_the_target(started: tuple[Tracker, Box], clip: Clip) -> None:
    tracker, _ = started
    for tiny in (clip.frame(1)[::24, ::24], clip.frame(1)[:2, :3]):
        assert tracker.update(tiny).status is Status.LOST
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


@pytest.mark.parametrize("ratio", [(2.0, 2.0), (0.5, 0.5), (1.5, 1.0)])
def test_the_box_is_scaled_with_the_resolution(
    started: tuple[Tracker, Box], clip: Clip, ratio: tuple[float, float]
) -> None:
    tracker, _ = started
    for t in range(1, 6):
        frame = clip.frame(t)
        size = (round(frame.shape[1] * ratio[0]), round(frame.shape[0] * ratio[1]))
        result = tracker.update(cv2.resize(frame, size).astype(np.uint8))
        truth = clip.box(t)
        scaled = Box(truth.x * ratio[0], truth.y * ratio[1], truth.w * ratio[0], truth.h * ratio[1])
        assert result.box.iou(scaled) > 0.7
        assert result.reason is (Reason.RESOLUTION_CHANGED if t == 1 else Reason.FOUND)


def test_a_target_that_leaves_the_frame_is_reported_as_lost(clip: Clip) -> None:
    """The whole scene moves out of the frame with the target."""
    tracker = Tracker()
    frame, box = clip.frame(0), clip.box(0)
    tracker.init(frame, box)
    blank = np.full_like(frame, 90)
    results = []
    for t in range(1, 60):
        shift = 6 * t
        shifted = blank.copy()
        if shift < frame.shape[1]:
            shifted[:, shift:] = frame[:, : frame.shape[1] - shift]
        results.append(tracker.update(shifted))
    assert all(map(finite, results))
    assert all(-1 <= result.box.centre[0] <= frame.shape[1] for result in results)
    assert results[-1].status is Status.LOST


@pytest.mark.parametrize(
    "box",
    [(0, 0, 320, 240), (-60, -40, 500, 400), (150, 2, 4, 200), (2, 100, 300, 5), (316, 236, 30, 30), (8, 8, 3, 3)],
)
def test_extreme_boxes_do_not_crash(clip: Clip, box: tuple[float, ...]) -> None:
    tracker = Tracker()
    tracker.init(clip.frame(0), box)
    for t in range(1, 6):
        result = tracker.update(clip.frame(t))
        assert finite(result)
        assert min(result.box.size) >= 2.99


def test_noise_gives_neither_nan_nor_an_unlimited_box(started: tuple[Tracker, Box]) -> None:
    tracker, box = started
    rng = np.random.default_rng(1)
    for _ in range(40):
        result = tracker.update(rng.integers(0, 256, size=(240, 320, 3), dtype=np.uint8))
        assert finite(result)
        assert result.box.w <= 5.01 * box.w
        assert result.box.h <= 240.01


@pytest.mark.parametrize("layout", ["grey", "bgra", "reversed", "fortran", "view"])
def test_all_layouts_of_a_frame_are_accepted(clip: Clip, layout: str) -> None:
    def convert(frame: np.ndarray) -> np.ndarray:
        if layout == "grey":
            return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
        if layout == "bgra":
            return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA), np.uint8)
        if layout == "reversed":
            return frame[:, :, ::-1].copy()[:, :, ::-1]
        if layout == "fortran":
            return np.asfortranarray(frame)
        return np.dstack([frame, frame])[..., :3]

    tracker = Tracker()
    tracker.init(convert(clip.frame(0)), clip.box(0))
    for t in range(1, 8):
        assert tracker.update(convert(clip.frame(t))).box.iou(clip.box(t)) > 0.7


def test_a_frame_is_neither_changed_nor_stored(started: tuple[Tracker, Box], clip: Clip) -> None:
    tracker, _ = started
    frame = clip.frame(1)
    frame.flags.writeable = False
    first = tracker.update(frame)
    second = Tracker()
    buffer = clip.frame(0)
    second.init(buffer, clip.box(0))
    buffer[:] = clip.frame(1)  # a camera reuses its buffer
    assert tuple(second.update(buffer).box) == pytest.approx(tuple(first.box))


# --- many targets ---------------------------------------------------------------------------------------------------


def initial_boxes(clip: Clip) -> Iterator[Box]:
    yield clip.box(0)
    yield Box(40, 50, 36, 44)
    yield Box(220, 150, 50, 30)


def test_a_multitracker_gives_the_boxes_of_single_trackers(clip: Clip) -> None:
    many = MultiTracker()
    ids = [many.add(clip.frame(0), box) for box in initial_boxes(clip)]
    singles = [Tracker() for _ in ids]
    for tracker, box in zip(singles, initial_boxes(clip), strict=True):
        tracker.init(clip.frame(0), box)
    for t in range(1, 12):
        results = many.update(clip.frame(t))
        for id_, tracker in zip(ids, singles, strict=True):
            assert tuple(results[id_].box) == pytest.approx(tuple(tracker.update(clip.frame(t)).box), abs=0.1)


def test_cameras_may_have_different_frame_rates(clip: Clip) -> None:
    many = MultiTracker()
    front = many.add(clip.frame(0), clip.box(0), source=7)
    rear = many.add(clip.frame(0)[:, ::-1], Box(100, 100, 40, 40), source=-3)
    assert set(many.update({7: clip.frame(1)})) == {front}
    assert set(many.update({-3: clip.frame(0)[:, ::-1], 7: clip.frame(2)})) == {front, rear}
    results = many.update({7: clip.frame(3), -3: None, 99: clip.frame(3)})
    assert results[front].box.iou(clip.box(3)) > 0.7
    assert results[rear].reason is Reason.NO_FRAME
    assert many.update(clip.frame(4)) == {}  # source 0 has no target
    for source in ("front", 0.7, 2**70):
        with pytest.raises(dcfnet.ConfigError, match="a whole number"):
            many.add(clip.frame(0), clip.box(0), source=source)  # type: ignore[arg-type]
    assert len(many) == 2


def test_targets_can_be_added_and_removed(clip: Clip) -> None:
    many = MultiTracker()
    assert many.update(clip.frame(0)) == {}
    first, second = many.add(clip.frame(0), clip.box(0)), many.add(clip.frame(0), (40, 50, 36, 44))
    many.remove(first)
    assert set(many.update(clip.frame(1))) == {second}
    third = many.add(clip.frame(1), clip.box(1))
    assert third not in (first, second)
    assert many.update(clip.frame(2))[third].box.iou(clip.box(2)) > 0.7
    many.remove(second)
    many.remove(third)
    assert len(many) == 0
    with pytest.raises(dcfnet.UnknownTargetError, match="no target 0"):
        many.remove(first)


def test_a_failed_add_does_not_change_the_other_targets(clip: Clip) -> None:
    many = MultiTracker()
    first = many.add(clip.frame(0), clip.box(0))
    with pytest.raises(dcfnet.InvalidBoxError):
        many.add(clip.frame(0), (500, 500, 20, 20))
    assert set(many.update(clip.frame(1))) == {first}
