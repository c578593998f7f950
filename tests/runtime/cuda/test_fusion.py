"""The network in one kernel: what it gives is what its layers give one by one, and no barrier is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet import fusion, kernels
from dcfnet.fusion import Fusion, Tile
from dcfnet.layers import Convolution, Normalisation

from tests.runtime.cuda.definitions import convolved, normalised
from tests.runtime.cuda.host import HostKernels

# channels between, and of features; kernel, stride, padding and dilation of the second convolution; the first one's
# padding; side of a patch
NETWORKS = {
    "shipped": ((32, 32), (4, 2, 1, 1), 1, 44),
    "at stride 1": ((32, 32), (3, 1, 1, 1), 1, 21),
    "dilated": ((64, 32), (3, 1, 2, 2), 1, 19),
    "folded to stride 3": ((7, 5), (5, 3, 1, 1), 1, 33),  # channels that fill no group
    "not padded": ((4, 1), (3, 1, 0, 1), 0, 12),
    "dilated more than its stride": ((9, 17), (3, 2, 3, 3), 2, 25),
    "a point": ((1, 1), (1, 1, 0, 1), 1, 1),
}


def network(name: str, rng: np.random.Generator) -> tuple[list[Convolution], Normalisation, int]:
    (between, outputs), (kernel, *lengths), padding, side = NETWORKS[name]

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)

    first = Convolution(weights(between, 3, 3, 3), weights(between), 1, padding, 1, True)
    second = Convolution(weights(outputs, between, kernel, kernel), weights(outputs), *lengths, False)
    near = np.abs(np.subtract.outer(np.arange(outputs), np.arange(outputs))) <= 2
    norm = Normalisation((near * rng.uniform(0.1, 1, near.shape)).astype(np.float32), np.ones(outputs, np.float32))
    return [first, second], norm, side


def expected(convolutions: list[Convolution], norm: Normalisation, patches: np.ndarray) -> np.ndarray:
    """The definition, in float64."""
    maps = patches
    for layer in convolutions:
        maps = convolved(maps, layer)
    return normalised(maps, norm)


def fused(
    place: Any, convolutions: list[Convolution], norm: Normalisation, patches: np.ndarray, few: int
) -> np.ndarray:
    """What the kernel gives for large tiles where `few` is none, for small ones where it is much."""
    from dcfnet.device import CudaDevice

    assert Fusion.fits(convolutions)
    device = CudaDevice()
    made = Fusion(device, convolutions, norm)
    made._blocks_to_fill = few
    features = made(device.upload(patches))
    assert features is not None
    return device.to_host(features)


@pytest.mark.parametrize("few", [0, 10**9], ids=["large", "small"])
@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_those_of_the_definition(place: str, rng: np.random.Generator, name: str, few: int) -> None:
    convolutions, norm, side = network(name, rng)
    patches = rng.normal(0, 60, (3, 3, side, side)).astype(np.float32)
    found = fused(place, convolutions, norm, patches, few)
    right = expected(convolutions, norm, patches)
    assert found.shape == right.shape
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5 * np.abs(right).max())


@pytest.mark.parametrize("few", [0, 10**9], ids=["large", "small"])
def test_no_barrier_is_missing(
    fake: Any, host_kernels: HostKernels, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, few: int
) -> None:
    """Whichever thread comes first between two barriers, the features are the same bits."""
    convolutions, norm, side = network("shipped", rng)
    patches = rng.normal(0, 60, (2, 3, side, side)).astype(np.float32)
    forwards = fused(fake, convolutions, norm, patches, few)
    monkeypatch.setattr(host_kernels, "backwards", True)
    np.testing.assert_array_equal(fused(fake, convolutions, norm, patches, few), forwards)


SHARING = """
struct alignas(16) Four { float values[4]; };
extern __shared__ Four shared[];
extern "C" __global__ void pass_on(float* made) {
    float* held = reinterpret_cast<float*>(shared);
    held[threadIdx.x] = threadIdx.x;
    BETWEEN
    made[threadIdx.x] = held[(threadIdx.x + 1) % blockDim.x];
}
"""


@pytest.mark.parametrize(
    ("between", "shared", "right"),
    [
        ("__syncthreads();", 32, True),
        ("", 32, False),  # no barrier: the next thread has written nothing yet
        ("if (threadIdx.x) __syncthreads();", 32, None),  # not all of them come to it
        ("__syncthreads(); held[threadIdx.x + 1] = 0;", 32, None),  # more than was asked for
    ],
)
def test_the_host_finds_what_is_wrong_with_a_kernel_that_shares(
    tmp_path: Path, between: str, shared: int, right: bool | None
) -> None:
    """Else the tests above might pass on anything."""
    made = np.zeros(8, np.float32)
    compiled = HostKernels(SHARING.replace("BETWEEN", between), tmp_path)
    if right is None:
        with pytest.raises(AssertionError, match="pass_on"):
            compiled.launch("pass_on", 1, 8, (made,), shared)
        return
    compiled.launch("pass_on", 1, 8, (made,), shared)
    assert np.array_equal(made, (np.arange(8) + 1) % 8) is right


def test_what_the_kernel_does_not_take_goes_layer_by_layer(fake: Any, rng: np.random.Generator) -> None:
    (first, second), norm, side = network("shipped", rng)
    wide = Convolution(np.zeros((33, 32, 3, 3), np.float32), np.zeros(33, np.float32), 1, 1, 1, False)
    stepping = Convolution(first.weight, first.bias, 2, 1, 1, True)
    assert not any(
        Fusion.fits(layers) for layers in ([first], [first, second, second], [first, wide], [stepping, second])
    )

    from dcfnet.device import CudaDevice

    far = Convolution(second.weight, second.bias, 1, 150, 100, False)  # places between that fit nowhere
    device = CudaDevice()
    assert Fusion(device, [first, far], norm)(device.upload(np.zeros((1, 3, side, side), np.float32))) is None


@pytest.mark.parametrize("side", [40, 54, 63, 125])
def test_tiles_hold_every_feature_and_little_is_made_twice(rng: np.random.Generator, side: int) -> None:
    """By the work of the shipped network's tiles: features beyond the map, and places made again."""
    (first, second), _, _ = network("shipped", rng)
    for pixels, most in ((8, 1.2), (2, 1.55)):
        tile = Tile.best(second, 3, side, pixels)
        assert tile is not None
        assert tile.width * tile.height <= pixels * 32
        assert tile.shared <= 48 * 1024
        once = side**2 * second.weight.size + (2 * side) ** 2 * first.weight.size
        assert tile.count * tile.work * 128 * 8 <= most * once


def test_numbers_are_those_of_the_kernels() -> None:
    source = kernels.source()
    for name in ("LANES", "WARPS", "OUTPUTS_AT_ONCE", "CHANNELS_AT_ONCE", "FIRST_AT_ONCE"):
        assert re.search(rf"#define {name} {getattr(fusion, name)}\s", source), name
    for kernel, pixels in fusion.PIXELS.items():
        assert re.search(rf"#define {kernel.removeprefix('features_').upper()} {pixels}\s", source), kernel
