"""RGB and NV12 frames: OpenCV's colours, and the patches and boxes of the converted frames."""

from __future__ import annotations

from typing import Any

import cv2
import dcfnet
import numpy as np
import pytest
import torch
from dcfnet.devices.cpu import CpuBackend
from dcfnet.errors import ConfigError, InvalidFrameError
from dcfnet.io.pixel_formats import STANDARDS
from dcfnet.io.rectangle import Rectangle
from dcfnet.result import Reason
from dcfnet_evaluation.rendered import Clip

MEAN = np.array([104, 117, 123], np.float32)
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # of red and of blue in luma
CONFIG = {"patch_size": 48}


def noise(rng: np.random.Generator, height: int = 60, width: int = 90) -> np.ndarray:
    """An NV12 frame of noise, both planes in one array."""
    return rng.integers(0, 256, size=(height * 3 // 2, width), dtype=np.uint8)


def nv12_of(frame: np.ndarray) -> np.ndarray:
    """A BGR frame as NV12, both planes in one array."""
    height, width = frame.shape[:2]
    planar = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
    u, v = planar[height:].reshape(2, -1)
    return np.concatenate([planar[:height], np.stack([u, v], axis=-1).reshape(height // 2, width)])


def test_nv12_is_converted_as_in_opencv(rng: np.random.Generator) -> None:
    packed = noise(rng, 400, 600)
    frame = dcfnet.Nv12(packed).on_host()
    expected = cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_NV12)
    np.testing.assert_array_equal(frame.bgr(Rectangle(0, 0, 600, 400)), expected)
    part = Rectangle(14, 200, 90, 222)
    np.testing.assert_array_equal(frame.bgr(part), expected[part.slices])


@pytest.mark.parametrize(("standard", "full_range"), STANDARDS)
def test_each_standard_equals_its_definition(rng: np.random.Generator, standard: str, full_range: bool) -> None:
    """ITU-R: luma is a weighted sum of red, green and blue; chroma is blue or red minus luma, scaled to its range."""
    red, blue = WEIGHTS[standard]
    bgr = rng.uniform(0, 255, size=(2000, 3))
    luma = bgr @ [blue, 1 - red - blue, red]
    u, v = (bgr[:, 0] - luma) / (2 - 2 * blue), (bgr[:, 2] - luma) / (2 - 2 * red)
    if not full_range:
        luma, u, v = 16 + luma * 219 / 255, u * 224 / 255, v * 224 / 255
    levels = np.rint([luma, u + 128, v + 128]).astype(np.uint8)
    planes = np.repeat(np.repeat(levels[0][None], 2, axis=0), 2, axis=1), np.stack([levels[1], levels[2]], -1)[None]
    converted = dcfnet.Nv12(*planes, standard, full_range).on_host().bgr(Rectangle(0, 0, 4000, 2))
    assert np.abs(converted[0, ::2] - bgr).max() < 2.6  # rounding of luma and chroma to whole levels
    bias = 0.3 if (standard, full_range) == ("bt601", False) else 0.1  # OpenCV's factors have three digits
    assert np.abs((converted[0, ::2] - bgr).mean(axis=0)).max() < bias


@pytest.mark.parametrize("kind", ["nv12", "rgb", "rgba"])
def test_patches_equal_those_of_the_converted_frame(rng: np.random.Generator, kind: str) -> None:
    """A few pixels differ by one level, because OpenCV computes coordinates relative to a part of the frame."""
    if kind == "nv12":
        pixels = noise(rng)
        frame, bgr = dcfnet.Nv12(pixels), cv2.cvtColor(pixels, cv2.COLOR_YUV2BGR_NV12)
    else:
        pixels = rng.integers(0, 256, size=(60, 90, len(kind)), dtype=np.uint8)
        frame, bgr = dcfnet.Rgb(pixels), np.ascontiguousarray(pixels[..., 2::-1])
    backend = CpuBackend()
    places = (np.zeros(200, int), rng.uniform(-40, 120, size=(200, 2)), rng.uniform(3, 150, size=(200, 2)))
    patches, expected = (backend.crop([backend.frame(each)], *places, 16, MEAN) for each in (frame, bgr))
    assert np.abs(patches - expected).max() <= 1
    assert (patches != expected).mean() < 1e-3
    texture_plane = bgr if kind != "nv12" else pixels[:60]
    found, wanted = (backend.check_texture([backend.frame(each)], *places)() for each in (frame, texture_plane))
    black = 16 if kind == "nv12" else 0  # luma of a limited range starts at 16
    np.testing.assert_array_equal(found.textured, wanted.textured)
    np.testing.assert_array_equal(found.levels, np.maximum(wanted.levels - black, 0))


def boxes(clip: Clip, convert: Any) -> np.ndarray:
    tracker = dcfnet.Tracker(device="cpu", config=CONFIG)
    tracker.init(convert(clip.frame(0)), clip.box(0))
    return np.array([tuple(tracker.update(convert(clip.frame(index))).box) for index in range(1, 8)])


def test_boxes_equal_those_of_the_converted_frames(clip: Clip) -> None:
    bgr, rgb = boxes(clip, lambda frame: frame), boxes(clip, lambda frame: dcfnet.Rgb(frame[..., ::-1].copy()))
    np.testing.assert_allclose(rgb, bgr, atol=0.02)
    expected = boxes(clip, lambda frame: cv2.cvtColor(nv12_of(frame), cv2.COLOR_YUV2BGR_NV12))
    np.testing.assert_allclose(boxes(clip, lambda frame: dcfnet.Nv12(nv12_of(frame))), expected, atol=0.02)


def test_rgb_swaps_red_and_blue(clip: Clip) -> None:
    frame = clip.frame(0)
    rgb, bgr = (CpuBackend().frame(each) for each in (dcfnet.Rgb(frame), frame))
    arguments = (np.zeros(1, int), np.array([[160.0, 120]]), np.array([[100.0, 100]]), 16, np.zeros(3, np.float32))
    swapped, expected = CpuBackend().crop([rgb], *arguments), CpuBackend().crop([bgr], *arguments)
    np.testing.assert_array_equal(swapped, expected[:, ::-1])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (dcfnet.Nv12(np.zeros((61, 90), np.uint8)), r"Nv12 frame of \(61, 90\): must be uint8, luma \(H, W\)"),
        (dcfnet.Nv12(np.zeros((90, 61), np.uint8)), r"H and W must be even"),
        (dcfnet.Nv12(np.zeros((60, 90), np.uint8), np.zeros((30, 44), np.uint8)), r"\(60, 90\) and \(30, 44\)"),
        (dcfnet.Nv12(np.zeros((60, 90), np.uint8), np.zeros((30, 45, 2), np.float32)), "Nv12 frame of"),
        (dcfnet.Nv12(np.zeros((60, 90, 3), np.uint8)), r"Nv12 frame of \(60, 90, 3\)"),
        (dcfnet.Nv12(np.zeros((90, 90), np.float32)), "dtype float32"),
        (dcfnet.Nv12(None), "frame is None"),
        (dcfnet.Rgb(np.zeros((60, 90), np.uint8)), r"Rgb frame has shape \(60, 90\)"),
        (dcfnet.Rgb(np.zeros((60, 90, 1), np.uint8)), r"Rgb frame has shape \(60, 90, 1\)"),
        (dcfnet.Rgb(object()), "frame is a object"),
    ],
)
def test_the_error_for_an_invalid_frame_gives_its_shape_and_the_rule(clip: Clip, frame: Any, message: str) -> None:
    tracker = dcfnet.Tracker(device="cpu", config=CONFIG)
    with pytest.raises(InvalidFrameError, match=message):
        tracker.init(frame, (20, 20, 20, 20))
    tracker.init(clip.frame(0), clip.box(0))
    result = tracker.update(frame)
    assert result.reason is (Reason.NO_FRAME if "None" in message else Reason.BAD_FRAME)
    assert tracker.update(clip.frame(1)).box.iou(clip.box(1)) > 0.7


def test_an_unknown_standard_raises() -> None:
    with pytest.raises(
        ConfigError, match="standard='rec2020', full_range=False: standard must be bt601 or bt709, full_range a bool"
    ):
        dcfnet.Nv12(np.zeros((90, 60), np.uint8), standard="rec2020")


def testhost_arrays_of_other_libraries_are_accepted_without_a_copy(clip: Clip) -> None:
    """They are shared by DLPack."""
    tensor = torch.from_numpy(clip.frame(0))
    assert CpuBackend().frame(tensor).ctypes.data == tensor.data_ptr()
    expected = boxes(clip, lambda frame: frame)
    np.testing.assert_array_equal(boxes(clip, torch.from_numpy), expected)
    rgb = boxes(clip, lambda frame: dcfnet.Rgb(torch.from_numpy(frame[..., ::-1].copy())))
    np.testing.assert_allclose(rgb, expected, atol=0.02)
    with pytest.raises(InvalidFrameError, match="frame has dtype float32"):
        CpuBackend().frame(torch.zeros(4, 4, 3))
    with pytest.raises(InvalidFrameError, match=r"frame cannot be read: .*a frame is a uint8 array"):
        CpuBackend().frame(torch.zeros(4, 4, 3, requires_grad=True))
