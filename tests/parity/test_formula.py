"""filter/dcf.py against references without shared code, and in all array libraries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from dcfnet.filter import dcf
from dcfnet.filter.windows import gaussian_label

SIZES = [(5, 5), (6, 6), (5, 8), (9, 4)]


def filter_by_hand(features: np.ndarray, label: np.ndarray, regularisation: float) -> np.ndarray:
    """Eq. 1 as a dense ridge regression over all circular shifts: features (C, H, W) -> filter (C, H, W)."""
    channels, height, width = features.shape
    rows = [
        np.roll(features, (-dy, -dx), axis=(1, 2)).ravel() for dy in range(height) for dx in range(width)
    ]  # response at shift n: sum_m w[m] phi[m + n]
    design = np.array(rows)
    gram = design.T @ design + regularisation * np.eye(design.shape[1])
    return np.linalg.solve(gram, design.T @ label.ravel()).reshape(channels, height, width)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_closed_form_is_the_dense_ridge_regression(
    rng: np.random.Generator, channels: int, height: int, width: int
) -> None:
    template, search = rng.normal(size=(2, channels, height, width))
    label, regularisation = gaussian_label(height, width, 1.0).astype(np.float64), 0.3
    filter_f = dcf.solve(*dcf.learn(scipy.fft.rfft2(template), scipy.fft.rfft2(label)), regularisation)
    response_f = dcf.respond(scipy.fft.rfft2(search), filter_f)
    response = scipy.fft.irfft2(response_f, s=(height, width))[0]

    weights = filter_by_hand(template, label, regularisation)
    expected = [
        [(weights * np.roll(search, (-dy, -dx), axis=(1, 2))).sum() for dx in range(width)] for dy in range(height)
    ]
    np.testing.assert_allclose(response, expected, atol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(125, 125), (64, 64), (7, 10)])
def test_numpy_and_torch_give_the_same_response(rng: np.random.Generator, height: int, width: int) -> None:
    template, search = (rng.normal(size=(2, 4, height, width)) * 10).astype(np.float32)
    label = gaussian_label(height, width, 3.0)
    f = scipy.fft.rfft2
    by_numpy = dcf.respond(f(search), dcf.solve(*dcf.learn(f(template), f(label)), 1.0))
    f = torch.fft.rfft2
    template, search, label = (torch.from_numpy(a) for a in (template, search, label))
    by_torch = dcf.respond(f(search), dcf.solve(*dcf.learn(f(template), f(label)), 1.0))
    assert by_numpy.dtype == np.complex64
    np.testing.assert_allclose(by_numpy, by_torch.numpy(), atol=2e-5 * np.abs(by_numpy).max())


def test_the_recursion_is_the_weighted_sum_of_equation_13(rng: np.random.Generator) -> None:
    rate, terms = 0.1, rng.normal(size=(6, 3, 4))
    running = terms[0]
    for term in terms[1:]:
        running = dcf.blend(running, term, rate)
    weights = [(1 - rate) ** 5] + [rate * (1 - rate) ** (5 - t) for t in range(1, 6)]
    assert sum(weights) == pytest.approx(1)
    np.testing.assert_allclose(running, np.tensordot(weights, terms, axes=1))


def test_a_learning_rate_of_zero_changes_no_bit(rng: np.random.Generator) -> None:
    old, new = rng.normal(size=(2, 3, 4)).astype(np.float32)
    assert np.array_equal(dcf.blend(old, new, np.float32(0)), old)


@pytest.mark.parametrize("side", [31, 32])
@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (0, -5), (-7, 6)])
def test_the_response_peaks_at_an_integer_shift(rng: np.random.Generator, side: int, dx: int, dy: int) -> None:
    template = rng.normal(size=(2, side, side))
    search = np.roll(template, (dy, dx), axis=(1, 2))
    f = scipy.fft.rfft2
    filter_f = dcf.solve(*dcf.learn(f(template), f(gaussian_label(side, side, 2.0))), 1e-4)
    response = scipy.fft.irfft2(dcf.respond(f(search), filter_f), s=(side, side))[0]
    assert np.unravel_index(response.argmax(), response.shape) == (dy % side, dx % side)
    assert response.max() == pytest.approx(1, abs=1e-3)  # lambda is small, so the response is the label
