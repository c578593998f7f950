"""The band-limited transform against the full transform of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from dcfnet.devices.cpu import CpuBackend
from dcfnet.filter import dcf
from dcfnet.filter.response import find_peaks
from dcfnet.filter.transform import Transform, band_of_label, label_spectrum
from dcfnet.filter.windows import cosine_window, gaussian_label

asarray = CpuBackend().asarray


def reference_spectrum(maps: np.ndarray, band: int) -> np.ndarray:
    """SciPy's complex transform of windowed maps, at the frequencies and in the order of `Transform`."""
    side = maps.shape[-1]
    spectrum = scipy.fft.fft2(maps * np.outer(cosine_window(side), cosine_window(side)))
    return spectrum[..., np.arange(-band, band + 1), :][..., : band + 1]


@pytest.mark.parametrize(("side", "band"), [(63, 20), (64, 19), (125, 19), (32, 15), (7, 3), (8, 3)])
def test_forward_equals_scipys_transform_of_the_windowed_maps(rng: np.random.Generator, side: int, band: int) -> None:
    maps = rng.normal(size=(2, 3, side, side)).astype(np.float32)
    transform = Transform.build(side, band, 64, cosine_window(side), asarray)
    for _ in range(2):  # the second call gives the same result
        spectra = transform.forward(maps)
        expected = reference_spectrum(maps, band)
        assert spectra.shape == (2, 3, 2 * band + 1, band + 1)
        assert spectra.dtype == np.complex64
        np.testing.assert_allclose(spectra, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize(("side", "response_side"), [(63, 63), (63, 64), (64, 64), (40, 128), (125, 64)])
def test_inverse_interpolates_a_smooth_map_to_any_size(side: int, response_side: int) -> None:
    """A map of few frequencies has exactly one continuation between its pixels: `waves`."""

    def waves(count: int) -> np.ndarray:
        y, x = np.mgrid[:count, :count] * 2 * np.pi / count
        return 0.3 + np.cos(3 * x - 5 * y + 1) + 0.5 * np.sin(4 * y) - 0.25 * np.cos(6 * x + 2 * y)

    band = 8
    transform = Transform.build(side, band, response_side, np.ones(side), asarray)
    response = transform.inverse(transform.forward(waves(side).astype(np.float32)))
    assert response.shape == (response_side, response_side)
    assert response.dtype == np.float32
    np.testing.assert_allclose(response, waves(response_side), atol=1e-5)


@pytest.mark.parametrize("side", [63, 64, 125])
def test_the_label_spectrum_equals_scipys_and_contains_almost_all_energy(side: int) -> None:
    sigma = 0.1 * side / 3
    band = band_of_label(side, sigma, 4.0)
    spectrum = label_spectrum(side, sigma, band)
    full = scipy.fft.fft2(gaussian_label(side, side, sigma).astype(np.float64))
    np.testing.assert_allclose(spectrum, full[np.arange(-band, band + 1)][:, : band + 1], atol=1e-3)
    omitted = np.abs(full[:, band + 1 : side - band]).max()
    assert omitted < np.exp(-8) * np.abs(full).max() * 1.01


def test_the_band_follows_the_label_and_is_limited_by_the_map() -> None:
    assert band_of_label(125, 125 / (2 * np.pi), 4.0) == 4
    assert band_of_label(125, 125 / (2 * np.pi) * 1.001, 4.0) == 4
    assert band_of_label(125, 125 / (2 * np.pi) * 0.999, 4.0) == 5
    assert band_of_label(63, 0.1, 4.0) == 31
    assert band_of_label(64, 0.1, 4.0) == 31


@pytest.mark.parametrize("side", [63, 64])
@pytest.mark.parametrize("shift", [(0, 0), (4, -3), (-9, 7)])
def test_the_response_equals_that_of_all_frequencies(
    rng: np.random.Generator, side: int, shift: tuple[int, int]
) -> None:
    """The filter on maps with all frequencies, against the same formula on SciPy's full spectra."""
    scene = rng.normal(size=(4, side + 40, side + 40)).astype(np.float32)
    template = scene[:, 20 : 20 + side, 20 : 20 + side]
    search = scene[:, 20 - shift[1] : 20 - shift[1] + side, 20 - shift[0] : 20 - shift[0] + side]
    window, sigma = np.outer(cosine_window(side), cosine_window(side)), 0.1 * side / 3
    f = scipy.fft.rfft2
    fractions = dcf.learn(f(template * window), f(gaussian_label(side, side, sigma)))
    expected = scipy.fft.irfft2(dcf.respond(f(search * window), dcf.solve(*fractions, 1e-4)), s=(side, side))

    band = band_of_label(side, sigma, 4.0)
    transform = Transform.build(side, band, side, cosine_window(side), asarray)
    fractions = dcf.learn(transform.forward(template), label_spectrum(side, sigma, band))
    response = transform.inverse(dcf.respond(transform.forward(search), dcf.solve(*fractions, 1e-4)))
    np.testing.assert_allclose(response, expected, atol=2e-3)
    np.testing.assert_allclose(find_peaks(response).shift, find_peaks(expected).shift, atol=0.01)
    np.testing.assert_allclose(
        find_peaks(response).shift[0], shift, atol=0.6
    )  # the cosine window pulls the peak slightly
