"""Patches in half precision: the same numbers in half as many bytes, whoever reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.backbones.native import NativeBackbone
from dcfnet.backend import select
from dcfnet.colours import BINS
from dcfnet.cpu import CpuBackend
from dcfnet.model import load_model
from dcfnet_evaluation.rendered import Clip

from tests.runtime.cuda.given import on_device

HALF = np.float16
MEANS = [(104, 117, 123), (0, 0, 0), (255, 255, 255)]  # all that a level less a mean may be: -255 to 255


def pixels(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Patches of noise, float32."""
    return rng.integers(0, 256, size=(count, 3, side, side)).astype(np.float32) - np.reshape(
        np.float32(MEANS[0]), (3, 1, 1)
    )


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("mean", MEANS)
def test_patches_are_the_same_numbers(place: str, rng: np.random.Generator, device: str, mean: tuple[int, ...]) -> None:
    """Read by NumPy, which knows what the bits of a float16 mean."""
    backend, taken = select(device), np.array(mean, np.float32)
    frame = backend.frame(rng.integers(0, 256, size=(300, 400, 3), dtype=np.uint8))
    where = backend.places([frame], np.zeros(2, int), np.array([[200.0, 150], [10, 290]]), np.full((2, 2), 160.0), 160)
    full, half = (backend.to_host(backend.cut(where, 160, taken, dtype)) for dtype in (np.float32, HALF))
    assert (full.dtype, half.dtype) == (np.float32, HALF)
    np.testing.assert_array_equal(half, full)
    assert not np.signbit(half[half == 0]).any()


def test_all_levels_are_seen(place: str) -> None:
    """Every number that a pixel of a patch may be, once."""
    backend = select("cuda")
    frame = backend.frame(np.arange(256, dtype=np.uint8).reshape(16, 16))
    where = backend.places([frame], np.zeros(1, int), np.array([[7.5, 7.5]]), np.full((1, 2), 16.0), 16)
    for mean in (0, 123, 255):
        patches = backend.to_host(backend.cut(where, 16, np.full(3, mean, np.float32), HALF))
        expected = (np.arange(256) - mean).reshape(16, 16)
        np.testing.assert_array_equal(patches, np.broadcast_to(expected, (1, 3, 16, 16)))


@pytest.mark.parametrize("count", [1, 40], ids=["small tiles", "large tiles"])
def test_features_are_the_same_bits(place: str, rng: np.random.Generator, count: int) -> None:
    native, patches = NativeBackbone(load_model()), pixels(rng, count, 44)
    native._fusion._blocks_to_fill = 20  # type: ignore[union-attr]
    expected = native(patches)
    assert expected.dtype == np.float32
    for found in (native(patches.astype(HALF)), select("cuda").to_host(native(on_device(patches.astype(HALF))))):
        np.testing.assert_array_equal(found, expected)


def test_layer_by_layer_they_are_too(place: str, rng: np.random.Generator) -> None:
    native, patches = NativeBackbone(load_model()), pixels(rng, 2, 20)
    native._fusion = None
    np.testing.assert_array_equal(native(patches.astype(HALF)), native(patches))


def test_colours_are_read_alike(place: str, rng: np.random.Generator) -> None:
    """Of every third patch, too, as of the middle scales."""
    backend, patches, mean = select("cuda"), pixels(rng, 6, 30), np.array(MEANS[0], np.float32)
    parts = rng.integers(0, 3, size=(10, 10)).astype(np.int32)
    held = rng.uniform(size=(2, 2, BINS)).astype(np.float32)
    told: list[Any] = []
    for dtype in (np.float32, HALF):
        given = on_device(patches.astype(dtype))[1::3]
        assert given.dtype == dtype
        counted = backend.count_colours(given, backend.asarray(mean), 3, backend.asarray(parts))
        likely = backend.likelihood(given, backend.asarray(mean), 3, backend.asarray(held))
        told.append([backend.to_host(made) for made in (counted, likely)])
    for full, half in zip(*told, strict=True):
        np.testing.assert_array_equal(half, full)
    np.testing.assert_array_equal(told[0][0], CpuBackend().count_colours(patches[1::3], mean, 3, parts))


@pytest.mark.parametrize("captures", [True, False])
def test_boxes_are_the_same_bits(place: str, clip: Clip, monkeypatch: pytest.MonkeyPatch, captures: bool) -> None:
    found, taken, real = [], [], NativeBackbone.__call__

    def call(self: NativeBackbone, patches: Any) -> Any:
        taken.append(str(patches.dtype))
        return real(self, patches)

    for dtype in (HALF, np.float32):
        tracker = dcfnet.Tracker(device="cuda", config={"patch_size": 48})
        assert tracker._pipeline.dtype is HALF
        tracker._pipeline = replace(tracker._pipeline, dtype=dtype)
        tracker._pipeline.backend.captures = captures  # type: ignore[misc]
        monkeypatch.setattr(NativeBackbone, "__call__", call)
        tracker.init(clip.frame(0), clip.box(0))
        found.append([tuple(tracker.update(clip.frame(index)).box) for index in range(1, 12)])
        monkeypatch.setattr(NativeBackbone, "__call__", real)
        assert {taken.pop() for _ in range(len(taken))} == {np.dtype(dtype).name}
    assert found[0] == found[1]
