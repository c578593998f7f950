"""The kernels without a GPU: they compile for all supported architectures, and their results are those of NumPy."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dcfnet.backbones.fused_convolutions import FusedConvolutions, Tile
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.native import grouped
from dcfnet.backbones.tensor_convolutions import TensorConvolutions, TensorTile
from dcfnet.devices.cuda import sampling
from dcfnet.devices.cuda.kernels.constants import DEFINES
from dcfnet.devices.cuda.kernels.peaks import STATISTICS_BYTES
from dcfnet.devices.cuda.kernels.program import DECISIONS, TRACKER, Program
from dcfnet.devices.cuda.kernels.structures import STRUCTURES, c_structure
from dcfnet.io.texture import COARSE_SAMPLES
from dcfnet.model.layers import Convolution, Normalisation, read_layers

from tests.runtime.cuda.definitions import convolved, normalised
from tests.runtime.cuda.host import INSTRUCTIONS, OPERATIONS, SHIM, HostKernels, signatures
from tests.runtime.cuda.nvrtc import ARCHITECTURES, compiled


def shipped_features(kind: type[FusedConvolutions], pixels: int) -> Program:
    """The program of the shipped network for patches of the preset `balanced`. The choice of its tile needs no GPU.

    Its instructions are those of the first tensor cores that it can use, which all later ones have too.
    """
    device = SimpleNamespace(constant=lambda values: values, attribute=lambda name: 132, compute_capability="7.5")
    tile_and_program = kind(device, *read_layers(load_model("dcfnet")))._program(108, pixels)
    assert tile_and_program is not None
    return tile_and_program[1]


PROGRAMS = {
    "tracker": TRACKER,
    "decisions": DECISIONS,
    "features_large": shipped_features(FusedConvolutions, Tile.LARGE),
    "features_small": shipped_features(FusedConvolutions, Tile.SMALL),
    "tensor_large": shipped_features(TensorConvolutions, TensorTile.LARGE),
    "tensor_small": shipped_features(TensorConvolutions, TensorTile.SMALL),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_without_a_gpu(nvrtc: Any, architecture: int, name: str) -> None:
    program = PROGRAMS[name]
    result = compiled(nvrtc, program.source(), program.options(), architecture)
    assert (result.status, result.log.strip()) == (0, "")
    assert result.size > 4000


def test_the_compiler_reports_an_error(nvrtc: Any) -> None:
    """Otherwise the test above might pass on anything."""
    source = TRACKER.source().replace("rintf(", "rounded(")
    result = compiled(nvrtc, source, TRACKER.options(), 86)
    assert result.status != 0
    assert '"rounded" is undefined' in result.log
    assert result.size == 0


def test_no_constant_is_defined_twice() -> None:
    """Constants that Python shares with the kernels are compiler options only. Each is used."""
    text = "".join(program.source() for program in PROGRAMS.values())
    names = {name for program in PROGRAMS.values() for name, _ in (*DEFINES, *program.defines)}
    assert not [name for name in names if re.search(rf"#define {name}\b", text)]
    assert not [name for name in names if not re.search(rf"\b{name}\b", text)]


def test_the_host_runs_complete_kernels() -> None:
    """They have no code for the host only. The host replaces one file: it can run no other operation of a warp."""
    source, shim = "".join(program.source() for program in PROGRAMS.values()), SHIM.read_text() + OPERATIONS.read_text()
    assert not [word for word in ("__shfl", "__syncwarp", "#if") if word in source + shim]
    assert "asm" in source
    assert "asm" not in INSTRUCTIONS.sub("", source)
    assert set(signatures(source)) == {
        *("features", "features_half", "tensor_features", "tensor_features_half"),
        *(name + suffix for name in ("crop", "count_colours", "likelihood") for suffix in ("", "_half")),
        *("extremes", "convolve", "normalise", "read_peaks"),
        *("window_maps", "keep_band", "spread_band", "thin_maps"),
        *("along_both_axes", "to_spectra", "to_maps"),
        *("multiply_real", "multiply_complex", "take_slots", "store_slots", "sum_maps", "blend"),
        *("respond", "update", "mask_columns"),
        *("initial_residual", "left_side", "advance", "next_direction", "last_step"),
        *("place_searches", "read_views", "decide"),
    }


def numbers(*values: float) -> tuple[np.generic, ...]:
    return tuple(np.int32(value) for value in values)


@pytest.mark.parametrize(
    ("channels", "outputs", "side", "kernel", "stride", "padding", "dilation"),
    [
        (3, 16, 9, 3, 1, 1, 1),
        (5, 7, 11, 3, 1, 2, 2),  # dilated; the number of outputs is no multiple of a group
        (2, 33, 10, 4, 2, 1, 1),
        (1, 1, 1, 1, 1, 0, 1),
        (4, 20, 13, 6, 3, 2, 1),
        (3, 17, 8, 3, 1, 0, 1),  # not padded
    ],
)
@pytest.mark.parametrize("rectified", [0, 1])
def test_a_convolution_equals_its_definition(
    host_kernels: HostKernels,
    rng: np.random.Generator,
    channels: int,
    outputs: int,
    side: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    rectified: int,
) -> None:
    maps = rng.normal(size=(2, channels, side, side)).astype(np.float32)
    weight = rng.normal(size=(outputs, channels, kernel, kernel)).astype(np.float32)
    bias = rng.normal(size=outputs).astype(np.float32)
    expected = convolved(maps, Convolution(weight, bias, stride, padding, dilation, bool(rectified)))
    result_side = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    found = np.full((2, outputs, result_side, result_side), np.nan, dtype=np.float32)
    sizes = numbers(2, channels, side, outputs, result_side, kernel, stride, padding, dilation, rectified)
    threads = 2 * -(-outputs // 16) * result_side**2
    host_kernels.launch("convolve", -(-threads // 32), 32, (maps, grouped(weight), grouped(bias), found, *sizes))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("channels", "size"), [(32, 5), (7, 3), (4, 9), (1, 1)])
def test_the_normalisation_equals_its_definition(
    host_kernels: HostKernels, rng: np.random.Generator, channels: int, size: int
) -> None:
    features = rng.normal(0, 300, size=(2, channels, 5, 5)).astype(np.float32)
    near = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels))) <= size // 2
    band, offset = (near * 1e-4 / size).astype(np.float32), np.ones(channels, np.float32)
    found = np.full_like(features, np.nan)
    arguments = (features, band, offset, found, *numbers(2, channels, 25, size // 2))
    host_kernels.launch("normalise", 2 * channels, 32, arguments)
    np.testing.assert_allclose(found, normalised(features, Normalisation(band, offset)), rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_extremes_are_those_of_the_pixels_of_each_grid(
    host_kernels: HostKernels, rng: np.random.Generator, channels: int
) -> None:
    frame = rng.integers(1, 255, size=(30, 40, channels), dtype=np.uint8)
    slices = [np.s_[3:28:5, 7:30:2], np.s_[0:1, 39:40], np.s_[29:30:4, ::3]]
    grids, found = np.zeros(3, sampling.GRID), np.zeros((4, 3, 3), np.int32)
    found[:, 0] = 255
    for index, (rows, columns) in enumerate(slices):
        (y, end_y, step_y), (x, end_x, step_x) = rows.indices(30), columns.indices(40)
        counts = (len(range(x, end_x, step_x)), len(range(y, end_y, step_y)))
        grids[index] = (frame.ctypes.data, frame.strides[0], channels, x, y, step_x, step_y, *counts)
    host_kernels.launch("extremes", 3 * 20 * 20 // 32 + 1, 32, (grids.view(np.uint8), found, *numbers(3, 20)))
    colours = min(channels, 3)
    for levels, pixels in zip(found, slices, strict=False):
        values = frame[pixels].reshape(-1, channels)[:, :colours]
        np.testing.assert_array_equal(levels[:2, :colours], [values.min(axis=0), values.max(axis=0)])
        spread = [np.arange(COARSE_SAMPLES) * (count - 1) // (COARSE_SAMPLES - 1) for count in frame[pixels].shape[:2]]
        samples = frame[pixels][spread[0]][
            :, spread[1], :colours
        ]  # a pixel of a short side is among them several times
        np.testing.assert_array_equal(levels[2, :colours], samples.sum(axis=(0, 1)))
        assert (levels[:, colours:] == [[255], [0], [0]]).all()
    assert (found[3] == [[255], [0], [0]]).all()  # no grid belongs to this row


def test_structures_have_the_layout_of_c(host_kernels: HostKernels) -> None:
    """The kernels get the structures as text. A compiler gives them the sizes that NumPy has."""
    sizes = host_kernels._sizes | host_kernels.program(DECISIONS.source(), DECISIONS.options())._sizes
    assert set(TRACKER.structures) < set(DECISIONS.structures) == set(STRUCTURES)
    for name, layout in STRUCTURES.items():
        assert layout.fields is not None
        assert sizes[name] == layout.itemsize
        assert all(offset % kind.base.itemsize == 0 for kind, offset, *_ in layout.fields.values())
    assert STATISTICS_BYTES == 2 * 8 + 4 * 4


def test_a_structure_is_written_as_c() -> None:
    layout = np.dtype([("pixels", "u8"), ("corner", "f8", (2,)), ("count", "i8"), ("x", "f4"), ("y", "i4")], align=True)
    members = "const unsigned char* pixels;", "double corner[2];", "long long count;", "float x;", "int y;"
    assert c_structure("Five", layout).split("\n") == ["struct Five {", *(f"    {each}" for each in members), "};", ""]
