"""Patches as float16: all readers get the same numbers as from float32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.native import NativeBackbone
from dcfnet.devices.cpu import CpuBackend
from dcfnet.devices.selection import open_backend
from dcfnet.filter.colour_histogram import BINS
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.device_arrays import on_device

HALF = np.float16
MEANS = [(104, 117, 123), (0, 0, 0), (255, 255, 255)]  # with them a level minus the mean is from -255 to 255


def pixels(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Patches of noise, float32 (count, 3, side, side), mean subtracted."""
    return rng.integers(0, 256, size=(count, 3, side, side)).astype(np.float32) - np.reshape(
        np.float32(MEANS[0]), (3, 1, 1)
    )


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("mean", MEANS)
def test_float16_patches_equal_float32_patches(
    place: str, rng: np.random.Generator, device: str, mean: tuple[int, ...]
) -> None:
    """NumPy reads the float16 values."""
    backend, subtracted = open_backend(device), np.array(mean, np.float32)
    frame = backend.frame(rng.integers(0, 256, size=(300, 400, 3), dtype=np.uint8))
    places = backend.patch_places(
        [frame], np.zeros(2, int), np.array([[200.0, 150], [10, 290]]), np.full((2, 2), 160.0), 160
    )
    types = (np.float32, HALF)
    full, half = (backend.to_host(backend.sample_patches(places, 160, subtracted, dtype)) for dtype in types)
    assert (full.dtype, half.dtype) == (np.float32, HALF)
    np.testing.assert_array_equal(half, full)
    assert not np.signbit(half[half == 0]).any()


def test_every_patch_value_is_exact_in_float16(place: str) -> None:
    """The frame contains each level once."""
    backend = open_backend("cuda")
    frame = backend.frame(np.arange(256, dtype=np.uint8).reshape(16, 16))
    places = backend.patch_places([frame], np.zeros(1, int), np.array([[7.5, 7.5]]), np.full((1, 2), 16.0), 16)
    for mean in (0, 123, 255):
        patches = backend.to_host(backend.sample_patches(places, 16, np.full(3, mean, np.float32), HALF))
        expected = (np.arange(256) - mean).reshape(16, 16)
        np.testing.assert_array_equal(patches, np.broadcast_to(expected, (1, 3, 16, 16)))


@pytest.mark.parametrize("count", [1, 40], ids=["small tiles", "large tiles"])
def test_features_of_float16_patches_have_the_same_bits(place: str, rng: np.random.Generator, count: int) -> None:
    native, patches = NativeBackbone(load_model("dcfnet")), pixels(rng, count, 44)
    native._fused._min_blocks = 20  # type: ignore[union-attr]
    expected = native(patches)
    assert expected.dtype == np.float32
    half = patches.astype(HALF)
    for found in (native(half), open_backend("cuda").to_host(native(on_device(half)))):
        np.testing.assert_array_equal(found, expected)


def test_features_have_the_same_bits_without_the_fused_kernel(place: str, rng: np.random.Generator) -> None:
    native, patches = NativeBackbone(load_model("dcfnet")), pixels(rng, 2, 20)
    native._fused = None
    np.testing.assert_array_equal(native(patches.astype(HALF)), native(patches))


def test_colours_of_float16_patches_have_the_same_bits(place: str, rng: np.random.Generator) -> None:
    """The kernels read every third patch, like the middle scales of pyramids."""
    backend, patches, mean = open_backend("cuda"), pixels(rng, 6, 30), np.array(MEANS[0], np.float32)
    parts = rng.integers(0, 3, size=(10, 10)).astype(np.int32)
    histograms = rng.uniform(size=(2, 2, BINS)).astype(np.float32)
    results: list[Any] = []
    for dtype in (np.float32, HALF):
        middle = on_device(patches.astype(dtype))[1::3]
        assert middle.dtype == dtype
        counts = backend.count_colours(middle, backend.asarray(mean), 3, backend.asarray(parts))
        likelihood = backend.likelihood(middle, backend.asarray(mean), 3, backend.asarray(histograms))
        results.append([backend.to_host(array) for array in (counts, likelihood)])
    for full, half in zip(*results, strict=True):
        np.testing.assert_array_equal(half, full)
    np.testing.assert_array_equal(results[0][0], CpuBackend().count_colours(patches[1::3], mean, 3, parts))


@pytest.mark.parametrize("captures", [True, False])
def test_boxes_from_float16_patches_have_the_same_bits(
    place: str, clip: Clip, monkeypatch: pytest.MonkeyPatch, captures: bool
) -> None:
    boxes, types, real = [], [], NativeBackbone.__call__

    def call(self: NativeBackbone, patches: Any) -> Any:
        types.append(str(patches.dtype))
        return real(self, patches)

    for dtype in (HALF, np.float32):
        tracker = dcfnet.Tracker("dcfnet", device="cuda", config={"patch_size": 48})
        assert tracker._pipeline.patch_dtype is HALF
        tracker._pipeline = replace(tracker._pipeline, patch_dtype=dtype)
        tracker._pipeline.backend.captures = captures  # type: ignore[misc]
        monkeypatch.setattr(NativeBackbone, "__call__", call)
        tracker.init(clip.frame(0), clip.box(0))
        boxes.append([tuple(tracker.update(clip.frame(index)).box) for index in range(1, 12)])
        monkeypatch.setattr(NativeBackbone, "__call__", real)
        assert set(types) == {np.dtype(dtype).name}
        types.clear()
    assert boxes[0] == boxes[1]
