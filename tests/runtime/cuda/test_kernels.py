"""The kernels without a GPU: they compile for the architectures that are out there, and their arithmetic is NumPy's."""

from __future__ import annotations

import ctypes
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dcfnet import fusion, kernels, products, reading
from dcfnet.backbones.native import grouped
from dcfnet.layers import Convolution, Normalisation

from tests.runtime.cuda.definitions import convolved, normalised
from tests.runtime.cuda.host import SHIM, HostKernels, signatures

ARCHITECTURES = (75, 80, 86, 89, 90, 120)  # Turing to Blackwell


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    """NVIDIA's run-time compiler, which needs no driver."""
    try:
        listed = metadata.files("nvidia-cuda-nvrtc") or []
    except metadata.PackageNotFoundError:
        pytest.skip("needs nvidia-cuda-nvrtc, which has wheels for x86-64 Linux alone in the dev extra")
    (library,) = (Path(str(file.locate())) for file in listed if file.name.startswith("libnvrtc.so"))
    return ctypes.CDLL(str(library))


def compiled(nvrtc: Any, source: str, architecture: int) -> tuple[int, str, int]:
    """Status, log and bytes of machine code."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture=sm_{architecture}".encode())
    status = nvrtc.nvrtcCompileProgram(program, 1, options)
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    size.value = 0
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return status, log.value.decode(), size.value


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_with_no_gpu(nvrtc: Any, architecture: int) -> None:
    status, log, size = compiled(nvrtc, kernels.source(), architecture)
    assert (status, log.strip()) == (0, "")
    assert size > 4000


def test_the_compiler_says_what_is_wrong(nvrtc: Any) -> None:
    """Else the test above might pass on anything."""
    status, log, size = compiled(nvrtc, kernels.source().replace("rintf(", "rounded("), 86)
    assert status != 0
    assert '"rounded" is undefined' in log
    assert size == 0


def test_no_kernel_needs_what_the_host_does_not_have() -> None:
    """What runs here is the whole kernel: no talk between the threads of a warp, no branch for the host."""
    source, shim = kernels.source(), SHIM.read_text()
    assert not [word for word in ("__shfl", "__syncwarp", "#if") if word in source + shim]
    assert set(signatures(source)) == {
        *(name + suffix for name in ("features_large", "features_small") for suffix in ("", "_half")),
        *(name + suffix for name in ("crop", "count_colours", "likelihood") for suffix in ("", "_half")),
        *("extremes", "convolve", "normalise", "read_peaks"),
        *("multiply_real", "multiply_complex", "settle", "sum_rows", "blend"),
        *("respond", "learn", "fold", "begin", "image", "descend", "turn", "conclude"),
    }


def numbers(*values: float) -> tuple[np.generic, ...]:
    return tuple(np.int32(value) for value in values)


@pytest.mark.parametrize(
    ("channels", "outputs", "side", "kernel", "stride", "padding", "dilation"),
    [
        (3, 16, 9, 3, 1, 1, 1),
        (5, 7, 11, 3, 1, 2, 2),  # outputs that fill no group, dilated
        (2, 33, 10, 4, 2, 1, 1),
        (1, 1, 1, 1, 1, 0, 1),
        (4, 20, 13, 6, 3, 2, 1),
        (3, 17, 8, 3, 1, 0, 1),  # not padded
    ],
)
@pytest.mark.parametrize("rectified", [0, 1])
def test_a_convolution_is_its_definition(
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
    made_side = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    found = np.full((2, outputs, made_side, made_side), np.nan, dtype=np.float32)
    sizes = numbers(2, channels, side, outputs, made_side, kernel, stride, padding, dilation, rectified)
    threads = 2 * -(-outputs // 16) * made_side**2
    host_kernels.launch("convolve", -(-threads // 32), 32, (maps, grouped(weight), grouped(bias), found, *sizes))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("channels", "size"), [(32, 5), (7, 3), (4, 9), (1, 1)])
def test_the_normalisation_is_its_definition(
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
def test_extremes_are_those_of_the_pixels_asked_for(
    host_kernels: HostKernels, rng: np.random.Generator, channels: int
) -> None:
    frame = rng.integers(1, 255, size=(30, 40, channels), dtype=np.uint8)
    cuts = [np.s_[3:28:5, 7:30:2], np.s_[0:1, 39:40], np.s_[29:30:4, ::3]]
    grids, found = np.zeros(3, kernels.GRID), np.zeros((4, 2, 3), np.int32)
    found[:, 0] = 255
    for index, (rows, columns) in enumerate(cuts):
        (y, end_y, step_y), (x, end_x, step_x) = rows.indices(30), columns.indices(40)
        many = (len(range(x, end_x, step_x)), len(range(y, end_y, step_y)))
        grids[index] = (frame.ctypes.data, frame.strides[0], channels, x, y, step_x, step_y, *many)
    host_kernels.launch("extremes", 3 * 20 * 20 // 32 + 1, 32, (grids.view(np.uint8), found, *numbers(3, 20)))
    colours = min(channels, 3)
    for levels, cut in zip(found, cuts, strict=False):
        seen = frame[cut].reshape(-1, channels)[:, :colours]
        np.testing.assert_array_equal(levels[:, :colours], [seen.min(axis=0), seen.max(axis=0)])
        assert (levels[:, colours:] == [[255], [0]]).all()
    assert (found[3] == [[255], [0]]).all()  # nobody's


def test_structures_are_laid_out_as_c_lays_them_out() -> None:
    """A field of 8 bytes first, none unaligned, and the whole a multiple of 8: the next one's pointer is aligned."""
    for made, size in ((kernels.PLACE, 88), (kernels.GRID, 48), (fusion.PLAN, 120)):
        assert made.fields is not None
        assert made.itemsize == size
        assert all(offset % kind.itemsize == 0 for kind, offset, *_ in made.fields.values())
    assert reading.SUMMARY_BYTES == 2 * 8 + 4 * 4
    assert f"#define READERS {reading.READERS} " in kernels.source()
    assert f"#define READ {reading.READ}\n" in kernels.source()
    assert f"#define ROWS_AT_ONCE {products.ROWS_AT_ONCE}\n" in kernels.source()
    assert f"#define COLUMNS_AT_ONCE {products.COLUMNS_AT_ONCE}\n" in kernels.source()
