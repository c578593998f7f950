"""The crop: pixel conventions, borders and pixel formats."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from dcfnet import Rgb
from dcfnet.devices.cpu import CpuBackend

MEAN = np.array([104, 117, 123], np.float32)


def crop(frame: np.ndarray, centre: tuple[float, float], region: tuple[float, float], size: int) -> np.ndarray:
    """One patch with the mean added again, (size, size, 3)."""
    patches = CpuBackend().crop([frame], np.array([0]), np.array([centre]), np.array([region]), size, MEAN)
    assert patches.dtype == np.float32
    assert patches.shape == (1, 3, size, size)
    return (patches[0] + MEAN[:, None, None]).transpose(1, 2, 0)


@pytest.fixture
def frame(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, size=(60, 90, 3), dtype=np.uint8)


def test_a_patch_at_scale_1_contains_the_pixels_of_the_frame(frame: np.ndarray) -> None:
    np.testing.assert_allclose(crop(frame, (40, 30), (21, 21), 21), frame[20:41, 30:51])


def test_a_shift_in_the_patch_is_the_scaled_shift_in_the_frame() -> None:
    """In the released ports, the scale of the crop and the scale of the displacement differ by 0.8 %."""
    y, x = np.mgrid[0:60, 0:90]
    ramp = np.dstack([x, y, x]).astype(np.uint8)
    patch = crop(ramp, (45, 30), (50, 25), 25)
    for j in (2, 12, 20):
        assert patch[12, j, 0] == pytest.approx(45 + (j - 12) * 50 / 25, abs=0.51)
        assert patch[j, 12, 1] == pytest.approx(30 + (j - 12) * 25 / 25, abs=0.51)


def test_a_patch_outside_the_frame_is_exactly_the_mean(frame: np.ndarray) -> None:
    patches = CpuBackend().crop([frame], np.array([0]), np.array([[-40.0, 30]]), np.array([[31.0, 31]]), 31, MEAN)
    assert not patches.any()
    corner = crop(frame, (0, 0), (21, 21), 21)
    np.testing.assert_allclose(corner[:9, :9], np.broadcast_to(MEAN, (9, 9, 3)))
    np.testing.assert_allclose(corner[10:, 10:], frame[:11, :11])


def test_grey_and_bgra_frames_give_the_patches_of_bgr_frames(frame: np.ndarray) -> None:
    grey = frame[..., 0]
    bgr = np.repeat(grey[..., None], 3, axis=2)
    args = ((3.0, 30.0), (41.0, 33.0), 25)  # across the border, where the mean differs per channel
    np.testing.assert_array_equal(crop(grey, *args), crop(bgr, *args))
    np.testing.assert_array_equal(crop(grey[..., None], *args), crop(bgr, *args))
    bgra = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(crop(bgra, *args), crop(frame, *args))


@pytest.mark.parametrize("layout", ["bgr", "bgra", "one channel", "grey"])
def test_light_multiplies_the_pixels_of_the_frame_only(frame: np.ndarray, layout: str) -> None:
    """The patches are those of a frame with these pixels; outside the frame they are exactly 0."""
    shapes = {"grey": frame[..., 0], "one channel": frame[..., :1], "bgr": frame}
    given = shapes.get(layout, np.dstack([frame, frame[..., 0]]))
    places = (np.zeros(4, int), np.array([[40.0, 30], [2, 3], [89, 59], [-90, 30]]), np.full((4, 2), 33.0))
    backend, lights = CpuBackend(), np.array([2.5, 0.375, 4.0, 2.0])
    patches = backend.sample_patches(backend.patch_places([given], *places, 33, lights), 33, MEAN)
    for index, light in enumerate(lights.tolist()):
        one = tuple(each[index : index + 1] for each in places)
        relit = np.minimum(np.rint(given * light), 255).astype(np.uint8)
        np.testing.assert_array_equal(patches[index], backend.crop([relit], *one, 33, MEAN)[0])
    outside = backend.crop([np.full_like(given, 255)], *places, 33, np.zeros(3, np.float32)) == 0
    assert outside[1].any()
    assert not patches[outside].any()
    assert outside[3].all()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("light", [1.0, 0.5])
def test_a_patch_that_is_turned_clockwise_shows_the_scene_turned_back(
    frame: np.ndarray, light: float, wrapped: bool
) -> None:
    """A quarter turn is exact: patch pixel (j, i) is at (-i, j) from the centre. Also for an oblong region."""
    backend, given = CpuBackend(), Rgb(frame[..., ::-1].copy()) if wrapped else frame
    places = (np.zeros(2, int), np.array([[44.0, 31], [3, 55]]), np.array([[42.0, 21], [42, 21]]))
    levels, quarter = np.full(2, light), np.full(2, np.pi / 2)
    frames = [backend.frame(given)]
    turned = backend.sample_patches(backend.patch_places(frames, *places, 21, levels, quarter), 21, MEAN)
    oblong = places[2][:, ::-1]  # the region in the frame
    upright = backend.sample_patches(backend.patch_places(frames, *places[:2], oblong, 21, levels), 21, MEAN)
    np.testing.assert_allclose(turned, np.rot90(upright, axes=(2, 3)), rtol=0, atol=1)
    assert np.abs(turned - np.rot90(upright, axes=(2, 3))).mean() < 0.02
    assert np.abs(turned - upright).mean() > 5


def test_a_target_that_turned_with_the_scene_gives_the_same_patch(frame: np.ndarray) -> None:
    smooth = cv2.GaussianBlur(cv2.resize(frame, (360, 240), interpolation=cv2.INTER_CUBIC), (0, 0), 3)
    turn = cv2.getRotationMatrix2D((180, 120), -25, 1)  # OpenCV counts counter-clockwise
    later = cv2.warpAffine(smooth, turn, (360, 240), flags=cv2.INTER_CUBIC)
    backend, places = CpuBackend(), (np.array([0]), np.array([[180.0, 120]]), np.array([[90.0, 90]]))
    before = backend.crop([smooth], *places, 45, MEAN)
    at_angle = backend.patch_places([later], *places, 45, angle=np.array([np.radians(25)]))
    np.testing.assert_allclose(backend.sample_patches(at_angle, 45, MEAN), before, rtol=0, atol=3)


def test_each_patch_is_cropped_from_the_frame_of_its_source(frame: np.ndarray) -> None:
    other = 255 - frame
    centres, regions = np.array([[40.0, 30], [20, 20], [40, 30]]), np.full((3, 2), 15.0)
    patches = CpuBackend().crop([frame, other], np.array([1, 0, 0]), centres, regions, 15, MEAN)
    np.testing.assert_allclose(patches[0], (other[23:38, 33:48] - MEAN).transpose(2, 0, 1))
    np.testing.assert_allclose(patches[1], (frame[13:28, 13:28] - MEAN).transpose(2, 0, 1))
    np.testing.assert_allclose(patches[2], (frame[23:38, 33:48] - MEAN).transpose(2, 0, 1))
