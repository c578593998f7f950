"""The fused convolutions on tensor cores: fragments, rounding to float16, features, barriers, and the instructions."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.tensor_convolutions import TensorConvolutions, TensorTile, fragments
from dcfnet.devices.cuda.kernels.constants import MAX_SHARED
from dcfnet.devices.cuda.kernels.program import Program
from dcfnet.errors import DeviceError, ModelError
from dcfnet.model.layers import Convolution, Normalisation, read_layers

from tests.runtime.cuda.definitions import convolved, normalised
from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.nvrtc import ARCHITECTURES, compiled
from tests.runtime.cuda.test_fused_convolutions import NETWORKS, fused, network

# Every lane gives its words of both factors and its sums to multiply_add.
ONE_PRODUCT = """
#line 1 "one_product.cu"
extern "C" __global__ void round_numbers(const float* numbers, uint8* words) {
    const float* pair = numbers + 2 * threadIdx.x;
    reinterpret_cast<unsigned*>(words)[threadIdx.x] = packed_halves(pair[0], pair[1]);
}
extern "C" __global__ void one_product(const Half* left, const Half* right, float* result, int lanes) {
    const unsigned* words = reinterpret_cast<const unsigned*>(left) + 4 * threadIdx.x;
    const unsigned* others = reinterpret_cast<const unsigned*>(right) + 2 * threadIdx.x;
    const unsigned factor[4] = {words[0], words[1], words[2], words[3]};
    float sums[4];
    for (int k = 0; k < 4; ++k) sums[k] = result[4 * threadIdx.x + k];
    if ((int)threadIdx.x < lanes) multiply_add(sums, factor, others[0], others[1]);
    for (int k = 0; k < 4; ++k) result[4 * threadIdx.x + k] = sums[k];
}
"""


class OneProduct:
    """The operations of tensor_cores.cu as kernels, on the stand-in or on a GPU."""

    def __init__(self, depth: int) -> None:
        import cupy

        program = Program(("common.cu", "pixel_types.cu", "tensor_cores.cu"), (("TENSOR_DEPTH", depth),))
        self._module = cupy.RawModule(code=program.source() + ONE_PRODUCT, options=program.options())
        self._cupy = cupy

    def __call__(self, left: np.ndarray, right: np.ndarray, sums: np.ndarray, lanes: int = 32) -> np.ndarray:
        """sums (16, 8) + left (16, 16) x right (16, 8), through the fragments of the PTX ISA, element by element."""
        halves, others, result = np.zeros((32, 8), np.float16), np.zeros((32, 4), np.float16), np.zeros((32, 4), "f4")
        for lane in range(32):
            group, member = lane >> 2, lane % 4
            for i in range(8):
                row = group if 0 <= i < 2 or 4 <= i < 6 else group + 8
                halves[lane, i] = left[row, member * 2 + (i & 1) + (0 if i < 4 else 8)]
            for i in range(4):
                others[lane, i] = right[member * 2 + (i & 1) + (0 if i < 2 else 8), group]
                result[lane, i] = sums[group if i < 2 else group + 8, member * 2 + (i & 1)]
        arrays = [self._cupy.asarray(array) for array in (halves, others, result)]
        self._module.get_function("one_product")((1,), (32,), (*arrays, np.int32(lanes)), shared_mem=16)
        found, matrix = self._cupy.asnumpy(arrays[2]), np.zeros((16, 8), np.float32)
        for lane, i in np.ndindex(32, 4):
            matrix[(lane >> 2) + (0 if i < 2 else 8), lane % 4 * 2 + (i & 1)] = found[lane, i]
        return matrix

    def rounded(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers, float32 (2 N,), as float16."""
        words = self._cupy.asarray(np.zeros(2 * len(numbers), np.uint8))
        blocks, given = ((1,), (len(numbers) // 2,)), self._cupy.asarray(numbers)
        self._module.get_function("round_numbers")(*blocks, (given, words), shared_mem=0)
        return self._cupy.asnumpy(words).view(np.float16)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_product_has_the_fragments_of_the_ptx_isa(place: str, depth: int) -> None:
    """Distinct numbers, whose products and sums are exact; then columns and rows of identity matrices."""
    multiply = OneProduct(depth)
    left, right = np.arange(256.0).reshape(16, 16), np.arange(128.0).reshape(16, 8) - 60
    sums = np.arange(128.0).reshape(16, 8) * 1000
    np.testing.assert_array_equal(multiply(left, right, sums), sums + left @ right)
    for start in (0, 8):
        np.testing.assert_array_equal(
            multiply(left, np.eye(16)[:, start : start + 8], 0 * sums), left[:, start:][:, :8]
        )
    np.testing.assert_array_equal(multiply(np.eye(16), right, 0 * sums), right)


def test_numbers_are_rounded_to_the_nearest_float16(place: str, rng: np.random.Generator) -> None:
    """Ties, numbers below the normal ones, and numbers above the largest, which become infinite."""
    exact = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)[rng.integers(0, 0x7BFF, 40)]
    between = (exact + np.nextafter(exact.astype(np.float16), np.float16(np.inf)).astype(np.float32)) / 2
    special = [0.0, -0.0, 65519.9, 65520, 1e9, 2**-24, 2**-25, 1.0001 * 2**-25, 3 * 2**-25, 6.1e-5, np.inf, -np.inf]
    numbers = np.concatenate([exact, between, special, rng.normal(0, 1e-6, 40), rng.normal(0, 300, 40)])
    numbers = np.concatenate([numbers, -numbers]).astype(np.float32)[:256]
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(OneProduct(16).rounded(numbers).view("u2"), numbers.astype(np.float16).view("u2"))


def test_the_host_finds_a_warp_that_is_not_complete(fake: Any) -> None:
    """mma.sync needs all lanes: otherwise its result is undefined on a GPU."""
    with pytest.raises(AssertionError, match="one_product"):
        OneProduct(16)(np.eye(16), np.ones((16, 8)), np.zeros((16, 8)), lanes=31)


def rounded(values: np.ndarray) -> np.ndarray:
    """float64 values with a significand of 11 bits, the nearest, as float16 has above 2^-14."""
    significand, exponent = np.frexp(values)
    return np.ldexp(np.round(significand * 2**11) / 2**11, exponent)


def expected(convolutions: list[Convolution], norm: Normalisation, patches: np.ndarray) -> np.ndarray:
    """The features by definition, in float64, from intermediate maps and second weights that are rounded."""
    first, second = convolutions
    second = replace(second, weight=rounded(second.weight.astype(float)))
    return normalised(convolved(rounded(convolved(patches, first)), second), norm)


def on_tensor_cores(
    convolutions: list[Convolution], norm: Normalisation, patches: np.ndarray, min_blocks: int
) -> np.ndarray:
    """As `fused`, of the kernel for tensor cores."""
    return fused(convolutions, norm, patches, min_blocks, TensorConvolutions)


def whole_numbers(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    return rng.integers(-255, 256, (count, 3, side, side)).astype(np.float32)


@pytest.mark.parametrize("min_blocks", [0, 10**9], ids=["large", "small"])
@pytest.mark.parametrize("name", NETWORKS)
def test_features_equal_the_definition(place: str, rng: np.random.Generator, name: str, min_blocks: int) -> None:
    """Sums in another order round a few intermediate numbers to the next float16, which limits the equality."""
    convolutions, norm, side = network(name, rng)
    patches = whole_numbers(rng, 3, side)
    found, definition = on_tensor_cores(convolutions, norm, patches, min_blocks), expected(convolutions, norm, patches)
    assert found.shape == definition.shape
    differences = np.abs(found - definition) / np.abs(definition).max()
    assert np.quantile(differences, 0.9) < 1e-6
    assert differences.max() < 1e-3


def test_rounding_costs_little_but_something(place: str, rng: np.random.Generator) -> None:
    """Features of the shipped network with weights and maps that are not rounded. Equal ones would be of float32."""
    convolutions, norm = read_layers(load_model("dcfnet"))
    patches = whole_numbers(rng, 2, 44)
    maps = convolved(convolved(patches, convolutions[0]), convolutions[1])
    exact, found = normalised(maps, norm), on_tensor_cores(list(convolutions), norm, patches, 0)
    assert 1e-5 < np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean()) < 4e-4


@pytest.mark.parametrize("min_blocks", [0, 10**9], ids=["large", "small"])
def test_float16_patches_give_the_same_bits(place: str, rng: np.random.Generator, min_blocks: int) -> None:
    convolutions, norm, side = network("folded to stride 3", rng)
    patches = whole_numbers(rng, 2, side)
    found = [on_tensor_cores(convolutions, norm, patches.astype(dtype), min_blocks) for dtype in ("f2", "f4")]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("factor", [1e4, 1e-4])
def test_no_patch_makes_intermediate_maps_infinite(place: str, rng: np.random.Generator, factor: float) -> None:
    """Intermediate numbers up to 1e7 are far above the largest float16, 65,504."""
    (first, second), norm, side = network("dilated", rng)
    first = Convolution(first.weight * np.float32(factor), first.bias * np.float32(factor), 1, 1, 1, True)
    second = Convolution(second.weight / np.float32(factor), second.bias, *(1, 2, 2), False)
    patches = np.sign(whole_numbers(rng, 2, side)) * 255
    found, definition = on_tensor_cores([first, second], norm, patches, 0), expected([first, second], norm, patches)
    np.testing.assert_allclose(found, definition, atol=1e-3 * np.abs(definition).max())


@pytest.mark.parametrize("min_blocks", [0, 10**9], ids=["large", "small"])
def test_no_barrier_is_missing(
    fake: Any, host_kernels: HostKernels, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, min_blocks: int
) -> None:
    """The features have the same bits if the threads run in reverse order between two barriers."""
    convolutions, norm, side = network("shipped", rng)
    patches = whole_numbers(rng, 2, side)
    forwards = on_tensor_cores(convolutions, norm, patches, min_blocks)
    monkeypatch.setattr(host_kernels, "backwards", True)
    np.testing.assert_array_equal(on_tensor_cores(convolutions, norm, patches, min_blocks), forwards)


def shipped(capability: str = "9.0") -> TensorConvolutions:
    device = SimpleNamespace(constant=lambda values: values, attribute=lambda _: 132, compute_capability=capability)
    return TensorConvolutions(device, *read_layers(load_model("dcfnet")))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_compiles_to_instructions_of_tensor_cores(nvrtc: Any, architecture: int) -> None:
    """Compute capability 7.5 has only the instructions of depth 8."""
    tile_and_program = shipped(f"{architecture // 10}.{architecture % 10}")._program(108, TensorTile.LARGE)
    assert tile_and_program is not None
    program = tile_and_program[1]
    result = compiled(nvrtc, program.source(), program.options(), architecture)
    assert (result.status, result.log.strip()) == (0, "")
    assert result.size > 4000
    depth = 8 if architecture < 80 else 16
    found = re.findall(r"mma\.sync\.aligned\.(\w+)\.row\.col\.(\w+\.\w+\.\w+\.\w+)", result.ptx)
    assert set(found) == {(f"m16n8k{depth}", "f32.f16.f16.f32")}
    # both kernels: 12 products for 16 intermediate pixels; 4 columns of the kernel x 32 features x 32 outputs
    assert len(found) >= 2 * (12 + 4 * 2 * 4) * 16 // depth


def test_weights_that_float16_does_not_have_are_refused() -> None:
    with pytest.raises(ModelError, match=r"weights up to 7e\+04, the largest float16 is 65504; use engine='native'"):
        fragments(np.full((16, 16), 7e4, np.float32))


def test_a_gpu_without_such_tensor_cores_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"capability 7.0: .* need at least 7.5; use engine='native'"):
        shipped("7.0")
    assert shipped("10.0")._depth == 16  # not compared as text


def test_networks_with_patches_of_more_channels_are_not_supported(rng: np.random.Generator) -> None:
    (_, second), _, _ = network("shipped", rng)
    five = Convolution(np.zeros((32, 5, 3, 3), np.float32), np.zeros(32, np.float32), 1, 1, 1, True)
    assert not TensorConvolutions.supports([five, second])


@pytest.mark.parametrize("side", [40, 54, 63, 125])
def test_tiles_compute_few_pixels_twice(side: int) -> None:
    """Products of matrices for the tiles of the shipped network, in relation to the multiply-adds of the network."""
    (first, second), _ = read_layers(load_model("dcfnet"))
    for pixels in (TensorTile.LARGE, TensorTile.SMALL):
        tile = TensorTile.best(second, 3, side, pixels)
        assert tile is not None
        assert tile.shared <= MAX_SHARED
        products = 12 * -(-tile.rows * tile.pitch // 16) + 16 * tile.pixels * 2 * 4  # of both convolutions, per group
        once = side**2 * second.weight.size + 2 * (2 * side) ** 2 * first.weight.size  # two float16 for a weight
        assert tile.count * 2 * products * 2048 <= 1.6 * once  # groups, multiply-adds of a product
