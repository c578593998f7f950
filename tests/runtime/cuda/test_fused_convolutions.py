"""The fused convolutions: the features of the definition, all barriers, and the choice of tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet.backbones.fused_convolutions import FusedConvolutions, Tile
from dcfnet.devices.cuda.kernels.constants import MAX_SHARED
from dcfnet.model.layers import Convolution, Normalisation

from tests.runtime.cuda.definitions import convolved, normalised
from tests.runtime.cuda.host import HostKernels

# (intermediate channels, channels of the features); (kernel, stride, padding, dilation) of the second convolution;
# padding of the first convolution; side of a patch
NETWORKS = {
    "shipped": ((32, 32), (4, 2, 1, 1), 1, 44),
    "at stride 1": ((32, 32), (3, 1, 1, 1), 1, 21),
    "dilated": ((64, 32), (3, 1, 2, 2), 1, 19),
    "folded to stride 3": ((7, 5), (5, 3, 1, 1), 1, 33),  # channels that are no multiple of a group
    "not padded": ((4, 1), (3, 1, 0, 1), 0, 12),
    "dilated more than its stride": ((9, 17), (3, 2, 3, 3), 2, 25),
    "a point": ((1, 1), (1, 1, 0, 1), 1, 1),
}


def network(name: str, rng: np.random.Generator) -> tuple[list[Convolution], Normalisation, int]:
    (intermediate, outputs), (kernel, *lengths), padding, side = NETWORKS[name]

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)

    first = Convolution(weights(intermediate, 3, 3, 3), weights(intermediate), 1, padding, 1, True)
    second = Convolution(weights(outputs, intermediate, kernel, kernel), weights(outputs), *lengths, False)
    near = np.abs(np.subtract.outer(np.arange(outputs), np.arange(outputs))) <= 2
    norm = Normalisation((near * rng.uniform(0.1, 1, near.shape)).astype(np.float32), np.ones(outputs, np.float32))
    return [first, second], norm, side


def expected(convolutions: list[Convolution], norm: Normalisation, patches: np.ndarray) -> np.ndarray:
    """The features by definition, in float64."""
    maps = patches
    for layer in convolutions:
        maps = convolved(maps, layer)
    return normalised(maps, norm)


def fused(
    convolutions: list[Convolution],
    norm: Normalisation,
    patches: np.ndarray,
    min_blocks: int,
    kind: type[FusedConvolutions] = FusedConvolutions,
) -> np.ndarray:
    """The features of a kernel. min_blocks: fewer large tiles than this are replaced by small tiles."""
    from dcfnet.devices.cuda.device import CudaDevice

    assert kind.supports(convolutions)
    device = CudaDevice()
    convolve = kind(device, convolutions, norm)
    convolve._min_blocks = min_blocks
    features = convolve(device.upload(patches))
    assert features is not None
    return device.to_host(features)


@pytest.mark.parametrize("min_blocks", [0, 10**9], ids=["large", "small"])
@pytest.mark.parametrize("name", NETWORKS)
def test_features_equal_the_definition(place: str, rng: np.random.Generator, name: str, min_blocks: int) -> None:
    convolutions, norm, side = network(name, rng)
    patches = rng.normal(0, 60, (3, 3, side, side)).astype(np.float32)
    found = fused(convolutions, norm, patches, min_blocks)
    definition = expected(convolutions, norm, patches)
    assert found.shape == definition.shape
    np.testing.assert_allclose(found, definition, rtol=1e-5, atol=1e-5 * np.abs(definition).max())


@pytest.mark.parametrize("min_blocks", [0, 10**9], ids=["large", "small"])
def test_no_barrier_is_missing(
    fake: Any, host_kernels: HostKernels, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, min_blocks: int
) -> None:
    """The features have the same bits if the threads run in reverse order between two barriers."""
    convolutions, norm, side = network("shipped", rng)
    patches = rng.normal(0, 60, (2, 3, side, side)).astype(np.float32)
    forwards = fused(convolutions, norm, patches, min_blocks)
    monkeypatch.setattr(host_kernels, "backwards", True)
    np.testing.assert_array_equal(fused(convolutions, norm, patches, min_blocks), forwards)


SHARING = """
struct alignas(16) Four { float values[4]; };
extern __shared__ Four shared[];
extern "C" __global__ void rotate(float* result) {
    float* values = reinterpret_cast<float*>(shared);
    values[threadIdx.x] = threadIdx.x;
    STATEMENT
    result[threadIdx.x] = values[(threadIdx.x + 1) % blockDim.x];
}
"""


@pytest.mark.parametrize(
    ("statement", "shared", "correct"),
    [
        ("__syncthreads();", 32, True),
        ("", 32, False),  # no barrier: the next thread has not written its value
        ("if (threadIdx.x) __syncthreads();", 32, None),  # not every thread reaches the barrier
        ("__syncthreads(); values[threadIdx.x + 1] = 0;", 32, None),  # a write beyond the shared memory
    ],
)
def test_the_host_finds_errors_of_a_kernel_with_shared_memory(
    tmp_path: Path, statement: str, shared: int, correct: bool | None
) -> None:
    """Otherwise the tests above might pass on a wrong kernel. correct: None if the launch must fail."""
    result = np.zeros(8, np.float32)
    kernels = HostKernels(SHARING.replace("STATEMENT", statement), tmp_path)
    if correct is None:
        with pytest.raises(AssertionError, match="rotate"):
            kernels.launch("rotate", 1, 8, (result,), shared)
        return
    kernels.launch("rotate", 1, 8, (result,), shared)
    assert np.array_equal(result, (np.arange(8) + 1) % 8) is correct


def test_networks_that_cannot_be_fused_are_recognised(fake: Any, rng: np.random.Generator) -> None:
    (first, second), norm, side = network("shipped", rng)
    wide = Convolution(np.zeros((33, 32, 3, 3), np.float32), np.zeros(33, np.float32), 1, 1, 1, False)
    stepping = Convolution(first.weight, first.bias, 2, 1, 1, True)
    assert not any(
        FusedConvolutions.supports(layers)
        for layers in ([first], [first, second, second], [first, wide], [stepping, second])
    )

    from dcfnet.devices.cuda.device import CudaDevice

    far = Convolution(second.weight, second.bias, 1, 150, 100, False)  # no tile of it fits the shared memory
    device = CudaDevice()
    assert (
        FusedConvolutions(device, [first, far], norm)(device.upload(np.zeros((1, 3, side, side), np.float32))) is None
    )


@pytest.mark.parametrize("side", [40, 54, 63, 125])
def test_tiles_compute_few_pixels_twice(rng: np.random.Generator, side: int) -> None:
    """The work of the tiles of the shipped network, in relation to the work without overlaps and margins."""
    (first, second), _, _ = network("shipped", rng)
    for pixels, limit in ((Tile.LARGE, 1.2), (Tile.SMALL, 1.55)):
        tile = Tile.best(second, 3, side, pixels)
        assert tile is not None
        assert tile.width * tile.height <= pixels * 32
        assert tile.shared <= MAX_SHARED
        once = side**2 * second.weight.size + (2 * side) ** 2 * first.weight.size
        assert tile.count * tile.work * 128 * 8 <= limit * once
