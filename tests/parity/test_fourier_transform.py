"""The setting transform="fft": the same spectra, responses and boxes as the matrices, on a CPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import reload
from types import ModuleType

import dcfnet
import numpy as np
import pytest
import scipy.fft
from dcfnet.devices import host_fft
from dcfnet.devices.cpu import CpuBackend
from dcfnet.filter.transform import Transform
from dcfnet.filter.windows import cosine_window
from dcfnet_evaluation.rendered import Clip

from tests.parity.test_transform import reference_spectrum

SIDES = [(63, 20, 0), (64, 19, 0), (125, 62, 0), (40, 12, 3), (7, 3, 2)]  # side, band, margin


@pytest.fixture(params=["scipy", "numpy"])
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    """The library of the transforms. Without SciPy, NumPy is used."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setitem(sys.modules, "scipy", None)
        reload(host_fft)
        yield str(request.param)
    reload(host_fft)


def module_of(library: ModuleType) -> str:
    return library.__name__.partition(".")[0]


@pytest.mark.parametrize(("side", "band", "margin"), SIDES)
def test_spectra_equal_scipys_also_at_repeated_calls(
    rng: np.random.Generator, library: str, side: int, band: int, margin: int
) -> None:
    assert module_of(host_fft.library) == library
    transform = CpuBackend().fourier_transform(side, band, 64, cosine_window(side), margin)
    for _ in range(2):
        maps = rng.normal(size=(2, 3, side + 2 * margin, side + 2 * margin)).astype(np.float32)
        before, found = maps.copy(), transform.forward(maps)
        expected = reference_spectrum(maps[..., margin : margin + side, margin : margin + side], band)
        assert (found.shape, found.dtype) == ((2, 3, 2 * band + 1, band + 1), np.complex64)
        np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())
        np.testing.assert_array_equal(maps, before)


@pytest.mark.parametrize(("side", "band", "margin"), SIDES)
def test_responses_equal_those_of_the_matrices(
    rng: np.random.Generator, library: str, side: int, band: int, margin: int
) -> None:
    """Also if there are more frequencies than the response has pixels: 125 px and 64."""
    backend = CpuBackend()
    matrices = Transform.build(side, band, 64, cosine_window(side), backend.asarray, backend.matmul, margin)
    fourier = backend.fourier_transform(side, band, 64, cosine_window(side), margin)
    spectra = matrices.forward(rng.normal(size=(2, 3, side + 2 * margin, side + 2 * margin)).astype(np.float32))
    for _ in range(2):
        before, found, expected = spectra.copy(), fourier.inverse(spectra), matrices.inverse(spectra)
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())
        np.testing.assert_array_equal(spectra, before)


def test_the_whole_transform_of_the_paper_is_inverted(rng: np.random.Generator) -> None:
    """Without a window and with all frequencies, the inverse gives the maps back."""
    maps = rng.normal(size=(3, 63, 63)).astype(np.float32)
    transform = CpuBackend().fourier_transform(63, 31, 63, np.ones(63), 0)
    np.testing.assert_allclose(transform.inverse(transform.forward(maps)), maps, atol=1e-5)
    expected = scipy.fft.rfft2(maps.astype(np.float64))[..., np.arange(-31, 32), :]
    np.testing.assert_allclose(transform.forward(maps), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("dcfnet", {"config": "paper"}),
        ("dcfnet", {"config": "released"}),
        ("dcfnet", {"preset": "fast"}),
        ("dcfnet", {"preset": "accurate"}),
        ("deep", {"preset": "fast"}),  # several levels and a margin: scale 1 has a fast transform
    ],
)
def test_boxes_equal_those_of_the_matrices(clip: Clip, model: str, settings: dict[str, str]) -> None:
    boxes = {}
    for transform in ("matrices", "fft"):
        start = dcfnet.Tracker(model, device="cpu", **settings)
        tracker = dcfnet.Tracker(model, device="cpu", config=start.config.replace(transform=transform))
        tracker.init(clip.frame(0), clip.box(0))
        boxes[transform] = [tuple(tracker.update(clip.frame(index)).box) for index in range(1, 9)]
    np.testing.assert_allclose(boxes["fft"], boxes["matrices"], atol=0.1)
    assert np.median(np.abs(np.subtract(boxes["fft"], boxes["matrices"]))) == 0
